//! `docs/format.md`: its example, byte by byte, and a reader written from it alone.

use host::export::AlignedBytes;
use nn_core::model::{Ids, Model, Node};
use nn_core::ops::{Activation, Dense, Op};
use nn_core::tensor::{DType, Quant, Shape, Source, Tensor};
use nn_core::train::{Loss, Sgd, TrainSpec, Trainable};
use tests::parts::Parts;

/// The model of the example.
fn neuron() -> Parts {
    let weight = |dims: &[usize], offset| Tensor {
        shape: Shape::new(dims).unwrap(),
        dtype: DType::F32,
        quant: Quant::None,
        source: Source::Weight { offset },
    };
    let vector = |n| Tensor::activation(Shape::vector(n), DType::F32, Quant::None);
    Parts {
        name: "line",
        tensors: vec![vector(2), weight(&[2, 1], 0), weight(&[1], 8), vector(1)],
        nodes: vec![Node {
            name: "sum",
            op: Op::Dense(Dense {
                weight: 1,
                bias: Some(2),
                requant: None,
                activation: Activation::None,
            }),
            inputs: Ids::one(0),
            output: 3,
        }],
        inputs: vec![0],
        outputs: vec![3],
        train: Some(TrainSpec::with_rates(
            Trainable::Last(1),
            Loss::MeanSquaredError,
            Sgd {
                learning_rate: 0.125,
                momentum: 0.0,
                weight_decay: 0.0,
            },
        )),
        weights: bytemuck::cast_slice(&[0.5f32, -1.0, 0.25]).to_vec(),
    }
}

