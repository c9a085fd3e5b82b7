//! Rows of a dense layer's weights, each of which meets its input once: forward, where rows are short, and backward, for
//! the gradient at the input and for what the row learns.
#![cfg_attr(mote_vfp, allow(unsafe_code))]

#[cfg(mote_vfp)]
use core::slice::{from_raw_parts, from_raw_parts_mut};

use super::{dot, subtract_products_f32};
use crate::ops::Activation;
use crate::scalar::{Rounder, Scalar};

/// See [`Scalar::descend_rows`].
pub(crate) fn descend_rows<S: Scalar>(
    x: &mut [S],
    below: Option<Activation>,
    weight: &mut [S],
    delta: &[S],
    rate: S::Rate,
    rounder: &mut Rounder,
) {
    // In a local, as the compiler cannot tell that no weight is its state.
    let mut local = *rounder;
    let rows = weight.chunks_exact_mut(delta.len().max(1));
    for (x, row) in x.iter_mut().zip(rows) {
        let gradient = below.map(|_| S::narrow(dot(row, delta)));
        if *x != S::ZERO {
            S::descend_row(row, rate, *x, delta, &mut local);
        }
        if let (Some(below), Some(gradient)) = (below, gradient) {
            *x = below.derivative(gradient, *x);
        }
    }
    *rounder = local;
}

/// Rows of weights of f32, the inputs that they meet, and the gradient at the outputs.
#[cfg(mote_vfp)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) x: *mut f32,
    pub(super) inputs: usize,
    pub(super) weight: *mut f32,
    pub(super) delta: *const f32,
    pub(super) outputs: usize,
    pub(super) rate: f32,
}

#[cfg(mote_vfp)]
impl Rows {
    /// See [`descend_rows_f32`].
    ///
    /// # Safety
    /// There are inputs and outputs; x, δ and weights lie apart behind the pointers, and nobody else uses them.
    #[inline(always)]
    unsafe fn descend(&self, below: Option<Activation>) {
        // SAFETY: the caller's.
        unsafe {
            match below {
                None | Some(Activation::Relu) if self.outputs <= FEW => {
                    self.descend_few(below.is_some());
                }
                None if self.outputs >= 8 => super::vfp::rows::descend(self, 0),
                Some(Activation::Relu) if self.outputs >= 8 => self.descend_relu(),
                _ => self.descend_many(below),
            }
        }
    }

    /// # Safety
    /// As for [`descend`](Self::descend).
    #[inline(never)]
    unsafe fn descend_few(&self, is_relu: bool) {
        // SAFETY: the caller's.
        unsafe { super::vfp::few::descend(self, is_relu, 0) };
    }

    /// # Safety
    /// As for [`descend`](Self::descend).
    unsafe fn descend_relu(mut self) {
        // SAFETY: the caller's, for fewer and fewer rows.
        unsafe {
            loop {
                let left = super::vfp::rows::descend_relu(&self);
                if left == 0 {
                    return;
                }
                // What no ReLU gives.
                self = self.after(self.inputs - left);
                Self { inputs: 1, ..self }.descend_many(Some(Activation::Relu));
                if left == 1 {
                    return;
                }
                self = self.after(1);
            }
        }
    }

    /// All but the first rows.
    ///
    /// # Safety
    /// There are as many rows.
    unsafe fn after(self, rows: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                x: self.x.add(rows),
                inputs: self.inputs - rows,
                weight: self.weight.add(rows * self.outputs),
                ..self
            }
        }
    }

    /// # Safety
    /// As for [`descend`](Self::descend).
    #[inline(never)]
    unsafe fn descend_many(&self, below: Option<Activation>) {
        // SAFETY: the caller's.
        let (x, weight, delta) = unsafe {
            (
                from_raw_parts_mut(self.x, self.inputs),
                from_raw_parts_mut(self.weight, self.inputs * self.outputs),
                from_raw_parts(self.delta, self.outputs),
            )
        };
        descend_many(x, below, weight, delta, self.rate);
    }
}

/// [`descend_rows`] of f32.
#[cfg(mote_vfp)]
#[inline]
pub(crate) fn descend_rows_f32(
    x: &mut [f32],
    below: Option<Activation>,
    weight: &mut [f32],
    delta: &[f32],
    rate: f32,
) {
    let inputs = x.len().min(weight.len() / delta.len().max(1));
    if inputs == 0 || delta.is_empty() {
        return;
    }
    let rows = Rows {
        x: x.as_mut_ptr(),
        inputs,
        weight: weight.as_mut_ptr(),
        delta: delta.as_ptr(),
        outputs: delta.len(),
        rate,
    };
    // SAFETY: there are so many inputs, as many rows, and δ.
    unsafe { rows.descend(below) };
}

