//! int8 recurrent layers: the LSTM against TensorFlow Lite Micro's answers (`tests/golden/lstm_i8.json`, made by
//! `lstm_i8.py` beside it), all of them against a reference in wide integers, and against f64.

use host::export::{
    Affine, AlignedBytes, Builder, CellState, Gives, Int8Recurrent, Range, RecurrentWeights,
    lstm_requant, quantize_gru, quantize_lstm, quantize_multiplier, quantize_rnn,
};
use nn_core::model::{EncodeError, LoadError, Model, NodeFault};
use nn_core::ops::{Activation, Gru, Lstm, Op, Recurrent, Rnn};
use nn_core::session::Session;
use nn_core::tensor::DType;
use serde::Deserialize;
use tests::int8_recurrent::{Kind, Layer};
use tests::network::run;
use tests::random::Random;

use crate::{quant, signed};

const KINDS: [Kind; 4] = [Kind::Tanh, Kind::Relu, Kind::Lstm, Kind::Gru];

fn op(kind: Kind, reverse: bool, stateful: bool) -> Op {
    let layer = Recurrent {
        kernel: 0,
        recurrent: 0,
        bias: None,
        reverse,
        stateful,
        truncate: 0,
        requant: None,
    };
    let activation = match kind {
        Kind::Relu => Activation::Relu,
        _ => Activation::Tanh,
    };
    match kind {
        Kind::Tanh | Kind::Relu => Op::Rnn(Rnn { layer, activation }),
        Kind::Lstm => Op::Lstm(Lstm { layer }),
        Kind::Gru => Op::Gru(Gru {
            layer,
            reset_after: true,
            recurrent_bias: None,
        }),
    }
}

fn parameters(layer: &Layer) -> Int8Recurrent {
    Int8Recurrent {
        kernel: layer.kernel.clone(),
        recurrent: layer.recurrent.clone(),
        bias: layer.bias.clone(),
        recurrent_bias: layer.recurrent_bias.clone(),
        requant: layer.table.clone(),
        output: Affine {
            scale: 1.0,
            zero_point: layer.zeros[1],
        },
    }
}

/// A blob of one layer that reads a tensor of this shape.
fn blob(
    layer: &Int8Recurrent,
    op: Op,
    x: Affine,
    shape: &[usize],
    gives: Gives,
) -> Result<AlignedBytes, host::export::BuildError> {
    let mut builder = Builder::new("recurrent");
    let x = builder.input(shape, DType::I8, quant(x.scale, x.zero_point))?;
    let y = builder.recurrent_i8("layer", x, layer, op, gives)?;
    builder.finish(&[y], None)
}

fn zero(zero_point: i32) -> Affine {
    Affine {
        scale: 1.0,
        zero_point,
    }
}

fn run_whole(layer: &Layer, x: &[i8], inputs: usize) -> Vec<i8> {
    let shape = [x.len() / inputs, inputs];
    let op = op(layer.kind, false, false);
    let x_zero = zero(layer.zeros[0]);
    let blob = blob(&parameters(layer), op, x_zero, &shape, Gives::Sequence).unwrap();
    signed(&run(&blob, bytemuck::cast_slice(x))[0])
}

#[derive(Debug, Deserialize)]
struct Golden {
    units: usize,
    inputs: usize,
    x_scale: f32,
    x_zero: i32,
    h_scale: f32,
    h_zero: i32,
    w_scales: [f32; 4],
    u_scales: [f32; 4],
    exponent: i32,
    clip: f32,
    w: Vec<i8>,
    u: Vec<i8>,
    bias: Vec<i32>,
    x: Vec<i8>,
    y: Vec<i8>,
}

#[test]
fn lstms_give_tensorflow_lite_micros_bits() {
    // Another file of cases, for a longer run by hand.
    let text = match std::env::var("LSTM_CASES") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("../../golden/lstm_i8.json").to_owned(),
    };
    let cases: Vec<Golden> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 24);
    for (case, golden) in cases.into_iter().enumerate() {
        let scales = std::array::from_fn(|gate| [golden.w_scales[gate], golden.u_scales[gate]]);
        let cell = CellState {
            exponent: golden.exponent,
            clip: golden.clip,
        };
        let layer = Layer {
            kind: Kind::Lstm,
            units: golden.units,
            kernel: golden.w,
            recurrent: golden.u,
            bias: golden.bias,
            recurrent_bias: Vec::new(),
            table: lstm_requant(golden.x_scale, golden.h_scale, scales, cell),
            zeros: [golden.x_zero, golden.h_zero],
        };
        assert_eq!(
            run_whole(&layer, &golden.x, golden.inputs),
            golden.y,
            "case {case}"
        );
        assert_eq!(
            layer.forward(&golden.x),
            golden.y,
            "the reference, case {case}"
        );
    }
}