#[test]
fn the_example_is_what_the_runtime_writes() {
    let page = include_str!("../../docs/format.md");
    let (_, example) = page.split_once("```hex\n").expect("the example");
    let (example, _) = example.split_once("```").expect("its end");
    let mut bytes = Vec::new();
    for line in example.lines() {
        // Offset, bytes, two spaces, what they are.
        let (offset, rest) = line.split_once("  ").expect(line);
        let (hex, _) = rest.split_once("  ").expect(line);
        assert_eq!(usize::from_str_radix(offset, 16), Ok(bytes.len()), "{line}");
        for byte in hex.split(' ') {
            bytes.push(u8::from_str_radix(byte, 16).expect(line));
        }
    }
    let blob = neuron().encode().unwrap();
    let hex = |bytes: &[u8]| -> Vec<String> { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    assert_eq!(hex(&bytes), hex(&blob));
    // And it computes what the page says.
    let y = tests::network::run_f32(&AlignedBytes::copy_of(&bytes), &[3.0, 2.0]);
    assert_eq!(y, [0.5 * 3.0 - 2.0 + 0.25]);
}

/// A reader of the wire format, from the page's table.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> &'b [u8] {
        let (front, rest) = self.0.split_at(count);
        self.0 = rest;
        front
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte();
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn zigzag(&mut self) -> i32 {
        let value = self.varint() as u32;
        (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
    }

    fn float(&mut self) -> f32 {
        f32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn string(&mut self) -> &'b str {
        let length = self.varint() as usize;
        std::str::from_utf8(self.take(length)).unwrap()
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.varint()).map(|_| item(self)).collect()
    }

    fn optional<T>(&mut self, item: impl Fn(&mut Self) -> T) -> Option<T> {
        match self.byte() {
            0 => None,
            1 => Some(item(self)),
            other => panic!("option {other}"),
        }
    }

    fn id(&mut self) -> u16 {
        self.varint() as u16
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    /// In the words of the page, as `Debug` of the runtime's types would say it.
    fn tensor(&mut self) -> String {
        let rank = self.byte();
        let dims: [u64; 4] = std::array::from_fn(|_| self.varint());
        let dtype = ["F32", "Q16", "I8", "I32"][self.varint() as usize];
        let quant = match self.varint() {
            0 => "None".to_owned(),
            1 => {
                let (scale, zero) = (self.float(), self.zigzag());
                format!("PerTensor {{ scale: {scale:?}, zero_point: {zero} }}")
            }
            2 => format!("PerChannel {{ scales: {} }}", self.varint()),
            other => panic!("quantization {other}"),
        };
        let source = match self.varint() {
            0 => "Activation".to_owned(),
            1 => format!("Weight {{ offset: {} }}", self.varint()),
            other => panic!("source {other}"),
        };
        format!(
            "Tensor {{ shape: Shape {{ rank: {rank}, dims: {dims:?} }}, dtype: {dtype}, quant: {quant}, source: {source} }}"
        )
    }

    fn activation(&mut self) -> String {
        const NAMES: [&str; 8] = [
            "None",
            "Relu",
            "Sigmoid",
            "Tanh",
            "Relu6",
            "LeakyRelu",
            "HardSigmoid",
            "Step",
        ];
        match NAMES[self.varint() as usize] {
            "LeakyRelu" => format!("LeakyRelu({:?})", self.float()),
            name => name.to_owned(),
        }
    }

    fn parameters(&mut self) -> String {
        let weight = self.id();
        let (bias, requant) = (self.optional(Self::id), self.optional(Self::id));
        format!("weight: {weight}, bias: {bias:?}, requant: {requant:?}")
    }

    fn pool(&mut self) -> String {
        let [kernel, stride]: [[u64; 2]; 2] =
            std::array::from_fn(|_| std::array::from_fn(|_| self.varint()));
        let padding = self.bytes::<4>();
        format!("Pool2d {{ kernel: {kernel:?}, stride: {stride:?}, padding: {padding:?} }}")
    }

    fn rescale(&mut self) -> String {
        let rescale = self.optional(|r| {
            let (multiplier, shift, radius) = (r.zigzag(), r.byte().cast_signed(), r.zigzag());
            format!("InputRescale {{ multiplier: {multiplier}, shift: {shift}, radius: {radius} }}")
        });
        rescale.map_or("None".to_owned(), |rescale| format!("Some({rescale})"))
    }

    fn op(&mut self) -> String {
        match self.varint() {
            0 => {
                let (parameters, activation) = (self.parameters(), self.activation());
                format!("Dense(Dense {{ {parameters}, activation: {activation} }})")
            }
            1 => {
                let parameters = self.parameters();
                let stride: [u64; 2] = std::array::from_fn(|_| self.varint());
                let padding = self.bytes::<4>();
                let (dilation, groups) = (self.bytes::<2>(), self.varint());
                let activation = self.activation();
                format!(
                    "Conv2d(Conv2d {{ {parameters}, stride: {stride:?}, padding: {padding:?}, dilation: {dilation:?}, groups: {groups}, activation: {activation} }})"
                )
            }
            2 => format!("MaxPool2d({})", self.pool()),
            3 => {
                let (window, count_padding) = (self.pool(), self.byte() == 1);
                format!(
                    "AvgPool2d(AvgPool2d {{ window: {window}, count_padding: {count_padding} }})"
                )
            }
            4 => "Flatten".to_owned(),
            5 => "Relu".to_owned(),
            6 => format!("Sigmoid({})", self.rescale()),
            7 => format!("Tanh({})", self.rescale()),
            8 => format!("Softmax({})", self.rescale()),
            9 => "Quantize".to_owned(),
            10 => "Dequantize".to_owned(),
            11 => format!("Activation({})", self.activation()),
            12 => "LogSoftmax".to_owned(),
            other => panic!("operator {other}"),
        }
    }

    fn flag(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            other => panic!("a bool of {other}"),
        }
    }

    fn rule(&mut self) -> String {
        let nodes = match self.varint() {
            0 => "All".to_owned(),
            1 => format!("Last({})", self.byte()),
            2 => format!("Nodes({})", self.varint()),
            3 => format!("Node({})", self.varint()),
            other => panic!("nodes {other}"),
        };
        let part = match self.varint() {
            0 => "All".to_owned(),
            1 => "Bias".to_owned(),
            2 => "Weight".to_owned(),
            3 => {
                let (first, mask) = (self.varint(), self.varint());
                format!("Channels {{ first: {first}, mask: {mask} }}")
            }
            4 => {
                let (count, decay) = (self.varint(), self.float());
                format!("TopChannels {{ count: {count}, decay: {decay:?} }}")
            }
            other => panic!("part {other}"),
        };
        format!("TrainRule {{ nodes: {nodes}, part: {part} }}")
    }

    fn head(&mut self) -> String {
        let output = self.byte();
        let loss = match self.varint() {
            0 => "CrossEntropy".to_owned(),
            1 => "MeanSquaredError".to_owned(),
            2 => "BinaryCrossEntropy".to_owned(),
            3 => "MeanAbsoluteError".to_owned(),
            4 => format!("Huber {{ delta: {:?} }}", self.float()),
            other => panic!("loss {other}"),
        };
        let weight = self.float();
        let class_weights = self.optional(Self::id);
        format!(
            "Head {{ output: {output}, loss: {loss}, weight: {weight:?}, class_weights: {class_weights:?} }}"
        )
    }

    fn optimizer(&mut self) -> String {
        let method = match self.varint() {
            0 => {
                let (momentum, nesterov) = (self.float(), self.flag());
                format!("Sgd {{ momentum: {momentum:?}, nesterov: {nesterov} }}")
            }
            1 => {
                let [beta1, beta2, epsilon] = std::array::from_fn(|_| self.float());
                let decoupled = self.flag();
                format!(
                    "Adam {{ beta1: {beta1:?}, beta2: {beta2:?}, epsilon: {epsilon:?}, decoupled: {decoupled} }}"
                )
            }
            2 => {
                let [alpha, epsilon] = std::array::from_fn(|_| self.float());
                format!("RmsProp {{ alpha: {alpha:?}, epsilon: {epsilon:?} }}")
            }
            other => panic!("method {other}"),
        };
        let [decay, l1] = std::array::from_fn(|_| self.float());
        let decay_bias = self.flag();
        format!(
            "Optimizer {{ method: {method}, weight_decay: {decay:?}, l1: {l1:?}, decay_bias: {decay_bias} }}"
        )
    }

    fn course(&mut self) -> String {
        match self.varint() {
            0 => "Constant".to_owned(),
            1 => {
                let (every, gamma) = (self.varint(), self.float());
                format!("Step {{ every: {every}, gamma: {gamma:?} }}")
            }
            2 => format!("InverseTime {{ decay: {:?} }}", self.float()),
            3 => format!("Exponential {{ gamma: {:?} }}", self.float()),
            4 => {
                let (period, floor, restart) = (self.varint(), self.float(), self.flag());
                format!("Cosine {{ period: {period}, floor: {floor:?}, restart: {restart} }}")
            }
            5 => {
                let (up, down, floor) = (self.varint(), self.varint(), self.float());
                format!("Cyclic {{ up: {up}, down: {down}, floor: {floor:?} }}")
            }
            other => panic!("course {other}"),
        }
    }

    fn plan(&mut self) -> String {
        let rules = self.list(Self::rule).join(", ");
        let heads = self.list(Self::head).join(", ");
        let optimizer = self.optimizer();
        let rate = self.float();
        let (warm_up, course) = (self.varint(), self.course());
        let clip = match self.varint() {
            0 => "None".to_owned(),
            1 => format!("Value({:?})", self.float()),
            2 => format!("Norm({:?})", self.float()),
            other => panic!("clipping {other}"),
        };
        let (accumulate, seed) = (self.varint(), self.varint());
        format!(
            "TrainSpec {{ rules: [{rules}], heads: [{heads}], optimizer: {optimizer}, learning_rate: {rate:?}, schedule: Schedule {{ warm_up: {warm_up}, course: {course} }}, clip: {clip}, accumulate: {accumulate}, seed: {seed} }}"
        )
    }
}

