//! The loop: epochs, batches, checkpoints.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tch::Device;

use super::evaluate::{Measures, Objective, Score};
use super::network::{Chance, Network};
use super::optimizer::Optimizer;
use super::stem;
use super::transfer::{self, Transfer};
use super::values::to_values;
use super::workers::{Samples, Workers};
use super::{Files, Observer, Options, Plan, TrainError};
use crate::checkpoint::{Best, Checkpoint, Progress, Values};
use crate::data::{Augmenter, DataSet, Split, Stream};
use crate::history::{self, EpochRow};
use crate::paths;
use crate::recipe::{Monitor, Recipe};
use crate::report;

/// How often a training under way is saved, at the end of an epoch.
const SAVED: Duration = Duration::from_secs(1);

/// A training under way.
pub(super) struct Training<'t> {
    recipe: &'t Recipe,
    set: &'t DataSet,
    split: Split,
    workers: &'t Workers,
    pub(super) network: Network,
    optimizer: Optimizer,
    pub(super) progress: Progress,
    pub(super) history: Vec<EpochRow>,
    /// The weights of the best epoch, where they are to stay.
    best: BTreeMap<String, Values>,
    pub(super) transfer: Option<Transfer>,
    /// What a sample of each class counts; empty where all count alike.
    class_weights: Vec<f64>,
    /// What the layers that never change give for the samples, while training runs.
    features: Option<DataSet>,
    device: Device,
}

impl<'t> Training<'t> {
    /// A new one, or the one that the checkpoint keeps. `split` tells which samples of `set` are learnt from.
    pub(super) fn begin(
        recipe: &'t Recipe,
        options: &Options,
        files: &Files,
        set: &'t DataSet,
        split: &dyn Fn(&Progress) -> Result<Split, TrainError>,
        workers: &'t Workers,
        device: Device,
    ) -> Result<Self, TrainError> {
        let (network, optimizer, progress, history);
        let (kind, penalty) = (&recipe.train.optimizer, recipe.train.penalty);
        let mut best = BTreeMap::new();
        let mut transfer = None;
        if options.resume {
            let checkpoint = Checkpoint::load(&files.checkpoint)?;
            if checkpoint.progress.recipe != recipe.text {
                return Err(TrainError::OtherRecipe {
                    path: files.checkpoint.clone(),
                });
            }
            network = Network::restore(recipe, &checkpoint, device)?;
            optimizer = Optimizer::restore(kind, penalty, &network.parameters, &checkpoint)?;
            let kept = checkpoint.best();
            best.extend(kept.map(|(name, values)| (name.to_owned(), values.clone())));
            let mut rows = history::read(&files.history)?;
            rows.retain(|row| row.epoch <= checkpoint.progress.epoch);
            history = rows;
            progress = checkpoint.progress;
        } else {
            let seed = options.seed.unwrap_or(recipe.train.seed);
            let start = options.start.as_deref().map(transfer::file);
            let of_recipe = recipe.train.start.as_ref();
            let of_recipe =
                || of_recipe.map(|start| transfer::file(&paths::workspace_root().join(start)));
            network = match start.or_else(of_recipe) {
                None => Network::new(recipe, seed, device)?,
                Some(file) => {
                    let (taken, told) = transfer::take(recipe, &file)?;
                    transfer = Some(told);
                    Network::start(recipe, seed, device, &taken)?
                }
            };
            optimizer = Optimizer::new(kind, penalty, &network.parameters)?;
            history = Vec::new();
            progress = Progress {
                seed,
                epochs: options.epochs.unwrap_or(recipe.train.epochs),
                limit: options.limit,
                start: transfer.as_ref().map(|told| paths::shorten(&told.file)),
                ..Progress::new(recipe)
            };
        }
        let split = split(&progress)?;
        let class_weights = recipe.train.class_weights.as_ref().map(|weights| {
            let labels = split.training.iter().map(|&index| set.label(index));
            weights.of(set.classes, labels)
        });
        Ok(Self {
            recipe,
            set,
            split,
            workers,
            network,
            optimizer,
            progress,
            history,
            best,
            transfer,
            class_weights: class_weights.unwrap_or_default(),
            features: None,
            device,
        })
    }

    pub(super) fn plan(&self, device: String) -> Plan {
        Plan {
            epochs: self.progress.epochs,
            epoch: self.progress.epoch,
            batch: self.progress.batch,
            batches: self.batches(),
            samples: [self.split.training.len(), self.split.validation.len()],
            has_accuracy: self.set.has_accuracy(),
            parameters: self.recipe.parameters(),
            frozen: self.recipe.frozen(),
            transfer: self.transfer.clone(),
            class_weights: self.class_weights.clone(),
            device,
        }
    }

