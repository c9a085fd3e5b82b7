//! Sums of products, a block of outputs at a time: sums\[i\] += Σ_j x\[j\] · weight\[j, i\], in the order of j.
//!
//! The order of each sum is that of j whatever the block is, so that blocks may be as wide as a core has registers for.
//! f32 has functions of its own that are not generic: an image's own crate is built for size, this one for speed.

use super::{part, start};
use crate::scalar::Scalar;

/// Outputs whose sums lie on the stack at a time.
pub(crate) const WIDE: usize = 8;

/// Inputs, and the weights of a block of outputs.
///
/// There are `rows` runs of `run` inputs, each `x_step` further; the weights of an input lie `columns` further than those
/// of the one before it, and those of a run `w_step` further than those of the run before it.
#[derive(Debug, Clone, Copy)]
pub struct Products<'p, S> {
    /// From the first input on.
    pub(crate) x: &'p [S],
    /// From the first input's weight of the first output on.
    pub(crate) weight: &'p [S],
    pub(crate) columns: usize,
    pub(crate) run: usize,
    pub(crate) rows: usize,
    pub(crate) x_step: usize,
    pub(crate) w_step: usize,
    /// How much further the inputs of the next outputs lie, where there is more than one pixel.
    pub(crate) step: usize,
    /// Whether an input of 0 is passed over.
    pub(crate) sparse: bool,
}

impl<'p, S: Copy> Products<'p, S> {
    /// A vector times a matrix; inputs of 0 are passed over.
    #[inline(always)]
    pub(crate) fn of_vector(x: &'p [S], weight: &'p [S], columns: usize) -> Self {
        Self {
            x,
            weight,
            columns,
            run: x.len(),
            rows: 1,
            x_step: 0,
            w_step: 0,
            step: 0,
            sparse: true,
        }
    }

    /// Each pixel with its outputs.
    #[inline(always)]
    pub(crate) fn pixels<'o>(self, out: &'o mut [S]) -> impl Iterator<Item = (Self, &'o mut [S])>
    where
        'p: 'o,
    {
        let pixels = out.chunks_mut(self.columns.max(1)).enumerate();
        pixels.map(move |(index, out)| {
            let x = self.x.get(index * self.step..).unwrap_or(&[]);
            (Self { x, ..self }, out)
        })
    }

    /// From output `at` of the block on.
    #[inline(always)]
    pub(crate) fn from(self, at: usize) -> Self {
        Self {
            weight: self.weight.get(at..).unwrap_or(&[]),
            ..self
        }
    }

    /// Whether all inputs of so many pixels, and all weights of `outputs` outputs, are there; and there is at least one.
    #[cfg(mote_armv7em)]
    pub(super) fn are_there(&self, pixels: usize, outputs: usize) -> bool {
        if self.rows == 0 || self.run == 0 || pixels == 0 {
            return false;
        }
        // Of numbers in memory: no sum gets near the end of a word.
        let [rows, run] = [self.rows, self.run].map(|count| count.wrapping_sub(1));
        let pixels = pixels.wrapping_sub(1).wrapping_mul(self.step);
        let x_len = rows.wrapping_mul(self.x_step).wrapping_add(self.run);
        let x_len = x_len.wrapping_add(pixels);
        let row = run.wrapping_mul(self.columns).wrapping_add(outputs);
        let w_len = rows.wrapping_mul(self.w_step).wrapping_add(row);
        x_len <= self.x.len() && w_len <= self.weight.len()
    }
}

#[cfg(mote_armv7em)]
impl<'p, S: bytemuck::Pod> Products<'p, S> {
    /// The same numbers of another type of the same size; none where the sizes differ.
    pub(crate) fn cast<T: bytemuck::Pod>(&self) -> Option<Products<'p, T>> {
        if size_of::<T>() != size_of::<S>() {
            return None;
        }
        let Self {
            columns,
            run,
            rows,
            x_step,
            w_step,
            step,
            sparse,
            ..
        } = *self;
        Some(Products {
            x: bytemuck::try_cast_slice(self.x).ok()?,
            weight: bytemuck::try_cast_slice(self.weight).ok()?,
            columns,
            run,
            rows,
            x_step,
            w_step,
            step,
            sparse,
        })
    }

    /// All inputs.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &'p S> {
        let Self { x, run, x_step, .. } = *self;
        (0..self.rows).flat_map(move |row| part(x, row * x_step, run))
    }
}

