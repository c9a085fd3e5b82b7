//! Tomorrow's price, day by day: predict, then learn from the true price when it arrives.
//!
//! Three forecasts of the same days, those that training never saw:
//!
//! - frozen: the blob as it is;
//! - online: the same blob, which takes one step of learning a day, after its forecast was written down. What it has learnt
//!   and what its optimizer keeps go on from day to day;
//! - naive: tomorrow is as today.
//!
//! ```text
//! for day t:  ŷ(t) = model(x(t));  error(t) = ŷ(t) − y(t);  then one step towards y(t) on x(t)
//! ```
//!
//! x(t) holds prices before t only, scaled by the days to learn from (see [`Windows`]), so no forecast knows its own day or
//! one after it. A step that diverges is refused, and what was learnt is thrown away. So it is where over the last [`REVIEW`]
//! days the online forecasts were worse than the frozen ones by a tenth. An online forecast that is not finite counts as the
//! frozen one.

mod report;

use chrono::NaiveDate;
use nn_core::digest::Fnv1a;
use nn_core::model::Model;
use nn_core::train::{Sgd, Target};

pub use report::{Verdict, write_csv};

use crate::blob::Blob;
use crate::curve::Course;
use crate::data::{Part, Series, SeriesError, Windows};
use crate::device::{Device, DeviceError};
use crate::fit::Fit;
use crate::sample::{self, SampleError};
use crate::tune::LIVE;
use crate::ui::Ui;

/// Days over which what was learnt must not be worse than the blob.
pub const REVIEW: usize = 60;
/// By how much their squared errors may be larger.
const PATIENCE: f64 = 1.21;

/// What is walked through, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The prices.
    pub series: Series,
    /// The share of the days that counts as learnt from.
    pub train: f64,
    /// The rates of learning; `None` for those of the model's training plan.
    pub sgd: Option<Sgd>,
    /// Whether there is an online forecast.
    pub online: bool,
    /// How often what learns goes through the days to learn from before its first forecast, a step a day.
    pub warm_up: usize,
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// The device refused, or did not answer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The series is too short for the model.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A window that does not fit the model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A model that is no forecast of one price from a window of them.
    #[error(
        "{model} reads {input} numbers and gives {output}; wanted a window of at least 2 prices, and 1: \
         take a model of models/stock-*.toml"
    )]
    Model {
        /// The model.
        model: String,
        /// What it reads.
        input: usize,
        /// What it gives.
        output: usize,
    },
}

/// One day's forecasts, as prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Which day.
    pub date: NaiveDate,
    /// What came.
    pub close: f64,
    /// The day before: the naive forecast.
    pub naive: f64,
    /// The blob's forecast.
    pub frozen: f64,
    /// The forecast of what learns; the blob's where nothing does.
    pub online: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// Days of a window.
    pub window: usize,
    /// Days that count as learnt from.
    pub train_days: usize,
    /// What prices were divided by.
    pub scale: f64,
    /// The days that were forecast.
    pub days: Vec<Day>,
    /// Steps of learning.
    pub steps: usize,
    /// Steps that diverged and were refused.
    pub refused: usize,
    /// How often what was learnt was thrown away.
    pub reverted: usize,
    /// Loss of each step after the warm-up, before its update.
    pub course: Course,
    /// FNV-1a 64 over the bytes of all forecasts, frozen and then online.
    pub digest: u64,
    /// FNV-1a 64 over the learnt weights, told by the device; `None` where nothing learns.
    pub weights_digest: Option<u64>,
}

impl Walk {
    /// How near the blob's forecasts are.
    pub fn frozen(&self) -> Fit {
        self.fit(|day| day.frozen)
    }

    /// How near the forecasts of what learns are.
    pub fn online(&self) -> Fit {
        self.fit(|day| day.online)
    }

    /// How near the prices of the days before are.
    pub fn naive(&self) -> Fit {
        self.fit(|day| day.naive)
    }

    fn fit(&self, of: fn(&Day) -> f64) -> Fit {
        let all = |of: fn(&Day) -> f64| self.days.iter().map(of).collect::<Vec<f64>>();
        Fit::of(&all(|day| day.close), &all(of), &all(|day| day.naive))
    }
}

/// How many days a model looks back.
///
/// # Errors
/// [`StockError::Model`] when it is no forecast.
pub fn window(model: &Model<'_>) -> Result<usize, StockError> {
    let input = model.input(0).map_or(0, |x| x.elements());
    let output = model.output(0).map_or(0, |y| y.elements());
    if input < 2 || output != 1 || model.outputs().as_slice().len() != 1 {
        return Err(StockError::Model {
            model: model.name().to_owned(),
            input,
            output,
        });
    }
    Ok(input)
}