    fn batches(&self) -> usize {
        let samples = self.split.training.len();
        samples.div_ceil(self.recipe.train.batch.of(samples))
    }

    /// All epochs that are left; `Break` when the observer stopped them.
    pub(super) fn run(
        &mut self,
        files: &Files,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>, TrainError> {
        let still = stem::layers(self.recipe, self.set);
        let network = &mut self.network;
        self.features = stem::enter(network, still, self.set, &self.split, self.workers)?;
        let ran = self.epochs(files, observer);
        self.features = None;
        self.network.begin_below();
        if ran?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.restore_best()?;
        self.save(files)?;
        report::training_curve(&files.picture, &self.recipe.name, &self.history)?;
        Ok(ControlFlow::Continue(()))
    }

    /// What is learnt from: the images, or what layers that never change give for them.
    fn samples(&self) -> &DataSet {
        self.features.as_ref().unwrap_or(self.set)
    }

    /// The epochs that are left.
    fn epochs(
        &mut self,
        files: &Files,
        observer: &mut dyn Observer,
    ) -> Result<ControlFlow<()>, TrainError> {
        let mut saved = Instant::now();
        while self.progress.epoch < self.progress.epochs && !self.has_stopped() {
            let started = Instant::now();
            let Some(learning_rate) = self.epoch(observer)? else {
                self.save(files)?;
                return Ok(ControlFlow::Break(()));
            };
            let row = self.close_epoch(learning_rate, started)?;
            let keep = self.recipe.train.keep;
            let keep = keep.is_some_and(|every| row.epoch.is_multiple_of(every.get()));
            // Of epochs that take less, not each is worth files.
            if saved.elapsed() >= SAVED || keep {
                self.save(files)?;
                saved = Instant::now();
            }
            if keep {
                self.checkpoint()?.save(&files.kept(row.epoch))?;
            }
            observer.epoch(&row);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes all that is needed to go on: the epochs first, for those that a checkpoint does not know are passed over.
    fn save(&self, files: &Files) -> Result<(), TrainError> {
        history::write(&files.history, &self.history)?;
        history::write_events(&files.events, &self.history)?;
        self.checkpoint()?.save(&files.checkpoint)?;
        Ok(())
    }

    /// The batches of this epoch that are left; gives the last learning rate, or `None` when the
    /// observer stopped it.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<Option<f64>, TrainError> {
        let Progress {
            seed,
            epoch,
            epochs,
            ..
        } = self.progress;
        let augment = &self.recipe.data.augment;
        let augmenter = Augmenter::new(self.set.shape, augment.shift, augment.rotate, seed)
            .with_flip(augment.flip);
        let mut order = self.split.training.clone();
        Stream::new(seed, Stream::ORDER, epoch as u64, 0).shuffle(&mut order);

        let weights = self.class_weights.iter().map(|&weight| weight as f32);
        let objective = Objective::of(self.recipe).weighted(weights.collect());
        let batches = self.batches() as u64;
        let rate = |step| {
            let factor = self
                .recipe
                .train
                .schedule
                .factor(step, batches * epochs as u64, batches);
            self.recipe.train.optimizer.learning_rate() * factor
        };
        let mut learning_rate = rate(self.progress.step.saturating_sub(1));
        for chunk in order
            .chunks(self.recipe.train.batch.of(order.len()))
            .skip(self.progress.batch)
        {
            let samples = Samples {
                set: self.samples(),
                indices: chunk,
                augmenter: &augmenter,
                epoch: epoch as u64,
            };
            let chance = Chance {
                seed,
                step: self.progress.step,
                shard: 0,
            };
            let learnt = self
                .workers
                .learn(&self.network, samples, &objective, chance)?;
            learning_rate = rate(self.progress.step);
            if !learnt.loss.is_finite() {
                let (epoch, batch) = (epoch + 1, self.progress.batch + 1);
                let loss = learnt.loss / chunk.len() as f64;
                return Err(TrainError::Diverged {
                    loss,
                    epoch,
                    batch,
                    learning_rate,
                });
            }
            self.network.observe(&learnt.statistics)?;
            let parameters = &mut self.network.parameters;
            self.optimizer
                .step(parameters, &learnt.gradients, learning_rate)?;

            let running = &mut self.progress.running;
            running.samples += chunk.len() as u64;
            running.correct += learnt.correct;
            running.loss += learnt.loss;
            self.progress.batch += 1;
            self.progress.step = self.optimizer.step;
            if observer.batch(epoch + 1, &self.progress.running).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(learning_rate))
    }

    /// How well the samples held out are read, when there are any.
    pub(super) fn validate(&self) -> Result<Option<(Score, Measures)>, TrainError> {
        let held_out = &self.split.validation;
        if held_out.is_empty() {
            return Ok(None);
        }
        let objective = Objective::of(self.recipe);
        let workers = self.workers;
        let (score, answers) = workers.answer(&self.network, self.set, held_out, &objective)?;
        Ok(Some((score, answers.measure(&self.set.select(held_out)))))
    }

    /// Measures what the epoch brought, and begins the next.
    fn close_epoch(
        &mut self,
        learning_rate: f64,
        started: Instant,
    ) -> Result<EpochRow, TrainError> {
        let held_out = &self.split.validation;
        let score = if held_out.is_empty() {
            None
        } else {
            let objective = Objective::of(self.recipe);
            let workers = self.workers;
            Some(workers.evaluate(&self.network, self.samples(), held_out, &objective)?)
        };
        let running = std::mem::take(&mut self.progress.running);
        let samples = running.samples.max(1) as f64;
        self.progress.epoch += 1;
        self.progress.batch = 0;
        if let Some(accuracy) = score.and_then(|score| score.accuracy) {
            let best = self.progress.best_accuracy.unwrap_or(0.0);
            self.progress.best_accuracy = Some(best.max(accuracy));
        }
        let row = EpochRow {
            epoch: self.progress.epoch,
            train_loss: running.loss / samples,
            train_accuracy: self
                .set
                .has_accuracy()
                .then_some(running.correct as f64 / samples),
            val_loss: score.map(|score| score.loss),
            val_accuracy: score.and_then(|score| score.accuracy),
            learning_rate,
            seconds: started.elapsed().as_secs_f64(),
        };
        self.history.push(row);
        self.watch(&row)?;
        Ok(row)
    }

    /// Whether nothing has become better for as long as the recipe waits.
    fn has_stopped(&self) -> bool {
        let stop = self.recipe.train.stop.zip(self.progress.best);
        stop.is_some_and(|(stop, best)| best.waited >= stop.patience.get())
    }

    /// Keeps the epoch if it is the best so far.
    fn watch(&mut self, row: &EpochRow) -> Result<(), TrainError> {
        let Some(stop) = self.recipe.train.stop else {
            return Ok(());
        };
        let value = match stop.monitor {
            Monitor::ValLoss => row.val_loss,
            Monitor::ValAccuracy => row.val_accuracy,
            Monitor::TrainLoss => Some(row.train_loss),
            Monitor::TrainAccuracy => row.train_accuracy,
        };
        // So small a set has none held out that there is nothing to watch.
        let Some(value) = value else { return Ok(()) };
        match &mut self.progress.best {
            Some(best) if !stop.improves(value, best.value) => best.waited += 1,
            None if value.is_nan() => {}
            best => {
                *best = Some(Best {
                    epoch: row.epoch,
                    value,
                    waited: 0,
                });
                if stop.restore_best {
                    self.best = self.weights()?;
                }
            }
        }
        Ok(())
    }

    /// The weights of the best epoch take the place of the last's, where they are kept.
    fn restore_best(&mut self) -> Result<(), TrainError> {
        if self.best.is_empty() {
            return Ok(());
        }
        let best = Checkpoint {
            progress: self.progress.clone(),
            tensors: std::mem::take(&mut self.best),
        };
        self.network = Network::restore(self.recipe, &best, self.device)?;
        Ok(())
    }

    /// Weights, biases and statistics by their names.
    fn weights(&self) -> Result<BTreeMap<String, Values>, TrainError> {
        let network = &self.network;
        let all = network.parameters.iter().chain(&network.statistics);
        let all = all.chain(&network.frozen);
        all.map(|parameter| Ok((parameter.name.to_string(), to_values(&parameter.tensor)?)))
            .collect()
    }

    fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let mut tensors = self.weights()?;
        tensors.extend(self.optimizer.moments(&self.network.parameters)?);
        let best = self.best.iter();
        tensors.extend(best.map(|(name, values)| (Checkpoint::best_name(name), values.clone())));
        Ok(Checkpoint {
            progress: self.progress.clone(),
            tensors,
        })
    }
}
