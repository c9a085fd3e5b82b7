use nn_core::ops::{Activation, Op};
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, TrainSpec, Trainable};

use super::*;
use crate::export::Builder;

/// Two pixels, two classes; at first the brighter pixel is the class.
fn brighter() -> Blob {
    let mut builder = Builder::new("brighter");
    let x = builder.input(&[1, 2, 1], DType::F32, Quant::None).unwrap();
    let x = builder.flatten("flatten", x).unwrap();
    let weight = [2.0, -2.0, -2.0, 2.0];
    let y = builder
        .dense("dense", x, &weight, &[0.0; 2], Activation::None)
        .unwrap();
    let y = builder.same("softmax", Op::Softmax(None), y).unwrap();
    let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, 0.5);
    let bytes = builder.finish(&[y], Some(spec)).unwrap();
    Blob::new("brighter.mote".as_ref(), bytes).unwrap()
}

/// Writer 1 writes as the blob reads; writer 2 the other way round.
fn two_writers() -> (DataSet, Vec<Writer>) {
    let count = 80;
    let images = (0..count).flat_map(|at: u8| match at % 2 {
        0 => [200 - at, 20],
        _ => [20, 200 - at],
    });
    let set = DataSet {
        name: "pairs".to_owned(),
        shape: [1, 2, 1],
        classes: 2,
        images: images.collect(),
        labels: (0..count).map(|at| (at % 2) ^ u8::from(at >= 40)).collect(),
        values: None,
    };
    let writers = [0..40, 40..80].map(|digits| Writer {
        id: 1 + u32::from(digits.start > 0),
        digits: digits.collect(),
    });
    (set, writers.to_vec())
}

fn plan(writers: &[Writer], learning_rate: f32) -> Plan<'_> {
    Plan {
        writers,
        samples: vec![10, 20],
        passes: 5,
        sgd: Some(Sgd {
            learning_rate,
            momentum: 0.0,
            weight_decay: 0.0,
        }),
    }
}

#[test]
fn a_writer_is_learnt_and_the_next_begins_anew() {
    let (blob, (set, writers)) = (brighter(), two_writers());
    let plan = plan(&writers, 0.5);
    let trials = personalize_here(&blob, &set, &plan, &Ui::silent()).unwrap();
    let found: Vec<_> = trials
        .iter()
        .map(|trial| {
            (
                trial.writer,
                trial.samples,
                trial.tests,
                trial.before,
                trial.after,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (1, 10, 30, 0, 0),
            (1, 20, 20, 0, 0),
            (2, 10, 30, 30, 0),
            (2, 20, 20, 20, 0)
        ]
    );
    assert!(trials.iter().all(|trial| trial.kept && trial.refused == 0));
    // One device, one writer after the other: the same to the bit.
    let mut device = Here::new(&blob).unwrap();
    let again = personalize(&mut device, &blob, &set, &plan, &Ui::silent()).unwrap();
    assert_eq!(again, trials);
    assert_eq!(digest(&again), digest(&trials));
}

/// Digits that contradict each other teach nothing, and a rate that is absurd makes it worse: the blob stays.
#[test]
fn what_makes_it_worse_is_not_kept() {
    let (blob, (mut set, writers)) = (brighter(), two_writers());
    set.images = [120, 100].repeat(80);
    for rate in [1e3, 1e30] {
        let plan = plan(&writers[..1], rate);
        let trials = personalize_here(&blob, &set, &plan, &Ui::silent()).unwrap();
        for trial in &trials {
            assert!(!trial.kept, "{trial:?}");
            assert_eq!(trial.after, trial.before);
        }
    }
}

#[test]
fn too_few_digits_are_refused() {
    let (blob, (set, writers)) = (brighter(), two_writers());
    let plan = Plan {
        samples: vec![40],
        ..plan(&writers, 0.1)
    };
    let error = personalize_here(&blob, &set, &plan, &Ui::silent()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 40 digits; wanted more than 40")
    );
}
