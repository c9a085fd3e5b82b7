//! Training a recipe, from new weights or where it was left, and choosing a value of one of its fields.

use std::path::Path;

use super::*;
#[cfg(feature = "train")]
use crate::ui::Ui;

impl Lab<'_> {
    /// Chooses the best value of a field of a recipe on the samples held out, and trains the best again on all: the
    /// values with their accuracies there, and the network.
    #[cfg(feature = "train")]
    pub(in crate::zoo) fn search(
        &mut self,
        source: Source,
        field: &str,
    ) -> Result<(Vec<(String, f64)>, Trained), ZooError> {
        use crate::search::{Axis, AxisError, Metric, Plan, SearchError, ranked};

        let failed = |error: SearchError| ZooError::Measure(error.to_string());
        let recipe = source.recipe()?;
        let data = self.data(&recipe);
        self.at_hand(&recipe, data.as_deref())?;
        let axis = field.parse::<Axis>();
        let axis = axis.map_err(|error: AxisError| ZooError::Measure(error.to_string()))?;
        let plan = Plan {
            path: source.path(),
            axes: vec![axis],
            starts: 1,
            jobs: 1,
            device: crate::train::DeviceChoice::default(),
            data,
            epochs: None,
            limit: None,
            directory: self.settings.runs.join(&recipe.name),
        };
        let combinations = plan.combinations(&recipe).map_err(failed)?;
        let runs = plan.run(&combinations, &Patient).map_err(failed)?;
        let order = ranked(Metric::ValAccuracy, &runs).map_err(failed)?;
        let values = combinations.iter().zip(&runs).map(|(combination, runs)| {
            let accuracy = runs.first().and_then(|run| run.val_accuracy);
            (combination.label(), accuracy.unwrap_or(f64::NAN))
        });
        let values = values.collect();
        let best = order
            .first()
            .and_then(|&best| Some((&combinations[best], runs[best].first()?)));
        let (best, record) = best.ok_or_else(|| failed(SearchError::AllDiverged))?;
        let (recipe, outcome) = plan.retrain(best, record, &Patient).map_err(failed)?;
        let checkpoint = &outcome.files.checkpoint;
        let learnt = Learnt {
            recipe,
            folder: checkpoint.parent().unwrap_or(Path::new(".")).to_owned(),
            checkpoint: Checkpoint::load(checkpoint)?,
            history: outcome.history,
        };
        Ok((values, self.measured(source, learnt)?))
    }

    #[cfg(not(feature = "train"))]
    pub(super) fn learn(
        &self,
        _recipe: &Recipe,
        _data: Option<&Path>,
        _folder: &Path,
        _start: Option<&Path>,
    ) -> Result<(Checkpoint, Vec<EpochRow>), ZooError> {
        Err(ZooError::NoTraining)
    }

    #[cfg(feature = "train")]
    pub(super) fn learn(
        &self,
        recipe: &Recipe,
        data: Option<&Path>,
        folder: &Path,
        start: Option<&Path>,
    ) -> Result<(Checkpoint, Vec<EpochRow>), ZooError> {
        use crate::train::{Files, Options, train};

        let files = Files::of(folder);
        let begun = Checkpoint::load(&files.checkpoint);
        let same = begun.is_ok_and(|begun| begun.progress.recipe == recipe.text);
        let resume = same && !self.settings.fresh;
        let options = Options {
            directory: folder.to_owned(),
            data: data.map(Path::to_owned),
            start: start.filter(|_| !resume).map(Path::to_owned),
            resume,
            ..Options::default()
        };
        let mut watch = Watch {
            name: &recipe.name,
            ui: self.ui,
            epochs: 0,
            bar: None,
        };
        let outcome = train(recipe, &options, &mut watch)?;
        Ok((
            Checkpoint::load(&outcome.files.checkpoint)?,
            outcome.history,
        ))
    }
}

/// Waits for a search to end.
#[cfg(feature = "train")]
struct Patient;

#[cfg(feature = "train")]
impl crate::search::Watch for Patient {
    fn stopped(&self) -> bool {
        false
    }
}

/// Shows how far a training is.
#[cfg(feature = "train")]
struct Watch<'w> {
    name: &'w str,
    ui: &'w Ui,
    epochs: usize,
    bar: Option<crate::ui::Progress>,
}

#[cfg(feature = "train")]
impl crate::train::Observer for Watch<'_> {
    fn begin(&mut self, plan: &crate::train::Plan) {
        let bar = self
            .ui
            .progress(self.name, (plan.epochs * plan.batches) as u64);
        bar.skip((plan.epoch * plan.batches + plan.batch) as u64);
        self.epochs = plan.epochs;
        self.bar = Some(bar);
    }

    fn batch(
        &mut self,
        epoch: usize,
        running: &crate::checkpoint::Running,
    ) -> std::ops::ControlFlow<()> {
        if let Some(bar) = &self.bar {
            let loss = running.loss / running.samples.max(1) as f64;
            bar.message(format_args!(
                "epoch {epoch}/{}  loss {loss:.4}",
                self.epochs
            ));
            bar.inc(1);
        }
        std::ops::ControlFlow::Continue(())
    }
}
