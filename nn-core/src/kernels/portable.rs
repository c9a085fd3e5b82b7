//! Inner loops in plain Rust: zipped slices and fixed blocks, so that no bounds check is left inside.

use super::products::Products;
use crate::scalar::Scalar;

/// Outputs that a float loop holds in registers at a time.
pub(crate) const BLOCK: usize = 8;
/// Output channels that an int8 loop holds in registers at a time.
pub(crate) const ROWS_I8: usize = 4;
/// Inputs that [`dot_rows_i8`] takes at a time where they are gathered.
#[cfg(not(mote_helium))]
pub(crate) const GATHERED_I8: usize = 8;

/// `len` values from `at`, or none where they are not all there (which a checked model never asks for).
#[inline(always)]
pub(crate) fn part<T>(values: &[T], at: usize, len: usize) -> &[T] {
    values
        .get(at..)
        .and_then(|tail| tail.get(..len))
        .unwrap_or(&[])
}

/// The sums of a block of outputs before the first product: their biases.
#[inline(always)]
pub(crate) fn start<S: Scalar, const N: usize>(bias: &[S], first: usize) -> [S::Acc; N] {
    let mut sums = [S::ZERO_ACC; N];
    for (sum, bias) in sums.iter_mut().zip(bias.get(first..).unwrap_or(&[])) {
        *sum = bias.widen();
    }
    sums
}

/// sums\[i\] += Σ_j x\[j\] · weight\[j, first + i\], in the order of j. `weight` has `columns` columns.
#[inline(always)]
pub(crate) fn accumulate<S: Scalar>(
    x: &[S],
    weight: &[S],
    columns: usize,
    first: usize,
    sums: &mut [S::Acc; BLOCK],
) {
    let products = Products {
        sparse: false,
        ..Products::of_vector(x, weight.get(first..).unwrap_or(&[]), columns)
    };
    let len = columns.saturating_sub(first).min(BLOCK);
    S::add_products(&products, sums.get_mut(..len).unwrap_or(&mut []));
}

/// sums\[i\] += Σ_j x\[j\] · weight\[j, first + i\] of the first `len` sums, in the order of j. `weight` has `columns`
/// columns.
#[inline(always)]
pub(crate) fn accumulate_part<S: Scalar>(
    x: &[S],
    weight: &[S],
    columns: usize,
    (first, len): (usize, usize),
    sums: &mut [S::Acc; BLOCK],
) {
    let rows = weight.chunks_exact(columns.max(1));
    if len == BLOCK {
        for (x, row) in x.iter().zip(rows) {
            let Some(row) = row.get(first..).and_then(|row| row.first_chunk::<BLOCK>()) else {
                return;
            };
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum = S::mul_acc(*sum, *x, *weight);
            }
        }
    } else {
        for (x, row) in x.iter().zip(rows) {
            for (sum, weight) in sums.iter_mut().zip(part(row, first, len)) {
                *sum = S::mul_acc(*sum, *x, *weight);
            }
        }
    }
}

/// sums\[i\] += a\[i\] · b\[i\] for as many as there are.
#[inline(always)]
pub(crate) fn accumulate_each<S: Scalar>(a: &[S], b: &[S], sums: &mut [S::Acc; BLOCK]) {
    if let (Some(a), Some(b)) = (a.first_chunk::<BLOCK>(), b.first_chunk::<BLOCK>()) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = S::mul_acc(*sum, *a, *b);
        }
    } else {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = S::mul_acc(*sum, *a, *b);
        }
    }
}

/// sums\[i\] += x · row\[i\] for as many as there are.
#[inline(always)]
pub(crate) fn accumulate_row<S: Scalar>(x: S, row: &[S], sums: &mut [S::Acc; BLOCK]) {
    if let Some(row) = row.first_chunk::<BLOCK>() {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum = S::mul_acc(*sum, x, *value);
        }
    } else {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum = S::mul_acc(*sum, x, *value);
        }
    }
}

/// y = x · weight + bias; `weight` is `[x.len(), y.len()]`. Inputs of 0 are passed over.
pub(crate) fn vector_matrix<S: Scalar>(x: &[S], weight: &[S], bias: &[S], y: &mut [S]) {
    S::vector_matrix(x, weight, bias, y);
}

/// Σ a\[i\] · b\[i\], in order.
#[inline]
pub(crate) fn dot<S: Scalar>(a: &[S], b: &[S]) -> S::Acc {
    let mut sum = S::ZERO_ACC;
    for (a, b) in a.iter().zip(b) {
        sum = S::mul_acc(sum, *a, *b);
    }
    sum
}

/// sums\[r\] += Σ (x − zero) · rows\[r\], for each row that is there.
#[inline(never)]
pub(crate) fn dot_rows_i8(x: &[i8], rows: [&[i8]; ROWS_I8], zero: i32, sums: &mut [i32; ROWS_I8]) {
    #[cfg(any(mote_armv7em, target_arch = "x86_64"))]
    let (x, rows) = {
        #[cfg(mote_helium)]
        let done = super::helium::dot_rows(x, rows, zero, sums);
        #[cfg(all(mote_armv7em, not(mote_helium)))]
        let done = super::armv7em::dot_rows(x, rows, zero, sums);
        #[cfg(target_arch = "x86_64")]
        let done = super::sse2::dot_rows(x, rows, zero, sums);
        let rest = |values| <[i8]>::get(values, done..).unwrap_or(&[]);
        (rest(x), rows.map(rest))
    };
    let [a, b, c, d] = rows;
    // All rows are full but in the last block; a short row ends the zip.
    if !d.is_empty() {
        let [mut sum_a, mut sum_b, mut sum_c, mut sum_d] = *sums;
        for ((((&x, &a), &b), &c), &d) in x.iter().zip(a).zip(b).zip(c).zip(d) {
            let x = i32::from(x) - zero;
            sum_a = sum_a.wrapping_add(x.wrapping_mul(i32::from(a)));
            sum_b = sum_b.wrapping_add(x.wrapping_mul(i32::from(b)));
            sum_c = sum_c.wrapping_add(x.wrapping_mul(i32::from(c)));
            sum_d = sum_d.wrapping_add(x.wrapping_mul(i32::from(d)));
        }
        *sums = [sum_a, sum_b, sum_c, sum_d];
    } else {
        for (sum, row) in sums.iter_mut().zip(rows) {
            for (&x, &weight) in x.iter().zip(row) {
                let product = (i32::from(x) - zero).wrapping_mul(i32::from(weight));
                *sum = sum.wrapping_add(product);
            }
        }
    }
}

/// sums\[i\] += (x\[i\] − zero) · weight\[i\] for as many as there are.
#[cfg(not(mote_helium))]
#[inline(always)]
pub(crate) fn accumulate_each_i8(x: &[i8], weight: &[i8], zero: i32, sums: &mut [i32; ROWS_I8]) {
    for ((sum, &x), &weight) in sums.iter_mut().zip(x).zip(weight) {
        let product = (i32::from(x) - zero).wrapping_mul(i32::from(weight));
        *sum = sum.wrapping_add(product);
    }
}
