//! Graphs with branches against libtorch: residual sums, gates, concatenations, tensors that several nodes read, shared
//! weights, two losses. Feature `train`.
//!
//! f32: outputs to 10⁻⁵ and gradients to 10⁻⁴ of the largest, which is what sums in another order leave. Q16: 10⁻³ of
//! the largest and 65 units of 2⁻¹⁶, which roundings through up to eight layers stay below.

use nn_core::model::Model;
use nn_core::ops::{Activation, Add, Concat, Dense, Embedding, Mul, Op, Pad, Prelu, Transpose};
use nn_core::tensor::{DType, TensorId};
use nn_core::train::{Head, Loss, Target, TrainSpec, Trainable, Trainer};
use tch::{Kind, Tensor};
use tests::graph::{Net, bytes_of, run, values_of};
use tests::network::{ACTIVATIONS, poisoned_arena};
use tests::random::Random;
use tests::torch::compare::close;
use tests::torch::{Torch, values};

struct Draw<'r> {
    random: &'r mut Random,
    net: Net,
    /// What a node may read.
    open: Vec<TensorId>,
    /// Dense layers' weights, by (inputs, outputs), that another may share.
    shared: Vec<(usize, usize, TensorId)>,
    /// What nodes have written, and what nodes have read.
    made: Vec<TensorId>,
    read: Vec<TensorId>,
}

impl Draw<'_> {
    fn dense(&mut self, x: TensorId, outputs: usize, activation: Activation) -> TensorId {
        let mut dims = self.net.dims(x);
        let inputs = *dims.last().expect("a dimension");
        let known = self
            .shared
            .iter()
            .find(|(i, o, _)| (*i, *o) == (inputs, outputs));
        let weight = match known.copied() {
            Some((_, _, weight)) if self.random.once_in(2) => weight,
            _ => {
                let limit = 1.5 / (inputs as f32).sqrt();
                let values = self.random.values(inputs * outputs, limit);
                self.net.weight(&[inputs, outputs], &values)
            }
        };
        self.shared.push((inputs, outputs, weight));
        let values = self.random.values(outputs, 0.3);
        let bias = Some(self.net.weight(&[outputs], &values));
        *dims.last_mut().expect("a dimension") = outputs;
        let op = Op::Dense(Dense {
            weight,
            bias,
            requant: None,
            activation,
        });
        self.node(op, &[x], &dims)
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], dims: &[usize]) -> TensorId {
        self.read.extend(inputs);
        self.net.node(op, inputs, dims)
    }

    /// Any tensor so far, more often a late one.
    fn any(&mut self) -> TensorId {
        if self.random.once_in(2) {
            *self.open.last().expect("something to read")
        } else {
            self.random.pick(&self.open)
        }
    }

    /// A tensor that can be added to `x` or multiply it: of its shape, of its last dimension, or a single number.
    fn partner(&mut self, x: TensorId) -> TensorId {
        let dims = self.net.dims(x);
        let fits = |open: &TensorId| {
            let other = self.net.dims(*open);
            other == dims || other == [*dims.last().expect("a dimension")] || other == [1]
        };
        let fitting: Vec<TensorId> = self.open.iter().copied().filter(fits).collect();
        self.random.pick(&fitting)
    }

    fn step(&mut self) -> TensorId {
        let x = self.any();
        let dims = self.net.dims(x);
        let last = *dims.last().expect("a dimension");
        match self.random.size(0, 11) {
            0 | 1 => {
                let other = self.partner(x);
                let op = Op::Add(Add {
                    requant: None,
                    activation: self.random.pick(&ACTIVATIONS),
                });
                self.node(op, &[x, other], &dims)
            }
            2 => {
                let other = self.partner(x);
                let op = Op::Mul(Mul {
                    requant: None,
                    activation: self.random.pick(&ACTIVATIONS),
                });
                self.node(op, &[x, other], &dims)
            }
            3 => {
                let axis = self.random.size(0, dims.len() - 1);
                let alike = |open: &TensorId| {
                    let mut other = self.net.dims(*open);
                    other.len() == dims.len() && {
                        other[axis] = dims[axis];
                        other == dims
                    }
                };
                let fitting: Vec<TensorId> = self.open.iter().copied().filter(alike).collect();
                let count = self.random.size(1, 3);
                let mut inputs = vec![x];
                inputs.extend((0..count).map(|_| self.random.pick(&fitting)));
                let mut output = dims;
                output[axis] = inputs.iter().map(|id| self.net.dims(*id)[axis]).sum();
                let op = Op::Concat(Concat { axis: axis as u8 });
                self.node(op, &inputs, &output)
            }
            4 => {
                let mut pad = Pad::default();
                let mut output = dims;
                for (axis, dim) in output.iter_mut().enumerate() {
                    pad.before[axis] = self.random.size(0, 2) as u8;
                    pad.after[axis] = self.random.size(0, 1) as u8;
                    *dim += usize::from(pad.before[axis] + pad.after[axis]);
                }
                self.node(Op::Pad(pad), &[x], &output)
            }
            5 => {
                let mut axes = [0u8, 1, 2, 3];
                for index in (1..dims.len()).rev() {
                    axes.swap(index, self.random.size(0, index));
                }
                let output: Vec<usize> = axes[..dims.len()]
                    .iter()
                    .map(|&a| dims[usize::from(a)])
                    .collect();
                self.net
                    .node(Op::Transpose(Transpose { axes }), &[x], &output)
            }
            6 => {
                let output = [last, dims.iter().product::<usize>() / last];
                self.node(Op::Reshape, &[x], &output)
            }
            7 if dims.len() > 1 => {
                let op = if self.random.once_in(2) {
                    Op::GlobalAvgPool(None)
                } else {
                    Op::GlobalMaxPool
                };
                self.node(op, &[x], &[last])
            }
            8 => {
                let slopes = self.random.pick(&[1, last]);
                let values: Vec<f32> = self.random.values(slopes, 0.2);
                let slope: Vec<f32> = values.iter().map(|v| v + 0.25).collect();
                let slope = self.net.weight(&[slopes], &slope);
                let op = Op::Prelu(Prelu {
                    slope,
                    requant: None,
                });
                self.node(op, &[x], &dims)
            }
            9 => {
                let activation = self.random.pick(&ACTIVATIONS);
                self.node(Op::Activation(activation), &[x], &dims)
            }
            _ => {
                let outputs = self.random.pick(&[1, 3, 3, 8]);
                let activation = self.random.pick(&ACTIVATIONS);
                self.dense(x, outputs, activation)
            }
        }
    }
}

