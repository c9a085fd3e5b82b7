//! Fine-tuning on a device, sample by sample: accuracy before and after, and the weights that were learnt.

use std::ops::Range;

use nn_core::model::{LoadError, Model, reseal};
use nn_core::train::{Sgd, Target};

use crate::blob::{Blob, BlobError};
use crate::curve::Course;
use crate::data::DataSet;
use crate::device::{Device, DeviceError};
use crate::evaluate::{EvaluateError, Evaluation, evaluate, evaluate_here};
use crate::export::{AlignedBytes, TrainPlan};
use crate::sample::SampleError;
use crate::ui::{Progress, Ui};

/// Steps from one drawing of the learning curve to the next.
pub const LIVE: usize = 8;

/// What to learn from, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The samples learnt from, in order.
    pub training: DataSet,
    /// The samples that accuracy is measured on.
    pub test: DataSet,
    /// How often the training samples are gone through.
    pub passes: usize,
    /// The rates; `None` for those of the model's training plan.
    pub sgd: Option<Sgd>,
    /// At how many places along the way, beside the beginning and the end, the learnt weights are read back and
    /// measured.
    pub checkpoints: usize,
}

impl Plan {
    /// Whether the samples can teach `model`: by their class or their numbers, at its first output.
    ///
    /// # Errors
    /// [`TuneError::Heads`], which names the heads that the model has.
    pub fn check(&self, model: &Model<'_>) -> Result<(), TuneError> {
        let classes = self.training.classes;
        let numbers = self.numbers();
        let wanted = if classes > 0 { classes } else { numbers };
        let heads = TrainPlan::of(model).map_or_else(Vec::new, |plan| plan.heads);
        let size = |output: u8| model.output(output.into()).map_or(0, |y| y.elements());
        // One output tells two classes apart.
        let fits = size(0) == wanted || (classes == 2 && size(0) == 1);
        if matches!(heads[..], [ref head] if head.output == 0 && fits) {
            return Ok(());
        }
        let name = |output: u8| {
            let id = model.outputs().as_slice().get(usize::from(output)).copied();
            let mut nodes = model.nodes().iter();
            let node = nodes.find(|node| Some(node.output) == id);
            node.map_or_else(|| "an input".to_owned(), |node| format!("`{}`", node.name))
        };
        let heads = heads.iter().map(|head| {
            let output = head.output;
            let (name, size) = (name(output), size(output));
            format!("{} at {name} (output {output}, {size} numbers)", head.loss)
        });
        let heads: Vec<String> = heads.collect();
        Err(TuneError::Heads {
            model: model.name().to_owned(),
            heads: match heads[..] {
                [] => "nothing".to_owned(),
                _ => heads.join(" and "),
            },
            set: self.training.name.clone(),
            what: if classes > 0 { "class" } else { "numbers" },
            wanted,
        })
    }

    /// How many numbers a sample wants.
    fn numbers(&self) -> usize {
        let values = self.training.values.as_ref();
        values.map_or(0, |values| values.columns.len())
    }

    /// What sample `index` teaches a model that gives `outputs` numbers; `number` is room for one.
    fn target<'t>(&'t self, index: usize, outputs: usize, number: &'t mut [f32; 1]) -> Target<'t> {
        let set = &self.training;
        match &set.values {
            Some(values) if set.classes == 0 => {
                let width = values.columns.len();
                Target::Values(&values.targets[index * width..(index + 1) * width])
            }
            _ if outputs == 1 => {
                *number = [f32::from(set.labels[index])];
                Target::Values(number)
            }
            // Labels are bytes.
            _ => Target::Class(set.label(index) as u16),
        }
    }
}

/// Why fine-tuning ended early.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A model whose heads are not one that the samples can teach.
    #[error(
        "{model} learns {heads}; a sample of {set} teaches its {what}, so wanted one head, at the first output, \
         with {wanted} numbers. Name in [export.train] only layers that lie below that head and no other, and export \
         the format head or head-q16: heads that stay in int8 teach nothing"
    )]
    Heads {
        /// The model.
        model: String,
        /// Its heads: output, size, loss.
        heads: String,
        /// The data set.
        set: String,
        /// What its samples teach: a class, or numbers.
        what: &'static str,
        /// How many classes or numbers those are.
        wanted: usize,
    },
    /// A sample that does not fit the model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Measuring accuracy failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError<DeviceError>),
    /// The learnt weights do not make a model.
    #[error("the learnt weights do not fit the model: {0}")]
    Weights(#[from] LoadError),
    /// The model with the learnt weights cannot be used.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Measuring accuracy in this process failed.
    #[error("measuring the learnt weights on the host failed: {0}")]
    Host(String),
}

/// Accuracy after some samples.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct CurvePoint {
    /// Samples learnt so far.
    pub samples: usize,
    /// The share of the test samples read rightly with the weights learnt so far; of numbers there is none.
    pub accuracy: Option<f64>,
    /// R² of the first number that is wanted, if any.
    pub r2: Option<f64>,
}

