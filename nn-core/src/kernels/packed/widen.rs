//! From bytes to 16-bit halves of words.

#[cfg(mote_armv6m)]
mod armv6m;

#[cfg(mote_armv6m)]
pub(super) use self::armv6m::{gather, move_up};
#[cfg(not(mote_armv7em))]
use super::word;

/// Bytes 0 and 2, and bytes 1 and 3.
#[cfg(mote_armv7em)]
#[inline(always)]
#[allow(unsafe_code)]
pub(super) fn halves(bytes: [i8; 4]) -> [i32; 2] {
    let (even, odd): (i32, i32);
    let word = i32::from_le_bytes(bytes.map(i8::cast_unsigned));
    // SAFETY: instructions on registers, which the target has.
    unsafe {
        core::arch::asm!(
            "sxtb16 {even}, {word}",
            "sxtb16 {odd}, {word}, ror #8",
            even = out(reg) even, odd = lateout(reg) odd, word = in(reg) word,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [even, odd]
}

/// Bytes 0 and 2, and bytes 1 and 3.
#[cfg(not(mote_armv7em))]
#[inline(always)]
pub(super) fn halves(bytes: [i8; 4]) -> [i32; 2] {
    let [a, b, c, d] = bytes.map(i16::from);
    [word(a, c), word(b, d)]
}

/// Four bytes at a time, in the order 0, 2, 1, 3; what lacks of the last four is 0. `out` has two words for each four.
#[inline]
pub(super) fn permuted(x: &[i8], out: &mut [i32]) {
    let (quads, rest) = x.as_chunks::<4>();
    let mut out = out.as_chunks_mut::<2>().0.iter_mut();
    for (quad, out) in quads.iter().zip(&mut out) {
        *out = halves(*quad);
    }
    if let (false, Some(out)) = (rest.is_empty(), out.next()) {
        let mut quad = [0; 4];
        for (to, from) in quad.iter_mut().zip(rest) {
            *to = *from;
        }
        *out = halves(quad);
    }
}

/// Where the tap of place `place` in the order of [`permuted`] lies.
pub(super) const fn permuted_tap(place: usize) -> usize {
    match place % 4 {
        1 => place + 1,
        2 => place - 1,
        _ => place,
    }
}

/// In their order.
#[inline]
pub(super) fn in_order(x: &[i8], out: &mut [i16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = i16::from(*x);
    }
}

/// Of `count` pixels, `step` bytes from one to the next, the first four bytes: bytes 0 and 2 of each, and 1 and 3.
#[cfg(mote_armv7em)]
#[inline]
#[allow(unsafe_code)]
pub(super) fn quads(x: &[i8], step: usize, count: usize, even: &mut [i32], odd: &mut [i32]) {
    let room = even.len().min(odd.len());
    let last = count.saturating_sub(1).saturating_mul(step);
    let count = if x.len() < last.saturating_add(4) {
        0
    } else {
        count.min(room)
    };
    if count == 0 {
        return;
    }
    let even = even.as_mut_ptr();
    let end = even.wrapping_add(count);
    // SAFETY: four bytes of each of `count` pixels are read, and as many words written to either slice; all of them
    // are there (checked above).
    unsafe {
        core::arch::asm!(
            "2:",
            "ldr {word}, [{x}]",
            "add {x}, {x}, {step}",
            "sxtb16 {half}, {word}",
            "str {half}, [{even}], #4",
            "sxtb16 {half}, {word}, ror #8",
            "str {half}, [{odd}], #4",
            "cmp {even}, {end}",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _,
            step = in(reg) step,
            even = inout(reg) even => _,
            odd = inout(reg) odd.as_mut_ptr() => _,
            end = in(reg) end,
            word = out(reg) _,
            half = out(reg) _,
            options(nostack)
        );
    }
}

/// Of `count` pixels, `step` bytes from one to the next, the first four bytes: bytes 0 and 2 of each, and 1 and 3.
#[cfg(not(mote_armv7em))]
#[inline]
pub(super) fn quads(x: &[i8], step: usize, count: usize, even: &mut [i32], odd: &mut [i32]) {
    let pixels = x.chunks(step.max(1)).take(count);
    for ((pixel, even), odd) in pixels.zip(even).zip(odd) {
        if let Some(quad) = pixel.first_chunk() {
            [*even, *odd] = halves(*quad);
        }
    }
}

/// Moves what lies from word `from` on to the front.
#[cfg(any(mote_armv7em, mote_armv7m))]
#[inline]
#[allow(unsafe_code)]
pub(super) fn move_up(words: &mut [i32], from: usize) {
    let count = words.len().saturating_sub(from);
    let (to, eights) = (words.as_mut_ptr(), count / 8 * 8);
    if from == 0 || count == 0 {
        return;
    }
    if eights > 0 {
        // SAFETY: `eights` words from `from` on are read, and written at the front, each after it was read: all lie in
        // the slice.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldm {from}!, {{r2-r5}}",
                "stm {to}!, {{r2-r5}}",
                "ldm {from}!, {{r2-r5}}",
                "stm {to}!, {{r2-r5}}",
                "cmp {to}, {end}",
                "bne 2b",
                from = inout(reg) to.wrapping_add(from) => _,
                to = inout(reg) to => _,
                end = in(reg) to.wrapping_add(eights),
                out("r2") _,
                out("r3") _,
                out("r4") _,
                out("r5") _,
                options(nostack)
            );
        }
    }
    for index in eights..count {
        let word = words.get(from + index).copied().unwrap_or(0);
        if let Some(place) = words.get_mut(index) {
            *place = word;
        }
    }
}

