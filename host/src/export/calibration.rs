//! Calibration: the ranges of a network's activations, and of what recurrent layers keep, on training samples.

use nn_core::model::Model;
use nn_core::ops::Op;
use nn_core::session::Session;
use nn_core::tensor::TensorId;
use rayon::prelude::*;

use super::network::Kind;
use super::recurrent::{States, Walk};
use super::{AlignedBytes, ExportError, Lowered, Network};
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

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// What an int8 blob needs to know of each layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    /// The range of a sample's numbers; of pixels the one that they may have.
    input: Range,
    /// The range of what each of its nodes gives, its own output last; nothing where that is not stored.
    outputs: Vec<Vec<Range>>,
    /// What each direction of a recurrent layer keeps.
    states: Vec<Vec<States>>,
}

impl Ranges {
    /// The same ranges of outputs, each so many times as wide.
    pub(super) fn widened(&self, times: f32) -> Self {
        let mut ranges = self.clone();
        for range in ranges.outputs.iter_mut().flatten() {
            (range.min, range.max) = (range.min * times, range.max * times);
        }
        ranges
    }

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
        let observed = indices
            .par_chunks(CHUNK)
            .map(|chunk| observe(&model, walkers(network, &lowered, &model), set, chunk))
            .try_reduce(
                || vec![Observed::NOTHING; model.nodes().len()],
                |a, b| Ok(a.into_iter().zip(b).map(|(a, b)| a.join(b)).collect()),
            )?;

        let mut ranges = Self {
            input: input(set),
            outputs: vec![Vec::new(); network.layers.len()],
            states: vec![Vec::new(); network.layers.len()],
        };
        for (&layer, observed) in lowered.outputs.iter().zip(observed) {
            let Observed { output, states } = observed;
            if !output.min.is_finite() || !output.max.is_finite() {
                let layer = network.layers[layer].name.clone();
                return Err(ExportError::Overflow { layer });
            }
            ranges.outputs[layer].push(output);
            // Nodes of a layer's directions come in their order.
            ranges.states[layer].extend(states);
        }
        Ok(ranges)
    }

    /// The range of a sample's numbers.
    pub(super) fn input(&self) -> Range {
        self.input
    }

    /// The range of layer `index`'s output.
    pub(super) fn of(&self, index: usize) -> Option<Range> {
        self.outputs.get(index)?.last().copied()
    }

    /// The range of what node `node` of layer `index` gives.
    pub(super) fn of_node(&self, index: usize, node: usize) -> Option<Range> {
        self.outputs.get(index)?.get(node).copied()
    }

    /// What each direction of the recurrent layer `index` keeps.
    pub(super) fn states(&self, index: usize) -> &[States] {
        self.states.get(index).map_or(&[], Vec::as_slice)
    }
}

/// The range of a sample's numbers.
fn input(set: &DataSet) -> Range {
    let pixels = Range { min: 0.0, max: 1.0 };
    let numbers = set.values.as_ref().map(|values| {
        let numbers = values.inputs.iter();
        numbers.fold(Range::NOTHING, |range, &x| {
            range.join(Range { min: x, max: x })
        })
    });
    numbers.unwrap_or(pixels)
}

/// What was seen of a node.
#[derive(Debug, Clone, Copy)]
struct Observed {
    output: Range,
    states: Option<States>,
}

impl Observed {
    const NOTHING: Self = Self {
        output: Range::NOTHING,
        states: None,
    };

    fn join(self, other: Self) -> Self {
        let states = match (self.states, other.states) {
            (Some(a), Some(b)) => Some(a.join(b)),
            (a, b) => a.or(b),
        };
        Self {
            output: self.output.join(other.output),
            states,
        }
    }
}

/// A direction of a recurrent layer, walked beside the session that runs it.
struct Walker<'n> {
    /// Its node, and the tensor that it reads.
    node: usize,
    x: TensorId,
    walk: Walk<'n>,
    reverse: bool,
    stateful: bool,
    /// The values of that tensor.
    values: Vec<f32>,
}

fn walkers<'n>(network: &'n Network, lowered: &Lowered, model: &Model) -> Vec<Walker<'n>> {
    let nodes = model.nodes().iter().zip(&lowered.outputs).enumerate();
    let walker = |(index, (node, &layer)): (usize, (nn_core::model::Node<'_>, &usize))| {
        let layer: &'n _ = &network.layers[layer];
        let node_layer = match node.op {
            Op::Rnn(rnn) => rnn.layer,
            Op::Lstm(lstm) => lstm.layer,
            Op::Gru(gru) => gru.layer,
            _ => return None,
        };
        let Kind::Recurrent(recurrent) = &layer.kind else {
            return None;
        };
        let direction = usize::from(node_layer.reverse);
        let weights = recurrent.directions.get(direction)?;
        Some(Walker {
            node: index,
            x: node.inputs.first()?,
            walk: Walk::new(recurrent.cell, weights.borrow(&layer.name)),
            reverse: node_layer.reverse,
            stateful: node_layer.stateful,
            values: Vec::new(),
        })
    };
    nodes.filter_map(walker).collect()
}

/// What is seen of each node over the samples at `indices`.
fn observe(
    model: &Model,
    mut walkers: Vec<Walker<'_>>,
    set: &DataSet,
    indices: &[usize],
) -> Result<Vec<Observed>, ExportError> {
    let mut arena = AlignedBytes::zeroed(model.arena_infer());
    let mut session = Session::new(*model, arena.as_mut_slice())?;
    let mut all = vec![Observed::NOTHING; model.nodes().len()];
    let input = model.input(0).ok_or(sample::SampleError::DType("none"))?;
    let input_id = model.inputs().first();
    let outputs: Vec<TensorId> = model.nodes().iter().map(|node| node.output).collect();
    for &index in indices {
        let bytes = set.encode(&input, index)?;
        keep(&mut walkers, input_id, &bytes);
        if let Some(input) = session.input_mut(0) {
            input.copy_from_slice(&bytes);
        }
        session.run_observed(|node, bytes| {
            let Some(seen) = all.get_mut(node) else {
                return;
            };
            for value in floats(bytes) {
                // Not a number passes through `min` and `max` unseen.
                let value = if value.is_nan() { f32::INFINITY } else { value };
                let (min, max) = (value, value);
                seen.output = seen.output.join(Range { min, max });
            }
            for walker in walkers.iter_mut().filter(|walker| walker.node == node) {
                if !walker.stateful {
                    walker.walk.reset();
                }
                let states = walker.walk.over(&walker.values, walker.reverse);
                let states = Some(states);
                let output = Range::NOTHING;
                *seen = seen.join(Observed { output, states });
            }
            keep(&mut walkers, outputs.get(node).copied(), bytes);
        })?;
    }
    Ok(all)
}

/// Keeps a tensor's values for those who read it.
fn keep(walkers: &mut [Walker<'_>], id: Option<TensorId>, bytes: &[u8]) {
    for walker in walkers.iter_mut().filter(|walker| Some(walker.x) == id) {
        walker.values = floats(bytes).collect();
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let words = bytes.chunks_exact(4);
    words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}