/// A graph with one or two outputs, each a vector that a dense layer writes.
fn draw(random: &mut Random, dtype: DType) -> (Net, Vec<TensorId>) {
    let mut draw = Draw {
        random,
        net: Net::new(dtype),
        open: Vec::new(),
        shared: Vec::new(),
        made: Vec::new(),
        read: Vec::new(),
    };
    let dims = match draw.random.size(0, 2) {
        0 => vec![draw.random.size(2, 6)],
        1 => vec![draw.random.size(2, 4), draw.random.size(2, 4)],
        _ => vec![2, draw.random.size(2, 4), draw.random.size(1, 3)],
    };
    for _ in 0..draw.random.size(1, 2) {
        let input = draw.net.input(&dims);
        draw.open.push(input);
    }
    for _ in 0..draw.random.size(2, 9) {
        let y = draw.step();
        draw.made.push(y);
        // What grows is not read on.
        if draw.net.dims(y).iter().product::<usize>() <= 200 {
            draw.open.push(y);
        }
    }
    // Every tensor that nobody reads counts for some output: all that learns is reached by a loss.
    let heads = draw.random.size(1, 2);
    let sizes: Vec<usize> = (0..heads).map(|_| draw.random.size(2, 4)).collect();
    let mut outputs: Vec<Option<TensorId>> = vec![None; heads];
    let mut leaves: Vec<TensorId> = draw.made.clone();
    leaves.retain(|leaf| !draw.read.contains(leaf));
    while leaves.len() < heads {
        leaves.push(draw.any());
    }
    for (index, leaf) in leaves.into_iter().enumerate() {
        let elements = draw.net.dims(leaf).iter().product();
        let flat = draw.net.node(Op::Flatten, &[leaf], &[elements]);
        let y = draw.dense(flat, sizes[index % heads], Activation::None);
        let output = &mut outputs[index % heads];
        *output = Some(match *output {
            None => y,
            Some(before) => {
                let op = Op::Add(Add {
                    requant: None,
                    activation: Activation::None,
                });
                draw.net.node(op, &[before, y], &[sizes[index % heads]])
            }
        });
    }
    let outputs = outputs.into_iter().flatten().collect();
    (draw.net, outputs)
}

