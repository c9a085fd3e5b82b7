//! Learning in int8, bit for bit, against a reference in wide integers, written from the formulas in `docs/numerics.md`;
//! and its gradients against those of the same network in f32.

mod nets;
mod reference;

use host::export::{AlignedBytes, Builder};
use nn_core::kernels::packed::Layout;
use nn_core::model::Model;
use nn_core::ops::{Activation, Op};
use nn_core::scalar::XorShift32;
use nn_core::tensor::{DType, Quant, TensorId};
use nn_core::train::{
    Clip, Loss, Part, Rounding, Target, TrainError, TrainSpec, Trainable, Trainer,
};
use tests::network::{floats, poisoned_arena};
use tests::random::Random;

use nets::Net;
use reference::count;

const SEED: u32 = 77;
fn trainer<'a>(blob: &'a AlignedBytes, arena: &'a mut AlignedBytes) -> Trainer<'a> {
    let model = Model::load(blob).unwrap();
    *arena = poisoned_arena(model.arena_train());
    Trainer::new(model, arena.as_mut_slice()).unwrap()
}

/// Steps in int8, apart and with poolings in their convolutions, are those of the reference.
#[test]
fn a_step_is_that_of_the_reference() {
    let (mut fused, mut moved) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut net = Net::draw(&mut random);
        let rate = [1e-6, 0.001, 0.05, 1.0, 1e4, 1e30][seed as usize % 6];
        let blobs = [None, Some(Layout::Armv7em)].map(|layout| net.blob(rate, layout));
        let of = |blob| Model::load(blob).unwrap().nodes().len();
        fused += of(&blobs[0]) - of(&blobs[1]);
        let mut arenas = [AlignedBytes::zeroed(0), AlignedBytes::zeroed(0)];
        let [plain, packed] = &mut arenas;
        let mut trainers = [trainer(&blobs[0], plain), trainer(&blobs[1], packed)];
        let mut rng = XorShift32::new(SEED);
        let before = net.bytes();
        assert_eq!(trainers[0].weights(), before, "seed {seed}");
        for step in 0..3 {
            let x: Vec<i8> = (0..count(net.layers[0].input))
                .map(|_| match random.once_in(3) {
                    true => net.layers[0].quants[0].1 as i8,
                    false => random.within(-128, 127) as i8,
                })
                .collect();
            let outputs = count(net.layers.last().unwrap().output);
            let target = random.values(outputs, 4.0);
            net.step(&x, &target, rate, &mut rng);
            for trainer in &mut trainers {
                let input = trainer.input_mut(0).unwrap();
                input.copy_from_slice(bytemuck::cast_slice(&x));
                // An absurd loss is refused in f32 only.
                trainer.step(Target::Values(&target)).unwrap();
                let wanted = net.bytes();
                assert_eq!(
                    trainer.weights(),
                    wanted,
                    "seed {seed}, step {step}: {net:#?}"
                );
            }
        }
        moved += usize::from(net.bytes() != before);
    }
    assert!(fused > 40 && moved > 300, "{fused} poolings, {moved} nets");
}

/// How a layer's weights are told: scales, and `[out, rest]` of `[rest, out]`.
fn real_steps(model: &Model, before: &[u8], after: &[f64]) -> Vec<Vec<f64>> {
    let (mut at, mut all) = (0, Vec::new());
    for node in model.nodes() {
        let ids: Vec<TensorId> = node.op.parameters().collect();
        let [weight, bias] = ids[..] else { continue };
        let [weight, bias] = [weight, bias].map(|id| model.tensor(id).unwrap());
        let outputs = bias.elements();
        let Quant::PerChannel { scales } = weight.quant else {
            continue;
        };
        let scales = model.weight_bytes(&model.tensor(scales).unwrap());
        let scales = floats(scales);
        let filter = weight.elements() / outputs;
        // As the f32 model has them: the output channel last.
        let steps = (0..filter).flat_map(|k| (0..outputs).map(move |o| (k, o)));
        let steps = steps.map(|(k, o)| {
            let place = at + o * filter + k;
            (f64::from(before[place] as i8) - after[place]) * f64::from(scales[o])
        });
        all.push(steps.collect());
        at += weight.bytes().next_multiple_of(4) + bias.bytes();
    }
    all
}

