//! What happens when something is wrong with the image itself: the log says so, and it stops.

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};

use crate::boards;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // Where, not what: wording it would take 2 KB.
    if let Some(place) = info.location() {
        defmt::error!("panic at {=str}:{=u32}", place.file(), place.line());
    }
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