fn hold(seed: u64, dtype: DType, [share, steep, floor]: [f32; 3]) {
    let mut random = Random::new(300_000 + seed);
    let (net, outputs) = draw(&mut random, dtype);
    let weights = [1.0, 0.5];
    let heads: Vec<Head> = (0..outputs.len())
        .map(|index| {
            let head = Head::new(Loss::MeanSquaredError);
            head.at(index as u8).with_weight(weights[index])
        })
        .collect();
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 1.0);
    let spec = spec.with_heads(&heads).expect("at most four");
    let blob = net.finish(&outputs, Some(spec));
    let model = Model::load(&blob).expect("a valid blob");
    let inputs: Vec<Vec<f32>> = (0..model.inputs().as_slice().len())
        .map(|index| {
            let elements = model.input(index).expect("an input").elements();
            let drawn = random.values(elements, 1.0);
            values_of(dtype, &bytes_of(dtype, &drawn))
        })
        .collect();
    let targets: Vec<Vec<f32>> = (0..outputs.len())
        .map(|index| {
            let elements = model.output(index).expect("an output").elements();
            random.values(elements, 1.0)
        })
        .collect();

    let mut arena = poisoned_arena(model.arena_train());
    let mut trainer = Trainer::new(model, arena.as_mut_slice()).expect("a trainer");
    let before = values_of(dtype, trainer.weights());
    for (index, values) in inputs.iter().enumerate() {
        let input = trainer.input_mut(index).expect("an input");
        input.copy_from_slice(&bytes_of(dtype, values));
    }
    let given: Vec<Target> = targets.iter().map(|t| Target::Values(t)).collect();
    trainer.step_heads(&given).expect("a step");
    let after = values_of(dtype, trainer.weights());
    let found = before
        .iter()
        .zip(&after)
        .map(|(before, after)| before - after);

    let torch = Torch::new(model);
    let answers = torch.run(&inputs);
    let losses = answers
        .iter()
        .zip(&targets)
        .zip(weights)
        .map(|((y, target), weight)| {
            (y - Tensor::from_slice(target)).square().mean(Kind::Float) * f64::from(weight)
        });
    losses.reduce(|a, b| a + b).expect("a loss").backward();
    let outputs = run(&blob, &inputs);
    for (found, wanted) in outputs.into_iter().zip(&answers) {
        let pair = [found, values(wanted)];
        close(
            &format!("{dtype:?}, seed {seed}: output"),
            &pair,
            share,
            floor,
        );
    }
    let pair = [found.collect(), torch.gradient()];
    close(
        &format!("{dtype:?}, seed {seed}: gradient"),
        &pair,
        steep,
        floor,
    );
}

#[test]
fn branches_in_f32() {
    for seed in 0..400 {
        hold(seed, DType::F32, [1e-5, 1e-4, 1e-6]);
    }
}

#[test]
fn branches_in_q16() {
    for seed in 0..400 {
        hold(seed, DType::Q16, [1e-3, 1e-3, 1e-3]);
    }
}

/// Indices into a table that learns, summed and classified.
#[test]
fn embeddings() {
    for seed in 0..40 {
        for (dtype, [share, floor]) in [(DType::F32, [1e-4, 1e-6]), (DType::Q16, [1e-3, 1e-3])] {
            let mut random = Random::new(40_000 + seed);
            let (steps, entries) = (random.size(1, 6), random.size(2, 9));
            let features = random.size(1, 5);
            let mut net = Net::new(dtype);
            let x = net.input_of(&[steps], DType::I32);
            let table = net.weight(
                &[entries, features],
                &random.values(entries * features, 1.0),
            );
            let rows = net.node(Op::Embedding(Embedding { table }), &[x], &[steps, features]);
            let y = net.node(Op::GlobalAvgPool(None), &[rows], &[features]);
            let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 1.0);
            let blob = net.finish(&[y], Some(spec));
            let model = Model::load(&blob).expect("a valid blob");
            let indices = (0..steps).map(|_| random.size(0, entries - 1) as f32);
            let indices: Vec<f32> = indices.collect();
            let target = random.values(features, 1.0);
            let mut arena = poisoned_arena(model.arena_train());
            let mut trainer = Trainer::new(model, arena.as_mut_slice()).expect("a trainer");
            let before = values_of(dtype, trainer.weights());
            let input = trainer.input_mut(0).expect("an input");
            input.copy_from_slice(&bytes_of(DType::I32, &indices));
            trainer.step(Target::Values(&target)).expect("a step");
            let after = values_of(dtype, trainer.weights());
            let found = before
                .iter()
                .zip(&after)
                .map(|(before, after)| before - after);
            let torch = Torch::new(model);
            let answers = torch.run(std::slice::from_ref(&indices));
            let loss = (&answers[0] - Tensor::from_slice(&target))
                .square()
                .mean(Kind::Float);
            loss.backward();
            let pair = [found.collect(), torch.gradient()];
            close(
                &format!("embedding, {dtype:?}, seed {seed}"),
                &pair,
                share,
                floor,
            );
            let pair = [
                run(&blob, std::slice::from_ref(&indices)).remove(0),
                values(&answers[0]),
            ];
            close(
                &format!("embedding, {dtype:?}, seed {seed}"),
                &pair,
                share,
                floor,
            );
        }
    }
}