/// [`descend_rows`] of f32; rows of up to four have functions of their own.
#[cfg(not(mote_vfp))]
#[inline(always)]
pub(crate) fn descend_rows_f32(
    x: &mut [f32],
    below: Option<Activation>,
    weight: &mut [f32],
    delta: &[f32],
    rate: f32,
) {
    match *delta {
        [] => {}
        [a] => descend_few(x, below, weight, [a], rate),
        [a, b] => descend_few(x, below, weight, [a, b], rate),
        [a, b, c] => descend_few(x, below, weight, [a, b, c], rate),
        [a, b, c, d] => descend_few(x, below, weight, [a, b, c, d], rate),
        _ => descend_many(x, below, weight, delta, rate),
    }
}

#[cfg_attr(not(mote_vfp), inline(never))]
fn descend_many(
    x: &mut [f32],
    below: Option<Activation>,
    weight: &mut [f32],
    delta: &[f32],
    rate: f32,
) {
    let gradient = |row: &mut [f32]| dot(row, delta);
    let rows = weight.chunks_exact_mut(delta.len());
    each(x, below, rows, gradient, |row, step| {
        subtract_products_f32(rate * step, delta, row);
    });
}

#[cfg(not(mote_vfp))]
#[inline(never)]
fn descend_few<const N: usize>(
    x: &mut [f32],
    below: Option<Activation>,
    weight: &mut [f32],
    delta: [f32; N],
    rate: f32,
) {
    let rows = weight.as_chunks_mut::<N>().0.iter_mut();
    let gradient = |row: &mut [f32; N]| dot(&row[..], &delta);
    each(x, below, rows, gradient, |row, step| {
        for (weight, delta) in row.iter_mut().zip(delta) {
            *weight -= (rate * step) * delta;
        }
    });
}

/// `gradient` of each row where it is wanted, before the row learns by `descend` from x.
#[inline(always)]
fn each<'w, R: ?Sized + 'w>(
    x: &mut [f32],
    below: Option<Activation>,
    rows: impl Iterator<Item = &'w mut R>,
    gradient: impl Fn(&mut R) -> f32,
    descend: impl Fn(&mut R, f32),
) {
    match below {
        None => {
            for (x, row) in x.iter().zip(rows) {
                if !is_zero(*x) {
                    descend(row, *x);
                }
            }
        }
        // Where x is 0, so is its gradient, whatever the row.
        Some(Activation::Relu) => {
            for (x, row) in x.iter_mut().zip(rows) {
                let input = *x;
                if input.to_bits() == 0 {
                    continue;
                }
                if is_positive(input) {
                    *x = gradient(row);
                    descend(row, input);
                } else {
                    *x = 0.0;
                    if !is_zero(input) {
                        descend(row, input);
                    }
                }
            }
        }
        Some(below) => {
            for (x, row) in x.iter_mut().zip(rows) {
                let input = *x;
                *x = below.derivative(gradient(row), input);
                if !is_zero(input) {
                    descend(row, input);
                }
            }
        }
    }
}

/// x = ±0, told from its bits: the FPU takes longer.
#[inline(always)]
fn is_zero(x: f32) -> bool {
    x.to_bits() << 1 == 0
}

/// x > 0, which what is not a number is not.
#[inline(always)]
fn is_positive(x: f32) -> bool {
    x.to_bits().wrapping_sub(1) < f32::INFINITY.to_bits()
}

/// Outputs of a layer that is short.
#[cfg(mote_vfp)]
const FEW: usize = 4;

/// y = x · weight + bias; `weight` is `[x.len(), y.len()]`. Inputs of 0 are passed over.
#[cfg(mote_vfp)]
#[inline(never)]
pub(crate) fn vector_matrix_f32(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (inputs, outputs) = (x.len(), y.len());
    // Of numbers in memory: no product gets near the end of a word.
    let is_there = bias.len() >= outputs && weight.len() >= inputs.wrapping_mul(outputs);
    if inputs == 0 || outputs == 0 || outputs > FEW || !is_there {
        return super::sum_vector_f32(x, weight, bias, y);
    }
    // SAFETY: all of these are there, and no input is written where they are not to be held at 0.
    unsafe {
        super::vfp::few::sum(
            x.as_ptr().cast_mut(),
            inputs,
            weight.as_ptr(),
            bias.as_ptr(),
            y.as_mut_ptr(),
            outputs,
            false,
        );
    }
}

