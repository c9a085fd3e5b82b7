//! How well a model reads a data set, and the digest of all that it answered.

use nn_core::digest::Fnv1a;
use nn_core::model::Model;
use nn_core::session::{RunError, Session};
use rayon::prelude::*;

use crate::data::DataSet;
use crate::export::AlignedBytes;
use crate::fit::Fit;
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
    /// How near the predictions are, for samples that want a number: then `correct` counts those on the right side of
    /// the last number of their input.
    pub fit: Option<Fit>,
}

impl Evaluation {
    /// The share read rightly, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }

    fn new(classes: usize) -> Self {
        Self {
            samples: 0,
            correct: 0,
            digest: Fnv1a::new().finish(),
            confusion: vec![vec![0; classes]; classes],
            misread: Vec::new(),
            fit: None,
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
                    Ok(session.output(0).unwrap_or_default().to_vec())
                })
                .collect();
            progress.inc(chunk.len() as u64);
            answers
        })
        .collect();
    tally(model, set, answers?.into_iter().flatten().map(Ok))
}

fn tally<E>(
    model: &Model,
    set: &DataSet,
    answers: impl Iterator<Item = Result<Vec<u8>, EvaluateError<E>>>,
) -> Result<Evaluation, EvaluateError<E>> {
    let output = model.output(0).ok_or(SampleError::DType("none"))?;
    if output.elements() < set.classes {
        return Err(EvaluateError::Classes {
            wanted: set.classes,
            found: output.elements(),
        });
    }
    let mut evaluation = Evaluation::new(output.elements());
    let mut digest = Fnv1a::new();
    let mut predicted = Vec::new();
    for (answer, &label) in answers.zip(&set.labels) {
        let answer = answer?;
        digest.update(&answer);
        let scores = sample::scores(&output, &answer)?;
        match &set.values {
            None => evaluation.count(label.into(), sample::prediction(&scores)),
            Some(_) => predicted.push(f64::from(scores.first().copied().unwrap_or(0.0))),
        }
    }
    evaluation.digest = digest.finish();
    if let Some(values) = &set.values {
        let known = values.inputs.chunks(set.image_len().max(1));
        let last = known.map(|input| f64::from(input.last().copied().unwrap_or(0.0)));
        let truth: Vec<f64> = values.targets.iter().map(|&y| f64::from(y)).collect();
        let fit = Fit::of(&truth, &predicted, &last.collect::<Vec<_>>());
        evaluation.samples = fit.samples;
        evaluation.correct = fit.hits;
        evaluation.fit = Some(fit);
    }
    Ok(evaluation)
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
