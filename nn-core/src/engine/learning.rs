//! What a backward pass updates with.

use crate::engine::{BackFrame, Frame};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::scalar::{Q16, Rounder, Scalar};
use crate::stored::stored;
use crate::tensor::DType;
use crate::train::int8::Descent;
use crate::train::{
    ChannelMask, Channels, Clip, Guard, MAX_COPIES, Optimizer, Pace, Rounding, Rule, Sums, Update,
    select_top, update_norms,
};

/// The most output channels of a layer that learns in those of the largest gradients.
pub(crate) const MAX_TOP_CHANNELS: usize = 512;

/// The rates of a step in each number format.
#[derive(Debug)]
pub(crate) struct Rules {
    f32: Rule<f32>,
    q16: Rule<Q16>,
    int8: Descent,
}

/// The rates of a step, and where the copies of the weights lie.
#[derive(Debug)]
pub(crate) struct Learning {
    rules: Rules,
    /// Bytes of all learnt weights: from a weight to its first copy, and from copy to copy.
    stride: u32,
    /// How many copies there are.
    copies: u8,
    pub(crate) guard: Guard,
    /// The channels of the node that runs, where it learns in those of the largest gradients.
    top: [u32; MAX_TOP_CHANNELS / 32],
}

/// A number format in which weights learn.
pub(crate) trait Learns: Scalar {
    /// The rates in this format.
    fn rule(rules: &mut Rules) -> &mut Rule<Self>;
}

impl Learns for f32 {
    fn rule(rules: &mut Rules) -> &mut Rule<f32> {
        &mut rules.f32
    }
}

impl Learns for Q16 {
    fn rule(rules: &mut Rules) -> &mut Rule<Q16> {
        &mut rules.q16
    }
}

/// Which output channels of a node learn, where not all do.
#[derive(Debug, Clone, Copy)]
pub struct Pick {
    pub(crate) weight: Channels,
    pub(crate) bias: Channels,
    /// The running norms of the channels' gradients.
    pub(crate) norms: Span,
    /// How many channels there are.
    pub(crate) channels: u16,
    pub(crate) dtype: DType,
}

stored!(Pick {
    weight: Channels,
    bias: Channels,
    norms: Span,
    channels: u16,
    dtype: DType,
});

impl Pick {
    pub(crate) const NOTHING: Self = Self {
        weight: Channels::All,
        bias: Channels::All,
        norms: Span::NOTHING,
        channels: 0,
        dtype: DType::F32,
    };
}

/// A tensor that learns, when all gradients are summed first.
#[derive(Debug, Clone, Copy)]
pub struct Learnt {
    pub(crate) span: Span,
    pub(crate) dtype: DType,
    pub(crate) is_bias: bool,
    /// Which channels learn.
    pub(crate) channels: Channels,
    /// How many channels there are; 0 where all learn.
    pub(crate) count: u16,
}

stored!(Learnt {
    span: Span,
    dtype: DType,
    is_bias: bool,
    channels: Channels,
    count: u16,
});

impl Learnt {
    pub(crate) const NOTHING: Self = Self {
        span: Span::NOTHING,
        dtype: DType::F32,
        is_bias: false,
        channels: Channels::All,
        count: 0,
    };
}

/// The most spans that are borrowed together with a parameter, to be read and to be written.
const MAX_SPANS: usize = 3;