/// Moves what lies from word `from` on to the front.
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
#[inline]
pub(super) fn move_up(words: &mut [i32], from: usize) {
    words.copy_within(from.min(words.len()).., 0);
}

/// Of `count` numbers, `step` bytes from one to the next, x + 128.
#[cfg(not(any(mote_armv7em, mote_armv7m, mote_armv6m)))]
#[inline]
pub(super) fn gather(x: &[i8], step: usize, count: usize, out: &mut [u8]) {
    for (out, x) in out
        .iter_mut()
        .zip(x.iter().step_by(step.max(1)))
        .take(count)
    {
        *out = x.cast_unsigned() ^ 0x80;
    }
}

/// Of `count` numbers, `step` bytes from one to the next, x + 128: 12 instructions for four.
#[cfg(mote_armv7m)]
#[inline]
#[allow(unsafe_code)]
pub(super) fn gather(x: &[i8], step: usize, count: usize, out: &mut [u8]) {
    let there = x.len().div_ceil(step.max(1));
    let count = count.min(there).min(out.len());
    let whole = count & !3;
    if whole > 0 {
        // SAFETY: `whole` numbers are read, a step from one to the next, and as many bytes written, four at a time: all of
        // them are there (checked above). Words may lie anywhere.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldrb {a}, [{x}]",
                "ldrb {b}, [{x}, {step}]",
                "ldrb {c}, [{x}, {step}, lsl #1]",
                "ldrb {d}, [{x}, {three}]",
                "add {x}, {x}, {step}, lsl #2",
                "orr {a}, {a}, {b}, lsl #8",
                "orr {a}, {a}, {c}, lsl #16",
                "orr {a}, {a}, {d}, lsl #24",
                "eor {a}, {a}, #0x80808080",
                "str {a}, [{out}], #4",
                "cmp {out}, {end}",
                "bne 2b",
                x = inout(reg) x.as_ptr() => _,
                step = in(reg) step,
                three = in(reg) 3 * step,
                out = inout(reg) out.as_mut_ptr() => _,
                end = in(reg) out.as_mut_ptr().wrapping_add(whole),
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                d = out(reg) _,
                options(nostack)
            );
        }
    }
    for index in whole..count {
        let x = x.get(index * step).copied().unwrap_or(0);
        if let Some(out) = out.get_mut(index) {
            *out = x.cast_unsigned() ^ 0x80;
        }
    }
}
