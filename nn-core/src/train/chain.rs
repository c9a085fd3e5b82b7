//! Dense layers of f32 upon each other, a softmax and its cross-entropy: a training step by one function forward and one
//! backward.
//!
//! Which layers are such a chain is known when an image is built; all that the engine looks up for each node, and checks
//! of its memory, is then the same for every step. The operations are the engine's, in their order: so are the bits.

use crate::engine::Code;
use crate::kernels;
use crate::memory::numbers_mut;
use crate::ops::Activation;
use crate::scalar::{Scalar, ln};
use crate::stored::stored;

/// A dense layer of a chain.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Where its input lies behind the learnt weights, and how long it is, in numbers.
    pub(crate) x: [u32; 2],
    /// The same of its output.
    pub(crate) y: [u32; 2],
    pub(crate) activation: Activation,
    /// What made its input; `None` where no gradient is wanted there.
    pub(crate) below: Option<Activation>,
}

stored!(Link {
    x: [u32; 2],
    y: [u32; 2],
    activation: Activation,
    below: (option Activation),
});

/// All that learns, where it is a chain: its weights and biases lie in the order of the layers from the arena's start.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'p> {
    links: &'p [Link],
    /// What the loss counts.
    weight: f32,
    forward: Code<Forward>,
    backward: Code<Backward>,
}

type Forward = fn(&Chain, &mut [u8], usize, u16) -> Option<Outcome>;
type Backward = fn(&Chain, &mut [u8], usize, u16, f32) -> Option<()>;

/// What a pass forward gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) loss: f32,
    pub(crate) prediction: u16,
    /// Whether loss and outputs are finite.
    pub(crate) is_finite: bool,
}

impl<'p> Chain<'p> {
    /// The chain of these layers, from the lowest, whose loss counts `weight`.
    pub const fn new(links: &'p [Link], weight: f32) -> Self {
        Self {
            links,
            weight,
            forward: Code(forward),
            backward: Code(backward),
        }
    }

    /// Whether it tells such a class from others.
    #[inline]
    pub(crate) fn tells(&self, class: u16) -> bool {
        let last = self.links.last();
        last.is_some_and(|link| u32::from(class) < link.y[1])
    }

    /// Runs the layers and the softmax; `weights` is how many bytes of `memory` learn. `None` where something lies outside:
    /// what was checked when it was planned never does.
    pub(crate) fn forward(&self, memory: &mut [u8], weights: usize, class: u16) -> Option<Outcome> {
        (self.forward.0)(self, memory, weights, class)
    }

    /// Forms the gradient of the loss, and lets all layers learn at `rate`.
    pub(crate) fn backward(
        &self,
        memory: &mut [u8],
        weights: usize,
        class: u16,
        rate: f32,
    ) -> Option<()> {
        (self.backward.0)(self, memory, weights, class, rate)
    }
}

/// The learnt weights, and what lies behind them.
#[inline(always)]
fn split(memory: &mut [u8], weights: usize) -> Option<(&mut [f32], &mut [f32])> {
    numbers_mut(memory)?.split_at_mut_checked(weights / size_of::<f32>())
}

/// Input and output of a layer.
#[inline(always)]
fn both<'m>(shared: &'m mut [f32], link: &Link) -> Option<(&'m mut [f32], &'m mut [f32])> {
    let [x, y] = [link.x, link.y].map(|[at, len]| (at as usize, len as usize));
    let part = |values: &'m mut [f32], at: usize, len: usize| {
        let values = values.get_mut(at..)?;
        values.get_mut(..len)
    };
    if x.0 < y.0 {
        let (low, high) = shared.split_at_mut_checked(y.0)?;
        Some((part(low, x.0, x.1)?, high.get_mut(..y.1)?))
    } else {
        let (low, high) = shared.split_at_mut_checked(x.0)?;
        Some((high.get_mut(..x.1)?, part(low, y.0, y.1)?))
    }
}

fn forward(chain: &Chain, memory: &mut [u8], weights: usize, class: u16) -> Option<Outcome> {
    let (mut weights, shared) = split(memory, weights)?;
    for link in chain.links {
        let (x, y) = both(shared, link)?;
        let (weight, rest) = weights.split_at_mut_checked(x.len() * y.len())?;
        let (bias, rest) = rest.split_at_mut_checked(y.len())?;
        weights = rest;
        kernels::vector_matrix_f32(x, weight, bias, y);
        link.activation.apply_all(y);
    }
    let [at, len] = chain.links.last()?.y;
    let y = shared.get_mut(at as usize..)?.get_mut(..len as usize)?;
    f32::softmax(y);
    let p = *y.get(usize::from(class))?;
    // Written so that a NaN counts as the least, too.
    let loss = 0.0 - chain.weight * ln(if p > f32::LEAST { p } else { f32::LEAST });
    let (mut best, mut prediction) = (f32::NEG_INFINITY, 0);
    for (index, &y) in (0u16..).zip(y.iter()) {
        if y > best {
            (best, prediction) = (y, index);
        }
    }
    Some(Outcome {
        loss,
        prediction,
        // One sum divides all: where one is no number, none is.
        is_finite: loss.is_finite() && y.first().is_some_and(|y| y.is_finite()),
    })
}

fn backward(chain: &Chain, memory: &mut [u8], weights: usize, class: u16, rate: f32) -> Option<()> {
    let (mut weights, shared) = split(memory, weights)?;
    let [at, len] = chain.links.last()?.y;
    let delta = shared.get_mut(at as usize..)?.get_mut(..len as usize)?;
    for p in delta.iter_mut() {
        *p *= chain.weight;
    }
    *delta.get_mut(usize::from(class))? -= chain.weight;
    for link in chain.links.iter().rev() {
        let (x, delta) = both(shared, link)?;
        let at = weights.len().checked_sub(delta.len())?;
        let (rest, bias) = weights.split_at_mut_checked(at)?;
        let at = rest.len().checked_sub(x.len() * delta.len())?;
        let (rest, weight) = rest.split_at_mut_checked(at)?;
        weights = rest;
        kernels::descend_rows_f32(x, link.below, weight, delta, rate);
        kernels::descend_bias_f32(bias, delta, rate);
    }
    Some(())
}
