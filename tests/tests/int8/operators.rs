//! Sums, products, requantizations, slopes, means, log-softmax and what moves numbers: against TensorFlow Lite's
//! answers (`tests/golden/ops_i8.json`, made by `ops_i8.py` beside it), and against a reference over random ones.

use host::export::operators::{
    add_requant, leaky_relu_table, log_softmax_rescale, mean_rescale, mul_rescale, prelu_requant,
    relu_rescale, requantize_rescale,
};
use host::export::{Affine, Builder};
use nn_core::fixed_point::Rescale;
use nn_core::model::Model;
use nn_core::ops::{
    Activation, Add, AddRequant, Concat, Embedding, Lookup, Mul, Op, Pad, Prelu, PreluRequant,
    Requantize, Transpose,
};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant, Shape, Tensor, TensorId};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tests::int8_operators::{self as reference, Factor};
use tests::network::poisoned_arena;
use tests::random::Random;

use crate::random::{config, draw, zero_point};
use crate::{quant, signed};

/// An int8 tensor.
#[derive(Debug, Clone, Deserialize)]
struct Values {
    shape: Vec<usize>,
    scale: f32,
    zero: i32,
    values: Vec<i8>,
}

/// What an operator gives.
#[derive(Debug, Clone)]
struct Wanted {
    shape: Vec<usize>,
    scale: f32,
    zero: i32,
}

impl Wanted {
    fn tensor(&self) -> Tensor {
        let shape = Shape::new(&self.shape).expect("a shape");
        Tensor::activation(shape, DType::I8, quant(self.scale, self.zero))
    }
}

/// Runs one operator on nn-core.
fn run(inputs: &[Values], y: &Wanted, op: impl FnOnce(&mut Builder) -> Op) -> Vec<i8> {
    let mut builder = Builder::new("operator");
    let ids: Vec<TensorId> = inputs
        .iter()
        .map(|x| builder.input(&x.shape, DType::I8, quant(x.scale, x.zero)))
        .collect::<Result<_, _>>()
        .unwrap();
    let op = op(&mut builder);
    let output = builder.node_of("operator", op, &ids, y.tensor()).unwrap();
    let blob = builder.finish(&[output], None).unwrap();
    let each: Vec<&[u8]> = inputs
        .iter()
        .map(|x| bytemuck::cast_slice(&x.values))
        .collect();
    signed(&run_blob(&blob, &each))
}

fn run_blob(blob: &[u8], inputs: &[&[u8]]) -> Vec<u8> {
    let model = Model::load(blob).unwrap();
    let mut arena = poisoned_arena(model.arena_infer());
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    for (index, input) in inputs.iter().enumerate() {
        session.input_mut(index).unwrap().copy_from_slice(input);
    }
    session.run().unwrap();
    session.output(0).unwrap().to_vec()
}

fn weight(builder: &mut Builder, x: &Values) -> TensorId {
    let bytes = bytemuck::cast_slice(&x.values);
    let quant = quant(x.scale, x.zero);
    builder.weight(&x.shape, DType::I8, quant, bytes).unwrap()
}

fn pair(rescale: Rescale) -> Factor {
    (rescale.multiplier, i32::from(rescale.shift))
}

/// The range that the activation leaves.
fn range(activation: Activation, y: &Wanted) -> [i8; 2] {
    let six = ((6.0 / y.scale).round() as i32 + y.zero).min(127);
    match activation {
        Activation::Relu => [y.zero as i8, 127],
        Activation::Relu6 => [y.zero as i8, six as i8],
        _ => [-128, 127],
    }
}

fn affine(scale: f32, zero_point: i32) -> Affine {
    Affine { scale, zero_point }
}

#[derive(Debug, Deserialize)]
struct Golden {
    op: String,
    inputs: Vec<Values>,
    y_shape: Vec<usize>,
    y_scale: f32,
    y_zero: i32,
    y: Vec<i8>,
    activation: Option<String>,
    slope: Option<f32>,
    axis: Option<u8>,
    axes: Option<[u8; 3]>,
    before: Option<[u8; 3]>,
    after: Option<[u8; 3]>,
    indices: Option<Vec<i32>>,
}

