//! The memory planner on graphs with branches: no two tensors that live at once share memory.

use host::export::{AlignedBytes, Builder, Int8Layer};
use nn_core::ArenaReport;
use nn_core::fixed_point::InputRescale;
use nn_core::memory::{Buffer, table_len};
use nn_core::model::{Graph, Ids, Model, Node, encode};
use nn_core::ops::{Activation, Op};
use nn_core::session::Session;
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor};
use tests::int8::input_rescale;
use tests::network::{ACTIVATIONS, Window, poisoned_arena, run};
use tests::random::Random;

const QUANT: Quant = Quant::PerTensor {
    scale: 1.0 / 32.0,
    zero_point: -5,
};

/// A graph with branches, of f32 and int8 layers, and up to four outputs.
fn draw(random: &mut Random) -> AlignedBytes {
    let mut builder = Builder::new("graph");
    let mut tensors = Vec::new();
    for _ in 0..random.size(1, 2) {
        let shape = [random.size(2, 5), random.size(2, 5), random.size(1, 3)];
        let input = builder.input(&shape, DType::F32, Quant::None).unwrap();
        tensors.push(input);
    }
    let mut outputs = Vec::new();
    let nodes = random.size(2, 14);
    for index in 0..nodes {
        // Often the last, so that there are chains, and operators that work in place.
        let x = if random.once_in(3) {
            random.pick(&tensors)
        } else {
            *tensors.last().unwrap()
        };
        let y = node(random, &mut builder, &format!("{index}"), x);
        tensors.push(y);
        if outputs.len() < 3 && random.once_in(4) {
            outputs.push(y);
        }
    }
    let last = *tensors.last().unwrap();
    if !outputs.contains(&last) {
        outputs.push(last);
    }
    builder.finish(&outputs, None).unwrap()
}

fn node(random: &mut Random, builder: &mut Builder, name: &str, x: u16) -> u16 {
    let tensor = builder.tensor(x);
    let int8 = tensor.dtype == DType::I8;
    let dims: Vec<usize> = tensor.shape.dims().iter().map(|&d| d as usize).collect();
    let y = match (int8, random.size(0, 9)) {
        (false, 0) => builder.convert(name, Op::Quantize, x, DType::I8, QUANT),
        (true, 0) => builder.convert(name, Op::Dequantize, x, DType::F32, Quant::None),
        (false, 1) => builder.same(name, Op::Sigmoid(None), x),
        (false, 2) => builder.same(name, Op::Tanh(None), x),
        (true, 1 | 2) => {
            let (multiplier, shift, radius) = input_rescale(tensor.scale(), 4, false);
            let rescale = InputRescale {
                multiplier,
                shift: shift as i8,
                radius,
            };
            let (scale, zero_point) = nn_core::ops::tanh::OUTPUT_I8;
            let quant = Quant::PerTensor { scale, zero_point };
            builder.convert(name, Op::Tanh(Some(rescale)), x, DType::I8, quant)
        }
        (_, 3) => builder.same(name, Op::Relu, x),
        _ if dims.len() == 1 => match (int8, random.once_in(3)) {
            (false, true) => builder.same(name, Op::Softmax(None), x),
            (true, _) => builder.dense_i8(name, x, &int8_layer(random, &[dims[0]])),
            _ => {
                let outputs = random.size(1, 9);
                let weight = random.values(dims[0] * outputs, 0.7);
                let bias = random.values(outputs, 0.3);
                builder.dense(name, x, &weight, &bias, random.pick(&ACTIVATIONS))
            }
        },
        (_, 4) => builder.flatten(name, x),
        (_, kind) => {
            let window = Window::draw(random, [dims[0], dims[1]], 3);
            let pool = window.pool();
            match kind {
                5 => builder.max_pool2d(name, x, pool),
                6 => builder.avg_pool2d(name, x, pool),
                _ if int8 => {
                    let filter = [window.kernel[0], window.kernel[1], dims[2]];
                    let layer = int8_layer(random, &filter);
                    builder.conv2d_i8(name, x, &layer, pool.stride, pool.padding)
                }
                _ => {
                    let outputs = random.size(1, 9);
                    let kernel = [window.kernel[0], window.kernel[1], dims[2], outputs];
                    let weight = random.values(kernel.iter().product(), 0.7);
                    let bias = random.values(outputs, 0.3);
                    let activation = random.pick(&ACTIVATIONS);
                    builder.conv2d(
                        name,
                        x,
                        kernel,
                        &weight,
                        &bias,
                        pool.stride,
                        pool.padding,
                        activation,
                    )
                }
            }
        }
    };
    y.unwrap()
}

