//! A graph in f32, in Q16 instead.
//!
//! Every f32 activation and weight becomes Q16, 16 integer and 16 fractional bits: rounded to the nearest multiple of
//! 2⁻¹⁶, saturated at ±32,768. Scales of int8 weights stay what they are, so that a graph with an int8 backbone keeps
//! it and its head becomes Q16.

use std::collections::HashSet;

use nn_core::scalar::{Q16, Scalar};
use nn_core::tensor::{DType, Quant, Source, TensorId};

use super::{BuildError, Builder, Entry};

/// A graph in Q16, and what became of its weights.
#[derive(Debug, Clone)]
pub struct InQ16 {
    /// The graph.
    pub builder: Builder,
    /// How many weights were converted.
    pub weights: usize,
    /// The weights that saturated, layer by layer; empty where all fit.
    pub saturated: Vec<Saturated>,
    /// How many weights other than 0 became 0.
    pub vanished: usize,
}

/// Weights of one layer that Q16 cannot hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Saturated {
    /// The layer.
    pub layer: String,
    /// How many of its weights.
    pub count: usize,
    /// The largest magnitude; infinite for weights that are infinite or not a number.
    pub largest: f32,
}

impl InQ16 {
    /// The graph, if no weight saturated.
    ///
    /// # Errors
    /// [`BuildError::OutOfRange`] for the first layer with weights that did.
    pub fn exact(self) -> Result<Builder, BuildError> {
        match self.saturated.into_iter().next() {
            None => Ok(self.builder),
            Some(Saturated {
                layer,
                count,
                largest,
            }) => Err(BuildError::OutOfRange {
                layer,
                count,
                largest,
            }),
        }
    }
}

impl Builder {
    /// The graph with every f32 activation and weight in Q16.
    pub fn to_q16(&self) -> InQ16 {
        let mut builder = self.clone();
        let scales: HashSet<TensorId> = self
            .tensors
            .iter()
            .filter_map(|tensor| match tensor.quant {
                Quant::PerChannel { scales } => Some(scales),
                _ => None,
            })
            .collect();
        let mut result = InQ16 {
            builder: Self::new(&self.name),
            weights: 0,
            saturated: Vec::new(),
            vanished: 0,
        };
        for (id, tensor) in (0..).zip(&mut builder.tensors) {
            if tensor.dtype != DType::F32 || scales.contains(&id) {
                continue;
            }
            if let Source::Weight { offset } = tensor.source {
                let start = offset as usize;
                let bytes = &mut builder.weights[start..start + tensor.bytes()];
                result.convert(bytes, || layer_of(&self.nodes, id));
            }
            tensor.dtype = DType::Q16;
        }
        result.builder = builder;
        result
    }
}

impl InQ16 {
    /// Converts the bytes of a weight tensor in place.
    fn convert(&mut self, bytes: &mut [u8], layer: impl Fn() -> String) {
        let (mut count, mut largest) = (0, 0f32);
        let limit = 32_768.0;
        for word in bytes.chunks_exact_mut(4) {
            let value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            let fixed = <Q16 as Scalar>::from_f32(value);
            self.weights += 1;
            // Not a number is out of range too.
            if !(-limit..limit).contains(&value) {
                count += 1;
                let magnitude = if value.is_nan() {
                    f32::INFINITY
                } else {
                    value.abs()
                };
                largest = largest.max(magnitude);
            }
            self.vanished += usize::from(value != 0.0 && fixed == Q16::ZERO);
            word.copy_from_slice(&fixed.to_bits().to_le_bytes());
        }
        if count > 0 {
            let layer = layer();
            match self.saturated.iter_mut().find(|known| known.layer == layer) {
                Some(known) => {
                    known.count += count;
                    known.largest = known.largest.max(largest);
                }
                None => self.saturated.push(Saturated {
                    layer,
                    count,
                    largest,
                }),
            }
        }
    }
}

/// The first layer of which a tensor is a weight.
fn layer_of(nodes: &[Entry], id: TensorId) -> String {
    let reader = nodes
        .iter()
        .find(|entry| entry.op.parameters().any(|parameter| parameter == id));
    reader.map_or_else(|| format!("tensor {id}"), |entry| entry.name.clone())
}
