use std::collections::BTreeMap;

use nn_core::ops::{Activation, Op, Pool2d};
use nn_core::tensor::{DType, Quant};
use nn_core::train::{Loss, Sgd, Trainable};

use super::*;
use crate::export::{AlignedBytes, Builder, Gives};

fn sgd(momentum: f32) -> Sgd {
    Sgd {
        learning_rate: 0.1,
        momentum,
        weight_decay: 0.0,
    }
}

/// Convolution, pooling, flatten, LSTM beside it, two dense layers, softmax.
fn blob(train: Option<TrainSpec>) -> AlignedBytes {
    let mut builder = Builder::new("planned");
    let x = builder.input(&[8, 8, 1], DType::F32, Quant::None).unwrap();
    let bias = [0.0; 4];
    let relu = Activation::Relu;
    let kernel = [3, 3, 1, 4];
    let y = builder
        .conv2d("conv", x, kernel, &[0.1; 36], &bias, [1, 1], [1; 4], relu)
        .unwrap();
    let pool = Pool2d {
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let y = builder.max_pool2d("pool", y, pool).unwrap();
    let y = builder.flatten("flatten", y).unwrap();
    let y = builder
        .dense("dense", y, &[0.1; 640], &[0.0; 10], relu)
        .unwrap();
    let layer = builder
        .recurrent_weights("lstm", y, &[0.1; 120], &[0.1; 36], &[0.0; 12])
        .unwrap();
    let y = builder.lstm("lstm", &[y], layer, Gives::Steps(4)).unwrap();
    let y = builder.flatten("flat", y).unwrap();
    let y = builder
        .dense("head", y, &[0.1; 36], &[0.0; 3], Activation::None)
        .unwrap();
    let y = builder.same("softmax", Op::Softmax(None), y).unwrap();
    builder.finish(&[y], train).unwrap()
}

fn spec(trainable: Trainable, momentum: f32) -> TrainSpec {
    TrainSpec::with_rates(trainable, Loss::CrossEntropy, sgd(momentum))
}

fn sum(arena: &ArenaPlan) -> usize {
    arena.parts.named().iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn the_sums_are_what_the_headers_state() {
    for plan in [
        None,
        Some(spec(Trainable::All, 0.0)),
        Some(spec(Trainable::All, 0.5)),
        Some(spec(Trainable::Last(1), 0.0)),
        Some(spec(Trainable::Nodes(1 << 3), 0.0)),
    ] {
        let blob = blob(plan);
        let model = Model::load(&blob).unwrap();
        let report = PlanReport::of(&model, plan).unwrap();
        assert_eq!(sum(&report.inference), model.arena_infer());
        assert_eq!(report.inference.header, Some(model.arena_infer()));
        let training = report.training.as_ref().map(|training| &training.arena);
        assert_eq!(training.map(sum), plan.map(|_| model.arena_train()));
        for arena in [Some(&report.inference), training].into_iter().flatten() {
            // The buffers end where their part does, and none meets another in time and place.
            let placed = || arena.buffers.iter().filter_map(|b| Some((b.offset?, b)));
            let end = placed().map(|(offset, b)| offset + b.bytes).max();
            assert_eq!(end, Some(arena.parts.buffers));
            assert!(arena.lower_bound <= arena.parts.buffers);
            for (index, (offset, a)) in placed().enumerate() {
                for (other, b) in placed().skip(index + 1) {
                    let apart = offset + a.bytes <= other || other + b.bytes <= offset;
                    assert!(apart || a.last < b.first || b.last < a.first, "{a:?} {b:?}");
                }
            }
        }
    }
}

/// A plan for a blob that has none costs what the blob with that plan says.
#[test]
fn another_plan_costs_what_a_blob_with_it_would() {
    let without = blob(None);
    let model = Model::load(&without).unwrap();
    for text in [
        "all",
        "last:2",
        "layers:head,dense momentum=0.9",
        "all, momentum=0.5",
        "biases",
        "channels:conv:1-2 layers:head",
        "top:dense:3,optimizer=adam",
        "all accumulate=4 optimizer=rmsprop",
        "all clip_norm=1 momentum=0.9",
    ] {
        let spec = text.parse::<SpecRequest>().unwrap().apply(&model).unwrap();
        let with = blob(Some(spec));
        let wanted = Model::load(&with).unwrap().arena_train();
        let report = PlanReport::of(&model, Some(spec)).unwrap();
        let training = report.training.unwrap();
        assert_eq!(training.arena.total, wanted, "{text}");
        assert_eq!(training.arena.header, None);
        let learnt: usize = training.learnt.iter().map(|learnt| learnt.bytes).sum();
        assert_eq!(learnt, training.arena.parts.weights);
        for option in &training.options {
            let text = format!("{text} {}", option.option);
            let spec = text.parse::<SpecRequest>().unwrap().apply(&model).unwrap();
            let with = blob(Some(spec));
            let found = Model::load(&with).unwrap().arena_train() as i64 - wanted as i64;
            assert_eq!(option.difference, found, "{text}");
        }
    }
}

#[test]
fn names_are_the_layers() {
    let plan = Some(spec(Trainable::All, 0.0));
    let blob = blob(plan);
    let report = PlanReport::of(&Model::load(&blob).unwrap(), plan).unwrap();
    let training = report.training.unwrap();
    let learnt: Vec<&str> = training.learnt.iter().map(|l| l.name.as_str()).collect();
    let wanted = [
        "conv.weight",
        "conv.bias",
        "dense.weight",
        "dense.bias",
        "lstm.kernel",
        "lstm.recurrent_kernel",
        "lstm.bias",
        "head.weight",
        "head.bias",
    ];
    assert_eq!(learnt, wanted);
    let mut owners = BTreeMap::<&str, Vec<&str>>::new();
    for buffer in &training.arena.buffers {
        owners.entry(buffer.kind).or_default().push(&buffer.owner);
    }
    assert_eq!(owners["activation"][..3], ["input 0", "conv", "pool"]);
    assert_eq!(owners["saved"], ["pool", "lstm"]);
    let flat = training.arena.buffers.iter().find(|b| b.owner == "flatten");
    assert_eq!(flat.unwrap().shares.as_deref(), Some("pool"));
}

#[test]
fn wrong_requests_say_what_was_wanted() {
    let blob = blob(None);
    let model = Model::load(&blob).unwrap();
    for (text, part) in [
        (
            "some",
            "`some`: wanted what learns (all, last:K, layers:NAME",
        ),
        ("last:0", "a whole number from 1 to 255"),
        ("momentum=1", "momentum: wanted a number from 0 to below 1"),
        ("channels:conv", "channels: wanted NAME:FIRST-LAST"),
        ("channels:conv:9-1", "found `conv:9-1`"),
        ("top:conv:0", "top: wanted NAME:COUNT"),
        ("optimizer=sdg", "sgd, adam, adamw or rmsprop"),
        (
            "nesterov=true momentum=0",
            "momentum is 0: it must be above 0",
        ),
        ("speed=1", "`speed=1`: wanted"),
        (
            "layers:pool",
            "layer `pool`: wanted one whose weights can learn: conv, dense, lstm, head",
        ),
    ] {
        let request = text.parse::<SpecRequest>();
        let error = request
            .and_then(|request| request.apply(&model))
            .unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}
