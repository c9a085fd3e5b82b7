//! Raspberry Pi's Pico: RP2040, two Cortex-M0+, of which images use the first.
//!
//! UART0 (GP0, GP1) wants an adapter, or Raspberry Pi's Debug Probe, at 115,200 baud; with the feature `usb` the link is the
//! board's USB socket. The light is on GP25; logs go over RTT. Source: Raspberry Pi, Pico Datasheet, chapter 2; RP2040
//! Datasheet, chapters 2.8 (ROM) and 4.10 (flash).

#[path = "pico_flash.rs"]
mod pico_flash;

use cortex_m as _; // the critical section that defmt wants: core 1 stays in the ROM, asleep
use defmt_rtt as _;
use rp2040_hal::{
    clocks::{ClocksManager, init_clocks_and_plls},
    fugit::MicrosDurationU32,
    gpio::{FunctionSio, Pin, Pins, PullDown, SioOutput, bank0::Gpio25},
    pac::Peripherals,
    sio::Sio,
    watchdog,
};

#[cfg(feature = "agent")]
pub(super) use pico_flash::FLASH;
pub use pico_flash::{Flash, StorePort};

/// What the ROM starts: it makes the flash chip fast, and then starts what lies behind it.
#[unsafe(link_section = ".boot")]
#[used]
static BOOT: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// The board's crystal.
const CRYSTAL_HZ: u32 = 12_000_000;

/// The board's light.
pub type Led = Pin<Gpio25, FunctionSio<SioOutput>, PullDown>;

/// The link to the host.
#[cfg(not(feature = "usb"))]
pub use serial::Uart;
/// The link to the host.
#[cfg(feature = "usb")]
pub type Uart = super::usb_serial::UsbSerial<rp2040_hal::usb::UsbBus>;

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

/// Sets the board up: 125 MHz from its crystal. Called once.
pub fn take() -> Parts {
    let Some(mut chip) = Peripherals::take() else {
        defmt::panic!("the board is taken already");
    };
    let mut watchdog = watchdog::Watchdog::new(chip.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut chip.RESETS,
        &mut watchdog,
    );
    let clocks: ClocksManager = match clocks {
        Ok(clocks) => clocks,
        Err(_) => defmt::panic!("the crystal's clock does not start"),
    };
    let gpio = Sio::new(chip.SIO).gpio_bank0;
    let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, gpio, &mut chip.RESETS);
    #[cfg(not(feature = "usb"))]
    let uart = {
        let line = (pins.gpio0.reconfigure(), pins.gpio1.reconfigure());
        Uart::new(chip.UART0, line, &mut chip.RESETS, &clocks)
    };
    #[cfg(feature = "usb")]
    let uart = {
        use rp2040_hal::usb::UsbBus;
        use usb_device::bus::UsbBusAllocator;

        let (registers, memory) = (chip.USBCTRL_REGS, chip.USBCTRL_DPRAM);
        // `true`: the board has no pin that senses the bus's supply.
        let bus = UsbBus::new(registers, memory, clocks.usb_clock, true, &mut chip.RESETS);
        let bus = cortex_m::singleton!(: UsbBusAllocator<UsbBus> = UsbBusAllocator::new(bus));
        match bus.and_then(|bus| Uart::new(bus)) {
            Some(port) => port,
            None => defmt::panic!("USB is taken already"),
        }
    };
    Parts {
        uart,
        led: pins.gpio25.reconfigure(),
        store: StorePort::new(),
        watchdog: Watchdog(watchdog),
    }
}

/// The chip's watchdog; at most 8 seconds.
pub struct Watchdog(watchdog::Watchdog);

/// The most milliseconds that its counter of 24 bits takes: it counts twice a microsecond.
const WATCHDOG_MOST: u32 = 8_388;

impl crate::watchdog::Watchdog for Watchdog {
    fn start(&mut self, milliseconds: u32) {
        self.0.pause_on_debug(true);
        self.0
            .start(MicrosDurationU32::millis(milliseconds.min(WATCHDOG_MOST)));
    }

    fn feed(&mut self) {
        self.0.feed();
    }
}

/// The core's clock, in Hz.
pub const CLOCK: u32 = 125_000_000;

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

#[cfg(not(feature = "usb"))]
mod serial {
    use core::convert::Infallible;

    use embedded_io::{ErrorType, Read, Write};
    use rp2040_hal::{
        Clock,
        clocks::ClocksManager,
        fugit::RateExtU32,
        gpio::{
            FunctionUart, Pin, PullDown,
            bank0::{Gpio0, Gpio1},
        },
        pac::{RESETS, UART0},
        uart::{DataBits, Enabled, StopBits, UartConfig, UartPeripheral},
    };

    type Line = (
        Pin<Gpio0, FunctionUart, PullDown>,
        Pin<Gpio1, FunctionUart, PullDown>,
    );

    /// UART0, polled: it holds 32 bytes that came.
    pub struct Uart(UartPeripheral<Enabled, UART0, Line>);

    impl Uart {
        pub(super) fn new(
            uart: UART0,
            line: Line,
            resets: &mut RESETS,
            clocks: &ClocksManager,
        ) -> Self {
            let config = UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One);
            let clock = clocks.peripheral_clock.freq();
            match UartPeripheral::new(uart, line, resets).enable(config, clock) {
                Ok(uart) => Uart(uart),
                Err(_) => defmt::panic!("the clock cannot give 115,200 baud"),
            }
        }
    }

    impl ErrorType for Uart {
        type Error = Infallible;
    }

    impl Read for Uart {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            if buffer.is_empty() {
                return Ok(0);
            }
            loop {
                // Noise and lost bytes show in the frame's CRC-32.
                if let Ok(len @ 1..) = self.0.read_raw(buffer) {
                    return Ok(len);
                }
            }
        }
    }

    impl Write for Uart {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            self.0.write_full_blocking(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            while self.0.uart_is_busy() {}
            Ok(())
        }
    }
}