/// Walks through the days that are tested on, on `device`.
///
/// # Errors
/// [`StockError`]; the device keeps what it learnt until it is reset.
pub fn walk(
    device: &mut dyn Device,
    blob: &Blob,
    plan: &Plan,
    ui: &Ui,
) -> Result<Walk, StockError> {
    let model = blob.model();
    let windows = Windows::new(&plan.series, window(&model)?, plan.train)?;
    let mut digest = Fnv1a::new();
    let days = windows.days(Part::Test);
    let closes = &plan.series.closes;
    let mut walk = Walk {
        window: window(&model)?,
        train_days: days.start,
        scale: windows.scale(),
        days: Vec::with_capacity(days.len()),
        steps: 0,
        refused: 0,
        reverted: 0,
        course: Course::default(),
        digest: 0,
        weights_digest: None,
    };
    let mut forecast = |device: &mut dyn Device, day: usize| {
        let (input, output) = (model.input(0), model.output(0));
        let (input, output) = input.zip(output).ok_or(SampleError::DType("none"))?;
        let bytes = sample::encode_values(&input, &windows.input(day))?;
        let answer = device.infer(&bytes)?;
        digest.update(&answer);
        let scaled = sample::scores(&output, &answer)?;
        let price = windows.price(scaled.first().copied().unwrap_or(0.0));
        Ok::<_, StockError>((bytes, price))
    };

    if model.learns() {
        // A device may begin with what it kept.
        device.reset()?;
    }
    let progress = ui.progress("frozen", days.len() as u64);
    for day in days.clone() {
        let (_, frozen) = forecast(device, day)?;
        walk.days.push(Day {
            date: plan.series.dates[day],
            close: closes[day],
            naive: closes[day - 1],
            frozen,
            online: frozen,
        });
        progress.inc(1);
    }
    progress.finish();
    if plan.online {
        if let Some(sgd) = plan.sgd {
            device.set_sgd(sgd)?;
        }
        warm_up(device, &model, &windows, plan.warm_up, &mut walk, ui)?;
        let progress = ui.progress("online", days.len() as u64);
        // The first day of a review: later than the last time that what was learnt was thrown away.
        let mut since = 0;
        for (index, day) in days.enumerate() {
            let (bytes, online) = forecast(device, day)?;
            if online.is_finite() {
                walk.days[index].online = online;
            }
            match device.train(&bytes, Target::Values(&[windows.target(day)])) {
                Ok(report) => {
                    walk.steps += 1;
                    walk.course.push(report.loss, None);
                }
                Err(error) if error.is_divergence() => {
                    // Weights that make a step diverge are no good ones.
                    device.reset()?;
                    walk.refused += 1;
                    since = index + 1;
                }
                Err(error) => return Err(error.into()),
            }
            if index + 1 >= since + REVIEW && is_worse(&walk.days[index + 1 - REVIEW..=index]) {
                device.reset()?;
                walk.reverted += 1;
                since = index + 1;
            }
            progress.inc(1);
            if index % LIVE == 0 {
                let date = plan.series.dates[day];
                progress.message(format_args!("{date} {}", walk.course.line()));
            }
        }
        progress.finish();
        walk.weights_digest = Some(device.weights_digest()?);
    }
    walk.digest = digest.finish();
    Ok(walk)
}

/// Learns from the days that were learnt from already: a blob of another series comes to know this one.
fn warm_up(
    device: &mut dyn Device,
    model: &Model<'_>,
    windows: &Windows<'_>,
    passes: usize,
    walk: &mut Walk,
    ui: &Ui,
) -> Result<(), StockError> {
    let days = windows.days(Part::Train);
    let input = model.input(0).ok_or(SampleError::DType("none"))?;
    let progress = ui.progress("warming up", (passes * days.len()) as u64);
    for day in (0..passes).flat_map(|_| days.clone()) {
        let bytes = sample::encode_values(&input, &windows.input(day))?;
        match device.train(&bytes, Target::Values(&[windows.target(day)])) {
            Ok(_) => walk.steps += 1,
            Err(error) if error.is_divergence() => {
                device.reset()?;
                walk.refused += 1;
            }
            Err(error) => return Err(error.into()),
        }
        progress.inc(1);
    }
    progress.finish();
    Ok(())
}

/// Whether the online forecasts of these days were worse than the frozen ones.
fn is_worse(days: &[Day]) -> bool {
    let squares = |of: fn(&Day) -> f64| -> f64 {
        let errors = days.iter().map(|day| of(day) - day.close);
        errors.map(|error| error * error).sum()
    };
    squares(|day| day.online) > PATIENCE * squares(|day| day.frozen)
}

#[cfg(test)]
mod tests;
