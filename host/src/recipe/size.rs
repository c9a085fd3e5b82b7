//! Counts and window sizes, as recipes write them.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// Largest count, size or stride that a recipe may name: keeps every product within 64 bits.
const LARGEST: u64 = 1 << 16;

/// A count of at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(usize);

impl Size {
    pub(super) fn one() -> Self {
        Self(1)
    }

    /// The count.
    pub fn get(self) -> usize {
        self.0
    }
}

/// Samples in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// So many; the last step of an epoch has those that are left.
    Samples(Size),
    /// All: one step an epoch.
    All,
}

impl Batch {
    /// Samples in one step, of so many in an epoch.
    pub fn of(self, samples: usize) -> usize {
        match self {
            Self::Samples(size) => size.get(),
            Self::All => samples.max(1),
        }
    }
}

/// Height and width; a recipe may give one number for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair([usize; 2]);

impl Pair {
    pub(super) fn one() -> Self {
        Self([1, 1])
    }

    /// Along the rows.
    pub fn height(self) -> usize {
        self.0[0]
    }

    /// Along the columns.
    pub fn width(self) -> usize {
        self.0[1]
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.0[0], self.0[1])
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {LARGEST}")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Size, E> {
                let error = || E::invalid_value(de::Unexpected::Unsigned(value), &self);
                match usize::try_from(value) {
                    Ok(size) if (1..=LARGEST).contains(&value) => Ok(Size(size)),
                    _ => Err(error()),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Size, E> {
                let error = || E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value)
                    .map_err(|_| error())
                    .and_then(|value| self.visit_u64(value))
            }
        }
        deserializer.deserialize_u64(Count)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeOrAll;
        impl Visitor<'_> for SizeOrAll {
            type Value = Batch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {LARGEST}, or \"all\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Batch, E> {
                let error = || E::invalid_value(de::Unexpected::Unsigned(value), &self);
                match usize::try_from(value) {
                    Ok(size) if (1..=LARGEST).contains(&value) => Ok(Batch::Samples(Size(size))),
                    _ => Err(error()),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Batch, E> {
                let error = || E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value)
                    .map_err(|_| error())
                    .and_then(|value| self.visit_u64(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Batch, E> {
                match text {
                    "all" => Ok(Batch::All),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(SizeOrAll)
    }
}

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrTwo;
        impl<'de> Visitor<'de> for OneOrTwo {
            type Value = Pair;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "a whole number from 1 to {LARGEST}, or two: [height, width]"
                )
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Pair, E> {
                let error = || E::invalid_value(de::Unexpected::Unsigned(value), &self);
                match usize::try_from(value) {
                    Ok(size) if (1..=LARGEST).contains(&value) => Ok(Pair([size, size])),
                    _ => Err(error()),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Pair, E> {
                let error = || E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value)
                    .map_err(|_| error())
                    .and_then(|value| self.visit_u64(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pair, A::Error> {
                let mut pair = [0; 2];
                for (index, item) in pair.iter_mut().enumerate() {
                    let size: Option<Size> = items.next_element()?;
                    *item = size
                        .ok_or_else(|| de::Error::invalid_length(index, &self))?
                        .get();
                }
                if items.next_element::<Size>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &self));
                }
                Ok(Pair(pair))
            }
        }
        deserializer.deserialize_any(OneOrTwo)
    }
}