/// The mean of many steps on one sample is the step of the same network in f32: rounding at random has no drift, and the
/// gradients are right. What is left is what int8 makes of activations, and the odds of so many draws.
#[test]
fn the_mean_step_is_that_of_f32() {
    const DRAWS: usize = 256;
    const RATE: f32 = 0.01;
    for network in ["mlp", "cnn"] {
        let model = |format| {
            let file = format!("../models/mnist-{network}-{format}.mote");
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let blob = host::blob::Blob::open(&path).unwrap();
            let (mut builder, outputs) = Builder::of(&blob.model());
            let mut outputs = outputs;
            builder.real_outputs(&mut outputs).unwrap();
            let spec = TrainSpec::sgd(Trainable::All, Loss::CrossEntropy, RATE);
            builder.finish(&outputs, Some(spec)).unwrap()
        };
        // A ring of ink, which a nine is not.
        let ink = |at: usize| {
            let [row, column] = [at / 28, at % 28].map(|cell| cell as f64 - 13.5);
            let away = (row * row + column * column).sqrt() - 7.0;
            (255.0 * (1.0 - away.abs() / 2.5).clamp(0.0, 1.0)) as u8
        };
        let target = Target::Class(9);
        let real = model("f32");
        let mut arena = AlignedBytes::zeroed(0);
        let mut f32_trainer = trainer(&real, &mut arena);
        let pixels: Vec<f32> = (0..784).map(|at| f32::from(ink(at)) / 255.0).collect();
        let input = f32_trainer.input_mut(0).unwrap();
        input.copy_from_slice(bytemuck::cast_slice(&pixels));
        let before = floats(f32_trainer.weights());
        f32_trainer.step(target).unwrap();
        let after = floats(f32_trainer.weights());
        let f32_model = f32_trainer.model();
        let mut wanted: Vec<Vec<f64>> = Vec::new();
        let mut at = 0;
        for node in f32_model.nodes() {
            for (place, id) in node.op.parameters().enumerate() {
                let len = f32_model.tensor(id).unwrap().elements();
                let steps = (at..at + len).map(|at| f64::from(before[at]) - f64::from(after[at]));
                if place == 0 {
                    wanted.push(steps.collect());
                }
                at += len;
            }
        }
        let int8 = model("i8");
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&int8, &mut arena);
        let before = trainer.weights().to_vec();
        let pixels: Vec<u8> = (0..784).map(|at| ink(at).wrapping_sub(128)).collect();
        let mut mean = vec![0.0; before.len()];
        for _ in 0..DRAWS {
            trainer.load_weights(&before).unwrap();
            trainer.input_mut(0).unwrap().copy_from_slice(&pixels);
            trainer.step(target).unwrap();
            for (mean, weight) in mean.iter_mut().zip(trainer.weights()) {
                *mean += f64::from(*weight as i8) / DRAWS as f64;
            }
        }
        let found = real_steps(&trainer.model(), &before, &mean);
        assert_eq!(found.len(), wanted.len());
        for (layer, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let square = product(wanted, wanted);
            let along = product(found, wanted) / square;
            let cosine = product(found, wanted) / (product(found, found) * square).sqrt();
            println!("{network}, layer {layer}: along {along:.3}, cosine {cosine:.4}");
            assert!(
                (0.9..1.1).contains(&along),
                "{network}, layer {layer}: {along}"
            );
            assert!(cosine > 0.95, "{network}, layer {layer}: {cosine}");
        }
    }
}

/// A net with tensors whose bytes are no whole words, and its blob.
fn odd() -> Net {
    let nets = (0..).map(|seed| Net::draw(&mut Random::new(seed)));
    let mut nets = nets.filter(|net| {
        let learnt = net.layers.iter().filter(|layer| !layer.weights.is_empty());
        learnt.filter(|layer| layer.weights.len() % 4 != 0).count() > 1
    });
    nets.next().unwrap()
}

fn teach(trainer: &mut Trainer, net: &Net, random: &mut Random) {
    let x: Vec<i8> = (0..count(net.layers[0].input))
        .map(|_| random.within(-128, 127) as i8)
        .collect();
    let target = random.values(count(net.layers.last().unwrap().output), 4.0);
    let input = trainer.input_mut(0).unwrap();
    input.copy_from_slice(bytemuck::cast_slice(&x));
    trainer.step(Target::Values(&target)).unwrap();
}

/// Weights of any length are kept in parts, go back, and into a blob.
#[test]
fn what_is_learnt_can_be_kept() {
    let net = odd();
    let blob = net.blob(1.0, None);
    let mut arenas = [AlignedBytes::zeroed(0), AlignedBytes::zeroed(0)];
    let [first, second] = &mut arenas;
    let (mut learner, mut other) = (trainer(&blob, first), trainer(&blob, second));
    let own = learner.weights().to_vec();
    teach(&mut learner, &net, &mut Random::new(5));
    assert_ne!(learner.weights(), own);
    assert!(learner.weights_are_finite());
    let changes: Vec<(usize, Vec<u8>)> = learner
        .changes(8)
        .map(|(at, part)| (at, part.to_vec()))
        .collect();
    for (at, part) in &changes {
        other.write_weights(*at, part).unwrap();
    }
    assert_eq!(learner.weights(), other.weights());
    let path = std::path::Path::new("odd");
    let file = host::blob::Blob::new(path, AlignedBytes::copy_of(&blob)).unwrap();
    let learnt = host::tune::with_weights(&file, learner.weights()).unwrap();
    let mut arena = AlignedBytes::zeroed(0);
    assert_eq!(
        trainer(&AlignedBytes::copy_of(learnt.bytes()), &mut arena).weights(),
        learner.weights()
    );
    other.reset();
    assert_eq!(other.weights(), own);
}