impl Golden {
    /// nn-core's answer, and the reference's where it has one.
    fn answers(&self) -> (Vec<i8>, Option<Vec<i8>>) {
        let inputs = &self.inputs;
        let x = &inputs[0];
        let y = &Wanted {
            shape: self.y_shape.clone(),
            scale: self.y_scale,
            zero: self.y_zero,
        };
        let activation = match self.activation.as_deref() {
            Some("relu") => Activation::Relu,
            Some("relu6") => Activation::Relu6,
            _ => Activation::None,
        };
        let zeros = [x.zero, y.zero];
        match self.op.as_str() {
            "add" => {
                let x1 = &inputs[1];
                let requant = add_requant(x.scale, x1.scale, y.scale).unwrap();
                let op = Add {
                    requant: Some(requant),
                    activation,
                };
                let factors = [requant.x0, requant.x1, requant.y].map(pair);
                let zeros = [x.zero, x1.zero, y.zero];
                let range = range(activation, y);
                let wanted = reference::add(&x.values, &x1.values, factors, zeros, range);
                (run(inputs, y, |_| Op::Add(op)), Some(wanted))
            }
            "mul" => {
                let x1 = &inputs[1];
                let rescale = mul_rescale(x.scale, x1.scale, y.scale).unwrap();
                let op = Mul {
                    requant: Some(rescale),
                    activation,
                };
                let zeros = [x.zero, x1.zero, y.zero];
                let range = range(activation, y);
                let wanted = reference::mul(&x.values, &x1.values, pair(rescale), zeros, range);
                (run(inputs, y, |_| Op::Mul(op)), Some(wanted))
            }
            "requantize" | "relu" | "relu6" => {
                let (rescale, activation) = match self.op.as_str() {
                    "requantize" => (requantize_rescale(x.scale, y.scale), Activation::None),
                    "relu" => (relu_rescale(x.scale, y.scale), Activation::Relu),
                    _ => (relu_rescale(x.scale, y.scale), Activation::Relu6),
                };
                let rescale = rescale.unwrap();
                let op = Requantize {
                    rescale,
                    activation,
                };
                let range = range(activation, y);
                let wanted = reference::requantize(&x.values, pair(rescale), zeros, range);
                (run(inputs, y, |_| Op::Requantize(op)), Some(wanted))
            }
            "leaky_relu" => {
                let slope = self.slope.unwrap();
                let (from, to) = (affine(x.scale, x.zero), affine(y.scale, y.zero));
                let table = leaky_relu_table(from, slope, to).unwrap();
                let factors = [x.scale / y.scale, x.scale * slope / y.scale]
                    .map(|factor| tests::int8::quantize_multiplier(f64::from(factor)));
                let wanted = reference::leaky_relu(&x.values, factors, zeros);
                let found = run(inputs, y, |builder| {
                    let bytes = bytemuck::cast_slice(&table);
                    let none = Quant::None;
                    let table = builder.weight(&[256], DType::I8, none, bytes).unwrap();
                    Op::Lookup(Lookup { table })
                });
                (found, Some(wanted))
            }
            "prelu" => {
                let slope = &inputs[1];
                let requant = prelu_requant(x.scale, slope.scale, y.scale).unwrap();
                let factors = [requant.positive, requant.negative].map(pair);
                let zeros = [x.zero, slope.zero, y.zero];
                let wanted = reference::prelu(&x.values, &slope.values, factors, zeros);
                let found = run(&inputs[..1], y, |builder| {
                    Op::Prelu(Prelu {
                        slope: weight(builder, slope),
                        requant: Some(requant),
                    })
                });
                (found, Some(wanted))
            }
            "global_avg_pool" => {
                let channels = y.shape[0];
                let count = x.values.len() / channels;
                let rescale = mean_rescale(x.scale, y.scale, count as u32).unwrap();
                let wanted = reference::mean(&x.values, channels, pair(rescale), zeros);
                let found = run(inputs, y, |_| Op::GlobalAvgPool(Some(rescale)));
                (found, Some(wanted))
            }
            "global_max_pool" => {
                let wanted = reference::max(&x.values, y.shape[0]);
                (run(inputs, y, |_| Op::GlobalMaxPool), Some(wanted))
            }
            "log_softmax" => {
                let rescale = log_softmax_rescale(x.scale).unwrap();
                let wanted = reference::log_softmax(&x.values, x.scale, pair(rescale.back));
                let found = run(inputs, y, |_| Op::LogSoftmax(Some(rescale)));
                (found, Some(wanted))
            }
            "concat" => {
                let axis = self.axis.unwrap();
                (run(inputs, y, |_| Op::Concat(Concat { axis })), None)
            }
            "pad" => {
                let four = |cells: [u8; 3]| [cells[0], cells[1], cells[2], 0];
                let pad = Pad {
                    before: four(self.before.unwrap()),
                    after: four(self.after.unwrap()),
                };
                (run(inputs, y, |_| Op::Pad(pad)), None)
            }
            "transpose" => {
                let [a, b, c] = self.axes.unwrap();
                let axes = [a, b, c, 3];
                (run(inputs, y, |_| Op::Transpose(Transpose { axes })), None)
            }
            "embedding" => (embed(x, self.indices.as_ref().unwrap(), y), None),
            other => panic!("operator {other}"),
        }
    }
}