/// A parameter, borrowed, and what was borrowed with it: to be read, and to be written. Where less was asked for, the
/// rest is empty.
#[derive(Debug)]
pub(crate) struct Operands<'m, S: Scalar> {
    pub(crate) weights: Weights<'m, S>,
    pub(crate) reads: [&'m [u8]; MAX_SPANS],
    pub(crate) writes: [&'m mut [u8]; MAX_SPANS],
}

impl Learning {
    /// Weights of `stride` bytes with so many copies, which do not learn before [`set_pace`](Self::set_pace).
    pub(crate) fn new(stride: u32, copies: u8, seed: u32) -> Self {
        Self {
            rules: Rules::at_rest(seed),
            stride,
            copies,
            guard: Guard::default(),
            top: [0; MAX_TOP_CHANNELS / 32],
        }
    }

    /// Begins the random numbers anew; nothing learns before [`set_pace`](Self::set_pace).
    #[inline(never)]
    pub(crate) fn reset(&mut self, seed: u32) {
        self.rules = Rules::at_rest(seed);
    }

    /// Takes up the rates of a step. Random numbers go on.
    #[inline(never)]
    pub(crate) fn set_pace(&mut self, optimizer: &Optimizer, clip: Clip, sums: bool, pace: Pace) {
        let rounder = match optimizer.rounding {
            Rounding::Stochastic => self.rules.q16.rounder(),
            Rounding::Nearest => Rounder::NEAREST,
        };
        self.rules.f32 = Rule::new(optimizer, clip, sums, pace, rounder);
        self.rules.q16 = Rule::new(optimizer, clip, sums, pace, rounder);
        self.rules.int8.rate = pace.rate;
    }

    /// The rate of f32 weights, where they learn by plain descent.
    #[inline]
    pub(crate) fn plain_rate(&self) -> Option<f32> {
        let rule = &self.rules.f32;
        rule.is_plain().then_some(rule.learning_rate())
    }

    /// By what int8 weights learn.
    #[inline]
    pub(crate) fn int8(&mut self) -> &mut Descent {
        &mut self.rules.int8
    }

    fn spans(&self, weight: Span) -> [Span; 1 + MAX_COPIES] {
        let mut spans = [Span::NOTHING; 1 + MAX_COPIES];
        let mut next = weight;
        for place in spans.iter_mut().take(1 + usize::from(self.copies)) {
            *place = next;
            next = next.after(self.stride);
        }
        spans
    }

    /// Borrows parameter `index` of a step, and besides it up to three spans to be read and three to be written.
    ///
    /// A function of its own, whose stack is free again when the operator runs.
    #[inline(never)]
    pub(crate) fn borrow<'m, S: Learns>(
        &'m mut self,
        frame: &Frame,
        back: &BackFrame,
        index: usize,
        memory: &'m mut Memory,
        reads: &[Span],
        writes: &[Span],
    ) -> Option<Operands<'m, S>> {
        let span = frame.parameter(index);
        let learns = back.back.learns(index);
        let frozen = if learns { Span::NOTHING } else { span };
        let at = |spans: &[Span], index: usize| spans.get(index).copied().unwrap_or(Span::NOTHING);
        let reads = [at(reads, 0), at(reads, 1), at(reads, 2), frozen];
        let [first, second, third] = [0, 1, 2].map(|index| at(writes, index));
        let weight = if learns { span } else { Span::NOTHING };
        let (reads, writes, weight, copies) = if learns && self.copies > 0 {
            let [_, a, b, c] = self.spans(span);
            let writes = [first, second, third, weight, a, b, c];
            let (reads, writes) = memory.borrow(reads, writes)?;
            let [first, second, third, weight, a, b, c] = writes;
            let copies = [numbers_mut(a)?, numbers_mut(b)?, numbers_mut(c)?];
            (reads, [first, second, third], weight, copies)
        } else {
            let (reads, writes) = memory.borrow(reads, [first, second, third, weight])?;
            let [first, second, third, weight] = writes;
            let copies: [&mut [S]; MAX_COPIES] = [&mut [], &mut [], &mut []];
            (reads, [first, second, third], weight, copies)
        };
        let [read, read_b, read_c, frozen] = reads;
        let weights = if learns {
            let is_bias = back.back.is_bias(index);
            let rule = S::rule(&mut self.rules);
            let channels = back.pick.and_then(|pick| {
                let channels = if is_bias { pick.bias } else { pick.weight };
                let mask = match channels {
                    Channels::All => return None,
                    Channels::Window { first, mask } => ChannelMask::Window { first, mask },
                    Channels::Top { .. } => ChannelMask::Bits(&self.top),
                };
                Some((usize::from(pick.channels), mask))
            });
            let weight = numbers_mut(weight)?;
            Weights::Learning(Update::of(weight, copies, rule, is_bias, channels))
        } else {
            Weights::Frozen(numbers(frozen)?)
        };
        Some(Operands {
            weights,
            reads: [read, read_b, read_c],
            writes,
        })
    }

    /// Chooses the channels in which a node learns, by the gradient at its output.
    #[inline(never)]
    pub(crate) fn pick(&mut self, pick: &Pick, delta: Span, memory: &mut Memory) -> Option<()> {
        let (count, decay) = match (pick.weight, pick.bias) {
            (Channels::Top { count, decay }, _) | (_, Channels::Top { count, decay }) => {
                (count, decay)
            }
            _ => return Some(()),
        };
        let ([delta], [norms]) = memory.borrow([delta], [pick.norms])?;
        let norms: &mut [f32] = numbers_mut(norms)?;
        match pick.dtype {
            DType::Q16 => update_norms::<Q16>(norms, numbers(delta)?, decay),
            _ => update_norms::<f32>(norms, numbers(delta)?, decay),
        }
        select_top(norms, usize::from(count), &mut self.top);
        Some(())
    }

    /// The optimizer's step from the sums of gradients over `samples` samples.
    #[inline(never)]
    pub(crate) fn step_from_sums(
        &mut self,
        learnt: &[Learnt],
        samples: u16,
        clip: Clip,
        memory: &mut Memory,
    ) -> Option<()> {
        let mut sums = Sums::default();
        if matches!(clip, Clip::Norm(_)) {
            for tensor in learnt {
                let no_writes: [Span; 0] = [];
                let ([sum], _) = memory.borrow([tensor.span.after(self.stride)], no_writes)?;
                match tensor.dtype {
                    DType::Q16 => sums.add::<Q16>(numbers(sum)?),
                    _ => sums.add::<f32>(numbers(sum)?),
                }
            }
        }
        let factor = sums.factor(samples, clip);
        for tensor in learnt {
            match tensor.dtype {
                DType::Q16 => self.step_tensor::<Q16>(tensor, factor, memory)?,
                _ => self.step_tensor::<f32>(tensor, factor, memory)?,
            }
        }
        Some(())
    }

    fn step_tensor<S: Learns>(
        &mut self,
        tensor: &Learnt,
        factor: f32,
        memory: &mut Memory,
    ) -> Option<()> {
        let no_reads: [Span; 0] = [];
        let (_, [weight, a, b, c]) = memory.borrow(no_reads, self.spans(tensor.span))?;
        let copies = [numbers_mut(a)?, numbers_mut(b)?, numbers_mut(c)?];
        let rule = S::rule(&mut self.rules);
        let channels = match tensor.channels {
            Channels::Window { first, mask } => {
                let mask = ChannelMask::Window { first, mask };
                Some((usize::from(tensor.count), mask))
            }
            _ => None,
        };
        let weight = numbers_mut(weight)?;
        let mut update = Update::of(weight, copies, rule, tensor.is_bias, channels);
        update.step_from_sums(factor);
        Some(())
    }
}

impl Rules {
    /// Weights stay.
    fn at_rest(seed: u32) -> Self {
        Self {
            f32: Rule::at_rest(seed),
            q16: Rule::at_rest(seed),
            int8: Descent::at_rest(seed),
        }
    }
}
