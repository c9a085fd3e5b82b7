//! What of a node learns: the union of the rules that name it.

use crate::stored::{Reader, Writer};
use crate::train::{Part, SpecError, TrainRule, TrainSpec, Trainable};

/// Which output channels of a weight learn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Channels {
    /// Each.
    All,
    /// As [`Part::Channels`].
    Window {
        /// The channel of bit 0.
        first: u16,
        /// Bits of 64 channels.
        mask: u64,
    },
    /// As [`Part::TopChannels`].
    Top {
        /// How many.
        count: u16,
        /// Share of the running norm that stays.
        decay: f32,
    },
}

impl Channels {
    pub(crate) const fn read(from: &mut Reader) -> Self {
        match from.u8() {
            1 => Self::Window {
                first: from.u16(),
                mask: from.u64(),
            },
            2 => Self::Top {
                count: from.u16(),
                decay: from.f32(),
            },
            _ => Self::All,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        match self {
            Self::All => to.u8(0),
            Self::Window { first, mask } => {
                to.u8(1);
                to.u16(first);
                to.u64(mask);
            }
            Self::Top { count, decay } => {
                to.u8(2);
                to.u16(count);
                to.f32(decay);
            }
        }
    }
}

/// What of a node learns; `None` for what stays.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Selection {
    /// Of its weights.
    pub weight: Option<Channels>,
    /// Of its biases.
    pub bias: Option<Channels>,
}

impl Selection {
    /// What `rules` name of the node at `index` of the graph, after which `later` nodes have weights to learn; none where
    /// only a rule that names it by its index means it.
    pub(crate) fn by(
        rules: impl Iterator<Item = TrainRule>,
        index: usize,
        later: Option<usize>,
    ) -> Result<Self, SpecError> {
        let mut selection = Self::default();
        for rule in rules {
            let by_index = matches!(rule.nodes, Trainable::Nodes(_) | Trainable::Node(_));
            let is_meant = later.is_some() || by_index;
            if !is_meant || !rule.nodes.names(index, later.unwrap_or(usize::MAX)) {
                continue;
            }
            let channels = rule.part.channels();
            let join = |so_far: Option<Channels>| match so_far {
                None => Ok(Some(channels)),
                Some(so_far) => {
                    let union = so_far.union(channels).map(Some);
                    union.ok_or(SpecError::Channels { node: index })
                }
            };
            if rule.part != Part::Bias {
                selection.weight = join(selection.weight)?;
            }
            if rule.part != Part::Weight {
                selection.bias = join(selection.bias)?;
            }
        }
        Ok(selection)
    }

    /// Whether channels are chosen by their gradients.
    pub fn picks_top(&self) -> bool {
        let parts = [self.weight, self.bias];
        let mut parts = parts.iter().flatten();
        parts.any(|channels| matches!(channels, Channels::Top { .. }))
    }
}

impl Trainable {
    /// Whether it names the node at `index` of the graph, after which `later` nodes have weights to learn.
    pub fn names(self, index: usize, later: usize) -> bool {
        match self {
            Self::All => true,
            Self::Last(count) => later < usize::from(count),
            Self::Nodes(mask) => index < 64 && (mask >> index) & 1 == 1,
            Self::Node(node) => index == usize::from(node),
        }
    }
}

impl Part {
    fn channels(self) -> Channels {
        match self {
            Self::Channels { first, mask } => Channels::Window { first, mask },
            Self::TopChannels { count, decay } => Channels::Top { count, decay },
            _ => Channels::All,
        }
    }
}

impl Channels {
    /// What at least one of the two names; `None` where one rule cannot say it.
    fn union(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Some(Self::All),
            (
                Self::Window {
                    first: a,
                    mask: of_a,
                },
                Self::Window {
                    first: b,
                    mask: of_b,
                },
            ) => {
                let first = a.min(b);
                let moved = |from: u16, mask: u64| {
                    let by = u32::from(from.saturating_sub(first));
                    // No bit may fall out at the top.
                    (by <= mask.leading_zeros()).then(|| mask.checked_shl(by).unwrap_or(0))
                };
                let mask = moved(a, of_a)? | moved(b, of_b)?;
                Some(Self::Window { first, mask })
            }
            _ if self == other => Some(self),
            _ => None,
        }
    }
}

impl TrainSpec {
    /// What learns of the node at `index` of the graph, after which `later` nodes have weights to learn; none where only a
    /// rule that names it by its index means it.
    pub fn selection(&self, index: usize, later: Option<usize>) -> Result<Selection, SpecError> {
        Selection::by(self.rules.iter().copied(), index, later)
    }
}