fn embed(table: &Values, indices: &[i32], y: &Wanted) -> Vec<i8> {
    let mut builder = Builder::new("embedding");
    let shape = [indices.len()];
    let input = builder.input(&shape, DType::I32, Quant::None).unwrap();
    let table = weight(&mut builder, table);
    let op = Op::Embedding(Embedding { table });
    let output = builder.node("embedding", op, input, y.tensor()).unwrap();
    let blob = builder.finish(&[output], None).unwrap();
    signed(&run_blob(&blob, &[bytemuck::cast_slice(indices)]))
}

#[test]
fn tensorflow_lite_says_the_same_of_operators() {
    // MOTE_GOLDEN_OPS_I8 names a larger file that ops_i8.py made, with another seed and more rounds.
    let path = std::env::var_os("MOTE_GOLDEN_OPS_I8").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/golden/ops_i8.json").into(),
        std::path::PathBuf::from,
    );
    let text = std::fs::read_to_string(&path).expect("the golden file");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("its form");
    assert!(cases.len() >= 57);
    let mut numbers = 0;
    for (case, golden) in cases.into_iter().enumerate() {
        let golden: Golden = serde_json::from_value(golden).expect("its form");
        let (found, wanted) = golden.answers();
        assert_eq!(found, golden.y, "case {case}, {}", golden.op);
        if let Some(wanted) = wanted {
            assert_eq!(wanted, golden.y, "case {case}, {}: reference", golden.op);
        }
        numbers += golden.y.len();
    }
    println!("{numbers} numbers");
}

/// A factor: of a size that fits, 0, or any that a blob may hold.
fn factor(random: &mut Random, largest_shift: i64) -> Rescale {
    let shift = match random.size(0, 9) {
        0 => random.within(-31, largest_shift),
        _ => random.within((-6).min(largest_shift - 8), largest_shift.min(2)),
    };
    let multiplier = match random.size(0, 19) {
        0 => 0,
        // Means have such ones.
        1 => random.within(1, 1 << 30),
        _ => random.within(1 << 30, i64::from(i32::MAX)),
    };
    Rescale {
        multiplier: multiplier as i32,
        shift: shift as i8,
    }
}

