//! From bytes to 16-bit halves of words.

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
