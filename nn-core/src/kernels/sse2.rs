//! Eight products at a time on x86-64, every core of which has SSE2: what the compiler does not find by itself.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_madd_epi16, _mm_set_epi32, _mm_set_epi64x, _mm_set1_epi16,
    _mm_setzero_si128, _mm_slli_epi16, _mm_srai_epi16, _mm_sub_epi16, _mm_unpacklo_epi8,
};

use super::ROWS_I8;

/// A register: four 32-bit numbers, or eight of 16 bits. (An array, in a debug build, would lie in memory.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes(__m128i);

// Where it says so below: instructions on registers, which every core of this architecture has.
impl Lanes {
    /// Zeros.
    #[inline(always)]
    pub(super) fn zero() -> Self {
        // SAFETY: registers alone.
        Self(unsafe { _mm_setzero_si128() })
    }

    /// Four numbers, or eight halves.
    #[inline(always)]
    pub(super) fn words([a, b, c, d]: [i32; 4]) -> Self {
        // SAFETY: registers alone.
        Self(unsafe { _mm_set_epi32(d, c, b, a) })
    }

    /// Its four numbers.
    #[inline(always)]
    pub(super) fn numbers(self) -> [i32; 4] {
        bytemuck::cast(self.0)
    }

    /// Halves from bytes.
    #[inline(always)]
    pub(super) fn widened(bytes: [i8; 8]) -> Self {
        let bytes = i64::from_le_bytes(bytes.map(i8::cast_unsigned));
        // SAFETY: registers alone.
        Self(unsafe {
            let bytes = _mm_set_epi64x(0, bytes);
            // Each byte twice: the upper one has the sign.
            _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes))
        })
    }

    /// Halves, less `zero`.
    #[inline(always)]
    pub(super) fn less(self, zero: i16) -> Self {
        // SAFETY: registers alone.
        Self(unsafe { _mm_sub_epi16(self.0, _mm_set1_epi16(zero)) })
    }

    /// The low byte of each half, with its sign.
    #[inline(always)]
    pub(super) fn low_bytes(self) -> Self {
        // SAFETY: registers alone.
        Self(unsafe { _mm_srai_epi16::<8>(_mm_slli_epi16::<8>(self.0)) })
    }

    /// Number i goes on by a\[2i\]·b\[2i\] + a\[2i + 1\]·b\[2i + 1\] of the halves of both, wrapping.
    #[inline(always)]
    pub(super) fn multiply_add(&mut self, a: Self, b: Self) {
        // SAFETY: registers alone.
        self.0 = unsafe { _mm_add_epi32(self.0, _mm_madd_epi16(a.0, b.0)) };
    }
}

/// sums\[r\] += Σ (x − zero) · rows\[r\] of whole eights of x, for each row that is there.
///
/// Returns how many numbers those are: as many as every row that is there has.
#[inline]
pub(super) fn dot_rows(
    x: &[i8],
    rows: [&[i8]; ROWS_I8],
    zero: i32,
    sums: &mut [i32; ROWS_I8],
) -> usize {
    // A row that is not there is the first one; its sum is not kept.
    let [first, ..] = rows;
    let there = rows.map(|row| !row.is_empty());
    let [a, b, c, d] = rows.map(|row| {
        let row = if row.is_empty() { first } else { row };
        row.as_chunks::<8>().0
    });
    // A zero point of an int8 tensor.
    let zero = zero as i16;
    let mut totals = [Lanes::zero(); ROWS_I8];
    let mut done = 0;
    for ((((x, a), b), c), d) in x.as_chunks().0.iter().zip(a).zip(b).zip(c).zip(d) {
        let x = Lanes::widened(*x).less(zero);
        for (total, weights) in totals.iter_mut().zip([a, b, c, d]) {
            total.multiply_add(x, Lanes::widened(*weights));
        }
        done += 8;
    }
    for ((sum, total), there) in sums.iter_mut().zip(totals).zip(there) {
        if there {
            for part in total.numbers() {
                *sum = sum.wrapping_add(part);
            }
        }
    }
    done
}
