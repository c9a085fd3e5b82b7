//! A device that reads a few samples, beside this machine.

use crate::blob::Blob;
use crate::data::DataSet;
use crate::device::{self, BuildError, DeviceError, Place};
use crate::zoo::lab::Lab;
use crate::zoo::{Exported, Figure, ZooError};

/// Test samples that a device reads, too.
const ON_DEVICE: usize = 20;

impl Lab<'_> {
    /// Whether a device answers as this machine does: the first blob that fits it, on a few samples.
    pub(super) fn on_device(
        &mut self,
        models: &[Exported],
        test: &DataSet,
    ) -> Result<(), ZooError> {
        let place = self.settings.place.clone();
        if place == Place::Host {
            return Ok(());
        }
        let samples = test.first(ON_DEVICE);
        for model in models {
            let blob = Blob::open(&model.path)?;
            let mut device = match device::open(&place, &blob, self.ui) {
                Err(DeviceError::Build(BuildError::TooLarge { reason, .. })) => {
                    let note = format!("{} has no room on {place}: {reason}", blob.model().name());
                    self.notes.push(note);
                    continue;
                }
                other => other?,
            };
            let mut here = device::open(&Place::Host, &blob, self.ui)?;
            let model = blob.model();
            let missing = || ZooError::Measure(format!("{} has no input", model.name()));
            let input = model.input(0).ok_or_else(missing)?;
            // Each answers with its first output.
            let mut equal = true;
            for index in 0..samples.len() {
                let sample = samples.encode(&input, index)?;
                equal &= here.infer(&sample)? == device.infer(&sample)?;
            }
            device.finish()?;
            let name = format!("{}: answers of {place} are this machine's", model.name());
            let equal = f64::from(u8::from(equal));
            self.agreements.push(Figure::exact(name, 1.0, equal));
            return Ok(());
        }
        Ok(())
    }
}
