//! Nordic's nRF52840 Development Kit (PCA10056): nRF52840, Cortex-M4F.
//!
//! UART0 (P0.06, P0.08) reaches the host through the board's debugger as a USB serial port, 115,200 baud; with the feature
//! `usb` it is the chip's own USB socket instead. LED1 is on P0.13, lit by a low level; logs go over RTT.
//! Source: Nordic, nRF52840 DK User Guide 4.0; nRF52840 Product Specification 1.7, chapters 4.3 (NVMC),
//! 6.33 (UART) and 6.36 (WDT).

use core::convert::Infallible;

use cortex_m as _; // the critical section that defmt wants
use defmt_rtt as _;
use embedded_hal::digital::{self, OutputPin};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use nrf52840_hal::{
    gpio::{
        Level, Output, PushPull,
        p0::{self, P0_13},
    },
    pac::{NVMC, Peripherals, WDT},
};

use crate::watchdog;

/// The link to the host.
#[cfg(not(feature = "usb"))]
pub use serial::Uart;
/// The link to the host.
#[cfg(feature = "usb")]
pub type Uart = super::usb_serial::UsbSerial<Usb>;
#[cfg(feature = "usb")]
type Usb = nrf52840_hal::usbd::Usbd<nrf52840_hal::usbd::UsbPeripheral<'static>>;

/// What the board hands out.
pub struct Parts {
    /// The link to the host.
    pub uart: Uart,
    /// A light that is on while a request is served.
    pub led: Led,
    /// The flash for what is learnt.
    pub store: StorePort,
    /// What resets the chip when it hangs; not started.
    pub watchdog: Watchdog,
}

/// Sets the board up: 64 MHz, as the chip starts. Called once.
pub fn take() -> Parts {
    let Some(chip) = Peripherals::take() else {
        defmt::panic!("the board is taken already");
    };
    let pins = p0::Parts::new(chip.P0);
    #[cfg(not(feature = "usb"))]
    let uart = {
        let sent = pins.p0_06.into_push_pull_output(Level::High).degrade();
        let received = pins.p0_08.into_floating_input().degrade();
        Uart::new(chip.UART0, &sent, &received)
    };
    #[cfg(feature = "usb")]
    let uart = usb(chip.CLOCK, chip.USBD);
    Parts {
        uart,
        led: Led(pins.p0_13.into_push_pull_output(Level::High)),
        store: StorePort(chip.NVMC),
        watchdog: Watchdog(chip.WDT),
    }
}

/// USB wants the crystal's clock.
#[cfg(feature = "usb")]
fn usb(clock: nrf52840_hal::pac::CLOCK, device: nrf52840_hal::pac::USBD) -> Uart {
    use nrf52840_hal::clocks::{Clocks, ExternalOscillator, Internal, LfOscStopped};
    use usb_device::bus::UsbBusAllocator;

    type Crystal = Clocks<ExternalOscillator, Internal, LfOscStopped>;
    let clocks = cortex_m::singleton!(: Crystal = Clocks::new(clock).enable_ext_hfosc());
    let port = clocks.and_then(|clocks| {
        let peripheral = nrf52840_hal::usbd::UsbPeripheral::new(device, clocks);
        let bus = cortex_m::singleton!(: UsbBusAllocator<Usb> = UsbBusAllocator::new(Usb::new(peripheral)))?;
        Uart::new(bus)
    });
    match port {
        Some(port) => port,
        None => defmt::panic!("USB is taken already"),
    }
}

/// The core's clock, in Hz.
pub const CLOCK: u32 = 64_000_000;

/// Stops; a debugger that is attached sees it, and the log has said why.
pub fn exit(success: bool) -> ! {
    if success {
        loop {
            cortex_m::asm::wfi();
        }
    }
    loop {
        cortex_m::asm::bkpt();
    }
}

/// UART0 as nRF51 had it: UARTE, which replaces it, has no way to take what comes byte by byte but a transfer for each.
#[cfg(not(feature = "usb"))]
mod serial {
    use core::convert::Infallible;

    use embedded_io::{ErrorType, Read, Write};
    use nrf52840_hal::{
        gpio::{Floating, Input, Output, Pin, PushPull},
        pac::UART0,
    };

    /// The port, polled: it holds six bytes that came.
    pub struct Uart(UART0);

