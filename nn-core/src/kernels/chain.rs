//! Dense layers of f32 upon each other, in a memory in which their places were looked at once: a pass over all of them
//! finds and checks nothing.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Range;
use core::slice::{from_raw_parts, from_raw_parts_mut};

use super::rows::{descend_bias_f32, descend_rows_f32, vector_matrix_f32};
use crate::ops::Activation;
use crate::scalar::Scalar;
use crate::stored::{Reader, Writer};

/// A dense layer of a chain.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Where its weights begin, with its biases behind them; places and lengths are in numbers.
    pub(super) weight: u32,
    /// Where its input lies, and how long it is.
    pub(super) x: [u32; 2],
    /// The same of its output.
    pub(super) y: [u32; 2],
    activation: Activation,
    /// What made its input; `None` where no gradient is wanted there.
    below: Option<Activation>,
    sum: Sum,
    descend: Descend,
}

/// Runs a layer but for its activation.
///
/// Where a ReLU made its input, that takes place here, where the input is read.
pub(super) type Sum = unsafe fn(&Link, *mut f32);

/// Lets a layer learn at a rate from the gradient in its output; the gradient at its input takes the place of that.
///
/// No number of the gradient is −0 where the layer's activation is none or a ReLU.
pub(super) type Descend = unsafe fn(&Link, *mut f32, f32);

impl Link {
    /// Places and lengths are in numbers: where its weights begin, with its biases behind them, its input, its output; and what
    /// made its input, `None` where no gradient is wanted there.
    pub const fn new(
        weight: u32,
        x: [u32; 2],
        y: [u32; 2],
        activation: Activation,
        below: Option<Activation>,
    ) -> Self {
        let outputs = y[1];
        #[cfg(mote_vfp)]
        let (sum, descend) = super::vfp::links::kernels(outputs, activation, below);
        #[cfg(not(mote_vfp))]
        let (sum, descend): (Option<Sum>, Option<Descend>) = {
            let _ = outputs;
            (None, None)
        };
        Self {
            weight,
            x,
            y,
            activation,
            below,
            sum: match sum {
                Some(sum) => sum,
                None => sum_any,
            },
            descend: match descend {
                Some(descend) => descend,
                None => descend_any,
            },
        }
    }

    pub(crate) const fn read(from: &mut Reader) -> Self {
        let weight = from.u32();
        let x = [from.u32(), from.u32()];
        let y = [from.u32(), from.u32()];
        let activation = Activation::read(from);
        let below = match from.bool() {
            true => Some(Activation::read(from)),
            false => None,
        };
        Self::new(weight, x, y, activation, below)
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        for value in [self.weight, self.x[0], self.x[1], self.y[0], self.y[1]] {
            to.u32(value);
        }
        self.activation.write(to);
        to.bool(self.below.is_some());
        if let Some(below) = self.below {
            below.write(to);
        }
    }

    /// How many weights and biases it has.
    fn parameters(&self) -> Option<usize> {
        let [inputs, outputs] = [self.x[1], self.y[1]].map(|len| len as usize);
        inputs.checked_add(1)?.checked_mul(outputs)
    }
}

/// Layers, from the lowest, each of whose inputs is the output of the one before it. Their weights and biases lie in their
/// order from the start of a memory, and all else behind them.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'p> {
    links: &'p [Link],
    /// How many bytes the memory has in which all of this lies.
    memory: usize,
}

impl<'p> Layers<'p> {
    /// These layers, whose weights are the first `weights` bytes of `memory`. `None` where they are not such, or where one
    /// of them reaches outside.
    pub fn new(links: &'p [Link], weights: usize, memory: &[u8]) -> Option<Self> {
        let numbers = bytemuck::try_cast_slice::<u8, f32>(memory).ok()?.len();
        let (mut learnt, mut before): (usize, Option<&Link>) = (0, None);
        for link in links {
            let [x, y] = [link.x, link.y].map(|[at, len]| [at as usize, len as usize]);
            let end = |[at, len]: [usize; 2]| {
                let end = at.checked_add(len)?;
                let is_there = len > 0 && at >= weights / size_of::<f32>() && end <= numbers;
                is_there.then_some(end)
            };
            let [x_end, y_end] = [end(x)?, end(y)?];
            let is_apart = x_end <= y[0] || y_end <= x[0];
            let follows = match before {
                Some(before) => before.y == link.x && link.below == Some(before.activation),
                None => link.below.is_none(),
            };
            if !(is_apart && follows && link.weight as usize == learnt) {
                return None;
            }
            learnt = learnt.checked_add(link.parameters()?)?;
            before = Some(link);
        }
        let ends = before.is_some_and(|last| last.activation == Activation::None);
        let is_such = ends && learnt.checked_mul(size_of::<f32>()) == Some(weights);
        is_such.then_some(Self {
            links,
            memory: memory.len(),
        })
    }

