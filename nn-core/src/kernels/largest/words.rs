//! Four channels at a time: a cell costs three instructions where a core has SSUB8 and SEL, 14 elsewhere.

use super::Windows;

/// Whether words may lie anywhere.
const ANYWHERE: bool = !cfg!(mote_armv6m);

impl Windows<'_> {
    /// y receives the largest of each channel of each of `pixels` windows.
    ///
    /// # Safety
    /// All cells of them lie in x, as many pixels in y.
    #[inline(always)]
    pub(super) unsafe fn largest_words(&self, y: &mut [i8], pixels: usize) {
        let channels = self.channels.max(1);
        let words = channels >= 4 && (ANYWHERE || self.is_aligned(y));
        // SAFETY: the caller's.
        unsafe {
            match (words, self.columns) {
                (true, 2) => self.words::<2>(y.as_mut_ptr(), pixels),
                (true, 3) => self.words::<3>(y.as_mut_ptr(), pixels),
                (true, _) => self.words::<0>(y.as_mut_ptr(), pixels),
                (false, _) => self.bytes(y.as_mut_ptr(), pixels),
            }
        }
    }

    fn is_aligned(&self, y: &[i8]) -> bool {
        let places = self.x.as_ptr().addr() | y.as_ptr().addr();
        (places | self.channels | self.pitch | self.step).is_multiple_of(4)
    }

    /// `COLUMNS` is how many there are; 0 where that is not known before.
    ///
    /// # Safety
    /// There are at least four channels; all cells of `pixels` windows lie in x, as many pixels behind y; and they are
    /// aligned where they must be.
    #[inline(never)]
    unsafe fn words<const COLUMNS: usize>(&self, y: *mut i8, pixels: usize) {
        let Self {
            channels,
            rows,
            pitch,
            ..
        } = *self;
        let columns = if COLUMNS > 0 { COLUMNS } else { self.columns };
        let mut at = 0;
        while at < channels {
            // The last four overlap those before where they must.
            let first = if ANYWHERE { at.min(channels - 4) } else { at };
            let (mut x, mut y) = (self.x.as_ptr().wrapping_add(first), y.wrapping_add(first));
            for _ in 0..pixels {
                let mut row = x;
                // SAFETY: the cells of a window, which has one; four channels of its pixel.
                unsafe {
                    let mut best = larger_of_row(word(row), row, 1, columns, channels);
                    for _ in 1..rows {
                        row = row.wrapping_add(pitch);
                        best = larger_of_row(best, row, 0, columns, channels);
                    }
                    set_word(y, best);
                }
                x = x.wrapping_add(self.step);
                y = y.wrapping_add(channels);
            }
            at += 4;
        }
    }

    /// # Safety
    /// All cells of `pixels` windows lie in x, as many pixels behind y.
    #[inline(never)]
    unsafe fn bytes(&self, y: *mut i8, pixels: usize) {
        for pixel in 0..pixels {
            for channel in 0..self.channels {
                let mut best = i8::MIN;
                for row in 0..self.rows {
                    let row = pixel * self.step + row * self.pitch + channel;
                    for column in 0..self.columns {
                        // SAFETY: a cell of the window.
                        let cell = unsafe { *self.x.get_unchecked(row + column * self.channels) };
                        best = best.max(cell);
                    }
                }
                // SAFETY: a channel of the pixel.
                unsafe { *y.add(pixel * self.channels + channel) = best };
            }
        }
    }
}

/// The larger of `best` and of the cells `first..columns` of a row.
///
/// # Safety
/// They are there, aligned unless they may lie anywhere.
#[inline(always)]
unsafe fn larger_of_row(
    mut best: u32,
    row: *const i8,
    first: usize,
    columns: usize,
    channels: usize,
) -> u32 {
    let mut cell = row;
    for column in 0..columns {
        if column >= first {
            // SAFETY: the caller's.
            best = larger(best, unsafe { word(cell) });
        }
        cell = cell.wrapping_add(channels);
    }
    best
}

/// # Safety
/// Four numbers lie there, aligned unless they may lie anywhere.
#[inline(always)]
unsafe fn word(at: *const i8) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if ANYWHERE {
            at.cast::<u32>().read_unaligned()
        } else {
            at.cast::<u32>().read()
        }
    }
}

/// # Safety
/// As [`word`].
#[inline(always)]
unsafe fn set_word(at: *mut i8, word: u32) {
    // SAFETY: the caller's.
    unsafe {
        if ANYWHERE {
            at.cast::<u32>().write_unaligned(word);
        } else {
            at.cast::<u32>().write(word);
        }
    }
}

/// The larger of each of four signed bytes.
#[cfg(mote_armv7em)]
#[inline(always)]
fn larger(a: u32, b: u32) -> u32 {
    let mut larger = a;
    // SAFETY: instructions on registers and on the flags that SSUB8 sets and SEL reads.
    unsafe {
        core::arch::asm!(
            "ssub8 {scratch}, {a}, {b}",
            "sel {a}, {a}, {b}",
            a = inout(reg) larger,
            b = in(reg) b,
            scratch = out(reg) _,
            options(pure, nomem, nostack)
        );
    }
    larger
}

/// The larger of each of four signed bytes.
#[cfg(not(mote_armv7em))]
#[inline(always)]
fn larger(a: u32, b: u32) -> u32 {
    const SIGNS: u32 = 0x8080_8080;
    // Bit 7 of each byte: whether the other bits of a are at least those of b; no borrow leaves a byte.
    let at_least = (a | SIGNS).wrapping_sub(b & !SIGNS);
    let differ = a ^ b;
    // Where the signs differ the one that is not negative is larger: b is negative.
    let keep = ((at_least & !differ) | (b & !a)) & SIGNS;
    let keep = (keep << 1).wrapping_sub(keep >> 7);
    b ^ (differ & keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_all_pairs_of_bytes() {
        for a in i8::MIN..=i8::MAX {
            for b in i8::MIN..=i8::MAX {
                let word = |bytes: [i8; 4]| u32::from_ne_bytes(bytes.map(i8::cast_unsigned));
                let (a4, b4) = ([a, b, a, a.wrapping_add(7)], [b, a, b.wrapping_sub(3), b]);
                let mut wanted = a4;
                for (wanted, b) in wanted.iter_mut().zip(b4) {
                    *wanted = (*wanted).max(b);
                }
                assert_eq!(larger(word(a4), word(b4)), word(wanted), "{a} {b}");
            }
        }
    }
}
