//! Each loss: PyTorch's value and gradient, central differences, and the same bits as the first losses.

use super::*;
use crate::ops::Activation;
use crate::scalar::{BOUNDS, Q16};
use crate::train::{Criterion, Ending, Loss, Target, TrainError};

const LOGITS: [f64; 4] = [0.5, -1.25, 2.0, 0.0];
const SPREAD: [f32; 4] = [0.125, 0.25, 0.5, 0.125];
const WEIGHTS: [f32; 4] = [1.0, 0.5, 2.0, 0.25];
const YES: [f32; 4] = [1.0, 0.0, 0.25, 1.0];
const HUBER: Loss = Loss::Huber { delta: 0.75 };

/// The output that rows of logits give, in f64.
fn output(ending: Ending, logits: &[f64], classes: usize) -> Vec<f64> {
    let mut output = Vec::new();
    for row in logits.chunks(classes) {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        output.extend(row.iter().map(|x| match ending {
            Ending::Softmax => x.exp() / sum,
            Ending::LogSoftmax => x - sum.ln(),
            Ending::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Ending::Other => *x,
        }));
    }
    output
}

/// Value and gradient of nn-core at the logits. `tolerance` is for both.
#[track_caller]
fn compare<S: Scalar>(
    criterion: Criterion,
    logits: &[f64],
    target: Target,
    wanted: (f64, &[f64]),
    tolerance: f64,
) {
    let classes = if criterion.classes == 0 {
        logits.len()
    } else {
        criterion.classes
    };
    let mut y: Vec<S> = narrow(&output(criterion.ending, logits, classes));
    assert_eq!(criterion.check(y.len(), &target), Ok(()));
    let what = std::format!("{criterion:?} in {}", core::any::type_name::<S>());
    let value = f64::from(criterion.value(&y, &target));
    assert_near(&[value], &[wanted.0], tolerance, &what);
    criterion.gradient(&mut y, &target, Activation::None);
    assert_near(&wide(&y), wanted.1, tolerance, &what);
}

/// In each format. f32: some roundings of numbers below 2, within 2^−22; p = e^x / Σ e^x is off by two of exp's bounds,
/// times weights that sum to at most 1.3 (a sigmoid by less); values of at most 1.4 are logarithms. Q16 within 2^−13: a p of a softmax is off by
/// its half step of 2^−17, and the logarithm of the smallest p here, 0.03, makes 2^−12 · ¼ of it.
#[track_caller]
fn compare_all(criterion: Criterion, logits: &[f64], target: Target, wanted: (f64, &[f64])) {
    let tolerance = 2f64.powi(-22) + 3.0 * BOUNDS.exp.relative + 2.0 * BOUNDS.ln.relative;
    compare::<f32>(criterion, logits, target, wanted, tolerance);
    compare::<Q16>(criterion, logits, target, wanted, 2f64.powi(-13));
}

#[test]
fn pytorch_gives_the_same() {
    use super::golden::{
        ABSOLUTE, BINARY, BINARY_WEIGHTED, CROSS_ENTROPY, CROSS_ENTROPY_SPREAD,
        CROSS_ENTROPY_STEPS, CROSS_ENTROPY_WEIGHTED_STEPS, SQUARED, SQUARED_WEIGHTED,
    };
    for ending in [Ending::Softmax, Ending::LogSoftmax] {
        let entropy = Criterion::new(Loss::CrossEntropy, ending);
        compare_all(entropy, &LOGITS, Target::Class(2), CROSS_ENTROPY);
        let one_hot = Target::Values(&[0.0, 0.0, 1.0, 0.0]);
        compare_all(entropy, &LOGITS, one_hot, CROSS_ENTROPY);
        let weighted = entropy.with_class_weights(&WEIGHTS);
        let spread = Target::Values(&SPREAD);
        compare_all(weighted, &LOGITS, spread, CROSS_ENTROPY_SPREAD);
        let mut steps = LOGITS.to_vec();
        steps.extend(LOGITS.iter().rev());
        steps.extend(LOGITS.map(|x| x * 0.5));
        let classes = Target::Classes(&[2, Target::IGNORED, 1]);
        let rows = entropy.with_rows(4);
        compare_all(rows, &steps, classes, CROSS_ENTROPY_STEPS);
        let rows = weighted.with_rows(4);
        compare_all(rows, &steps, classes, CROSS_ENTROPY_WEIGHTED_STEPS);
    }
    let yes = Target::Values(&YES);
    let binary = Criterion::new(Loss::BinaryCrossEntropy, Ending::Sigmoid);
    compare_all(binary, &LOGITS, yes, BINARY);
    compare_all(
        binary.with_class_weights(&WEIGHTS),
        &LOGITS,
        yes,
        BINARY_WEIGHTED,
    );
    let plain = |loss| Criterion::new(loss, Ending::Other);
    compare_all(plain(Loss::MeanSquaredError), &LOGITS, yes, SQUARED);
    compare_all(plain(Loss::MeanAbsoluteError), &LOGITS, yes, ABSOLUTE);
    compare_all(plain(HUBER), &LOGITS, yes, super::golden::HUBER);
    compare_all(
        plain(Loss::MeanSquaredError).with_class_weights(&WEIGHTS),
        &LOGITS,
        yes,
        SQUARED_WEIGHTED,
    );
}

