//! What happens when something is wrong with the image itself: the log says so, and it stops.

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};

use crate::boards;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    defmt::error!("panic: {}", defmt::Display2Format(info));
    boards::exit(false)
}

/// For `defmt::panic!` and its kin, which have logged already.
#[defmt::panic_handler]
fn defmt_panic() -> ! {
    boards::exit(false)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}", frame.pc());
    boards::exit(false)
}
