//! The cases in which devices are held to the host: every operator in every number format that it has, small enough
//! for a board of 16 KB.
//!
//! A device runs all of them in one image: see `nn_core::conformance`.

mod draft;
mod int8;
mod real;

use host::export::AlignedBytes;
use nn_core::conformance::{NoMeter, Outcome, check};
use nn_core::model::Model;
use nn_core::ops::AllOps;
use nn_core::tensor::{DType, Source};

/// A blob that everyone must agree about.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Its model.
    pub blob: AlignedBytes,
}

impl Case {
    fn new(name: impl Into<String>, blob: AlignedBytes) -> Self {
        Self {
            name: name.into(),
            blob,
        }
    }

    /// Its model.
    ///
    /// # Panics
    ///
    /// When the blob is refused.
    pub fn model(&self) -> Model<'_> {
        Model::load(&self.blob).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// What comes of it here.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn outcome(&self) -> Outcome {
        let model = self.model();
        let bytes = model.arena_infer().max(model.arena_train());
        let mut arena = AlignedBytes::zeroed(bytes);
        let outputs = 0..model.outputs().as_slice().len();
        let outputs = outputs.filter_map(|index| model.output(index));
        let mut room = vec![0.0; outputs.map(|output| output.elements()).sum()];
        check::<AllOps>(&self.blob, arena.as_mut_slice(), &mut room, &mut NoMeter)
            .unwrap_or_else(|fault| panic!("{}: {fault:?}", self.name))
            .0
    }

    /// The numbers of its operators, each with the formats in which its inputs and outputs are.
    pub fn operators(&self) -> Vec<(u8, DType)> {
        let model = self.model();
        let nodes = model.nodes().iter();
        let dtypes = nodes.flat_map(|node| {
            let inputs = node.inputs.as_slice().iter().copied();
            let ids = inputs.chain([node.output]);
            let tensors = ids.filter_map(|id| model.tensor(id));
            let activations = tensors.filter(|tensor| tensor.source == Source::Activation);
            activations
                .map(|tensor| (node.op.number(), tensor.dtype))
                .collect::<Vec<_>>()
        });
        dtypes.collect()
    }
}

/// All cases, in an order that stays.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::Q16] {
        cases.extend(real::cases(dtype));
    }
    cases.extend(int8::cases());
    cases
}