    /// Whether the first layer's input lies in these bytes.
    pub(crate) fn begins_at(&self, bytes: Range<usize>) -> bool {
        let begins = |link: &Link| {
            let [at, len] = link.x.map(|number| number as usize * size_of::<f32>());
            bytes == (at..at + len)
        };
        self.links.first().is_some_and(begins)
    }

    /// How many outputs the last layer has.
    #[inline(always)]
    pub(crate) fn outputs(&self) -> u32 {
        self.links.last().map_or(0, |link| link.y[1])
    }

    /// The layers in their memory; `None` where it is not the one that was looked at.
    #[inline(always)]
    pub fn enter<'m>(&self, memory: &'m mut [u8]) -> Option<Entered<'p, 'm>> {
        let numbers = memory.as_mut_ptr().cast::<f32>();
        let is_same = memory.len() == self.memory && numbers.is_aligned();
        is_same.then_some(Entered {
            links: self.links,
            numbers,
            memory: PhantomData,
        })
    }
}

/// Layers in their memory, which is that of [`Layers::new`].
#[derive(Debug)]
pub struct Entered<'p, 'm> {
    links: &'p [Link],
    numbers: *mut f32,
    memory: PhantomData<&'m mut [u8]>,
}

impl Entered<'_, '_> {
    /// The input of the first layer.
    #[inline(always)]
    pub fn input(&self) -> &[f32] {
        let [at, len] = self.links.first().map_or([0; 2], |link| link.x);
        // SAFETY: `new` has seen that it lies in the memory, and it is aligned where it is empty.
        unsafe { from_raw_parts(self.numbers.add(at as usize), len as usize) }
    }

    /// The outputs of the last layer.
    #[inline(always)]
    pub fn outputs(&mut self) -> &mut [f32] {
        let [at, len] = self.links.last().map_or([0; 2], |link| link.y);
        // SAFETY: as in `input`.
        unsafe { from_raw_parts_mut(self.numbers.add(at as usize), len as usize) }
    }

    /// Runs all layers.
    #[inline(always)]
    pub fn forward(&mut self) {
        for link in self.links {
            // SAFETY: `new` has seen that input, output, weights and biases lie in the memory, and apart.
            unsafe {
                (link.sum)(link, self.numbers);
                if !matches!(link.activation, Activation::None | Activation::Relu) {
                    activate(link, self.numbers);
                }
            }
        }
    }

    /// Lets all layers learn at `rate` from the gradient that lies in the outputs of the last, no number of which is −0.
    #[inline(always)]
    pub fn backward(&mut self, rate: f32) {
        for link in self.links.iter().rev() {
            // SAFETY: as in `forward`.
            unsafe { (link.descend)(link, self.numbers, rate) };
        }
    }
}

/// The activation of a layer's output.
///
/// # Safety
/// The layer lies in the numbers.
#[inline(never)]
unsafe fn activate(link: &Link, numbers: *mut f32) {
    let [at, len] = link.y.map(|number| number as usize);
    // SAFETY: the caller's.
    let y = unsafe { from_raw_parts_mut(numbers.add(at), len) };
    link.activation.apply_all(y);
}

/// # Safety
/// The layer lies in the numbers, its parts apart.
pub(super) unsafe fn sum_any(link: &Link, numbers: *mut f32) {
    let [weight, at, inputs, y, outputs] = link.places();
    // SAFETY: the caller's.
    let (x, y, weight, bias) = unsafe {
        let weight = numbers.add(weight);
        (
            from_raw_parts_mut(numbers.add(at), inputs),
            from_raw_parts_mut(numbers.add(y), outputs),
            from_raw_parts(weight, inputs * outputs),
            from_raw_parts(weight.add(inputs * outputs), outputs),
        )
    };
    if link.below == Some(Activation::Relu) {
        f32::relu(x);
    }
    vector_matrix_f32(x, weight, bias, y);
}

/// # Safety
/// The layer lies in the numbers, its parts apart.
pub(super) unsafe fn descend_any(link: &Link, numbers: *mut f32, rate: f32) {
    let [weight, at, inputs, y, outputs] = link.places();
    // SAFETY: the caller's.
    let (x, delta, weight, bias) = unsafe {
        let weight = numbers.add(weight);
        (
            from_raw_parts_mut(numbers.add(at), inputs),
            from_raw_parts(numbers.add(y), outputs),
            from_raw_parts_mut(weight, inputs * outputs),
            from_raw_parts_mut(weight.add(inputs * outputs), outputs),
        )
    };
    descend_rows_f32(x, link.below, weight, delta, rate);
    descend_bias_f32(bias, delta, rate);
}

