//! `mote stock`: tomorrow's price, day by day; the model as it is beside what learns, and the naive forecast.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use chrono::NaiveDate;
use host::blob::Blob;
use host::data::{Series, SeriesFile};
use host::fit::Fit;
use host::report;
use host::stock::{self, Plan, Verdict, Walk};
use host::ui::Ui;
use nn_core::link::StackUse;
use nn_core::scalar::MATH;
use nn_core::train::{Sgd, TrainError};
use serde::Serialize;

use super::samples::Where;

const EXAMPLES: &str = "\
Examples:
  mote stock prices.csv                                     # frozen, online and naive, on this machine
  mote stock stocks.csv:AAPL --model models/stock-gru-q16.mote --on qemu:an386 --json
  mote stock prices.csv --csv forecasts.csv --png forecasts.png
  mote train models/stock-rnn.toml --data stocks.csv:AAPL --out runs/aapl   # a model of your own series

Any CSV file with a column `date` and a column `close` (or --column) will do. The first four fifths of the days set the
scale of the prices; the days after them are forecast, one by one: predict, then learn from the true price. No forecast
knows its own day or one after it. The digest is FNV-1a 64 over all forecasts: the same on the host and on every device.";

/// Arguments of `mote stock`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The prices: a CSV file, with its symbol where it has several.
    #[arg(value_name = "FILE.csv[:SYMBOL]")]
    series: SeriesFile,
    /// A model that reads a window of prices and gives the next.
    #[arg(
        long,
        default_value = "models/stock-rnn-f32.mote",
        value_name = "MODEL.mote"
    )]
    model: PathBuf,
    #[command(flatten)]
    place: Where,
    /// The column of the prices.
    #[arg(long, default_value = "close", value_name = "NAME")]
    column: String,
    /// The share of the days that counts as learnt from; as in the recipe that the model is of.
    #[arg(long, default_value_t = 0.8, value_name = "SHARE", value_parser = share)]
    train: f64,
    /// Know the days before this date only: to choose rates without a look at what is tested on.
    #[arg(long, value_name = "DATE")]
    before: Option<NaiveDate>,
    /// Forecast without learning.
    #[arg(long)]
    frozen: bool,
    /// Learn from the days to learn from, too, N times, before the first forecast.
    #[arg(long, default_value_t = 1, value_name = "N")]
    warm_up: usize,
    /// Step size, instead of the model's.
    #[arg(long, value_name = "RATE", conflicts_with = "frozen")]
    learning_rate: Option<f32>,
    /// Write the forecasts to this file.
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Draw prices and forecasts to this file.
    #[arg(long, value_name = "FILE.png")]
    png: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| format!("wanted a number above 0, below 1, found `{text}`"))
}

#[derive(Serialize)]
struct Report<'r> {
    model: String,
    name: &'r str,
    on: String,
    series: &'r str,
    column: &'r str,
    numbers: &'static str,
    window: usize,
    scale: f64,
    train_days: usize,
    test_days: usize,
    first_day: String,
    last_day: String,
    frozen: Fit,
    online: Option<Fit>,
    naive: Fit,
    verdict: Option<Verdict>,
    learning_rate: Option<f32>,
    warm_up: usize,
    steps: usize,
    refused: usize,
    reverted: usize,
    digest: String,
    weights_digest: Option<String>,
    math: &'static str,
    losses: &'r [f32],
    seconds: f64,
    /// On a device, in bytes: size, setup, serve.
    stack: Option<StackUse>,
}