/// y = x · weight + bias; `weight` is `[x.len(), y.len()]`. Inputs of 0 are passed over.
#[cfg(not(mote_vfp))]
#[inline]
pub(crate) fn vector_matrix_f32(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    match y {
        [_] => sum_few::<1>(x, weight, bias, y),
        [_, _] => sum_few::<2>(x, weight, bias, y),
        [_, _, _] => sum_few::<3>(x, weight, bias, y),
        [_, _, _, _] => sum_few::<4>(x, weight, bias, y),
        _ => super::sum_vector_f32(x, weight, bias, y),
    }
}

#[cfg(not(mote_vfp))]
#[inline(never)]
fn sum_few<const N: usize>(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let mut sums = bias.first_chunk::<N>().copied().unwrap_or([0.0; N]);
    for (x, row) in x.iter().zip(weight.as_chunks::<N>().0) {
        if !is_zero(*x) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += *x * *weight;
            }
        }
    }
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = sum;
    }
}

/// bias\[i\] −= rate · (0 + delta\[i\]): by the sum of one gradient.
#[inline]
pub(crate) fn descend_bias_f32(bias: &mut [f32], delta: &[f32], rate: f32) {
    #[cfg(mote_vfp)]
    let at = super::vfp::subtract_sums(rate, delta, bias);
    #[cfg(not(mote_vfp))]
    let at = 0;
    let bias = bias.get_mut(at..).unwrap_or(&mut []);
    for (bias, delta) in bias.iter_mut().zip(delta.get(at..).unwrap_or(&[])) {
        *bias -= rate * (0.0 + delta);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::ops::draw::Draw;

    /// The functions of f32 against the loops that the contract names: equal to the bit, signs of 0 too.
    #[test]
    fn rows_of_every_length_learn_in_order() {
        let mut draw = Draw::new(7);
        let kinds = [
            None,
            Some(Activation::None),
            Some(Activation::Relu),
            Some(Activation::Tanh),
            Some(Activation::Relu6),
        ];
        let bits = |values: &[f32]| Vec::from_iter(values.iter().map(|value| value.to_bits()));
        for outputs in 1..20 {
            for (index, below) in kinds.into_iter().enumerate() {
                let inputs = 1 + (outputs + index) % 9;
                let mut x = draw.values::<f32>(inputs);
                let specials = [0.0, -0.0, -1.5, f32::NAN, f32::INFINITY];
                for (x, special) in x.iter_mut().skip(index).step_by(2).zip(specials) {
                    *x = special;
                }
                let mut weight = draw.values::<f32>(inputs * outputs);
                let mut delta = draw.values::<f32>(outputs);
                (weight[0], delta[outputs - 1]) = (-0.0, -0.0);
                let bias = draw.values::<f32>(outputs);

                let mut y = Vec::from_iter((0..outputs).map(|_| 7.0));
                vector_matrix_f32(&x, &weight, &bias, &mut y);
                let sum = |output: usize| {
                    let products = x.iter().enumerate().filter(|(_, x)| **x != 0.0);
                    products.fold(bias[output], |sum, (row, x)| {
                        sum + x * weight[row * outputs + output]
                    })
                };
                let wanted = Vec::from_iter((0..outputs).map(sum));
                let same =
                    |a: &f32, b: &f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                assert!(y.iter().zip(&wanted).all(|(a, b)| same(a, b)), "{outputs}");

                let (mut wanted_x, mut wanted) = (x.clone(), weight.clone());
                let mut rounder = Rounder::NEAREST;
                descend_rows::<f32>(&mut wanted_x, below, &mut wanted, &delta, 0.5, &mut rounder);
                descend_rows_f32(&mut x, below, &mut weight, &delta, 0.5);
                assert!(
                    x.iter().zip(&wanted_x).all(|(a, b)| same(a, b)),
                    "{below:?}"
                );
                assert!(
                    weight.iter().zip(&wanted).all(|(a, b)| same(a, b)),
                    "{below:?}"
                );

                let mut learnt = bias.clone();
                learnt[outputs - 1] = -0.0;
                let wanted = learnt.iter().zip(&delta);
                let wanted = Vec::from_iter(wanted.map(|(bias, delta)| bias - 0.5 * (0.0 + delta)));
                descend_bias_f32(&mut learnt, &delta, 0.5);
                assert_eq!(bits(&learnt), bits(&wanted));
            }
        }
    }
}
