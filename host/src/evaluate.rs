//! How well a model reads a data set, and the digest of all that it answered.

use nn_core::digest::Fnv1a;
use nn_core::model::Model;
use nn_core::session::{RunError, Session};
use rayon::prelude::*;
use serde::Serialize;

use crate::data::DataSet;
use crate::export::AlignedBytes;
use crate::fit::Fit;
use crate::metrics::{self, Metrics, Told};
use crate::sample::{self, SampleError};
use crate::ui::Progress;

/// Samples that one thread takes at a time.
const CHUNK: usize = 64;

/// Why an evaluation ended early. `E` is the device's own error.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError<E> {
    /// A sample that does not fit the model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// More classes in the labels than outputs in the model.
    #[error("the data set has {wanted} classes, the model {found} outputs")]
    Classes {
        /// The data set's.
        wanted: usize,
        /// The model's.
        found: usize,
    },
    /// The model cannot be set up in an arena of the size that its header states.
    #[error("{0}; export the model again with `mote export RECIPE`")]
    Setup(#[from] nn_core::SetupError),
    /// The device did not answer.
    #[error(transparent)]
    Device(E),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    has_accuracy: bool,
    /// The class of each sample, where there are classes.
    labels: Vec<usize>,
    /// What the first output gives for each, and how many numbers that is.
    scores: Vec<f32>,
    width: usize,
    /// Samples read.
    pub samples: usize,
    /// Samples read rightly.
    pub correct: usize,
    /// FNV-1a 64 over all output bytes, in the order of the samples.
    pub digest: u64,
    /// `confusion[label][prediction]` counts samples.
    pub confusion: Vec<Vec<u32>>,
    /// Samples misread: index, label, prediction.
    pub misread: Vec<(usize, usize, usize)>,
    /// How near the predictions are, number by number that a sample wants, in the unit of its column. Of a series,
    /// `correct` counts those on the right side of the last number of their input.
    pub fits: Vec<ColumnFit>,
}

/// How near the predictions of one number are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnFit {
    /// What it is.
    pub column: String,
    /// How near.
    #[serde(flatten)]
    pub fit: Fit,
}

impl Evaluation {
    /// The share read rightly, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }

    /// That share; `None` where numbers are wanted that follow no others, and nothing is right or wrong.
    pub fn accuracy(&self) -> Option<f64> {
        self.has_accuracy.then(|| self.share())
    }

    /// How well classes are told apart, where there are classes; `top` is the k of top-k.
    pub fn metrics(&self, top: Option<usize>) -> Option<Metrics> {
        let told = Told {
            labels: &self.labels,
            scores: &self.scores,
            width: self.width,
        };
        (!self.labels.is_empty()).then(|| told.metrics(top))
    }

    /// How near the first number that is wanted comes, where there is one.
    pub fn fit(&self) -> Option<Fit> {
        self.fits.first().map(|first| first.fit)
    }

    fn new(classes: usize, width: usize, has_accuracy: bool) -> Self {
        Self {
            has_accuracy,
            labels: Vec::new(),
            scores: Vec::new(),
            width,
            samples: 0,
            correct: 0,
            digest: Fnv1a::new().finish(),
            confusion: vec![vec![0; classes]; classes],
            misread: Vec::new(),
            fits: Vec::new(),
        }
    }

    fn count(&mut self, label: usize, prediction: usize) {
        self.confusion[label][prediction] += 1;
        if label == prediction {
            self.correct += 1;
        } else {
            self.misread.push((self.samples, label, prediction));
        }
        self.samples += 1;
    }
}

