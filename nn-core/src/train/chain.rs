//! Dense layers of f32 upon each other, a softmax and its cross-entropy: a training step by one function.
//!
//! Which layers are such a chain is known when an image is built, and that their places lie in its memory is seen once, when
//! a trainer is set up: a step looks nothing up, and checks nothing, for each node. The operations are the engine's, in
//! their order: so are the bits.

use core::ops::Range;

use crate::engine::Code;
use crate::kernels::{Layers, Link};
use crate::scalar::{Scalar, exponentials, ln};
use crate::train::{Guard, is_large_few};

/// All that learns, where it is a chain: its weights and biases lie in the order of the layers from the arena's start.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'p> {
    links: &'p [Link],
    /// What the loss counts.
    weight: f32,
    place: Code<Place>,
}

type Place = for<'p> fn(&Chain<'p>, usize, &[u8], Range<usize>) -> Option<Placed<'p>>;
type Step = fn(&Placed, &mut [u8], u16, Option<f32>) -> Outcome;

/// A chain that lies in a trainer's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<'p> {
    layers: Layers<'p>,
    weight: f32,
    step: Code<Step>,
    /// Whether its input is the model's.
    begins: bool,
    classes: u32,
}

/// What a step gives: in two registers the bits of the loss and, from bit 32 on, the prediction and how it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome(u64);

/// How a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All layers have learnt.
    Learnt,
    /// The outputs are there, and nothing has learnt: the guard is to look at each layer.
    Waits,
    /// Nothing has learnt: the loss or an output is not finite.
    Diverged,
    /// The memory is another than the chain's.
    Outside,
}

impl Outcome {
    #[inline(always)]
    fn new(loss: f32, prediction: u16, end: End) -> Self {
        let high = u32::from(prediction) | (end as u32) << 16;
        Self(u64::from(high) << 32 | u64::from(loss.to_bits()))
    }

    /// The loss before the step.
    #[inline(always)]
    pub(crate) fn loss(self) -> f32 {
        // Its lower half.
        f32::from_bits(self.0 as u32)
    }

    /// The class of the largest output, the first of equals.
    #[inline(always)]
    pub(crate) fn prediction(self) -> u16 {
        // The 16 bits from there on.
        (self.0 >> 32) as u16
    }

    #[inline(always)]
    pub(crate) fn has_learnt(self) -> bool {
        self.0 >> 48 == 0
    }

    #[inline(always)]
    pub(crate) fn end(self) -> End {
        match self.0 >> 48 {
            0 => End::Learnt,
            1 => End::Waits,
            2 => End::Diverged,
            _ => End::Outside,
        }
    }
}

impl<'p> Chain<'p> {
    /// The chain of these layers, from the lowest, whose loss counts `weight`.
    pub const fn new(links: &'p [Link], weight: f32) -> Self {
        Self {
            links,
            weight,
            place: Code(place),
        }
    }

    /// The chain in `memory`, `weights` bytes of which learn, and where the only input of f32 lies in `input`; `None` where
    /// the chain does not lie there.
    pub(crate) fn place(
        &self,
        weights: usize,
        memory: &[u8],
        input: Range<usize>,
    ) -> Option<Placed<'p>> {
        (self.place.0)(self, weights, memory, input)
    }
}

impl Placed<'_> {
    /// Whether it tells such a class from others.
    #[inline(always)]
    pub(crate) fn tells(&self, class: u16) -> bool {
        u32::from(class) < self.classes
    }

    /// Whether a step looks at the model's input itself.
    #[inline(always)]
    pub(crate) fn begins(&self) -> bool {
        self.begins
    }

    /// Runs the layers and the softmax, and lets all layers learn at `rate`, unless there is none, or the loss or the model's
    /// input is large.
    #[inline(always)]
    pub(crate) fn step(&self, memory: &mut [u8], class: u16, rate: Option<f32>) -> Outcome {
        (self.step.0)(self, memory, class, rate)
    }
}

#[inline(never)]
fn place<'p>(
    chain: &Chain<'p>,
    weights: usize,
    memory: &[u8],
    input: Range<usize>,
) -> Option<Placed<'p>> {
    // So that no gradient of the loss is −0: see `backward`.
    let counts = chain.weight > 0.0;
    let layers = Layers::new(chain.links, weights, memory).filter(|_| counts)?;
    Some(Placed {
        layers,
        weight: chain.weight,
        step: Code(step),
        begins: layers.begins_at(input),
        classes: layers.outputs(),
    })
}

#[inline(never)]
fn step(chain: &Placed, memory: &mut [u8], class: u16, rate: Option<f32>) -> Outcome {
    let outside = Outcome::new(0.0, 0, End::Outside);
    let Some(mut layers) = chain.layers.enter(memory) else {
        return outside;
    };
    let is_large = chain.begins && is_large_few(layers.input());
    let rate = rate.filter(|_| !is_large);
    layers.forward();
    let y = layers.outputs();
    let sum = exponentials(y);
    let (mut best, mut prediction) = (i32::MIN, 0);
    for (index, y) in y.iter_mut().enumerate() {
        *y /= sum;
        // Of what is not below 0: in the order of the numbers.
        let bits = y.to_bits().cast_signed();
        if bits > best {
            (best, prediction) = (bits, index);
        }
    }
    // A target can name no class beyond.
    let prediction = prediction as u16;
    let Some(p) = y.get_mut(usize::from(class)) else {
        return outside;
    };
    // Of a number that is not below 0: in the order of the numbers.
    let p_bits = p.to_bits();
    let least = p_bits.max(f32::LEAST.to_bits());
    let loss = 0.0 - chain.weight * ln(f32::from_bits(least));
    // Of an output that is no number the loss is none, and not small; and one sum divides all outputs: where one is no
    // number, none is.
    let Some(rate) = rate.filter(|_| Guard::is_small(loss)) else {
        let is_finite = p_bits < f32::INFINITY.to_bits() && loss.is_finite();
        let end = match is_finite {
            true => End::Waits,
            false => End::Diverged,
        };
        return Outcome::new(loss, prediction, end);
    };
    // The gradient of the loss.
    if chain.weight.to_bits() == 1f32.to_bits() {
        *p -= 1.0;
    } else {
        for p in y.iter_mut() {
            *p *= chain.weight;
        }
        if let Some(p) = y.get_mut(usize::from(class)) {
            *p -= chain.weight;
        }
    }
    layers.backward(rate);
    Outcome::new(loss, prediction, End::Learnt)
}
