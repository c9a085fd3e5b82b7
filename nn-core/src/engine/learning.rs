//! What a backward pass updates with.

use crate::engine::{BackFrame, Frame};
use crate::memory::{Memory, Span, numbers, numbers_mut};
use crate::ops::dense::Weights;
use crate::scalar::{Q16, Scalar};
use crate::tensor::DType;
use crate::train::{
    ChannelMask, Channels, Clip, MAX_COPIES, Optimizer, Pace, Rule, Sums, Update, select_top,
    update_norms,
};

/// The most output channels of a layer that learns in those of the largest gradients.
pub(crate) const MAX_TOP_CHANNELS: usize = 512;

/// The rates of a step in each number format.
#[derive(Debug)]
pub(crate) struct Rules {
    f32: Rule<f32>,
    q16: Rule<Q16>,
}

/// The rates of a step, and where the copies of the weights lie.
#[derive(Debug)]
pub(crate) struct Learning {
    rules: Rules,
    /// Bytes of all learnt weights: from a weight to its first copy, and from copy to copy.
    stride: u32,
    /// How many copies there are.
    copies: u8,
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
pub(crate) struct Pick {
    pub(crate) weight: Channels,
    pub(crate) bias: Channels,
    /// The running norms of the channels' gradients.
    pub(crate) norms: Span,
    /// How many channels there are.
    pub(crate) channels: u16,
    pub(crate) dtype: DType,
}

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
pub(crate) struct Learnt {
    pub(crate) span: Span,
    pub(crate) dtype: DType,
    pub(crate) is_bias: bool,
    /// Which channels learn, of how many.
    pub(crate) channels: Option<(Channels, u16)>,
}

impl Learnt {
    pub(crate) const NOTHING: Self = Self {
        span: Span::NOTHING,
        dtype: DType::F32,
        is_bias: false,
        channels: None,
    };
}

/// Where a parameter and its copies lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// To be read, where it stays.
    pub(crate) frozen: Span,
    /// To be written, where it learns: the weights, then their copies.
    pub(crate) learning: [Span; 1 + MAX_COPIES],
    is_bias: bool,
    /// Which channels learn, of how many.
    channels: Option<(Channels, u16)>,
}

impl Parameter {
    /// Whether it learns.
    pub(crate) fn learns(&self) -> bool {
        let [weight, ..] = self.learning;
        !weight.is_empty()
    }
}

impl Learning {
    pub(crate) fn new(rules: Rules, stride: u32, copies: u8) -> Self {
        Self {
            rules,
            stride,
            copies,
            top: [0; MAX_TOP_CHANNELS / 32],
        }
    }

    /// Takes up the rates of a step. Random numbers go on.
    #[inline(never)]
    pub(crate) fn set_pace(&mut self, optimizer: &Optimizer, clip: Clip, sums: bool, pace: Pace) {
        let rng = self.rules.q16.rng();
        self.rules = Rules::new(optimizer, clip, sums, pace, rng);
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

    /// Parameter `index` of a step.
    #[inline(never)]
    pub(crate) fn parameter(&self, frame: &Frame, back: &BackFrame, index: usize) -> Parameter {
        let span = frame.parameter(index);
        let is_bias = back.back.is_bias(index);
        if !back.back.learns(index) {
            return Parameter {
                frozen: span,
                learning: [Span::NOTHING; 1 + MAX_COPIES],
                is_bias,
                channels: None,
            };
        }
        Parameter {
            frozen: Span::NOTHING,
            learning: self.spans(span),
            is_bias,
            channels: back.pick.map(|pick| {
                let channels = if is_bias { pick.bias } else { pick.weight };
                (channels, pick.channels)
            }),
        }
    }

    /// The weights of a parameter, borrowed: `frozen` and `learning` are the bytes of its spans.
    #[inline(never)]
    pub(crate) fn weights<'w, S: Learns>(
        &'w mut self,
        parameter: &Parameter,
        frozen: &'w [u8],
        learning: [&'w mut [u8]; 1 + MAX_COPIES],
    ) -> Option<Weights<'w, S>> {
        if !parameter.learns() {
            return Some(Weights::Frozen(numbers(frozen)?));
        }
        let [weight, a, b, c] = learning;
        let copies = [numbers_mut(a)?, numbers_mut(b)?, numbers_mut(c)?];
        let rule = S::rule(&mut self.rules);
        let mut update = Update::with_copies(numbers_mut(weight)?, copies, rule);
        if parameter.is_bias {
            update = update.biases();
        }
        match parameter.channels {
            Some((Channels::Window { first, mask }, count)) => {
                let mask = ChannelMask::Window { first, mask };
                update = update.only(usize::from(count), mask);
            }
            Some((Channels::Top { .. }, count)) => {
                update = update.only(usize::from(count), ChannelMask::Bits(&self.top));
            }
            _ => {}
        }
        Some(Weights::Learning(update))
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
        let mut update = Update::<S>::with_copies(numbers_mut(weight)?, copies, rule);
        if tensor.is_bias {
            update = update.biases();
        }
        if let Some((Channels::Window { first, mask }, count)) = tensor.channels {
            update = update.only(usize::from(count), ChannelMask::Window { first, mask });
        }
        update.step_from_sums(factor);
        Some(())
    }
}

impl Rules {
    /// The rules of `optimizer` for one step.
    pub(crate) fn new(
        optimizer: &Optimizer,
        clip: Clip,
        sums: bool,
        pace: Pace,
        rng: crate::scalar::XorShift32,
    ) -> Self {
        Self {
            f32: Rule::new(optimizer, clip, sums, pace, rng),
            q16: Rule::new(optimizer, clip, sums, pace, rng),
        }
    }
}