/// A random layer: sums spread over the 16-bit range, or far past it.
fn draw(kind: Kind, random: &mut Random) -> (Layer, usize) {
    let (units, inputs) = (random.size(1, 11), random.size(1, 9));
    let rows = kind.gates() * units;
    let ends = random.once_in(4);
    let bytes = |random: &mut Random, count: usize| -> Vec<i8> {
        let one = |random: &mut Random| match ends {
            true => random.pick(&[-127, 127]),
            false => random.within(-127, 127) as i8,
        };
        (0..count).map(|_| one(random)).collect()
    };
    let words = |random: &mut Random, spread: i64| -> Vec<i32> {
        let one = |random: &mut Random| match random.size(0, 19) {
            0 => random.pick(&[i32::MIN, i32::MAX]),
            _ => random.within(-spread, spread) as i32,
        };
        (0..rows).map(|_| one(random)).collect()
    };
    let mut table = Vec::new();
    let mut push = |factor: f64| {
        let (multiplier, shift) = quantize_multiplier(factor);
        table.extend([multiplier, shift]);
    };
    for _ in 0..kind.gates() {
        // A sum is some thousands of steps; a gate's range is ±2^15.
        push(f64::from(1.1 + random.unit()));
        push(f64::from(1.1 + random.unit()));
    }
    let spread = f64::from(1.1 + random.unit());
    match kind {
        Kind::Lstm => {
            push(spread * 128.0 / f64::exp2(30.0));
            table.push(random.within(-28, -9) as i32);
            let some = random.within(1, 32_767) as i32;
            table.push(random.pick(&[0, some]));
        }
        _ => push(spread / 256.0),
    }
    let zeros = [0; 2].map(|_| {
        let any = random.within(-128, 127) as i32;
        random.pick(&[-128, 127, 0, any])
    });
    let layer = Layer {
        kind,
        units,
        kernel: bytes(random, rows * inputs),
        recurrent: bytes(random, rows * units),
        bias: words(random, 9_000),
        recurrent_bias: match kind {
            Kind::Gru => words(random, 9_000),
            _ => Vec::new(),
        },
        table,
        zeros,
    };
    (layer, inputs)
}

#[test]
fn layers_give_the_references_bits() {
    for kind in KINDS {
        let random = &mut Random::new(21);
        for case in 0..60 {
            let (layer, inputs) = draw(kind, random);
            let x: Vec<i8> = (0..inputs * random.size(1, 9))
                .map(|_| random.within(-128, 127) as i8)
                .collect();
            let found = run_whole(&layer, &x, inputs);
            assert_eq!(found, layer.forward(&x), "{kind:?}, case {case}");
        }
    }
}

#[test]
fn one_step_at_a_time_and_in_reverse() {
    for kind in KINDS {
        let random = &mut Random::new(5);
        let (layer, inputs) = draw(kind, random);
        let x: Vec<i8> = (0..inputs * 9)
            .map(|_| random.within(-128, 127) as i8)
            .collect();
        let wanted = layer.forward(&x);
        let quantized = parameters(&layer);
        let x_zero = zero(layer.zeros[0]);

        let step = blob(
            &quantized,
            op(kind, false, true),
            x_zero,
            &[inputs],
            Gives::Last,
        )
        .unwrap();
        let model = Model::load(&step).unwrap();
        let mut arena = tests::network::poisoned_arena(model.arena_infer());
        let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
        for _ in 0..2 {
            for (step, x) in x.chunks(inputs).enumerate() {
                let wanted = &wanted[step * layer.units..][..layer.units];
                session
                    .input_mut(0)
                    .unwrap()
                    .copy_from_slice(bytemuck::cast_slice(x));
                session.run().unwrap();
                assert_eq!(
                    signed(session.output(0).unwrap()),
                    wanted,
                    "{kind:?}, step {step}"
                );
            }
            session.reset();
        }

        let turned: Vec<i8> = x.chunks(inputs).rev().flatten().copied().collect();
        let shape = [9, inputs];
        let reverse = op(kind, true, false);
        let whole = blob(&quantized, reverse, x_zero, &shape, Gives::Sequence).unwrap();
        let found = signed(&run(&whole, bytemuck::cast_slice(&turned))[0]);
        let back: Vec<i8> = found.chunks(layer.units).rev().flatten().copied().collect();
        assert_eq!(back, wanted, "{kind:?}");

        let last = blob(
            &quantized,
            op(kind, false, false),
            x_zero,
            &shape,
            Gives::Last,
        )
        .unwrap();
        let found = signed(&run(&last, bytemuck::cast_slice(&x))[0]);
        assert_eq!(found, wanted[8 * layer.units..], "{kind:?}");

        let repeat = op(kind, false, false);
        let repeat = blob(&quantized, repeat, x_zero, &[inputs], Gives::Steps(9)).unwrap();
        let found = signed(&run(&repeat, bytemuck::cast_slice(&x[..inputs]))[0]);
        assert_eq!(found, layer.forward(&x[..inputs].repeat(9)), "{kind:?}");
    }
}

