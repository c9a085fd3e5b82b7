//! The learnt weights: read, replaced, compared with the blob's, and taken back to them.

use super::Trainer;
use crate::digest::Fnv1a;
use crate::memory::{LEARNT_ALIGN, Memory, Training};
use crate::model::Model;
use crate::tensor::DType;
use crate::train::TrainError;

impl Trainer<'_> {
    /// All learnt parameters in the order of the graph, each weight before its bias: little-endian, f32 or Q16; int8
    /// weights with biases of 32 bits, each tensor filled up with zeros to a multiple of four bytes.
    pub fn weights(&self) -> &[u8] {
        self.memory.get(..self.weights_len).unwrap_or(&[])
    }

    /// Whether all of [`weights`](Self::weights) are finite; those in fixed point are.
    pub fn weights_are_finite(&self) -> bool {
        self.are_finite(0, self.weights())
    }

    /// The digest of [`weights`](Self::weights).
    pub fn weights_digest(&self) -> u64 {
        let mut digest = Fnv1a::new();
        digest.update(self.weights());
        digest.finish()
    }

    /// Puts learnt parameters back, in the form of [`weights`](Self::weights); velocities become 0.
    pub fn load_weights(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        if bytes.len() != self.weights_len {
            return Err(TrainError::Values {
                wanted: self.weights_len / size_of::<f32>(),
                found: bytes.len() / size_of::<f32>(),
            });
        }
        self.write_weights(0, bytes)
    }

    /// Takes over what `other`, of the same model, has learnt: a copy and no more, for one that answers while another learns.
    ///
    /// What the optimizer keeps stays as it is. [`TrainError::Values`] where the other has other weights.
    pub fn take_weights(&mut self, other: &Trainer<'_>) -> Result<(), TrainError> {
        let bytes = other.weights();
        match self.memory.get_mut(..self.weights_len) {
            Some(own) if own.len() == bytes.len() => {
                own.copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(TrainError::Values {
                wanted: self.weights_len / size_of::<f32>(),
                found: bytes.len() / size_of::<f32>(),
            }),
        }
    }

    /// Replaces the learnt parameters from byte `offset` of [`weights`](Self::weights) on, for a link that carries
    /// them in pieces; velocities become 0.
    ///
    /// On an error (not finite, not whole numbers, or past the end) nothing has changed.
    pub fn write_weights(&mut self, offset: usize, bytes: &[u8]) -> Result<(), TrainError> {
        let refused = TrainError::Values {
            wanted: self.weights_len.saturating_sub(offset) / size_of::<f32>(),
            found: bytes.len() / size_of::<f32>(),
        };
        let finite = self.are_finite(offset, bytes);
        let weights = self.memory.get_mut(..self.weights_len).unwrap_or(&mut []);
        let end = offset.saturating_add(bytes.len());
        match weights.get_mut(offset..end) {
            Some(part) if finite && (offset | bytes.len()).is_multiple_of(4) => {
                part.copy_from_slice(bytes);
            }
            _ => return Err(refused),
        }
        self.clear_copies();
        Ok(())
    }

    /// Whether bytes that are to lie at `offset` of the weights are finite where those are f32.
    #[inline(never)]
    fn are_finite(&self, offset: usize, bytes: &[u8]) -> bool {
        let Ok(training) = Training::new(&self.model) else {
            return false;
        };
        let mut floats = training.learnt(&self.model).filter(|(id, ..)| {
            let tensor = self.model.tensor(*id);
            tensor.is_none_or(|tensor| tensor.dtype == DType::F32)
        });
        floats.all(|(_, first, len)| {
            let start = (first as usize).saturating_sub(offset).min(bytes.len());
            let end = (first as usize).saturating_add(len as usize);
            let end = end.saturating_sub(offset).min(bytes.len());
            let part = bytes.get(start..end).unwrap_or(&[]);
            let (values, _) = part.as_chunks::<4>();
            values.iter().all(|v| f32::from_le_bytes(*v).is_finite())
        })
    }

    /// Back to the blob's weights, and to the plan's first step; what the optimizer kept becomes 0, and so does the
    /// state of recurrent layers. Rates that were set stay.
    pub fn reset(&mut self) {
        let copies = usize::from(self.copies);
        restore(&self.model, self.memory, self.weights_len, copies);
        self.clear_copies();
        self.reset_state();
        self.learning.reset(self.seed);
        (self.samples, self.steps, self.stale) = (0, 0, true);
    }

    /// Begins a new sequence: the state of every recurrent layer becomes 0.
    ///
    /// A step that diverges may leave a state that is not finite; this mends it too.
    pub fn reset_state(&mut self) {
        self.passes.clear_state(&mut Memory {
            flash: self.model.weights(),
            ram: &mut *self.memory,
        });
    }

    pub(super) fn clear_copies(&mut self) {
        let end = self
            .weights_len
            .saturating_mul(1 + usize::from(self.copies));
        if let Some(copies) = self.memory.get_mut(self.weights_len..end) {
            copies.fill(0);
        }
        self.passes.clear_norms(&mut Memory {
            flash: &[],
            ram: &mut *self.memory,
        });
        self.pending = 0;
    }

    /// The parts of [`weights`](Self::weights) that differ from the blob's, each of at most `most` bytes (a multiple of 4, at
    /// least 4),
    /// with the byte of `weights` where it begins. A part never spans two tensors.
    ///
    /// What is written on a reset trainer by [`write_weights`](Self::write_weights), part by part, gives the same weights.
    pub fn changes(&self, most: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let (model, most) = (self.model(), most.max(1));
        let mut first = 0_usize;
        model.learnt().flat_map(move |range| {
            let own = model.weights().get(range).unwrap_or(&[]);
            let start = first;
            first = first.saturating_add(own.len().next_multiple_of(LEARNT_ALIGN));
            let learnt = self.weights().get(start..first).unwrap_or(&[]);
            let parts = learnt.chunks(most).zip(own.chunks(most)).enumerate();
            parts.filter_map(move |(index, (part, own))| {
                (part.get(..own.len()) != Some(own)).then_some((start + index * most, part))
            })
        })
    }

    /// Makes weights that are not finite the blob's, and forgets what the optimizer kept, if there are any.
    #[inline(never)]
    pub(super) fn mend(&mut self) -> bool {
        let learnt = self.memory.get_mut(..self.weights_len).unwrap_or(&mut []);
        let mended = mend(&self.model, learnt);
        if mended {
            self.clear_copies();
        }
        mended
    }
}