/// Reads a blob by the page, and compares each part with the runtime's.
fn compare(blob: &[u8]) {
    let model = Model::load(blob).unwrap();
    let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(&blob[..8], b"MOTE\x02\0\0\0");
    let (graph_len, weights_at, weights_len) = (word(8), word(12), word(16));
    assert_eq!(weights_at, (32 + graph_len).next_multiple_of(16));
    assert_eq!(weights_at + weights_len, blob.len());
    assert_eq!(word(20), model.arena_infer());
    assert_eq!(word(24), model.arena_train());
    assert!(blob[32 + graph_len..weights_at].iter().all(|&b| b == 0));
    assert_eq!(&blob[weights_at..], model.weights());

    let mut reader = Reader(&blob[32..32 + graph_len]);
    assert_eq!(reader.string(), model.name());
    let tensors: Vec<String> = model.tensors().iter().map(|t| format!("{t:?}")).collect();
    assert_eq!(reader.list(Reader::tensor), tensors);
    let nodes = reader.list(|r| (r.string(), r.op(), r.list(Reader::id), r.id()));
    assert_eq!(nodes.len(), model.nodes().len());
    for ((name, op, inputs, output), node) in nodes.into_iter().zip(model.nodes()) {
        assert_eq!(name, node.name);
        assert_eq!(op, format!("{:?}", node.op));
        assert_eq!(inputs, node.inputs.as_slice());
        assert_eq!(output, node.output);
    }
    assert_eq!(reader.list(Reader::id), model.inputs().as_slice());
    assert_eq!(reader.list(Reader::id), model.outputs().as_slice());
    let plan = reader.optional(Reader::plan);
    assert_eq!(plan, model.train_spec().map(|spec| format!("{spec:?}")));
    assert!(reader.0.is_empty());
}

#[test]
fn a_reader_written_from_the_page_agrees() {
    for parts in [neuron(), Parts::float(), Parts::integer()] {
        compare(&parts.encode().unwrap());
    }
    let mut random = tests::random::Random::new(11);
    for _ in 0..30 {
        let network = tests::network::Network::draw(&mut random);
        let parameters = network.draw_parameters(&mut random);
        let plan = neuron()
            .train
            .unwrap()
            .with_rules(&[Trainable::Nodes(u64::MAX).into()]);
        let plan = plan.expect("one rule");
        compare(&network.blob(&parameters, Some(plan)));
    }
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let mut read = 0;
    for entry in std::fs::read_dir(models).expect(models) {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mote")
        {
            compare(&AlignedBytes::copy_of(&std::fs::read(&path).unwrap()));
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} models");
}

/// Prints the example, for whoever changes the format: `cargo test -p tests --test format -- --ignored --nocapture`.
#[test]
#[ignore = "prints the bytes of the example"]
fn print_the_example() {
    let blob = neuron().encode().unwrap();
    for (line, bytes) in blob.chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        println!("{:04x}  {}", 16 * line, hex.join(" "));
    }
}