#[test]
fn malformed_nodes_are_refused() {
    for kind in KINDS {
        let random = &mut Random::new(6);
        let (layer, inputs) = draw(kind, random);
        let fault = |change: &dyn Fn(&mut Int8Recurrent, &mut Op)| -> NodeFault {
            let (mut layer, mut op) = (parameters(&layer), op(kind, false, false));
            change(&mut layer, &mut op);
            match blob(&layer, op, zero(0), &[3, inputs], Gives::Last) {
                Err(host::export::BuildError::Node { fault, .. }) => fault,
                Err(host::export::BuildError::Encode(EncodeError::Invalid(LoadError::Node {
                    fault,
                    ..
                }))) => fault,
                other => panic!("{kind:?}: {:?}", other.map(|_| ())),
            }
        };
        for (index, value) in [(0, 7), (0, -1), (1, 31), (1, -32), (3, i32::MAX)] {
            let found = fault(&|layer, _| layer.requant[index] = value);
            assert_eq!(found, NodeFault::Quant, "{kind:?}: [{index}] = {value}");
        }
        let short = fault(&|layer, _| layer.requant.truncate(5));
        assert!(matches!(short, NodeFault::Shape(_)), "{kind:?}: {short:?}");
        match kind {
            Kind::Lstm => {
                for (index, value) in [(18, -8), (18, -29), (19, -1), (19, 32_768)] {
                    let found = fault(&|layer, _| layer.requant[index] = value);
                    assert_eq!(found, NodeFault::Quant, "[{index}] = {value}");
                }
            }
            Kind::Gru => {
                let before = fault(&|layer, op| {
                    layer.recurrent_bias.clear();
                    if let Op::Gru(gru) = op {
                        gru.reset_after = false;
                    }
                });
                assert_eq!(before, NodeFault::Parameter);
            }
            _ => {
                let sigmoid = fault(&|_, op| {
                    if let Op::Rnn(rnn) = op {
                        rnn.activation = Activation::Sigmoid;
                    }
                });
                assert_eq!(sigmoid, NodeFault::Activation);
            }
        }
    }
}

/// Float layers in f64, of weights `[rows, gates · units]`.
struct Real<'w> {
    kind: Kind,
    units: usize,
    weights: RecurrentWeights<'w>,
}

impl Real<'_> {
    fn forward(&self, x: &[f32], inputs: usize) -> (Vec<f64>, f64) {
        let (units, columns) = (self.units, self.weights.bias.len());
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (mut h, mut c, mut y, mut largest) = (vec![0.0; units], vec![0.0; units], vec![], 0f64);
        for x in x.chunks(inputs) {
            let at = |values: &[f32], rows: &[f64], column: usize| -> f64 {
                let products = rows.iter().enumerate();
                products
                    .map(|(row, v)| v * f64::from(values[row * columns + column]))
                    .sum()
            };
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let mut next = vec![];
            for unit in 0..units {
                let column = |gate: usize| gate * units + unit;
                let p = |gate| {
                    at(self.weights.kernel, &x, column(gate))
                        + f64::from(self.weights.bias[column(gate)])
                };
                let q = |gate| {
                    let bias = self.weights.recurrent_bias.get(column(gate));
                    at(self.weights.recurrent, &h, column(gate))
                        + bias.map_or(0.0, |&b| f64::from(b))
                };
                let z = |gate| p(gate) + q(gate);
                next.push(match self.kind {
                    Kind::Tanh => z(0).tanh(),
                    Kind::Relu => z(0).max(0.0),
                    Kind::Lstm => {
                        c[unit] = logistic(z(1)) * c[unit] + logistic(z(0)) * z(2).tanh();
                        largest = largest.max(c[unit].abs());
                        logistic(z(3)) * c[unit].tanh()
                    }
                    Kind::Gru => {
                        let update = logistic(z(1));
                        let n = (p(2) + logistic(z(0)) * q(2)).tanh();
                        update * h[unit] + (1.0 - update) * n
                    }
                });
            }
            h = next;
            y.extend(&h);
        }
        (y, largest)
    }
}