    impl Uart {
        pub(super) fn new(
            uart: UART0,
            sent: &Pin<Output<PushPull>>,
            received: &Pin<Input<Floating>>,
        ) -> Self {
            // SAFETY: the numbers of two pins, as the registers want them.
            uart.psel.txd.write(|w| unsafe { w.bits(sent.psel_bits()) });
            // SAFETY: as above.
            uart.psel
                .rxd
                .write(|w| unsafe { w.bits(received.psel_bits()) });
            uart.baudrate.write(|w| w.baudrate().baud115200());
            uart.enable.write(|w| w.enable().enabled());
            uart.tasks_startrx.write(|w| w.tasks_startrx().set_bit());
            uart.tasks_starttx.write(|w| w.tasks_starttx().set_bit());
            Uart(uart)
        }
    }

    impl ErrorType for Uart {
        type Error = Infallible;
    }

    impl Read for Uart {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            let Some(first) = buffer.first_mut() else {
                return Ok(0);
            };
            while self.0.events_rxdrdy.read().bits() == 0 {}
            // Cleared first: reading the byte raises it again when another waits.
            self.0.events_rxdrdy.reset();
            *first = self.0.rxd.read().rxd().bits();
            Ok(1)
        }
    }

    impl Write for Uart {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            for &byte in bytes {
                self.0.events_txdrdy.reset();
                // SAFETY: any byte can be sent.
                self.0.txd.write(|w| unsafe { w.txd().bits(byte) });
                while self.0.events_txdrdy.read().bits() == 0 {}
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
}

/// LED1: between the supply and the pin.
pub struct Led(P0_13<Output<PushPull>>);

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set_high()
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set_low()
    }
}

/// The chip's watchdog, which runs at 32,768 Hz, and not while a debugger holds the core.
pub struct Watchdog(WDT);

impl watchdog::Watchdog for Watchdog {
    fn start(&mut self, milliseconds: u32) {
        // 125 milliseconds are 4096 counts; the register takes from 15 on.
        let counts = (milliseconds.saturating_mul(4096) / 125).max(15);
        // SAFETY: a number that the register takes.
        self.0.crv.write(|w| unsafe { w.bits(counts) });
        self.0.config.write(|w| w.sleep().run().halt().pause());
        self.0.tasks_start.write(|w| w.tasks_start().set_bit());
    }

    fn feed(&mut self) {
        self.0.rr[0].write(|w| w.rr().reload());
    }
}

/// Gives the flash, once.
pub struct StorePort(NVMC);

impl StorePort {
    /// The flash, and what of it is for the store: pages of 4 KiB.
    #[cfg(not(feature = "agent"))]
    pub fn open(self) -> Option<(Flash, core::ops::Range<u32>)> {
        Some((self.flash(), crate::model::STORE))
    }

    /// All of the flash.
    pub(super) fn flash(self) -> Flash {
        Flash(self.0)
    }
}

/// The chip's flash, which begins at address 0. The core waits until an operation is done: 41 µs for a word, 85 ms for a
/// page.
pub struct Flash(NVMC);

const CAPACITY: usize = 1024 * 1024;
/// Where the core reads it.
#[cfg(feature = "agent")]
pub(super) const FLASH: usize = 0;

impl Flash {
    fn wait(&self) {
        while self.0.ready.read().ready().is_busy() {}
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (address, byte) in (offset as usize..).zip(bytes) {
            // SAFETY: `check_read` found it within the flash, which can always be read.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.0.config.write(|w| w.wen().een());
        for page in (from..to).step_by(Self::ERASE_SIZE) {
            // SAFETY: the start of a page, which `check_erase` found within the flash.
            self.0.erasepage().write(|w| unsafe { w.bits(page) });
            self.wait();
        }
        self.0.config.write(|w| w.wen().ren());
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.0.config.write(|w| w.wen().wen());
        let (words, _) = bytes.as_chunks();
        for (address, word) in (offset as usize..).step_by(4).zip(words) {
            // SAFETY: an aligned word, which `check_write` found within the flash; writing is enabled.
            unsafe { (address as *mut u32).write_volatile(u32::from_le_bytes(*word)) };
            self.wait();
        }
        self.0.config.write(|w| w.wen().ren());
        Ok(())
    }
}
