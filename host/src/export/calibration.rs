//! Calibration: the ranges of a network's activations on training samples.

use nn_core::model::Model;
use nn_core::session::Session;
use rayon::prelude::*;

use super::{AlignedBytes, ExportError, Network};
use crate::data::DataSet;
use crate::sample;

/// Samples that one thread takes at a time.
const CHUNK: usize = 16;

/// The smallest and the largest value observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

impl Range {
    /// Of no value at all.
    const NOTHING: Self = Self {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
    };

    fn join(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// The range of each layer's output, where an int8 blob needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges(Vec<Option<Range>>);

impl Ranges {
    /// Runs `network` in f32 over all samples of `set`. The result does not depend on the count of
    /// threads.
    ///
    /// # Errors
    /// An empty set, images of another shape than the network reads, activations that overflow.
    pub fn measure(network: &Network, set: &DataSet) -> Result<Self, ExportError> {
        if set.is_empty() {
            return Err(ExportError::NoSamples);
        }
        let lowered = network.lower_to_calibrate()?;
        let model = Model::load(&lowered.bytes).map_err(nn_core::model::EncodeError::Invalid);
        let model = model.map_err(super::BuildError::from)?;
        let indices: Vec<usize> = (0..set.len()).collect();
        let nothing = || vec![Range::NOTHING; model.nodes().len()];
        let observed = indices
            .par_chunks(CHUNK)
            .map(|chunk| observe(&model, set, chunk))
            .try_reduce(nothing, |a, b| {
                Ok(a.into_iter().zip(b).map(|(a, b)| a.join(b)).collect())
            })?;

        let mut ranges = vec![None; network.layers.len()];
        for (&layer, range) in lowered.outputs.iter().zip(observed) {
            if !range.min.is_finite() || !range.max.is_finite() {
                let layer = network.layers[layer].name.clone();
                return Err(ExportError::Overflow { layer });
            }
            ranges[layer] = Some(range);
        }
        Ok(Self(ranges))
    }

    /// The range of layer `index`'s output.
    pub(super) fn of(&self, index: usize) -> Option<Range> {
        self.0.get(index).copied().flatten()
    }
}

/// The range of each node's output over the samples at `indices`.
fn observe(model: &Model, set: &DataSet, indices: &[usize]) -> Result<Vec<Range>, ExportError> {
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(*model, arena.as_mut_slice())?;
    let mut ranges = vec![Range::NOTHING; model.nodes().len()];
    let input = model.input(0).ok_or(sample::SampleError::DType("none"))?;
    for &index in indices {
        let bytes = sample::encode(&input, set.image(index))?;
        if let Some(input) = session.input_mut(0) {
            input.copy_from_slice(&bytes);
        }
        session.run_observed(|node, bytes| {
            let Some(range) = ranges.get_mut(node) else {
                return;
            };
            for word in bytes.chunks_exact(4) {
                let value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                // Not a number passes through `min` and `max` unseen.
                let value = if value.is_nan() { f32::INFINITY } else { value };
                *range = range.join(Range {
                    min: value,
                    max: value,
                });
            }
        })?;
    }
    Ok(ranges)
}