/// Over 40 steps of random input in ±1, in steps of the output: weights and inputs are off by half of their steps
/// (2⁻⁸ of the largest), h by half of 1/128 of its range, and each error goes round through U.
#[test]
fn int8_is_near_f32() {
    const STEPS: usize = 40;
    let (units, inputs) = (12, 6);
    for kind in KINDS {
        let (mut worst, mut squares, mut count) = (0f64, 0f64, 0);
        for seed in 0..8 {
            let random = &mut Random::new(seed);
            let columns = kind.gates() * units;
            let limit = 1.0 / (units as f32).sqrt();
            let kernel = random.values(inputs * columns, 1.0);
            let recurrent = random.values(units * columns, limit);
            let bias = random.values(columns, 0.5);
            let recurrent_bias = match kind {
                Kind::Gru => random.values(columns, 0.5),
                _ => Vec::new(),
            };
            let weights = RecurrentWeights {
                layer: "layer",
                kernel: &kernel,
                recurrent: &recurrent,
                bias: &bias,
                recurrent_bias: &recurrent_bias,
            };
            let x = random.values(STEPS * inputs, 1.0);
            let real = Real {
                kind,
                units,
                weights,
            };
            let (wanted, cell) = real.forward(&x, inputs);
            let range = |values: &mut dyn Iterator<Item = f64>| {
                let (min, max) = values.fold((0f64, 0f64), |(a, b), v| (a.min(v), b.max(v)));
                Affine::covering(Range {
                    min: min as f32,
                    max: max as f32,
                })
            };
            let x_quant = range(&mut x.iter().map(|&x| f64::from(x)));
            let y_quant = range(&mut wanted.iter().copied());
            let layer = match kind {
                Kind::Lstm => {
                    let cell = CellState::covering(cell as f32, 0.0);
                    quantize_lstm(weights, x_quant, y_quant, cell)
                }
                Kind::Gru => quantize_gru(weights, x_quant, y_quant),
                _ => quantize_rnn(weights, x_quant, y_quant, kind == Kind::Relu),
            };
            let shape = [STEPS, inputs];
            let op = op(kind, false, false);
            let blob = blob(&layer.unwrap(), op, x_quant, &shape, Gives::Sequence).unwrap();
            let quantized: Vec<i8> = x
                .iter()
                .map(|&x| (x / x_quant.scale).round() as i32 + x_quant.zero_point)
                .map(|q| q.clamp(-128, 127) as i8)
                .collect();
            let found = signed(&run(&blob, bytemuck::cast_slice(&quantized))[0]);
            for (&found, wanted) in found.iter().zip(&wanted) {
                let steps = f64::from(i32::from(found) - y_quant.zero_point);
                let error = (steps - wanted / f64::from(y_quant.scale)).abs();
                worst = worst.max(error);
                squares += error * error;
                count += 1;
            }
        }
        let rms = (squares / f64::from(count)).sqrt();
        println!("{kind:?}: at most {worst:.2} steps, root mean square {rms:.2}");
        // Rounding h alone makes 0.29; about half as much again is left to other machines' functions.
        let (largest, mean) = match kind {
            Kind::Tanh => (3.0, 0.8),
            _ => (2.6, 0.6),
        };
        assert!(worst < largest && rms < mean, "{kind:?}: {worst}, {rms}");
    }
}

#[test]
fn a_cells_steps_hold_its_range() {
    for (largest, exponent) in [(0.0, -28), (0.9, -15), (1.0, -14), (7.5, -12), (1e9, -9)] {
        assert_eq!(
            CellState::covering(largest, 0.0).exponent,
            exponent,
            "{largest}"
        );
    }
}
