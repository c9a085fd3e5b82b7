//! A training plan, read in place: what a device keeps of a [`TrainSpec`], which takes hundreds of bytes.

use serde::{Deserialize, Serialize};

use crate::seq::Seq;
use crate::train::{
    Clip, Head, List, Loss, MAX_HEADS, MAX_RULES, Optimizer, Part, Schedule, Selection, SpecError,
    TrainRule, TrainSpec,
};

/// How a plan learns: all of it but the rules and the heads, in the order of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    pub(crate) optimizer: Optimizer,
    pub(crate) learning_rate: f32,
    pub(crate) schedule: Schedule,
    pub(crate) clip: Clip,
    pub(crate) accumulate: u16,
    pub(crate) seed: u32,
}

impl Rates {
    /// Whether gradients are summed first, and the optimizer steps later.
    pub(crate) fn accumulates(&self) -> bool {
        self.accumulate > 1 || matches!(self.clip, Clip::Norm(_))
    }

    /// How many numbers are kept for each weight that learns, besides itself.
    pub(crate) fn copies(&self) -> usize {
        self.optimizer.copies() + usize::from(self.accumulates())
    }

    /// What goes beyond plain stochastic gradient descent, sample by sample.
    pub(crate) fn beyond_plain(&self) -> Option<&'static str> {
        let clip = (self.clip != Clip::None).then_some("clipping");
        let sums = (self.accumulate > 1).then_some("accumulation");
        self.optimizer.beyond_plain().or(clip).or(sums)
    }

    /// Whether each field is in its range.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        self.optimizer.check()?;
        SpecError::penalty("learning_rate", self.learning_rate)?;
        self.schedule.check()?;
        self.clip.check()?;
        let found = f32::from(self.accumulate);
        SpecError::unless(self.accumulate > 0, "accumulate", "at least 1", found)
    }
}

/// A list, in a blob or in memory.
#[derive(Debug, Clone, Copy)]
enum Items<'m, T> {
    Coded(Seq<'m, T>),
    Given(&'m [T]),
}

impl<'m, T: Deserialize<'m> + Copy> Items<'m, T> {
    fn get(&self, index: usize) -> Option<T> {
        match self {
            Self::Coded(seq) => seq.nth(index),
            Self::Given(items) => items.get(index).copied(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        let items = *self;
        (0..).map_while(move |index| items.get(index))
    }
}

/// A training plan, read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanView<'m> {
    rules: Items<'m, TrainRule>,
    heads: Items<'m, Head>,
    rates: RatesOf<'m>,
}

#[derive(Debug, Clone, Copy)]
enum RatesOf<'m> {
    Coded(&'m [u8]),
    Given(&'m TrainSpec),
}

impl<'m> PlanView<'m> {
    /// Takes a plan off the front of `bytes`; `None` where it is cut short or malformed.
    pub(crate) fn take(bytes: &'m [u8]) -> Option<(Self, &'m [u8])> {
        let (rules, rest) = Seq::<TrainRule>::take(bytes)?;
        let (heads, rest) = Seq::<Head>::take(rest)?;
        if rules.len() > MAX_RULES || heads.len() > MAX_HEADS {
            return None;
        }
        let rates = rest;
        let (_, rest) = postcard::take_from_bytes::<Rates>(rest).ok()?;
        let view = Self {
            rules: Items::Coded(rules),
            heads: Items::Coded(heads),
            rates: RatesOf::Coded(rates),
        };
        Some((view, rest))
    }

    /// The view of a plan in memory.
    pub(crate) fn of(spec: &'m TrainSpec) -> Self {
        Self {
            rules: Items::Given(spec.rules.as_slice()),
            heads: Items::Given(spec.heads.as_slice()),
            rates: RatesOf::Given(spec),
        }
    }

    /// The losses.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head> {
        self.heads.iter()
    }

    /// How it learns; `None` where the bytes do not hold it, which [`take`](Self::take) has refused.
    #[inline(never)]
    pub(crate) fn rates(&self) -> Option<Rates> {
        match self.rates {
            RatesOf::Coded(bytes) => Some(postcard::take_from_bytes(bytes).ok()?.0),
            RatesOf::Given(spec) => Some(spec.rates_of()),
        }
    }

    /// What learns of the node at `index` of the graph, after which `later` nodes have weights to learn.
    pub(crate) fn selection(
        &self,
        index: usize,
        later: Option<usize>,
    ) -> Result<Selection, SpecError> {
        Selection::by(self.rules.iter(), index, later)
    }

    /// Whether each field is in its range.
    #[inline(never)]
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        check_rules(self.rules.iter())?;
        check_heads(self.heads.iter())?;
        self.rates().ok_or(SpecError::NoHeads)?.check()
    }

    /// The plan as a value.
    pub(crate) fn spec(&self) -> Option<TrainSpec> {
        let rates = self.rates()?;
        let mut spec = TrainSpec {
            rules: List::default(),
            heads: List::default(),
            optimizer: rates.optimizer,
            learning_rate: rates.learning_rate,
            schedule: rates.schedule,
            clip: rates.clip,
            accumulate: rates.accumulate,
            seed: rates.seed,
        };
        self.rules
            .iter()
            .try_for_each(|rule| spec.rules.push(rule))?;
        self.heads
            .iter()
            .try_for_each(|head| spec.heads.push(head))?;
        Some(spec)
    }
}

fn check_rules(rules: impl Iterator<Item = TrainRule>) -> Result<(), SpecError> {
    let mut any = false;
    for rule in rules {
        any = true;
        match rule.part {
            Part::Channels { mask, .. } => {
                SpecError::unless(mask != 0, "channels.mask", "not empty", 0.0)?;
            }
            Part::TopChannels { count, decay } => {
                let found = f32::from(count);
                SpecError::unless(count > 0, "top_channels.count", "at least 1", found)?;
                let fits = (0.0..1.0).contains(&decay);
                SpecError::unless(fits, "top_channels.decay", "at least 0 and below 1", decay)?;
            }
            _ => {}
        }
    }
    any.then_some(()).ok_or(SpecError::NoRules)
}

fn check_heads(heads: impl Iterator<Item = Head>) -> Result<(), SpecError> {
    // Bit i: output i has a head. Bit 7: there is one.
    let mut taken = 0u8;
    for head in heads {
        let output = head.output;
        // A graph has at most four outputs: one past them is refused with the model.
        let bit = if output < 7 { 1 << output } else { 0 };
        if taken & bit != 0 {
            return Err(SpecError::TwoHeads { output });
        }
        taken |= bit | 1 << 7;
        let above_0 = |name, value: f32| {
            let fits = value > 0.0 && value.is_finite();
            SpecError::unless(fits, name, "finite and above 0", value)
        };
        above_0("head.weight", head.weight)?;
        if let Loss::Huber { delta } = head.loss {
            above_0("huber.delta", delta)?;
        }
    }
    (taken != 0).then_some(()).ok_or(SpecError::NoHeads)
}
