//! A serial port over the chip's own USB (CDC-ACM), polled: for boards whose chip has one, with the feature `usb`.
//!
//! It is polled while the image waits for bytes or sends some. While a request is worked on it is not: the hardware then
//! asks the host to wait, which hosts do for seconds.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use usb_device::{
    UsbError,
    bus::{UsbBus, UsbBusAllocator},
    device::{StringDescriptors, UsbDevice, UsbDeviceBuilder, UsbDeviceState, UsbVidPid},
};
use usbd_serial::{SerialPort, USB_CLASS_CDC};

/// The pair that is free for all serial ports of this kind.
const IDS: UsbVidPid = UsbVidPid(0x16C0, 0x27DD);

/// The port.
pub struct UsbSerial<B: UsbBus + 'static> {
    port: SerialPort<'static, B>,
    device: UsbDevice<'static, B>,
}

impl<B: UsbBus> UsbSerial<B> {
    /// A port on `bus`; none where the names do not fit the descriptors.
    pub(super) fn new(bus: &'static UsbBusAllocator<B>) -> Option<Self> {
        let port = SerialPort::new(bus);
        let names = StringDescriptors::default()
            .manufacturer("Mote")
            .product(super::NAME);
        let device = UsbDeviceBuilder::new(bus, IDS)
            .strings(&[names])
            .ok()?
            .device_class(USB_CLASS_CDC)
            .build();
        Some(Self { port, device })
    }

    fn poll(&mut self) {
        self.device.poll(&mut [&mut self.port]);
    }

    /// Whether nobody has the port open: what is sent then is lost, as on a UART's line.
    fn is_alone(&self) -> bool {
        self.device.state() != UsbDeviceState::Configured || !self.port.dtr()
    }
}

impl<B: UsbBus> ErrorType for UsbSerial<B> {
    type Error = Infallible;
}

impl<B: UsbBus> Read for UsbSerial<B> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error is that nothing came, or a bus that is being reset.
            if let Ok(len @ 1..) = self.port.read(buffer) {
                return Ok(len);
            }
            self.poll();
        }
    }
}

impl<B: UsbBus> Write for UsbSerial<B> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            if let Ok(len @ 1..) = self.port.write(bytes) {
                return Ok(len);
            }
            self.poll();
            if self.is_alone() {
                return Ok(bytes.len());
            }
        }
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while let Err(UsbError::WouldBlock) = self.port.flush() {
            self.poll();
            if self.is_alone() {
                break;
            }
        }
        Ok(())
    }
}
