use chrono::{Days, NaiveDate};
use nn_core::ops::Activation;
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, TrainSpec, Trainable};

use super::*;
use crate::device::Here;
use crate::export::{AlignedBytes, Builder};

/// Tomorrow = a weighted sum of the last three days, a twentieth too low.
fn forecaster(dtype: DType) -> Blob {
    let mut builder = Builder::new("forecaster");
    let x = builder.input(&[3, 1, 1], dtype, Quant::None).unwrap();
    let x = builder.flatten("flatten", x).unwrap();
    let weight = [0.25, 0.25, 0.45];
    let y = builder
        .dense("dense", x, &weight, &[0.0], Activation::None)
        .unwrap();
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.05);
    let bytes: AlignedBytes = builder.finish(&[y], Some(spec)).unwrap();
    Blob::new("forecaster.mote".as_ref(), bytes).unwrap()
}

/// Prices that wander upwards.
fn series(days: usize) -> Series {
    let first = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
    let date = |day| first.checked_add_days(Days::new(day)).unwrap();
    Series {
        name: "series".to_owned(),
        column: "close".to_owned(),
        dates: (0..days as u64).map(date).collect(),
        closes: (0..days)
            .map(|day| 20.0 + day as f64 * 0.1 + (day * 37 % 11) as f64 * 0.05)
            .collect(),
    }
}

fn walked(blob: &Blob, series: &Series, sgd: Option<Sgd>) -> Walk {
    let plan = Plan {
        series: series.clone(),
        train: 0.5,
        sgd,
        online: true,
        warm_up: 0,
    };
    let mut device = Here::new(blob).unwrap();
    walk(&mut device, blob, &plan, &Ui::silent()).unwrap()
}

/// Whatever comes later, the forecasts of a day and of all before it stay the same, to the bit; with learning, too.
#[test]
fn no_forecast_looks_ahead() {
    let blob = forecaster(DType::F32);
    let before = series(80);
    let first = walked(&blob, &before, None);
    assert_eq!(first.days.len(), 40);
    for changed in [40, 41, 55, 79] {
        let mut after = before.clone();
        for close in &mut after.closes[changed..] {
            *close = 1000.0 - *close;
        }
        let second = walked(&blob, &after, None);
        for (index, (old, new)) in first.days.iter().zip(&second.days).enumerate() {
            let day = 40 + index;
            let same = |of: fn(&Day) -> f64| of(old).to_bits() == of(new).to_bits();
            if day <= changed {
                assert!(same(|d| d.frozen) && same(|d| d.online), "day {day}");
            }
            // What came is learnt from the day after.
            if day == changed + 1 {
                assert!(!same(|d| d.online), "day {day}");
            }
        }
    }
}

#[test]
fn learning_mends_a_forecast_that_is_too_low() {
    for dtype in [DType::F32, DType::Q16] {
        let walk = walked(&forecaster(dtype), &series(400), None);
        let (frozen, online) = (walk.frozen(), walk.online());
        assert!(online.rmse < 0.9 * frozen.rmse, "{frozen:?} {online:?}");
        assert_eq!((walk.steps, walk.refused, walk.reverted), (200, 0, 0));
        assert!(Verdict::of(&walk).online_beats_frozen);
    }
}

#[test]
fn what_learns_may_come_to_know_the_days_before() {
    let (blob, series) = (forecaster(DType::F32), series(80));
    let plan = Plan {
        series: series.clone(),
        train: 0.5,
        sgd: None,
        online: true,
        warm_up: 2,
    };
    let warm = walk(&mut Here::new(&blob).unwrap(), &blob, &plan, &Ui::silent()).unwrap();
    let cold = walked(&blob, &series, None);
    // 37 days of the first 40 have three before them.
    assert_eq!((cold.steps, warm.steps), (40, 40 + 2 * 37));
    assert_eq!(cold.frozen(), warm.frozen());
    assert!(warm.online().rmse < cold.online().rmse);
}

#[test]
fn absurd_rates_are_refused_or_thrown_away() {
    let blob = forecaster(DType::F32);
    let sgd = |learning_rate| {
        Some(Sgd {
            learning_rate,
            momentum: 0.0,
            weight_decay: 0.0,
        })
    };
    let walk = walked(&blob, &series(400), sgd(3.0));
    assert!(walk.reverted + walk.refused > 0, "{walk:?}");
    assert!(walk.days.iter().all(|day| day.online.is_finite()));
    let walk = walked(&blob, &series(400), sgd(1e30));
    assert!(walk.refused > 0);
    assert!(walk.days.iter().all(|day| day.online.is_finite()));
}

#[test]
fn a_model_that_is_no_forecast_is_refused() {
    let mut builder = Builder::new("classes");
    let x = builder.input(&[3], DType::F32, Quant::None).unwrap();
    let y = builder
        .dense("dense", x, &[0.0; 6], &[0.0; 2], Activation::None)
        .unwrap();
    let bytes = builder.finish(&[y], None).unwrap();
    let blob = Blob::new("classes.mote".as_ref(), bytes).unwrap();
    let error = window(&blob.model()).unwrap_err().to_string();
    assert!(error.contains("reads 3 numbers and gives 2"), "{error}");
}

#[test]
fn forecasts_are_written_as_csv() {
    let walk = walked(&forecaster(DType::F32), &series(20), None);
    let path = std::env::temp_dir().join(format!("mote-walk-{}.csv", std::process::id()));
    write_csv(&path, &walk).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "date,close,frozen,online,naive");
    assert_eq!(lines.len(), 1 + walk.days.len());
    assert!(lines[1].starts_with("2020-01-11,"), "{}", lines[1]);
}
