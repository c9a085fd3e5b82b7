//! The layers of a chain by their kernels: an image holds those alone that its chain has.
#![allow(unsafe_code)]

use super::super::chain::{Descend, Link, Sum};
use super::super::rows::Rows;
use super::{few, resident, rows, vector};
use crate::ops::Activation;

/// The kernels of layers of up to four outputs. They are no generic functions: those would be compiled with an image, for
/// size.
macro_rules! few {
    ($($outputs:literal: $sum:ident $sum_raw:ident $descend:ident $descend_relu:ident)*) => {
        $(
            few!(@sum $outputs $sum false);
            few!(@sum $outputs $sum_raw true);
            few!(@descend $outputs $descend false);
            few!(@descend $outputs $descend_relu true);
        )*

        const fn sum_few(outputs: u32, is_raw: bool) -> Option<Sum> {
            match (outputs, is_raw) {
                $(
                    ($outputs, false) => Some($sum),
                    ($outputs, true) => Some($sum_raw),
                )*
                _ => None,
            }
        }

        const fn descend_few(outputs: u32, is_relu: bool) -> Option<Descend> {
            match (outputs, is_relu) {
                $(
                    ($outputs, false) => Some($descend),
                    ($outputs, true) => Some($descend_relu),
                )*
                _ => None,
            }
        }
    };
    (@sum $outputs:literal $name:ident $is_raw:literal) => {
        /// # Safety
        /// The layer, of so many outputs, lies in the numbers, its parts apart.
        unsafe fn $name(link: &Link, numbers: *mut f32) {
            let [weight, x, inputs, y, _] = link.places();
            // SAFETY: the caller's; biases lie behind the weights.
            unsafe {
                let weight = numbers.add(weight);
                let bias = weight.add(inputs * $outputs);
                let (x, y) = (numbers.add(x), numbers.add(y));
                few::sum(x, inputs, weight, bias, y, $outputs, $is_raw);
            }
        }
    };
    (@descend $outputs:literal $name:ident $is_relu:literal) => {
        /// # Safety
        /// The layer, of so many outputs, lies in the numbers, its parts apart.
        unsafe fn $name(link: &Link, numbers: *mut f32, rate: f32) {
            // SAFETY: the caller's; biases lie behind the weights.
            unsafe { few::descend(&rows_of(link, numbers, $outputs, rate), $is_relu, 1) };
        }
    };
}

few! {
    1: sum_1 sum_raw_1 descend_1 descend_relu_1
    2: sum_2 sum_raw_2 descend_2 descend_relu_2
    3: sum_3 sum_raw_3 descend_3 descend_relu_3
    4: sum_4 sum_raw_4 descend_4 descend_relu_4
}

/// What runs a layer, and what lets it learn; `None` where it has no kernel of its own.
pub(in crate::kernels) const fn kernels(
    outputs: u32,
    activation: Activation,
    below: Option<Activation>,
) -> (Option<Sum>, Option<Descend>) {
    let is_relu = matches!(below, Some(Activation::Relu));
    let sum: Option<Sum> = match sum_few(outputs, is_relu) {
        None if outputs >= 8 && outputs.is_multiple_of(8) && !is_relu => Some(sum_eights),
        sum => sum,
    };
    let is_sum = matches!(activation, Activation::None | Activation::Relu);
    let descend: Option<Descend> = match below {
        None if is_sum && outputs == 8 => Some(descend_8),
        None if is_sum && outputs == 16 => Some(descend_16),
        None if is_sum && outputs > 8 => Some(descend_many),
        None | Some(Activation::Relu) if is_sum => descend_few(outputs, is_relu),
        _ => None,
    };
    (sum, descend)
}

/// # Safety
/// The layer, of eight outputs or a multiple, lies in the numbers, its parts apart.
unsafe fn sum_eights(link: &Link, numbers: *mut f32) {
    let [weight, x, inputs, y, outputs] = link.places();
    // SAFETY: the caller's; biases lie behind the weights.
    unsafe {
        let weight = numbers.add(weight);
        let bias = weight.add(inputs * outputs);
        let (x, y) = (numbers.add(x), numbers.add(y));
        vector(x, inputs, weight, outputs, bias, y, outputs);
    }
}

/// # Safety
/// The layer, of eight outputs, lies in the numbers, its parts apart.
unsafe fn descend_8(link: &Link, numbers: *mut f32, rate: f32) {
    // SAFETY: the caller's; biases lie behind the weights.
    unsafe { resident::descend_8(&rows_of(link, numbers, 8, rate)) };
}

/// # Safety
/// The layer, of 16 outputs, lies in the numbers, its parts apart.
unsafe fn descend_16(link: &Link, numbers: *mut f32, rate: f32) {
    // SAFETY: the caller's; biases lie behind the weights.
    unsafe { resident::descend_16(&rows_of(link, numbers, 16, rate)) };
}

/// # Safety
/// The layer, of eight outputs or more, lies in the numbers, its parts apart.
unsafe fn descend_many(link: &Link, numbers: *mut f32, rate: f32) {
    let [.., outputs] = link.places();
    // SAFETY: the caller's; biases lie behind the weights.
    unsafe { rows::descend(&rows_of(link, numbers, outputs, rate), 1) };
}

/// # Safety
/// The layer lies in the numbers.
#[inline(always)]
unsafe fn rows_of(link: &Link, numbers: *mut f32, outputs: usize, rate: f32) -> Rows {
    let [weight, x, inputs, y, _] = link.places();
    // SAFETY: the caller's.
    let (weight, x, delta) = unsafe { (numbers.add(weight), numbers.add(x), numbers.add(y)) };
    Rows {
        x,
        inputs,
        weight,
        delta,
        outputs,
        rate,
    }
}