/// Adds the products to `sums`, one for each output.
#[inline(always)]
pub(crate) fn add_products<S: Scalar>(products: &Products<'_, S>, sums: &mut [S::Acc]) {
    if cfg!(mote_armv6m) {
        // No registers for a block: one would lie on the stack, beside the sums.
        return one_by_one(products, sums);
    }
    // Sums of 64 bits take two registers each, and the stack where there are none left.
    let rest = if size_of::<S::Acc>() > 4 {
        0
    } else {
        in_blocks::<S, 8>(products, sums, 0)
    };
    let rest = in_blocks::<S, 4>(products, sums, rest);
    let rest = in_blocks::<S, 2>(products, sums, rest);
    in_blocks::<S, 1>(products, sums, rest);
}

/// [`add_products`] without blocks.
#[inline(always)]
fn one_by_one<S: Scalar>(products: &Products<'_, S>, sums: &mut [S::Acc]) {
    for row in 0..products.rows {
        let x = part(products.x, row * products.x_step, products.run);
        let weight = products.weight.get(row * products.w_step..).unwrap_or(&[]);
        for (x, weight) in x.iter().zip(weight.chunks(products.columns.max(1))) {
            if products.sparse && *x == S::ZERO {
                continue;
            }
            for (sum, weight) in sums.iter_mut().zip(weight) {
                *sum = S::mul_acc(*sum, *x, *weight);
            }
        }
    }
}

/// out\[i\] = bias\[i\] + the products of output i, for each pixel of `columns` outputs; from 0 where there are no biases.
#[inline(always)]
pub(crate) fn sum_products<S: Scalar>(products: &Products<'_, S>, bias: &[S], out: &mut [S]) {
    for (products, out) in products.pixels(out) {
        sum_products_by(&products, bias, out, S::add_products);
    }
}

/// [`sum_products`] of one pixel, where `add` is [`add_products`].
#[inline(always)]
pub(crate) fn sum_products_by<S: Scalar>(
    products: &Products<'_, S>,
    bias: &[S],
    out: &mut [S],
    add: impl Fn(&Products<'_, S>, &mut [S::Acc]),
) {
    for (block, out) in out.chunks_mut(WIDE).enumerate() {
        let first = block * WIDE;
        let mut sums: [S::Acc; WIDE] = start(bias, first);
        let sums = sums.get_mut(..out.len()).unwrap_or(&mut []);
        add(&products.from(first), sums);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = S::narrow(*sum);
        }
    }
}

/// [`add_products`] of f32.
#[inline(never)]
pub(crate) fn add_products_f32(products: &Products<'_, f32>, sums: &mut [f32]) {
    #[cfg(mote_vfp)]
    let at = super::vfp::add_products(products, sums);
    #[cfg(not(mote_vfp))]
    let at = 0;
    if at < sums.len() {
        rest_f32(products, sums, at);
    }
}

/// What blocks of eight leave is a block, too.
#[cfg_attr(mote_vfp, inline(never))]
fn rest_f32(products: &Products<'_, f32>, sums: &mut [f32], at: usize) {
    match sums.get_mut(at..).unwrap_or(&mut []) {
        sums if cfg!(not(mote_vfp)) => add_products(&products.from(at), sums),
        sums => last_f32(products, at, sums),
    }
}

/// Up to seven outputs.
#[inline(always)]
fn last_f32(products: &Products<'_, f32>, at: usize, sums: &mut [f32]) {
    macro_rules! last {
        ($($len:literal)*) => {
            match sums.len() {
                $($len => if let Some(sums) = sums.first_chunk_mut::<$len>() {
                    block(products, at, sums);
                },)*
                _ => {}
            }
        };
    }
    last!(1 2 3 4 5 6 7);
}

/// [`sum_products`] of f32: sums grow in their place.
#[inline(never)]
pub(crate) fn sum_products_f32(products: &Products<'_, f32>, bias: &[f32], out: &mut [f32]) {
    #[cfg(mote_vfp)]
    let at = super::vfp::sum_products(products, bias, out);
    #[cfg(not(mote_vfp))]
    let at = 0;
    if at < products.columns {
        for (products, out) in products.pixels(out) {
            sum_rest_f32(&products, bias, out, at);
        }
    }
}

/// [`sum_products_f32`] of a vector and a matrix.
#[inline(never)]
pub(crate) fn sum_vector_f32(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    #[cfg(mote_vfp)]
    let at = super::vfp::sum_vector(x, weight, bias, out);
    #[cfg(not(mote_vfp))]
    let at = 0;
    if at < out.len() {
        let products = Products::of_vector(x, weight, out.len());
        sum_rest_f32(&products, bias, out, at);
    }
}

/// The outputs of a pixel from `at` on.
#[inline(always)]
fn sum_rest_f32(products: &Products<'_, f32>, bias: &[f32], out: &mut [f32], at: usize) {
    for (index, out) in out.iter_mut().enumerate().skip(at) {
        *out = bias.get(index).copied().unwrap_or(0.0);
    }
    rest_f32(products, out, at);
}