impl CurvePoint {
    fn of(samples: usize, evaluation: &Evaluation) -> Self {
        Self {
            samples,
            accuracy: evaluation.accuracy(),
            r2: evaluation.fit().map(|fit| fit.r2),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// On the device, before the first step.
    pub before: Evaluation,
    /// On the device, after the last.
    pub after: Evaluation,
    /// Steps done.
    pub steps: usize,
    /// Loss and hit of each step, before its update.
    pub course: Course,
    /// FNV-1a 64 over the learnt weights, told by the device.
    pub digest: u64,
    /// The learnt weights, read back from the device.
    pub weights: Vec<u8>,
    /// Accuracy along the way, from the weights read back.
    pub curve: Vec<CurvePoint>,
}

/// Fine-tunes `blob` on `device`.
///
/// # Errors
/// [`TuneError`]; the device keeps what it learnt until it is reset.
pub fn tune(
    device: &mut dyn Device,
    blob: &Blob,
    plan: &Plan,
    ui: &Ui,
) -> Result<Tuning, TuneError> {
    let model = blob.model();
    plan.check(&model)?;
    let input = model.input(0).ok_or(SampleError::DType("none"))?;
    if let Some(sgd) = plan.sgd {
        device.set_sgd(sgd)?;
    }
    let measure = |device: &mut dyn Device, label: &str| {
        let progress = ui.progress(label, plan.test.len() as u64);
        evaluate(&model, &plan.test, &progress, |input| device.infer(input))
    };
    let before = measure(device, "before")?;
    let steps = plan.training.len() * plan.passes;
    let stops = stops(steps, plan.checkpoints);
    let mut curve = vec![CurvePoint::of(0, &before)];
    let outputs = model.output(0).map_or(0, |y| y.elements());
    let mut course = Course::default();
    let progress = ui.progress("learning", steps as u64);
    for step in 0..steps {
        let index = step % plan.training.len();
        let bytes = plan.training.encode(&input, index)?;
        let mut number = [0.0];
        let target = plan.target(index, outputs, &mut number);
        let report = device.train(&bytes, target)?;
        let hit = match target {
            Target::Class(class) => Some(report.prediction == class),
            _ => None,
        };
        course.push(report.loss, hit);
        if step % LIVE == 0 {
            progress.message(course.line());
        }
        progress.inc(1);
        if stops.contains(&(step + 1)) {
            let learnt = with_weights(blob, &device.read_weights()?)?;
            let evaluation = measure_here(&learnt, &plan.test, &progress)?;
            curve.push(CurvePoint::of(step + 1, &evaluation));
        }
    }
    progress.finish();
    let after = measure(device, "after")?;
    curve.push(CurvePoint::of(steps, &after));
    Ok(Tuning {
        before,
        after,
        steps,
        course,
        digest: device.weights_digest()?,
        weights: device.read_weights()?,
        curve,
    })
}

/// Where to measure along the way: closer together at the beginning, where most is learnt.
fn stops(steps: usize, count: usize) -> Vec<usize> {
    let mut stops: Vec<usize> = (1..=count)
        .map(|index| {
            let share = index as f64 / (count + 1) as f64;
            (share * share * steps as f64).round() as usize
        })
        .filter(|&stop| stop > 0 && stop < steps)
        .collect();
    stops.dedup();
    stops
}

fn measure_here(blob: &Blob, test: &DataSet, progress: &Progress) -> Result<Evaluation, TuneError> {
    let silent = Ui::silent().progress("curve", test.len() as u64);
    progress.message("measuring what was learnt");
    evaluate_here(&blob.model(), test, &silent).map_err(|error| TuneError::Host(error.to_string()))
}

/// The model with `learnt` in place of the weights that its training plan names.
///
/// # Errors
/// Another number of bytes than the plan's weights have.
pub fn with_weights(blob: &Blob, learnt: &[u8]) -> Result<Blob, TuneError> {
    let model = blob.model();
    let start = model.header().weights_at as usize;
    let ranges: Vec<_> = model.learnt().collect();
    // Each begins at a whole word.
    let room = |range: &Range<usize>| range.len().next_multiple_of(4);
    let wanted = ranges.iter().map(room).sum::<usize>();
    if wanted != learnt.len() {
        return Err(TuneError::Sample(SampleError::Length {
            shape: Vec::new(),
            wanted: wanted / 4,
            found: learnt.len() / 4,
        }));
    }
    let mut bytes = AlignedBytes::copy_of(blob.bytes());
    let mut learnt = learnt;
    for range in ranges {
        let (values, rest) = learnt.split_at(room(&range));
        let values = &values[..range.len()];
        bytes.as_mut_slice()[start + range.start..start + range.end].copy_from_slice(values);
        learnt = rest;
    }
    reseal(bytes.as_mut_slice())?;
    Ok(Blob::new(blob.path(), bytes)?)
}

#[cfg(test)]
mod tests {
    use nn_core::ops::Activation;
    use nn_core::tensor::{DType, Quant};
    use nn_core::train::{Head, Loss, TrainSpec, Trainable};

    use std::path::Path;

    use super::*;
    use crate::data::{Column, Values};
    use crate::device::{self, Place};
    use crate::export::Builder;

    #[test]
    fn stops_crowd_at_the_beginning_and_lie_inside() {
        assert_eq!(stops(1000, 4), [40, 160, 360, 640]);
        assert!(stops(3, 9).iter().all(|&stop| stop > 0 && stop < 3));
        assert!(stops(0, 4).is_empty());
    }

    /// A model of dense heads of these sizes on one trunk, each with a loss.
    fn heads(sizes: &[usize], losses: &[Head]) -> AlignedBytes {
        let mut builder = Builder::new("heads");
        let x = builder.input(&[4], DType::F32, Quant::None).unwrap();
        let outputs = sizes.iter().enumerate().map(|(index, &size)| {
            let (name, weight) = (format!("head_{index}"), vec![0.1; 4 * size]);
            let bias = vec![0.0; size];
            builder.dense(&name, x, &weight, &bias, Activation::None)
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>().unwrap();
        let spec = TrainSpec::sgd(Trainable::Last(1), Loss::MeanSquaredError, 0.1);
        builder.finish(&outputs, spec.with_heads(losses)).unwrap()
    }

    /// Numbers teach a head of as many, one number tells two classes apart.
    #[test]
    fn numbers_teach_a_head_of_as_many() {
        let set = |classes, labels: &[u8], targets: &[f32], columns: &[&str]| DataSet {
            name: "rows".to_owned(),
            shape: [1, 1, 4],
            classes,
            images: Vec::new(),
            labels: labels.to_vec(),
            values: Some(Values {
                inputs: (0..4 * labels.len()).map(|at| at as f32 / 8.0).collect(),
                targets: targets.to_vec(),
                columns: columns.iter().map(|&name| Column::plain(name)).collect(),
                features: Vec::new(),
                series: false,
            }),
        };
        let plan = |set: DataSet| Plan {
            training: set.clone(),
            test: set,
            passes: 60,
            sgd: None,
            checkpoints: 1,
        };
        let head = Head::new(Loss::MeanSquaredError);
        let tuned = |plan: &Plan, outputs: usize| {
            let blob = Blob::new(Path::new("rows.mote"), heads(&[outputs], &[head])).unwrap();
            let mut device = device::open(&Place::Host, &blob, &Ui::silent()).unwrap();
            tune(device.as_mut(), &blob, plan, &Ui::silent())
        };
        let numbers = plan(set(0, &[0; 2], &[0.3, -0.2, 0.1, 0.7], &["a", "b"]));
        let tuning = tuned(&numbers, 2).unwrap();
        let [before, after] = [&tuning.before, &tuning.after].map(|all| all.fits.clone());
        assert_eq!((before.len(), after[1].column.as_str()), (2, "b"));
        assert!(
            after[0].fit.rmse < before[0].fit.rmse / 2.0,
            "{before:?} {after:?}"
        );
        assert!(
            tuning
                .curve
                .iter()
                .all(|at| at.accuracy.is_none() && at.r2.is_some())
        );
        let error = tuned(&numbers, 3).unwrap_err().to_string();
        let words = "a sample of rows teaches its numbers, so wanted one head, at the first output, with 2 numbers";
        assert!(error.contains(words), "{error}");
        let classes = plan(set(2, &[0, 1], &[], &[]));
        let tuning = tuned(&classes, 1).unwrap();
        assert_eq!(tuning.after.accuracy(), Some(1.0));
    }

    #[test]
    fn a_class_teaches_one_head_and_the_others_are_named() {
        let set = DataSet {
            name: "digits".to_owned(),
            shape: [2, 2, 1],
            classes: 3,
            images: vec![0; 4],
            labels: vec![0],
            values: None,
        };
        let plan = Plan {
            training: set.clone(),
            test: set,
            passes: 1,
            sgd: None,
            checkpoints: 0,
        };
        let [first, second] = [0, 1].map(|output| Head::new(Loss::MeanSquaredError).at(output));
        let check = |sizes: &[usize], losses: &[Head]| {
            let blob = heads(sizes, losses);
            plan.check(&Model::load(&blob).unwrap())
        };
        check(&[3], &[first]).unwrap();
        for (sizes, losses, words) in [
            (
                &[3, 4][..],
                &[first, second][..],
                "learns mse at `head_0` (output 0, 3 numbers) and mse at `head_1` (output 1, 4 numbers); a sample of \
                 digits teaches its class, so wanted one head, at the first output, with 3 numbers",
            ),
            (
                &[3, 3],
                &[second],
                "learns mse at `head_1` (output 1, 3 numbers)",
            ),
            (
                &[4],
                &[first],
                "learns mse at `head_0` (output 0, 4 numbers)",
            ),
        ] {
            let error = check(sizes, losses).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
