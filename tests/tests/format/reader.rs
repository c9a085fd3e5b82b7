//! A reader of the wire format, written from `docs/format.md` alone.

/// A reader of the wire format, from the page's table.
pub(crate) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_at_the_end(&self) -> bool {
        self.0.is_empty()
    }

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

    pub(crate) fn string(&mut self) -> &'b str {
        let length = self.varint() as usize;
        std::str::from_utf8(self.take(length)).unwrap()
    }

    pub(crate) fn list<T>(&mut self, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.varint()).map(|_| item(self)).collect()
    }

    pub(crate) fn optional<T>(&mut self, item: impl Fn(&mut Self) -> T) -> Option<T> {
        match self.byte() {
            0 => None,
            1 => Some(item(self)),
            other => panic!("option {other}"),
        }
    }

    pub(crate) fn id(&mut self) -> u16 {
        self.varint() as u16
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    /// In the words of the page, as `Debug` of the runtime's types would say it.
    pub(crate) fn tensor(&mut self) -> String {
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

    fn pair(&mut self) -> [u64; 2] {
        std::array::from_fn(|_| self.varint())
    }

    fn pool(&mut self) -> String {
        let (kernel, stride) = (self.pair(), self.pair());
        let padding = self.bytes::<4>();
        format!("Pool2d {{ kernel: {kernel:?}, stride: {stride:?}, padding: {padding:?} }}")
    }

    /// As `Debug` says an option of what `item` reads.
    fn option(&mut self, item: impl Fn(&mut Self) -> String) -> String {
        let item = self.optional(item);
        item.map_or("None".to_owned(), |item| format!("Some({item})"))
    }

    fn rescale(&mut self) -> String {
        let (multiplier, shift) = (self.zigzag(), self.byte().cast_signed());
        format!("Rescale {{ multiplier: {multiplier}, shift: {shift} }}")
    }

    fn radius(&mut self) -> String {
        let (multiplier, shift, radius) = (self.zigzag(), self.byte().cast_signed(), self.zigzag());
        format!("InputRescale {{ multiplier: {multiplier}, shift: {shift}, radius: {radius} }}")
    }

    fn input_rescale(&mut self) -> String {
        self.option(Self::radius)
    }

    fn recurrent(&mut self) -> String {
        let (kernel, recurrent) = (self.id(), self.id());
        let bias = self.optional(Self::id);
        let (reverse, stateful) = (self.flag(), self.flag());
        let truncate = self.varint();
        let requant = self.optional(Self::id);
        format!(
            "Recurrent {{ kernel: {kernel}, recurrent: {recurrent}, bias: {bias:?}, reverse: {reverse}, stateful: {stateful}, truncate: {truncate}, requant: {requant:?} }}"
        )
    }

    fn conv2d(&mut self) -> String {
        let parameters = self.parameters();
        let stride = self.pair();
        let padding = self.bytes::<4>();
        let (dilation, groups) = (self.bytes::<2>(), self.varint());
        let activation = self.activation();
        format!(
            "Conv2d {{ {parameters}, stride: {stride:?}, padding: {padding:?}, dilation: {dilation:?}, groups: {groups}, activation: {activation} }}"
        )
    }

    pub(crate) fn op(&mut self) -> String {
        match self.varint() {
            0 => {
                let (parameters, activation) = (self.parameters(), self.activation());
                format!("Dense(Dense {{ {parameters}, activation: {activation} }})")
            }
            1 => format!("Conv2d({})", self.conv2d()),
            2 => format!("MaxPool2d({})", self.pool()),
            3 => {
                let (window, count_padding) = (self.pool(), self.flag());
                format!(
                    "AvgPool2d(AvgPool2d {{ window: {window}, count_padding: {count_padding} }})"
                )
            }
            4 => "Flatten".to_owned(),
            5 => "Relu".to_owned(),
            6 => format!("Sigmoid({})", self.input_rescale()),
            7 => format!("Tanh({})", self.input_rescale()),
            8 => format!("Softmax({})", self.input_rescale()),
            9 => "Quantize".to_owned(),
            10 => "Dequantize".to_owned(),
            11 => format!("Activation({})", self.activation()),
            12 => {
                let rescale = self.option(|r| {
                    let (input, back) = (r.radius(), r.rescale());
                    format!("LogSoftmaxRescale {{ input: {input}, back: {back} }}")
                });
                format!("LogSoftmax({rescale})")
            }
            13 => {
                let (lower, upper) = (self.float(), self.float());
                format!("Rrelu(Rrelu {{ lower: {lower:?}, upper: {upper:?} }})")
            }
            14 => {
                let (layer, activation) = (self.recurrent(), self.activation());
                format!("Rnn(Rnn {{ layer: {layer}, activation: {activation} }})")
            }
            15 => format!("Lstm(Lstm {{ layer: {} }})", self.recurrent()),
            16 => {
                let (layer, after) = (self.recurrent(), self.flag());
                let bias = self.optional(Self::id);
                format!(
                    "Gru(Gru {{ layer: {layer}, reset_after: {after}, recurrent_bias: {bias:?} }})"
                )
            }
            17 => {
                let [gamma, beta, mean, scale] = std::array::from_fn(|_| self.id());
                format!(
                    "BatchNorm(BatchNorm {{ gamma: {gamma}, beta: {beta}, mean: {mean}, scale: {scale} }})"
                )
            }
            18 => format!("Dropout(Dropout {{ probability: {} }})", self.varint()),
            19 => {
                let requant = self.option(|r| {
                    let [x0, x1, y] = std::array::from_fn(|_| r.rescale());
                    format!("AddRequant {{ x0: {x0}, x1: {x1}, y: {y} }}")
                });
                let activation = self.activation();
                format!("Add(Add {{ requant: {requant}, activation: {activation} }})")
            }
            20 => {
                let (requant, activation) = (self.option(Self::rescale), self.activation());
                format!("Mul(Mul {{ requant: {requant}, activation: {activation} }})")
            }
            21 => format!("Concat(Concat {{ axis: {} }})", self.byte()),
            22 => {
                let (before, after) = (self.bytes::<4>(), self.bytes::<4>());
                format!("Pad(Pad {{ before: {before:?}, after: {after:?} }})")
            }
            23 => format!("Transpose(Transpose {{ axes: {:?} }})", self.bytes::<4>()),
            24 => "Reshape".to_owned(),
            25 => format!("GlobalAvgPool({})", self.option(Self::rescale)),
            26 => "GlobalMaxPool".to_owned(),
            27 => {
                let slope = self.id();
                let requant = self.option(|r| {
                    let (positive, negative) = (r.rescale(), r.rescale());
                    format!("PreluRequant {{ positive: {positive}, negative: {negative} }}")
                });
                format!("Prelu(Prelu {{ slope: {slope}, requant: {requant} }})")
            }
            28 => format!("Embedding(Embedding {{ table: {} }})", self.id()),
            29 => format!("Lookup(Lookup {{ table: {} }})", self.id()),
            30 => {
                let (rescale, activation) = (self.rescale(), self.activation());
                format!("Requantize(Requantize {{ rescale: {rescale}, activation: {activation} }})")
            }
            31 => {
                let (weight, table) = (self.id(), self.id());
                let activation = self.activation();
                format!(
                    "PackedDense(PackedDense {{ weight: {weight}, table: {table}, activation: {activation} }})"
                )
            }
            32 => {
                let (weight, table) = (self.id(), self.id());
                let (kernel, stride) = (self.pair(), self.pair());
                let padding = self.bytes::<4>();
                let activation = self.activation();
                let (depthwise, pool, in_place) = (self.flag(), self.flag(), self.flag());
                format!(
                    "PackedConv2d(PackedConv2d {{ weight: {weight}, table: {table}, kernel: {kernel:?}, stride: {stride:?}, padding: {padding:?}, activation: {activation}, depthwise: {depthwise}, pool: {pool}, in_place: {in_place} }})"
                )
            }
            33 => {
                let (weight, table) = (self.id(), self.id());
                let (reverse, stateful) = (self.flag(), self.flag());
                format!(
                    "PackedLstm(PackedLstm {{ weight: {weight}, table: {table}, reverse: {reverse}, stateful: {stateful} }})"
                )
            }
            34 => {
                let (conv, pool) = (self.conv2d(), self.bytes::<2>());
                format!("ConvPool2d(ConvPool2d {{ conv: {conv}, pool: {pool:?} }})")
            }
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
        let (decay_bias, rounding) = match self.byte() {
            0 => (false, "Stochastic"),
            1 => (true, "Stochastic"),
            2 => (false, "Nearest"),
            3 => (true, "Nearest"),
            other => panic!("flags {other}"),
        };
        format!(
            "Optimizer {{ method: {method}, weight_decay: {decay:?}, l1: {l1:?}, decay_bias: {decay_bias}, rounding: {rounding} }}"
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

    pub(crate) fn plan(&mut self) -> String {
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