/// Reads each sample of `set` through `infer`, which takes a model's input bytes and returns its output bytes.
///
/// # Errors
/// [`EvaluateError`], at the first sample that fails.
pub fn evaluate<E>(
    model: &Model,
    set: &DataSet,
    progress: &Progress,
    mut infer: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Evaluation, EvaluateError<E>> {
    let x = model.input(0).ok_or(SampleError::DType("none"))?;
    let answers = (0..set.len()).map(|index| {
        let input = set.encode(&x, index)?;
        let answer = infer(&input).map_err(EvaluateError::Device)?;
        progress.inc(1);
        Ok(answer)
    });
    tally(model, set, answers)
}

/// Reads each sample of `set` in this process, on all cores. The result does not depend on how many there are.
///
/// # Errors
/// [`EvaluateError`], at the first sample that fails.
pub fn evaluate_here(
    model: &Model,
    set: &DataSet,
    progress: &Progress,
) -> Result<Evaluation, EvaluateError<RunError>> {
    let x = model.input(0).ok_or(SampleError::DType("none"))?;
    let indices: Vec<usize> = (0..set.len()).collect();
    let answers: Result<Vec<Vec<Vec<u8>>>, EvaluateError<RunError>> = indices
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut arena = AlignedBytes::zeroed(model.arena_infer());
            let mut session = Session::new(*model, arena.as_mut_slice())?;
            let answers = chunk
                .iter()
                .map(|&index| {
                    let input = set.encode(&x, index)?;
                    if let Some(bytes) = session.input_mut(0) {
                        bytes.copy_from_slice(&input);
                    }
                    session.run().map_err(EvaluateError::Device)?;
                    Ok(outputs(model, &session))
                })
                .collect();
            progress.inc(chunk.len() as u64);
            answers
        })
        .collect();
    tally(model, set, answers?.into_iter().flatten().map(Ok))
}

/// The bytes of all outputs, one after another.
fn outputs(model: &Model, session: &Session) -> Vec<u8> {
    let all = (0..model.outputs().as_slice().len()).filter_map(|index| session.output(index));
    all.flatten().copied().collect()
}

fn tally<E>(
    model: &Model,
    set: &DataSet,
    answers: impl Iterator<Item = Result<Vec<u8>, EvaluateError<E>>>,
) -> Result<Evaluation, EvaluateError<E>> {
    let output = model.output(0).ok_or(SampleError::DType("none"))?;
    // One output tells two classes apart.
    let binary = set.classes == 2 && output.elements() == 1;
    if output.elements() < set.classes && !binary {
        return Err(EvaluateError::Classes {
            wanted: set.classes,
            found: output.elements(),
        });
    }
    let has_classes = set.classes > 0;
    let classes = output.elements().max(set.classes);
    let mut evaluation = Evaluation::new(classes, output.elements(), set.has_accuracy());
    let mut digest = Fnv1a::new();
    let mut predicted = Vec::new();
    for (answer, &label) in answers.zip(&set.labels) {
        let answer = answer?;
        digest.update(&answer);
        let mut scores = heads(model, &answer)?;
        if has_classes {
            let told = scores.drain(..output.elements());
            let prediction = metrics::prediction(told.as_slice());
            evaluation.labels.push(label.into());
            evaluation.scores.extend(told);
            evaluation.count(label.into(), prediction);
        } else {
            evaluation.samples += 1;
        }
        predicted.push(scores);
    }
    evaluation.digest = digest.finish();
    evaluation.compare(set, &predicted);
    Ok(evaluation)
}

/// The numbers of an answer: of the first output, and of those after it that the answer goes on with.
fn heads(model: &Model, answer: &[u8]) -> Result<Vec<f32>, SampleError> {
    let mut scores = Vec::new();
    let mut rest = answer;
    for index in 0..model.outputs().as_slice().len() {
        let Some(output) = model.output(index) else {
            break;
        };
        // A device answers with its first output alone.
        if index > 0 && rest.is_empty() {
            break;
        }
        let (bytes, after) = rest.split_at(output.bytes().min(rest.len()));
        scores.extend(sample::scores(&output, bytes)?);
        rest = after;
    }
    Ok(scores)
}