/// The loss of logits in f64, written from the definitions and not from the code.
fn reference(criterion: Criterion, logits: &[f64], target: &[f64], counted: &[bool]) -> f64 {
    let classes = criterion.classes;
    let y = output(criterion.ending, logits, classes);
    let rows = counted.iter().filter(|counted| **counted).count() as f64;
    let mut sum = 0.0;
    for (index, (y, t)) in y.iter().zip(target).enumerate() {
        if !counted[index / classes] {
            continue;
        }
        let weights = criterion.class_weights;
        let w = weights.get(index % classes).map_or(1.0, |w| f64::from(*w));
        let e = (y - t).abs();
        let n = classes as f64;
        sum += w * match criterion.loss {
            Loss::CrossEntropy if criterion.ending == Ending::LogSoftmax => -t * y,
            Loss::CrossEntropy => -t * y.ln(),
            Loss::BinaryCrossEntropy => -(t * y.ln() + (1.0 - t) * (1.0 - y).ln()) / n,
            Loss::MeanSquaredError => e * e / n,
            Loss::MeanAbsoluteError => e / n,
            Loss::Huber { delta } => {
                let d = f64::from(delta);
                let parabola = e * e / 2.0;
                (if e <= d {
                    parabola
                } else {
                    d * e - d * d / 2.0
                }) / n
            }
        };
    }
    f64::from(criterion.weight) * sum / rows
}

/// Every loss, over random sizes and targets: the gradient against central differences of the definition. Their own
/// error is below 10⁻⁸ (h = 10⁻⁵, f64) where no |y − t| is so near a kink that h steps over it.
#[test]
fn gradients_are_the_slopes_of_the_definitions() {
    let mut draw = Draw(0);
    let losses = [
        (Loss::CrossEntropy, Ending::Softmax),
        (Loss::CrossEntropy, Ending::LogSoftmax),
        (Loss::BinaryCrossEntropy, Ending::Sigmoid),
        (Loss::MeanSquaredError, Ending::Other),
        (Loss::MeanAbsoluteError, Ending::Other),
        (HUBER, Ending::Other),
    ];
    for round in 0..120 {
        let (loss, ending) = losses[round % losses.len()];
        assert!(loss.accepts(ending));
        let (steps, classes) = (1 + draw.below(4), 1 + draw.below(6));
        let weights: Vec<f32> = narrow(&draw.values(classes, 0.5));
        let weights: Vec<f32> = weights.iter().map(|w| w + 1.0).collect();
        let criterion = Criterion::new(loss, ending)
            .with_rows(classes)
            .with_weight(1.5)
            .with_class_weights(if round % 2 == 0 { &weights } else { &[] });
        let logits = draw.values(steps * classes, 2.0);
        let mut values: Vec<f32> = narrow(&draw.values(steps * classes, 0.5));
        values.iter_mut().for_each(|v| *v += 0.5);
        let mut classes_of: Vec<u16> = (0..steps).map(|_| draw.below(classes) as u16).collect();
        let mut counted = std::vec![true; steps];
        let sparse = round % 3 == 0;
        let target = if sparse {
            if steps > 1 {
                classes_of[1] = Target::IGNORED;
                counted[1] = false;
            }
            Target::Classes(&classes_of)
        } else {
            Target::Values(&values)
        };
        let dense: Vec<f64> = (0..steps * classes)
            .map(|index| match sparse {
                true => f64::from(usize::from(classes_of[index / classes]) == index % classes),
                false => f64::from(values[index]),
            })
            .collect();
        let at = |logits: &[f64]| reference(criterion, logits, &dense, &counted);
        let h = 1e-5;
        let slopes: Vec<f64> = (0..logits.len())
            .map(|index| {
                let mut moved = logits.clone();
                moved[index] += h;
                let above = at(&moved);
                moved[index] -= 2.0 * h;
                (above - at(&moved)) / (2.0 * h)
            })
            .collect();
        // Numbers up to 10, a handful of roundings each. Q16: a factor of 15 bits and the step of 2^−16, on errors up
        // to 3; the value also takes the logarithm of a p as low as 0.01, off by 2^−17.
        let wanted = (at(&logits), slopes.as_slice());
        compare::<f32>(criterion, &logits, target, wanted, 2e-5);
        compare::<Q16>(criterion, &logits, target, wanted, 2e-3);
    }
}

