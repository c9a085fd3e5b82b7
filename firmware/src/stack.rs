//! How much of the stack was used: it is painted, and later one looks how far the paint is gone.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::register::msp;
use nn_core::link::StackUse;

use nn_core::conformance::Meter;

const PAINT: u32 = 0x5AFE_57AC;
/// What [`paint`] leaves alone below the stack pointer, for itself. Bytes.
const OWN: u32 = 64;

static SETUP: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    // Of memory.x: the highest address and the lowest; symbols, not variables.
    static _stack_start: u32;
    static _stack_end: u32;
}

fn bounds() -> (u32, u32) {
    // Addresses have 32 bits here.
    (
        (&raw const _stack_end).addr() as u32,
        (&raw const _stack_start).addr() as u32,
    )
}

/// Paints what is not in use now.
#[inline(never)]
pub fn paint() {
    let (end, _) = bounds();
    let top = msp::read().saturating_sub(OWN);
    for address in (end..top).step_by(4) {
        // SAFETY: the address lies on the stack, below all that is in use: no interrupt is served.
        unsafe { core::ptr::without_provenance_mut::<u32>(address as usize).write_volatile(PAINT) };
    }
}

/// The most bytes of stack that were in use since [`paint`].
#[inline(never)]
pub fn used() -> u32 {
    let (end, start) = bounds();
    let gone = (end..start).step_by(4).find(|address| {
        let word = core::ptr::without_provenance::<u32>(*address as usize);
        // SAFETY: the address lies on the stack; any bits are a number.
        unsafe { word.read_volatile() != PAINT }
    });
    start - gone.unwrap_or(start)
}

/// Measures what is used below a caller.
#[derive(Debug)]
pub struct Gauge {
    from: u32,
}

impl Gauge {
    /// One that has measured nothing yet.
    #[expect(clippy::new_without_default, reason = "it is no value to start from")]
    pub fn new() -> Self {
        Gauge { from: 0 }
    }
}

impl Meter for Gauge {
    // In the caller: it is that one's stack pointer that counts.
    #[inline(always)]
    fn start(&mut self) {
        self.from = msp::read();
        paint();
    }

    fn stop(&mut self) -> u32 {
        let (_, start) = bounds();
        used().saturating_sub(start.saturating_sub(self.from))
    }
}

/// Ends setting up: what was used for it is noted, and the rest painted anew.
pub fn setup_done() {
    SETUP.store(used(), Ordering::Relaxed);
    paint();
}

/// What the host is told.
pub fn report() -> StackUse {
    let (end, start) = bounds();
    StackUse {
        size: start - end,
        setup: SETUP.load(Ordering::Relaxed),
        serve: used(),
    }
}
