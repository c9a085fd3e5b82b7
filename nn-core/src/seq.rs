//! Lists of the graph section, decoded as they are walked, so that they cost no RAM.

use core::fmt;
use core::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tensor::TensorId;

/// The most tensors that a node reads, and the most inputs or outputs of a graph.
pub const MAX_NODE_INPUTS: usize = 4;

/// A list of up to [`MAX_NODE_INPUTS`] tensor ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    len: u8,
    ids: [TensorId; MAX_NODE_INPUTS],
}

impl Ids {
    /// A list of `ids`; `None` where there are too many.
    pub fn new(ids: &[TensorId]) -> Option<Self> {
        let mut list = Self {
            len: u8::try_from(ids.len()).ok()?,
            ids: [0; MAX_NODE_INPUTS],
        };
        list.ids.get_mut(..ids.len())?.copy_from_slice(ids);
        Some(list)
    }

    /// A list of one.
    pub const fn one(id: TensorId) -> Self {
        Self {
            len: 1,
            ids: [id, 0, 0, 0],
        }
    }

    /// The ids.
    pub fn as_slice(&self) -> &[TensorId] {
        self.ids.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The first id.
    pub fn first(&self) -> Option<TensorId> {
        self.as_slice().first().copied()
    }
}

impl Serialize for Ids {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdsVisitor;

        impl<'de> Visitor<'de> for IdsVisitor {
            type Value = Ids;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("up to four tensor ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ids, A::Error> {
                let mut list = Ids {
                    len: 0,
                    ids: [0; MAX_NODE_INPUTS],
                };
                while let Some(id) = seq.next_element()? {
                    let slot = list
                        .ids
                        .get_mut(usize::from(list.len))
                        .ok_or_else(|| serde::de::Error::custom("more than four ids"))?;
                    *slot = id;
                    list.len += 1;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(IdsVisitor)
    }
}

/// A list in the graph section, decoded item by item.
pub struct Seq<'m, T> {
    bytes: &'m [u8],
    len: usize,
    item: PhantomData<T>,
}

impl<T> Clone for Seq<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seq<'_, T> {}

impl<T> fmt::Debug for Seq<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({})", self.len)
    }
}

impl<'m, T: Deserialize<'m>> Seq<'m, T> {
    /// Takes a list off the front of `bytes`; `None` where it is cut short or malformed.
    pub(crate) fn take(bytes: &'m [u8]) -> Option<(Self, &'m [u8])> {
        let (len, items) = postcard::take_from_bytes::<u32>(bytes).ok()?;
        let len = usize::try_from(len).ok()?;
        let mut rest = items;
        for _ in 0..len {
            rest = postcard::take_from_bytes::<T>(rest).ok()?.1;
        }
        let seq = Self {
            bytes: items,
            len,
            item: PhantomData,
        };
        Some((seq, rest))
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Walks the items.
    pub fn iter(&self) -> SeqIter<'m, T> {
        SeqIter {
            bytes: self.bytes,
            left: self.len,
            item: PhantomData,
        }
    }

    /// Item `index`, decoding all before it.
    pub fn nth(&self, index: usize) -> Option<T> {
        self.iter().nth(index)
    }
}

impl<'m, T: Deserialize<'m>> IntoIterator for Seq<'m, T> {
    type Item = T;
    type IntoIter = SeqIter<'m, T>;

    fn into_iter(self) -> SeqIter<'m, T> {
        self.iter()
    }
}

/// Walks a [`Seq`].
#[derive(Debug)]
pub struct SeqIter<'m, T> {
    bytes: &'m [u8],
    left: usize,
    item: PhantomData<T>,
}

impl<'m, T: Deserialize<'m>> Iterator for SeqIter<'m, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let (item, rest) = postcard::take_from_bytes(self.bytes).ok()?;
        self.bytes = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}
