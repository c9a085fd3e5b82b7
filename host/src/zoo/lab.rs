//! Where the networks of the zoo run.

use std::path::Path;

use nn_core::tensor::{DType, Quant, Tensor, TensorId};
use nn_core::train::{Target, TrainSpec};

use super::{Exported, Figure, Settings, ZooError};
use crate::blob::Blob;
use crate::device::{self, Device};
use crate::export::{BuildError, Builder, Inspection};
use crate::sample;
use crate::ui::Ui;

/// A number format in which a network computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    F32,
    Q16,
}

impl Numbers {
    pub(super) const ALL: [Self; 2] = [Self::F32, Self::Q16];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Q16 => "Q16",
        }
    }

    /// An error that a few roundings of numbers below 1 may add up to.
    pub(super) fn few_roundings(self) -> f64 {
        match self {
            // Eight of half a unit in the last place of a number of 24 bits.
            Self::F32 => 8.0 * 2f64.powi(-25),
            // Eight of half a step of 2⁻¹⁶.
            Self::Q16 => 8.0 * 2f64.powi(-17),
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Q16 => DType::Q16,
        }
    }
}

/// Where networks run, and what they took.
#[derive(Debug)]
pub(super) struct Lab<'l> {
    pub(super) settings: &'l Settings,
    pub(super) ui: &'l Ui,
    arena: usize,
    parameters: u64,
    /// Where the data are to be had that were asked for last.
    pub(super) source: Option<String>,
    /// What is to be said beside figures.
    pub(super) notes: Vec<String>,
    /// The blobs of what was trained.
    pub(super) models: Vec<Exported>,
    /// Whether devices answered as this machine does.
    pub(super) agreements: Vec<Figure>,
}

impl<'l> Lab<'l> {
    pub(super) fn new(settings: &'l Settings, ui: &'l Ui) -> Self {
        Self {
            settings,
            ui,
            arena: 0,
            parameters: 0,
            source: None,
            notes: Vec::new(),
            models: Vec::new(),
            agreements: Vec::new(),
        }
    }

    /// Counts a network of so many bytes of arena, with so many parameters.
    pub(super) fn count(&mut self, arena: usize, parameters: u64) {
        self.arena = self.arena.max(arena);
        self.parameters = self.parameters.max(parameters);
    }

    /// Bytes of the largest arena so far.
    pub(super) fn arena(&self) -> usize {
        self.arena
    }

    /// Weights and biases of the largest network so far.
    pub(super) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// A network from an input of `shape` on, as `layers` adds them.
    pub(super) fn net(
        &mut self,
        name: &str,
        numbers: Numbers,
        shape: &[usize],
        spec: Option<TrainSpec>,
        layers: impl FnOnce(&mut Builder, TensorId) -> Result<TensorId, BuildError>,
    ) -> Result<Net, ZooError> {
        let mut builder = Builder::new(name);
        let x = builder.input(shape, numbers.dtype(), Quant::None)?;
        let y = layers(&mut builder, x)?;
        let (input, output) = (builder.tensor(x), builder.tensor(y));
        let blob = Blob::new(Path::new(name), builder.finish(&[y], spec)?)?;
        let layers = Inspection::of(&blob).layers;
        let own = layers.iter().map(|layer| layer.parameters).sum();
        let device = device::open(&self.settings.place, &blob, self.ui)?;
        self.count(device.info().arena, own);
        Ok(Net {
            device,
            input,
            output,
        })
    }

    /// Progress over `total` steps.
    pub(super) fn progress(&self, label: &str, total: u64) -> crate::ui::Progress {
        self.ui.progress(label, total)
    }
}

/// A network that runs.
pub(super) struct Net {
    device: Box<dyn Device>,
    input: Tensor,
    output: Tensor,
}

impl Net {
    /// Its output.
    pub(super) fn run(&mut self, x: &[f32]) -> Result<Vec<f64>, ZooError> {
        let x = sample::encode_values(&self.input, x)?;
        let y = self.device.infer(&x)?;
        let y = sample::scores(&self.output, &y)?;
        Ok(y.into_iter().map(f64::from).collect())
    }

    /// A step of learning; the loss before it.
    pub(super) fn train(&mut self, x: &[f32], y: &[f32]) -> Result<f64, ZooError> {
        let x = sample::encode_values(&self.input, x)?;
        let report = self.device.train(&x, Target::Values(y))?;
        Ok(report.loss.into())
    }

    /// What it has learnt: the weights of each layer, then its biases.
    pub(super) fn weights(&mut self) -> Result<Vec<f64>, ZooError> {
        let bytes = self.device.read_weights()?;
        let (words, _) = bytes.as_chunks::<4>();
        let value = |word: &[u8; 4]| match self.input.dtype {
            DType::Q16 => f64::from(i32::from_le_bytes(*word)) / 65536.0,
            _ => f64::from(f32::from_le_bytes(*word)),
        };
        Ok(words.iter().map(value).collect())
    }

    /// Ends its session.
    pub(super) fn finish(mut self) -> Result<(), ZooError> {
        Ok(self.device.finish()?)
    }
}
