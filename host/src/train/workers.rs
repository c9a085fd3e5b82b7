//! The threads that share a batch.
//!
//! A batch is cut into shards of a fixed size, each shard is one thread's work from pixels to
//! gradients, and gradients are summed in the order of the shards. So the result does not depend
//! on how many threads there are or which is faster, and no thread waits for another within an
//! operator, which is what makes small networks slow when a machine has other work as well.

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::TrainError;
use super::batch::Loader;
use super::evaluate::{Answers, Objective, Score};
use super::network::{Chance, Network};
use super::stem::Features;
use crate::data::{Augmenter, DataSet};

/// Samples of a shard when learning on a CPU: enough that operators are not all overhead.
const LEARN: usize = 32;
/// Shards that are learnt from before their gradients are summed: a bound on the memory of large batches.
const AT_ONCE: usize = 64;
/// Samples of a shard when evaluating.
const EVALUATE: usize = 250;

/// A pool of threads, each of which runs libtorch alone.
pub(super) struct Workers {
    pool: rayon::ThreadPool,
    device: Device,
}

/// What a batch comes from.
#[derive(Clone, Copy)]
pub(super) struct Samples<'s> {
    pub(super) set: &'s DataSet,
    /// Which of the set, in order.
    pub(super) indices: &'s [usize],
    pub(super) augmenter: &'s Augmenter,
    pub(super) epoch: u64,
}

/// What came of a batch.
#[derive(Default)]
pub(super) struct Learnt {
    /// Summed over the samples.
    pub(super) loss: f64,
    pub(super) correct: u64,
    /// Of the mean loss, one for each parameter.
    pub(super) gradients: Vec<Tensor>,
    /// What each shard's batch normalizations met, in the order of the shards.
    pub(super) statistics: Vec<Vec<Tensor>>,
}