impl Link {
    /// Where weights, input and output lie, with the lengths of these.
    #[inline(always)]
    pub(super) fn places(&self) -> [usize; 5] {
        let Self { weight, x, y, .. } = *self;
        [weight, x[0], x[1], y[0], y[1]].map(|place| place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Activation = Activation::None;
    const RELU: Activation = Activation::Relu;
    /// Of 2-3-1, in numbers: 13 weights and biases, then 2 inputs, 3 units, and the output.
    const WEIGHTS: usize = 4 * 13;
    const MEMORY: usize = WEIGHTS + 4 * 6;

    fn low() -> Link {
        Link::new(0, [13, 2], [15, 3], RELU, None)
    }

    fn high() -> Link {
        Link::new(9, [15, 3], [18, 1], NONE, Some(RELU))
    }

    /// A memory of words, as bytes.
    fn memory() -> [f32; MEMORY / 4 + 1] {
        [0.0; MEMORY / 4 + 1]
    }

    fn is_taken(links: &[Link], weights: usize, len: usize) -> bool {
        let mut memory = memory();
        let bytes = bytemuck::cast_slice_mut(&mut memory);
        Layers::new(links, weights, &bytes[..len]).is_some()
    }

    #[test]
    fn what_lies_outside_is_refused() {
        assert!(is_taken(&[low(), high()], WEIGHTS, MEMORY));
        assert!(!is_taken(&[], 0, MEMORY));
        // A memory that ends before the output, and other weights than theirs.
        assert!(!is_taken(&[low(), high()], WEIGHTS, MEMORY - 4));
        assert!(!is_taken(&[low(), high()], WEIGHTS + 4, MEMORY));
        assert!(!is_taken(&[high(), low()], WEIGHTS, MEMORY));
        let link = |weight, x, y, activation, below| Link::new(weight, x, y, activation, below);
        for first in [
            // Among the weights; at the end; over its output; over what the next one reads; of no inputs.
            link(0, [12, 2], [15, 3], RELU, None),
            link(0, [u32::MAX, 2], [15, 3], RELU, None),
            link(0, [14, 2], [15, 3], RELU, None),
            link(0, [13, 2], [15, 2], RELU, None),
            link(0, [13, 0], [15, 3], RELU, None),
            // Weights that begin elsewhere; another activation; a gradient that nobody wants.
            link(1, [13, 2], [15, 3], RELU, None),
            link(0, [13, 2], [15, 3], NONE, None),
            link(0, [13, 2], [15, 3], RELU, Some(RELU)),
        ] {
            assert!(!is_taken(&[first, high()], WEIGHTS, MEMORY), "{first:?}");
        }
        for last in [
            link(9, [15, 3], [18, 2], NONE, Some(RELU)),
            link(9, [15, 3], [19, 1], NONE, Some(RELU)),
            link(9, [15, 3], [18, 1], RELU, Some(RELU)),
            link(9, [15, 3], [18, 1], NONE, None),
        ] {
            assert!(!is_taken(&[low(), last], WEIGHTS, MEMORY), "{last:?}");
        }
        let mut memory = memory();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        let links = [low(), high()];
        let layers = Layers::new(&links, WEIGHTS, &bytes[..MEMORY]).unwrap();
        assert!(layers.enter(&mut bytes[..MEMORY]).is_some());
        assert!(layers.enter(bytes).is_none());
        // Of the right length, and not on a number's boundary.
        assert!(layers.enter(&mut bytes[1..=MEMORY]).is_none());
    }

    /// 2-3-1 by hand: forward, and a step from a gradient of 2 at a rate of 1/2.
    #[test]
    fn layers_by_hand() {
        let mut memory = memory();
        memory[..9].copy_from_slice(&[1.0, 0.0, -1.0, 2.0, 1.0, 0.0, 0.5, -1.0, 0.0]);
        memory[9..13].copy_from_slice(&[1.0, 2.0, 3.0, -1.0]);
        memory[13..15].copy_from_slice(&[1.0, 2.0]);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        let links = [low(), high()];
        let layers = Layers::new(&links, WEIGHTS, &bytes[..MEMORY]).unwrap();
        let mut entered = layers.enter(&mut bytes[..MEMORY]).unwrap();
        assert_eq!(entered.input(), [1.0, 2.0]);
        entered.forward();
        // Units 5.5, 1 and -1, which is held at 0.
        assert_eq!(entered.outputs(), [5.5 + 2.0 - 1.0]);
        entered.outputs()[0] = 2.0;
        entered.backward(0.5);
        assert_eq!(memory[9..13], [1.0 - 5.5, 2.0 - 1.0, 3.0, -2.0]);
        // Their gradients.
        assert_eq!(memory[15..18], [2.0, 4.0, 0.0]);
        let first = [0.0, -2.0, -1.0, 0.0, -3.0, 0.0, -0.5, -3.0, 0.0];
        assert_eq!(memory[..9], first);
    }
}