fn values(random: &mut Random, shape: &[usize], zero: i32, ends: bool) -> Values {
    Values {
        shape: shape.to_vec(),
        scale: 1.0,
        zero,
        values: draw(random, shape.iter().product(), -128, ends),
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn random_operators(
        shape in prop::collection::vec(1..6usize, 1..4),
        repeated in 0..3usize,
        zeros in (zero_point(), zero_point(), zero_point()),
        which in 0..3usize,
        ends in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let random = &mut Random::new(seed);
        let zeros = [zeros.0, zeros.1, zeros.2];
        let second = match repeated {
            0 => shape.clone(),
            1 => vec![*shape.last().unwrap()],
            _ => vec![1],
        };
        let x0 = values(random, &shape, zeros[0], ends);
        let x1 = values(random, &second, zeros[1], ends);
        let both = [x0.clone(), x1.clone()];
        let y = Wanted { shape: shape.clone(), scale: 0.1, zero: zeros[2] };
        let activation = [Activation::None, Activation::Relu, Activation::Relu6][which];
        let range = range(activation, &y);

        let sum = AddRequant { x0: factor(random, 0), x1: factor(random, 0), y: {
            let mut y = factor(random, 0);
            y.shift = y.shift.min(-10);
            y
        } };
        let op = Op::Add(Add { requant: Some(sum), activation });
        let factors = [sum.x0, sum.x1, sum.y].map(pair);
        let wanted = reference::add(&x0.values, &x1.values, factors, zeros, range);
        prop_assert_eq!(run(&both, &y, |_| op), wanted);

        let rescale = factor(random, 30);
        let op = Op::Mul(Mul { requant: Some(rescale), activation });
        let wanted = reference::mul(&x0.values, &x1.values, pair(rescale), zeros, range);
        prop_assert_eq!(run(&both, &y, |_| op), wanted);

        let rescale = factor(random, 30);
        let op = Op::Requantize(Requantize { rescale, activation });
        let ends = [zeros[0], zeros[2]];
        let wanted = reference::requantize(&x0.values, pair(rescale), ends, range);
        prop_assert_eq!(run(&both[..1], &y, |_| op), wanted);

        let slopes = PreluRequant { positive: factor(random, 30), negative: factor(random, 30) };
        let factors = [slopes.positive, slopes.negative].map(pair);
        let wanted = reference::prelu(&x0.values, &x1.values, factors, zeros);
        let found = run(&both[..1], &y, |builder| {
            Op::Prelu(Prelu { slope: weight(builder, &x1), requant: Some(slopes) })
        });
        prop_assert_eq!(found, wanted);

        let channels = *shape.last().unwrap();
        let y = Wanted { shape: vec![channels], ..y };
        let rescale = factor(random, 30);
        let wanted = reference::mean(&x0.values, channels, pair(rescale), ends);
        prop_assert_eq!(run(&both[..1], &y, |_| Op::GlobalAvgPool(Some(rescale))), wanted);
    }

    #[test]
    fn random_log_softmaxes(
        exponent in -12.0..3.0f32,
        zero in zero_point(),
        x in prop::collection::vec(any::<i8>(), 1..50),
    ) {
        let scale = exponent.exp2();
        let rescale = log_softmax_rescale(scale).unwrap();
        let wanted = reference::log_softmax(&x, scale, pair(rescale.back));
        let y = Wanted { shape: vec![x.len()], scale: 1.0 / 16.0, zero: 127 };
        let x = Values { shape: vec![x.len()], scale, zero, values: x };
        prop_assert_eq!(run(&[x], &y, |_| Op::LogSoftmax(Some(rescale))), wanted);
    }
}

#[test]
fn an_int8_log_softmax_is_near_the_real_one() {
    // Half a step of the output, and a little for the fixed point.
    let values = vec![10, -20, 127, 100, 90, -128, 126];
    let scale = 0.1;
    let rescale = log_softmax_rescale(scale).unwrap();
    let y = Wanted {
        shape: vec![7],
        scale: 1.0 / 16.0,
        zero: 127,
    };
    let sum: f64 = values.iter().map(|&x| (f64::from(x) * 0.1).exp()).sum();
    let x = Values {
        shape: vec![7],
        scale,
        zero: 0,
        values: values.clone(),
    };
    let found = run(&[x], &y, |_| Op::LogSoftmax(Some(rescale)));
    for (&x, y) in values.iter().zip(found) {
        let wanted = 16.0 * (f64::from(x) * 0.1 - sum.ln()) + 127.0;
        assert!((f64::from(y) - wanted.max(-128.0)).abs() < 0.51, "{x}");
    }
}

#[test]
fn indices_outside_of_the_table_give_the_zero_point() {
    let table = Values {
        shape: vec![2, 2],
        scale: 0.5,
        zero: -3,
        values: vec![1, 2, 3, 4],
    };
    let y = Wanted {
        shape: vec![4, 2],
        scale: 0.5,
        zero: -3,
    };
    let found = embed(&table, &[1, 2, -1, i32::MIN], &y);
    assert_eq!(found, [3, 4, -3, -3, -3, -3, -3, -3]);
}