/// w\[i\] −= x · delta\[i\], each rounded.
#[inline]
pub(crate) fn subtract_products_f32(x: f32, delta: &[f32], weights: &mut [f32]) {
    #[cfg(mote_vfp)]
    let at = super::vfp::subtract_products(x, delta, weights);
    #[cfg(not(mote_vfp))]
    let at = 0;
    let weights = weights.get_mut(at..).unwrap_or(&mut []);
    for (weight, delta) in weights.iter_mut().zip(delta.get(at..).unwrap_or(&[])) {
        *weight -= x * delta;
    }
}

/// Whole blocks of `N` outputs from `at` on; gives the first output that is left.
#[inline(always)]
fn in_blocks<S: Scalar, const N: usize>(
    products: &Products<'_, S>,
    sums: &mut [S::Acc],
    mut at: usize,
) -> usize {
    let (blocks, _) = sums.get_mut(at..).unwrap_or(&mut []).as_chunks_mut::<N>();
    for sums in blocks {
        block(products, at, sums);
        at += N;
    }
    at
}

#[inline(always)]
fn block<S: Scalar, const N: usize>(products: &Products<'_, S>, at: usize, sums: &mut [S::Acc; N]) {
    let mut local = *sums;
    for row in 0..products.rows {
        let x = part(products.x, row * products.x_step, products.run);
        let weight = products.weight.get(row * products.w_step + at..);
        let weight = weight.unwrap_or(&[]);
        for (x, weight) in x.iter().zip(weight.chunks(products.columns.max(1))) {
            let Some(weight) = weight.first_chunk::<N>() else {
                return;
            };
            if products.sparse && *x == S::ZERO {
                continue;
            }
            for (sum, weight) in local.iter_mut().zip(weight) {
                *sum = S::mul_acc(*sum, *x, *weight);
            }
        }
    }
    *sums = local;
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::ops::draw::Draw;
    use crate::scalar::Q16;

    /// Every width of block, against the sum that the contract names: equal to the bit.
    fn check<S: Scalar>() {
        let mut draw = Draw::new(5);
        for outputs in 1..40 {
            let (rows, run) = (draw.size(1, 3), draw.size(1, 9));
            let columns = outputs + draw.size(0, 3);
            let (pixels, step) = (draw.size(1, 4), draw.size(0, 5));
            let (x_step, w_step) = (run + draw.size(0, 4), run * columns + draw.size(0, 5));
            let mut x = draw.values::<S>(rows * x_step + (pixels - 1) * step);
            for x in x.iter_mut().step_by(3) {
                *x = S::ZERO;
            }
            let weight = draw.values::<S>(rows * w_step);
            let bias = draw.values::<S>(columns);
            for sparse in [false, true] {
                let products = Products {
                    x: &x,
                    weight: &weight,
                    columns,
                    run,
                    rows,
                    x_step,
                    w_step,
                    step,
                    sparse,
                };
                let wanted: Vec<S> = (0..pixels * columns)
                    .map(|at| {
                        let (pixel, output) = (at / columns, at % columns);
                        let mut sum = bias[output].widen();
                        for row in 0..rows {
                            for index in 0..run {
                                let weight = weight[row * w_step + index * columns + output];
                                let x = x[pixel * step + row * x_step + index];
                                sum = S::mul_acc(sum, x, weight);
                            }
                        }
                        S::narrow(sum)
                    })
                    .collect();
                let mut out = Vec::from_iter((0..pixels * columns).map(|_| S::ONE));
                S::sum_products(&products, &bias, &mut out);
                assert_eq!(out, wanted, "{columns} outputs of {pixels} pixels");
                // A part of the outputs of the first pixel.
                let mut sums = Vec::from_iter(bias.iter().map(|bias| bias.widen()));
                S::add_products(&products, &mut sums[..outputs]);
                let sums = Vec::from_iter(sums.into_iter().take(outputs).map(S::narrow));
                assert_eq!(sums, wanted[..outputs], "{outputs} outputs");
            }
        }
    }

    #[test]
    fn blocks_of_every_width_sum_in_order() {
        check::<f32>();
        check::<Q16>();
    }

    #[test]
    fn without_biases_sums_begin_at_0_and_0_meets_no_weight() {
        let weight = [f32::INFINITY, 2.0];
        let products = Products::of_vector(&[-0.0, 3.0], &weight, 1);
        let mut out = [7.0];
        f32::sum_products(&products, &[], &mut out);
        assert_eq!(out, [6.0]);
    }
}