impl Workers {
    pub(super) fn new(device: Device, threads: usize) -> Result<Self, TrainError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(if device == Device::Cpu { threads } else { 1 })
            .thread_name(|index| format!("train-{index}"))
            .start_handler(|_| tch::set_num_threads(1))
            .build()?;
        tch::set_num_threads(1);
        Ok(Self { pool, device })
    }

    /// Loss and gradients of a batch; `chance` is dropout's, for the first shard.
    pub(super) fn learn(
        &self,
        network: &Network,
        samples: Samples<'_>,
        objective: &Objective,
        chance: Chance,
    ) -> Result<Learnt, TrainError> {
        let scale = 1.0 / samples.indices.len().max(1) as f64;
        let learn = |(shard, (network, indices)): (usize, (Network, &[usize]))| {
            let batch = Loader::new(samples.set, self.device).load(
                indices,
                samples.augmenter,
                samples.epoch,
            )?;
            // A data set has far fewer than 2^32 samples.
            let chance = Chance {
                shard: shard as u32,
                ..chance
            };
            let outputs = network.forward(&batch.images, Some(chance))?;
            let loss = objective.sum(&outputs, &batch)?;
            let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
            let mean = loss.f_mul_scalar(scale)?;
            let gradients = Tensor::f_run_backward(&[mean], &weights, false, false)?;
            let loss = loss.f_double_value(&[])?;
            Ok(Learnt {
                loss,
                correct: objective.correct(&outputs, &batch)?,
                gradients,
                statistics: vec![outputs.statistics],
            })
        };
        let mut total = Learnt::default();
        let mut shards = self
            .shards(network, samples.indices, LEARN)
            .into_iter()
            .enumerate();
        loop {
            let some: Vec<_> = shards.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(total);
            }
            let learnt: Vec<Learnt> = self.pool.install(|| {
                let all = some.into_par_iter().map(learn);
                all.collect::<Result<_, TrainError>>()
            })?;
            for shard in learnt {
                total.add(shard)?;
            }
        }
    }

    /// Reads the samples at `indices`, unchanged.
    pub(super) fn evaluate(
        &self,
        network: &Network,
        set: &DataSet,
        indices: &[usize],
        objective: &Objective,
    ) -> Result<Score, TrainError> {
        let (score, _) = self.answer(network, set, indices, objective)?;
        Ok(score)
    }

    /// The same, and what each sample is answered with.
    pub(super) fn answer(
        &self,
        network: &Network,
        set: &DataSet,
        indices: &[usize],
        objective: &Objective,
    ) -> Result<(Score, Answers), TrainError> {
        let plain = Augmenter::new(set.shape, 0, 0.0, 0);
        let read = |(network, indices): (Network, &[usize])| {
            let _no_grad = tch::no_grad_guard();
            let batch = Loader::new(set, self.device).load(indices, &plain, 0)?;
            let outputs = network.forward(&batch.images, None)?;
            let loss = objective.sum(&outputs, &batch)?.f_double_value(&[])?;
            let correct = objective.correct(&outputs, &batch)?;
            Ok((loss, correct, objective.answers(&outputs)?))
        };
        let shards = self.shards(network, indices, EVALUATE);
        let read: Vec<(f64, u64, Answers)> = self.pool.install(|| {
            shards
                .into_par_iter()
                .map(read)
                .collect::<Result<_, TrainError>>()
        })?;
        let samples = indices.len();
        let count = samples.max(1) as f64;
        let loss = read.iter().map(|shard| shard.0).sum::<f64>() / count;
        let correct: usize = read.iter().map(|shard| shard.1 as usize).sum();
        let score = Score {
            samples,
            correct,
            loss,
            accuracy: set.has_accuracy().then_some(correct as f64 / count),
        };
        let mut answers = Answers::default();
        read.into_iter().for_each(|shard| answers.extend(shard.2));
        Ok((score, answers))
    }

    /// The class that the first head gives each of the samples at `indices`, and how sure it is of it, from 0 to 1.
    pub(super) fn classify(
        &self,
        network: &Network,
        set: &DataSet,
        indices: &[usize],
    ) -> Result<Vec<(u8, f64)>, TrainError> {
        let plain = Augmenter::new(set.shape, 0, 0.0, 0);
        let read = |(network, indices): (Network, &[usize])| {
            let _no_grad = tch::no_grad_guard();
            let batch = Loader::new(set, self.device).load(indices, &plain, 0)?;
            let outputs = network.forward(&batch.images, None)?;
            let missing = || TrainError::NoParameter("a head".to_owned());
            let logits = outputs.heads.first().ok_or_else(missing)?;
            let (sureness, class) = logits.f_softmax(-1, None)?.f_max_dim(-1, false)?;
            let mut classes = vec![0i64; indices.len()];
            let mut sure = vec![0f32; indices.len()];
            class
                .f_to(Device::Cpu)?
                .f_copy_data(&mut classes, indices.len())?;
            sureness
                .f_to(Device::Cpu)?
                .f_copy_data(&mut sure, indices.len())?;
            // A set has at most 256 classes.
            let told = classes.iter().map(|&class| class as u8);
            Ok(told.zip(sure.into_iter().map(f64::from)).collect())
        };
        let shards = self.shards(network, indices, EVALUATE);
        let told: Vec<Vec<(u8, f64)>> = self.pool.install(|| {
            let all = shards.into_par_iter().map(read);
            all.collect::<Result<_, TrainError>>()
        })?;
        Ok(told.concat())
    }

    /// What the first `layers` give for the samples at `indices`, shard by shard.
    pub(super) fn features<'i>(
        &self,
        network: &Network,
        layers: usize,
        set: &DataSet,
        indices: &'i [usize],
    ) -> Result<Vec<Features<'i>>, TrainError> {
        let plain = Augmenter::new(set.shape, 0, 0.0, 0);
        let read = |(network, indices): (Network, &'i [usize])| {
            let _no_grad = tch::no_grad_guard();
            let batch = Loader::new(set, self.device).load(indices, &plain, 0)?;
            Ok((indices, network.features(&batch.images, layers)?))
        };
        let shards = self.shards(network, indices, LEARN);
        let shards = shards.into_par_iter().map(read);
        self.pool.install(|| shards.collect())
    }

    /// The shards, each with the network to read it; a GPU reads all learnt samples at once.
    fn shards<'i>(
        &self,
        network: &Network,
        indices: &'i [usize],
        size: usize,
    ) -> Vec<(Network, &'i [usize])> {
        let whole = size == LEARN && self.device != Device::Cpu;
        let size = if whole { indices.len().max(1) } else { size };
        indices
            .chunks(size)
            .map(|indices| (network.share(), indices))
            .collect()
    }
}

impl Learnt {
    /// Adds what one more shard learnt.
    fn add(&mut self, shard: Self) -> Result<(), TrainError> {
        self.statistics.extend(shard.statistics);
        self.loss += shard.loss;
        self.correct += shard.correct;
        if self.gradients.is_empty() {
            self.gradients = shard.gradients;
        } else {
            for (gradient, more) in self.gradients.iter_mut().zip(&shard.gradients) {
                let _ = gradient.f_add_(more)?;
            }
        }
        Ok(())
    }
}