#[test]
fn the_derivative_of_the_activation_is_applied_once() {
    let target = Target::Values(&[0.25]);
    let mut y = [0.5f32];
    // 2 · (0.5 − 0.25), times y(1 − y).
    Criterion::new(Loss::MeanSquaredError, Ending::Sigmoid).gradient(
        &mut y,
        &target,
        Activation::Sigmoid,
    );
    assert_eq!(y, [0.5 * 0.25]);
    assert!(!Loss::MeanSquaredError.includes_derivative());
    let mut y = [0.5f32];
    Criterion::new(Loss::BinaryCrossEntropy, Ending::Sigmoid).gradient(
        &mut y,
        &target,
        Activation::Sigmoid,
    );
    assert_eq!(y, [0.25]);
    assert!(Loss::BinaryCrossEntropy.includes_derivative());
}

#[test]
fn losses_stand_where_they_can_be_read() {
    let endings = [
        Ending::Softmax,
        Ending::LogSoftmax,
        Ending::Sigmoid,
        Ending::Other,
    ];
    let accepted = |loss: Loss| endings.map(|ending| loss.accepts(ending));
    assert_eq!(accepted(Loss::CrossEntropy), [true, true, false, false]);
    assert_eq!(
        accepted(Loss::BinaryCrossEntropy),
        [false, false, true, false]
    );
    assert_eq!(accepted(Loss::MeanSquaredError), [true; 4]);
}

#[test]
fn certainty_that_is_wrong_costs_a_finite_loss() {
    let entropy = Criterion::new(Loss::CrossEntropy, Ending::Softmax);
    let loss = entropy.value(&[0.0f32, 1.0], &Target::Class(0));
    assert!((87.0..88.0).contains(&loss), "−ln 2^−126, not {loss}");
    let loss = entropy.value(&[Q16::ZERO, Q16::ONE], &Target::Class(0));
    assert!((11.0..11.2).contains(&loss), "−ln 2^−16, not {loss}");
    let binary = Criterion::new(Loss::BinaryCrossEntropy, Ending::Sigmoid);
    let loss = binary.value(&[1.0f32], &Target::Values(&[0.0]));
    assert!((87.0..88.0).contains(&loss), "{loss}");
}

#[test]
fn a_step_that_is_ignored_teaches_nothing() {
    let entropy = Criterion::new(Loss::CrossEntropy, Ending::Softmax).with_rows(2);
    let all = Target::Classes(&[Target::IGNORED; 2]);
    let mut y = [0.75f32, 0.25, 0.5, 0.5];
    assert_eq!(entropy.value(&y, &all), 0.0);
    entropy.gradient(&mut y, &all, Activation::None);
    assert_eq!(y, [0.0; 4]);
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let rows = Criterion::new(Loss::CrossEntropy, Ending::Softmax).with_rows(3);
    let wanted = |wanted, found| Err(TrainError::Values { wanted, found });
    assert_eq!(rows.check(6, &Target::Classes(&[0, 2])), Ok(()));
    assert_eq!(rows.check(6, &Target::Classes(&[0])), wanted(2, 1));
    assert_eq!(rows.check(6, &Target::Class(0)), wanted(2, 1));
    assert_eq!(rows.check(3, &Target::Class(2)), Ok(()));
    assert_eq!(
        rows.check(6, &Target::Classes(&[0, 3])),
        Err(TrainError::Class {
            wanted: 3,
            found: 3
        })
    );
    assert_eq!(rows.check(6, &Target::Values(&[0.5; 3])), wanted(6, 3));
    let infinite = [0.0, f32::INFINITY, 0.0];
    assert_eq!(rows.check(3, &Target::Values(&infinite)), wanted(3, 3));
    assert_eq!(rows.check(0, &Target::Classes(&[])), Ok(()));
}