impl Evaluation {
    /// How near the numbers `predicted` of each sample come to those of `set`.
    fn compare(&mut self, set: &DataSet, predicted: &[Vec<f32>]) {
        self.fits = fits(set, predicted);
        if let Some(fit) = self.fit().filter(|_| set.is_series()) {
            self.correct = fit.hits;
        }
    }
}

/// How near the numbers `predicted` of each sample come to those of `set`, number by number that it wants.
pub fn fits(set: &DataSet, predicted: &[Vec<f32>]) -> Vec<ColumnFit> {
    let mut fits = Vec::new();
    let Some(values) = &set.values else {
        return fits;
    };
    let width = values.columns.len();
    for (at, column) in values.columns.iter().enumerate() {
        let told = predicted.iter().filter_map(|numbers| numbers.get(at));
        let told: Vec<f64> = told.map(|&number| column.number(number)).collect();
        if told.len() < predicted.len() {
            break;
        }
        let truth = values.targets.iter().skip(at).step_by(width);
        let truth: Vec<f64> = truth.map(|&number| column.number(number)).collect();
        let fit = match values.series {
            false => Fit::plain(&truth, &told),
            true => {
                let known = values.inputs.chunks(set.image_len().max(1));
                let last = known.map(|input| input.last().copied().unwrap_or(0.0));
                let last: Vec<f64> = last.map(|number| column.number(number)).collect();
                Fit::of(&truth, &told, &last)
            }
        };
        let column = column.name.clone();
        fits.push(ColumnFit { column, fit });
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Builder;
    use crate::ui::Ui;
    use nn_core::ops::{Activation, Op};
    use nn_core::tensor::{DType, Quant};

    /// Two pixels, two classes: the brighter pixel wins.
    fn brighter() -> AlignedBytes {
        let mut builder = Builder::new("brighter");
        let x = builder.input(&[1, 2, 1], DType::F32, Quant::None).unwrap();
        let x = builder.flatten("flatten", x).unwrap();
        let x = builder
            .dense(
                "dense",
                x,
                &[1.0, 0.0, 0.0, 1.0],
                &[0.0, 0.0],
                Activation::None,
            )
            .unwrap();
        let y = builder.same("softmax", Op::Softmax(None), x).unwrap();
        builder.finish(&[y], None).unwrap()
    }

    fn set(samples: usize) -> DataSet {
        DataSet {
            name: "pairs".to_owned(),
            shape: [1, 2, 1],
            classes: 2,
            images: (0..2 * samples).map(|i| (i * 37 % 251) as u8).collect(),
            labels: (0..samples).map(|i| (i % 2) as u8).collect(),
            values: None,
        }
    }

    #[test]
    fn in_parallel_or_one_by_one_the_result_is_the_same() {
        let blob = brighter();
        let model = Model::load(&blob).unwrap();
        let set = set(200);
        let progress = Ui::silent().progress("test", 200);
        let here = evaluate_here(&model, &set, &progress).unwrap();
        let mut arena = AlignedBytes::zeroed(model.arena_infer());
        let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
        let one_by_one = evaluate(&model, &set, &progress, |input| {
            session.input_mut(0).unwrap().copy_from_slice(input);
            session.run()?;
            Ok::<_, RunError>(session.output(0).unwrap().to_vec())
        })
        .unwrap();
        assert_eq!(here, one_by_one);
        assert_eq!(here.samples, 200);
        let wanted = set
            .iter()
            .filter(|(image, label)| usize::from(image[1] > image[0]) == *label)
            .count();
        assert_eq!(here.correct, wanted);
        assert_eq!(here.misread.len(), 200 - wanted);
    }

    #[test]
    fn more_classes_than_outputs_are_refused() {
        let blob = brighter();
        let model = Model::load(&blob).unwrap();
        let mut set = set(4);
        set.classes = 10;
        let progress = Ui::silent().progress("test", 4);
        let error = evaluate_here(&model, &set, &progress).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the data set has 10 classes, the model 2 outputs"
        );
    }
}