fn int8_layer(random: &mut Random, filter: &[usize]) -> Int8Layer {
    let outputs = random.size(1, 6);
    let shape = [&[outputs], filter].concat();
    let count = shape.iter().product();
    Int8Layer {
        weight: (0..count).map(|_| random.within(-127, 127) as i8).collect(),
        shape,
        scales: vec![0.01; outputs],
        bias: (0..outputs)
            .map(|_| random.within(-2000, 2000) as i32)
            .collect(),
        multipliers: vec![1 << 30; outputs],
        shifts: vec![-7; outputs],
        output: QUANT,
        activation: random.pick(&[Activation::None, Activation::Relu]),
    }
}

/// Runs each node as a model of its own, so that every tensor has its own memory.
fn run_apart(model: &Model, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let tensors: Vec<Tensor> = model.tensors().iter().collect();
    let mut values = vec![Vec::new(); tensors.len()];
    for (&id, input) in model.inputs().as_slice().iter().zip(inputs) {
        values[usize::from(id)].clone_from(input);
    }
    for node in model.nodes() {
        let mut tensors = tensors.clone();
        // The other activations shrink, so that they cost nothing.
        for (id, tensor) in (0u16..).zip(&mut tensors) {
            let unused = node.inputs.first() != Some(id) && node.output != id;
            if unused && tensor.source == Source::Activation {
                tensor.shape = Shape::vector(1);
            }
        }
        let graph = Graph {
            name: "one",
            tensors: &tensors,
            nodes: &[Node { ..node }],
            inputs: node.inputs,
            outputs: Ids::one(node.output),
            train: None,
        };
        let mut blob = AlignedBytes::zeroed(8192 + model.weights().len());
        let mut table = vec![Buffer::default(); tensors.len()];
        let len = encode(&graph, model.weights(), blob.as_mut_slice(), &mut table).unwrap();
        blob.truncate(len);
        let input = &values[usize::from(node.inputs.first().unwrap())];
        values[usize::from(node.output)] = run(&blob, input).remove(0);
    }
    values
}

#[test]
fn a_session_computes_what_nodes_apart_compute() {
    let mut in_place = 0;
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let blob = draw(&mut random);
        let model = Model::load(&blob).unwrap();
        let draw_input = |random: &mut Random| -> Vec<Vec<u8>> {
            (0..model.inputs().as_slice().len())
                .map(|i| random.values(model.input(i).unwrap().elements(), 3.0))
                .map(|values| bytemuck::cast_slice(&values).to_vec())
                .collect()
        };
        let mut arena = poisoned_arena(model.arena_infer());
        let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
        // Three inputs, then the first again: nothing of the others may be left.
        let mut samples: Vec<_> = (0..3).map(|_| draw_input(&mut random)).collect();
        samples.push(samples[0].clone());
        for inputs in &samples {
            let wanted = run_apart(&model, inputs);
            for (index, input) in inputs.iter().enumerate() {
                session.input_mut(index).unwrap().copy_from_slice(input);
            }
            let nodes: Vec<Node> = model.nodes().iter().collect();
            session
                .run_observed(|index, bytes| {
                    let id = usize::from(nodes[index].output);
                    assert_eq!(bytes, wanted[id], "seed {seed}, node {index}: {nodes:#?}");
                })
                .unwrap();
            for (index, &id) in model.outputs().as_slice().iter().enumerate() {
                let wanted = &wanted[usize::from(id)];
                assert_eq!(
                    session.output(index).unwrap(),
                    wanted,
                    "seed {seed}, output {id}: {nodes:#?}"
                );
            }
        }
        let activations = model.tensors().iter();
        let apart: usize = activations
            .filter(|t| t.source == Source::Activation)
            .map(|t| t.bytes().next_multiple_of(4))
            .sum();
        let mut table = vec![Buffer::default(); table_len(&model, false)];
        let report = ArenaReport::new(&model, false, &mut table).unwrap();
        assert_eq!(report.parts().total(), model.arena_infer(), "seed {seed}");
        in_place += usize::from(report.parts().buffers < apart);
    }
    // Memory is shared nearly always, or the test would say nothing.
    assert!(in_place > 300, "{in_place}");
}