/// What goes beyond plain descent is refused by name, when the model is built and later.
#[test]
fn other_optimizers_are_refused() {
    let net = odd();
    let blob = net.blob(0.1, None);
    let model = Model::load(&blob).unwrap();
    let plan = |spec: TrainSpec| {
        let (builder, outputs) = Builder::of(&model);
        let error = builder.finish(&outputs, Some(spec)).err();
        error.map_or_else(String::new, |error| error.to_string())
    };
    let spec = TrainSpec::sgd(Trainable::All, Loss::MeanSquaredError, 0.1);
    assert_eq!(plan(spec), "");
    for (spec, wanted) in [
        (spec.with_momentum(0.9), "a momentum"),
        (spec.with_weight_decay(0.1), "a weight decay"),
        (spec.with_l1(0.1), "an L1 penalty"),
        (spec.with_rounding(Rounding::Nearest), "rounding to nearest"),
        (spec.with_accumulation(2), "accumulation"),
        (spec.with_clip(Clip::Value(1.0)), "clipping"),
        (spec.with_clip(Clip::Norm(1.0)), "clipping"),
        (
            TrainSpec::adam(Trainable::All, Loss::MeanSquaredError, 0.1),
            "Adam",
        ),
    ] {
        let error = plan(spec);
        assert!(error.contains(wanted) && error.contains("int8"), "{error}");
    }
    let channels = Part::Channels { first: 0, mask: 1 };
    assert!(plan(spec.with_part(channels)).contains("output channels"));
    let mut arena = AlignedBytes::zeroed(0);
    let mut trainer = trainer(&blob, &mut arena);
    let setting = trainer.set_optimizer(spec.with_weight_decay(0.1).optimizer);
    assert_eq!(
        setting,
        Err(TrainError::Int8 {
            setting: "a weight decay"
        })
    );
}

/// Under a head of real numbers int8 stays as it is, unless a plan names it.
#[test]
fn a_backbone_learns_where_it_is_named() {
    let mut builder = Builder::new("backbone");
    let net = odd();
    let last = net.layers.last().unwrap();
    let quant = |(scale, zero_point)| Quant::PerTensor { scale, zero_point };
    let input = quant(net.layers[0].quants[0]);
    let mut x = builder
        .input(&net.layers[0].input, DType::I8, input)
        .unwrap();
    for (index, layer) in net.layers.iter().enumerate() {
        x = layer.add(&mut builder, &format!("layer{index}"), x);
    }
    let x = builder
        .convert("real", Op::Dequantize, x, DType::F32, Quant::None)
        .unwrap();
    let weight = vec![0.1; last.output[2] * 3];
    let x = builder
        .dense("head", x, &weight, &[0.0; 3], Activation::None)
        .unwrap();
    let learnt = |nodes| {
        let spec = TrainSpec::sgd(nodes, Loss::MeanSquaredError, 0.1);
        let blob = builder.finish(&[x], Some(spec)).unwrap();
        let mut arena = AlignedBytes::zeroed(0);
        let mut trainer = trainer(&blob, &mut arena);
        let before = trainer.weights().to_vec();
        let pixels = (0..count(net.layers[0].input)).map(|at| (at * 7 % 256) as u8);
        let pixels: Vec<u8> = pixels.collect();
        trainer.input_mut(0).unwrap().copy_from_slice(&pixels);
        let outputs = trainer.model().output(0).unwrap().elements();
        trainer.step(Target::Values(&vec![300.0; outputs])).unwrap();
        let moved = trainer
            .weights()
            .iter()
            .zip(&before)
            .filter(|(a, b)| a != b);
        (before.len(), moved.count())
    };
    let head = (weight.len() + 3) * 4;
    for nodes in [Trainable::All, Trainable::Last(1), Trainable::Last(4)] {
        assert_eq!(learnt(nodes).0, head);
    }
    let named = net.layers.len() - 1;
    let own = last.weights.len().next_multiple_of(4) + 4 * last.biases.len();
    let (len, moved) = learnt(Trainable::Node(named as u16));
    assert_eq!(len, own);
    assert!(moved > own / 8, "{moved} of {own} bytes");
    // All of it, head and backbone.
    let (len, _) = learnt(Trainable::Nodes(u64::MAX));
    assert_eq!(len, head + net.bytes().len());
}