/// Copies the blob's learnt weights to the front of `memory`, and clears the copies behind them.
#[inline(never)]
pub(super) fn restore(model: &Model, memory: &mut [u8], weights_len: usize, copies: usize) {
    let end = weights_len.saturating_mul(1 + copies);
    let (learnt, rest) = memory.split_at_mut_checked(weights_len).unwrap_or_default();
    if let Some(copies) = rest.get_mut(..end.saturating_sub(weights_len)) {
        copies.fill(0);
    }
    learnt.fill(0);
    let mut first = 0_usize;
    for range in model.learnt() {
        let bytes = model.weights().get(range).unwrap_or(&[]);
        let to = learnt.get_mut(first..).unwrap_or(&mut []);
        for (from, to) in bytes.iter().zip(to) {
            *to = *from;
        }
        first = first.saturating_add(bytes.len().next_multiple_of(LEARNT_ALIGN));
    }
}

/// Puts the blob's number in the place of each learnt one in `memory` that is not finite; whether there was one.
#[inline(never)]
fn mend(model: &Model, memory: &mut [u8]) -> bool {
    let mut mended = false;
    let Ok(training) = Training::new(model) else {
        return false;
    };
    for (id, first, len) in training.learnt(model) {
        let Some(tensor) = model.tensor(id).filter(|tensor| tensor.dtype == DType::F32) else {
            continue;
        };
        let first = first as usize;
        let learnt = memory.get_mut(first..first.saturating_add(len as usize));
        let (learnt, _) = learnt.unwrap_or(&mut []).as_chunks_mut::<4>();
        let (own, _) = model.weight_bytes(&tensor).as_chunks::<4>();
        for (learnt, own) in learnt.iter_mut().zip(own) {
            if !f32::from_le_bytes(*learnt).is_finite() {
                *learnt = *own;
                mended = true;
            }
        }
    }
    mended
}
