//! Places: the largest buffer first, at the lowest address where no buffer that lives at the same time lies.

use crate::memory::{Buffer, PlanError};

/// Places every buffer that waits. Returns the bytes that they take together.
pub(crate) fn place(buffers: &mut [Buffer]) -> Result<usize, PlanError> {
    let mut total = 0usize;
    while let Some(index) = largest_waiting(buffers) {
        let Some(&buffer) = buffers.get(index) else {
            break;
        };
        let offset = lowest_gap(buffers, &buffer).ok_or(PlanError::TooLarge)?;
        if let Some(entry) = buffers.get_mut(index) {
            entry.offset = offset;
        }
        let end = offset
            .checked_add(buffer.size)
            .filter(|end| *end <= i32::MAX as u32)
            .ok_or(PlanError::TooLarge)?;
        total = total.max(end as usize);
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

fn largest_waiting(buffers: &[Buffer]) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for (index, buffer) in buffers.iter().enumerate() {
        if buffer.waits() && best.is_none_or(|(_, size)| buffer.size > size) {
            best = Some((index, buffer.size));
        }
    }
    best.map(|(index, _)| index)
}

/// The lowest offset at which `buffer` meets no placed buffer that lives at the same time.
fn lowest_gap(buffers: &[Buffer], buffer: &Buffer) -> Option<u32> {
    let mut offset = 0u32;
    loop {
        let end = offset.checked_add(buffer.size)?;
        let clash = buffers.iter().find(|other| {
            other.is_placed()
                && other.meets(buffer)
                && other.offset < end
                && offset < other.offset.saturating_add(other.size)
        });
        match clash {
            // Always further on: the clashing buffer ends after `offset`.
            Some(other) => offset = other.offset.checked_add(other.size)?,
            None => return Some(offset),
        }
    }
}