/// Runs `mote stock`.
pub(crate) fn run(args: Args, ui: &Ui) -> anyhow::Result<()> {
    let blob = Blob::open(&args.model)?;
    let model = blob.model();
    stock::window(&model)?;
    let mut series = Series::read(&args.series, &args.column)?;
    if let Some(end) = args.before {
        let known = series.dates.partition_point(|&date| date < end);
        series = series.first(known);
    }
    let rates = model.train_spec().map(|spec| spec.rates());
    let online = !args.frozen && rates.is_some();
    if !args.frozen && rates.is_none() {
        ui.warn(format_args!(
            "{} has no training plan: it stays frozen. Export it with a section [export.train]",
            args.model.display()
        ));
    }
    let sgd = args.learning_rate.zip(rates);
    let sgd = sgd.map(|(learning_rate, rates)| Sgd {
        learning_rate,
        ..rates
    });
    ensure!(sgd.is_none_or(|sgd| sgd.is_valid()), TrainError::Rate);
    let plan = Plan {
        series,
        train: args.train,
        sgd,
        online,
        warm_up: args.warm_up,
    };
    let mut device = args.place.open(&blob, ui)?;
    let started = Instant::now();
    let walk = stock::walk(device.as_mut(), &blob, &plan, ui)?;
    let stack = device.stack()?;
    device.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some(path) = &args.csv {
        stock::write_csv(path, &walk)
            .with_context(|| format!("cannot write {}", path.display()))?;
        ui.note(format_args!("the forecasts: {}", path.display()));
    }
    if let Some(path) = &args.png {
        draw(path, &plan, &walk)?;
        ui.note(format_args!("the picture: {}", path.display()));
    }
    let day = |day: Option<&stock::Day>| day.map_or_else(String::new, |day| day.date.to_string());
    if !args.json {
        print(&plan, &walk, ui);
        return Ok(());
    }
    let rate = plan.sgd.or(rates).map(|sgd| sgd.learning_rate);
    ui.json(&Report {
        model: args.model.display().to_string(),
        name: model.name(),
        on: args.place.on.to_string(),
        series: &plan.series.name,
        column: &plan.series.column,
        numbers: model.input(0).map_or("none", |x| x.dtype.name()),
        window: walk.window,
        scale: walk.scale,
        train_days: walk.train_days,
        test_days: walk.days.len(),
        first_day: day(walk.days.first()),
        last_day: day(walk.days.last()),
        frozen: walk.frozen(),
        online: online.then(|| walk.online()),
        naive: walk.naive(),
        verdict: online.then(|| Verdict::of(&walk)),
        learning_rate: rate.filter(|_| online),
        warm_up: plan.warm_up,
        steps: walk.steps,
        refused: walk.refused,
        reverted: walk.reverted,
        digest: format!("{:016x}", walk.digest),
        weights_digest: walk.weights_digest.map(|digest| format!("{digest:016x}")),
        math: MATH,
        losses: walk.course.losses(),
        seconds,
        stack,
    })?;
    Ok(())
}

fn print(plan: &Plan, walk: &Walk, ui: &Ui) {
    let header = ["forecast", "R²", "MAE", "RMSE", "direction"];
    let mut table = ui.table(&header, &[1, 2, 3, 4]);
    let mut row = |name: &str, fit: Fit| {
        let direction = fit.direction.map(|share| format!("{:.1} %", 100.0 * share));
        table.add_row([
            name.to_owned(),
            format!("{:.5}", fit.r2),
            format!("{:.4}", fit.mae),
            format!("{:.4}", fit.rmse),
            direction.unwrap_or_else(|| "-".to_owned()),
        ]);
    };
    row("frozen", walk.frozen());
    if plan.online {
        row("online", walk.online());
    }
    row("naive (tomorrow = today)", walk.naive());
    ui.result(table);
    if let (Some(first), Some(last)) = (walk.days.first(), walk.days.last()) {
        ui.result(format_args!(
            "{}: {} days from {} to {}, after {} days to learn from; digest {:016x}",
            plan.series.name,
            walk.days.len(),
            first.date,
            last.date,
            walk.train_days,
            walk.digest
        ));
    }
    if plan.online {
        ui.result(Verdict::of(walk));
        let (refused, reverted) = (walk.refused, walk.reverted);
        if refused + reverted > 0 {
            ui.result(format_args!(
                "{refused} steps diverged and were refused, {reverted} times what was learnt was thrown away: \
                 try a lower --learning-rate"
            ));
        }
    }
}

fn draw(path: &Path, plan: &Plan, walk: &Walk) -> anyhow::Result<()> {
    let all = |of: fn(&stock::Day) -> f64| walk.days.iter().map(of).collect::<Vec<f64>>();
    let (frozen, online) = (all(|day| day.frozen), all(|day| day.online));
    let mut forecasts = vec![("frozen", &frozen[..])];
    if plan.online {
        forecasts.push(("online", &online[..]));
    }
    let dates: Vec<String> = walk.days.iter().map(|day| day.date.to_string()).collect();
    let day = |date: Option<&String>| date.cloned().unwrap_or_default();
    let title = format!("{}: true and foretold", plan.series.name);
    let across = [day(dates.first()), day(dates.last())];
    report::forecast(
        path,
        &title,
        [&across[0], &across[1]],
        &all(|day| day.close),
        &forecasts,
    )?;
    Ok(())
}
