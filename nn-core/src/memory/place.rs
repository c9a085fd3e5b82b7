//! Places: one buffer after the other, each at the lowest address where no buffer that lives at the same time lies.
//!
//! The largest first leaves the least gaps, as a rule. Where it needs more than lives at any one step, other orders are
//! tried, and the best of all is taken; of equals the first.
//!
//! What follows upon a buffer, shorter and at the same address, is placed with it.

use crate::memory::{Buffer, PlanError};

/// Which buffer is placed next: of equals the larger, and of those the first.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The largest.
    Largest,
    /// The one that is needed until the latest step.
    Latest,
    /// The one that is needed from the earliest step.
    Earliest,
    /// The one that is needed for the most steps.
    Longest,
}

impl Order {
    const ALL: [Self; 4] = [Self::Largest, Self::Latest, Self::Earliest, Self::Longest];

    /// Larger for what comes before.
    fn rank(self, buffer: &Buffer) -> (u16, u32) {
        let steps = match self {
            Self::Largest => 0,
            Self::Latest => buffer.last,
            Self::Earliest => u16::MAX - buffer.first,
            Self::Longest => buffer.last.saturating_sub(buffer.first),
        };
        (steps, buffer.size)
    }
}

/// Places every buffer. Returns the bytes that they take together.
pub(crate) fn place(buffers: &mut [Buffer]) -> Result<usize, PlanError> {
    let bound = lower_bound(buffers);
    let mut best = (usize::MAX, Order::Largest);
    for order in Order::ALL {
        let total = place_in(order, buffers).unwrap_or(usize::MAX);
        if total <= bound {
            return Ok(total);
        }
        if total < best.0 {
            best = (total, order);
        }
    }
    place_in(best.1, buffers)
}

fn place_in(order: Order, buffers: &mut [Buffer]) -> Result<usize, PlanError> {
    for buffer in buffers.iter_mut() {
        buffer.unplace();
    }
    let mut total = 0usize;
    while let Some(index) = next(order, buffers) {
        let offset = lowest_gap(buffers, index).ok_or(PlanError::TooLarge)?;
        for (at, buffer) in buffers.iter_mut().enumerate() {
            if is_part(at, buffer, index) {
                buffer.offset = offset;
                let end = offset
                    .checked_add(buffer.size)
                    .filter(|end| *end <= i32::MAX as u32)
                    .ok_or(PlanError::TooLarge)?;
                total = total.max(end as usize);
            }
        }
    }
    Ok(total)
}

/// The most bytes that live at any one step: no placement takes fewer.
pub fn lower_bound(buffers: &[Buffer]) -> usize {
    let live_at = |step: u16| {
        let live = buffers
            .iter()
            .filter(|buffer| buffer.first <= step && step <= buffer.last);
        live.fold(0usize, |sum, buffer| {
            sum.saturating_add(buffer.size as usize)
        })
    };
    // What lives is most at the first step of some buffer.
    let steps = buffers.iter().map(|buffer| buffer.first);
    steps.map(live_at).max().unwrap_or(0)
}

/// The buffer that is placed next; none when all are.
fn next(order: Order, buffers: &[Buffer]) -> Option<usize> {
    let mut best: Option<(usize, (u16, u32))> = None;
    for (index, buffer) in buffers.iter().enumerate() {
        let rank = order.rank(buffer);
        if buffer.waits() && best.is_none_or(|(_, before)| rank > before) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

/// Whether `buffer`, of place `at`, is that of place `index`, or follows upon it.
fn is_part(at: usize, buffer: &Buffer, index: usize) -> bool {
    buffer.size > 0 && at.checked_sub(buffer.shares_back()) == Some(index)
}

/// The lowest offset at which the buffer of place `index`, and what follows upon it, meet no placed buffer that lives at
/// the same time.
fn lowest_gap(buffers: &[Buffer], index: usize) -> Option<u32> {
    let mut offset = 0u32;
    loop {
        let mut clash = None;
        for (at, buffer) in buffers.iter().enumerate() {
            if !is_part(at, buffer, index) {
                continue;
            }
            let end = offset.checked_add(buffer.size)?;
            clash = clash.or_else(|| {
                buffers.iter().find(|other| {
                    other.is_placed()
                        && other.meets(buffer)
                        && other.offset < end
                        && offset < other.offset.saturating_add(other.size)
                })
            });
        }
        match clash {
            // Always further on: the clashing buffer ends after `offset`.
            Some(other) => offset = other.offset.checked_add(other.size)?,
            None => return Some(offset),
        }
    }
}
