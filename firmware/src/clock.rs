//! A clock that counts instructions, in QEMU with `-icount shift=0`: there each takes the same virtual time.

use core::arch::asm;

use cortex_m::peripheral::{SYST, syst::SystClkSource};

/// Instructions of the loop that the clock is measured by.
const LOOP: u32 = 1 << 20;

/// The clock, running.
#[derive(Debug)]
pub struct Clock {
    /// Of [`LOOP`] instructions.
    ticks: u32,
}

/// SysTick counts down, 24 bits.
const MASK: u32 = Clock::MASK;

impl Clock {
    /// The most ticks that SysTick counts.
    pub const MASK: u32 = 0x00FF_FFFF;

    /// Starts it, and measures how many instructions a tick is: boards differ in that.
    pub fn start(mut timer: SYST) -> Self {
        Self::measure(&mut timer)
    }

    /// As [`start`](Self::start), for one that goes on to use the timer otherwise.
    pub fn measure(timer: &mut SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(MASK);
        timer.clear_current();
        timer.enable_counter();
        let start = Instant::now();
        // SAFETY: it counts a register down, two instructions a turn.
        unsafe {
            asm!(
                "2:",
                "subs {turns}, #1",
                "bne 2b",
                turns = inout(reg) LOOP / 2 => _,
                options(nomem, nostack),
            );
        }
        Self {
            ticks: start.ticks().max(1),
        }
    }

    /// The instructions of so many ticks.
    pub fn instructions(&self, ticks: u32) -> u32 {
        // 24 bits times 2^20, over what is 2^20 but for a tick's length: 32 bits, unless a tick is 256 instructions.
        (u64::from(ticks) * u64::from(LOOP) / u64::from(self.ticks)) as u32
    }
}

/// A moment.
#[derive(Debug, Clone, Copy)]
pub struct Instant(u32);

impl Instant {
    /// This one.
    #[inline(always)]
    pub fn now() -> Self {
        Self(SYST::get_current())
    }

    /// Ticks since then: right up to 2^24 of them.
    #[inline(always)]
    pub fn ticks(self) -> u32 {
        self.0.wrapping_sub(SYST::get_current()) & MASK
    }
}
