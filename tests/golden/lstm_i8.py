"""Makes tests/golden/lstm_i8.json: int8 LSTMs, run by TensorFlow Lite Micro's reference kernel.

    pip install numpy ai-edge-litert tflite-micro pyyaml
    python lstm_i8.py [SEED] [CASES] > lstm_i8.json      # committed: seed 1, 24 cases

LiteRT's kernel computes its functions and products in another way (see docs/numerics.md): how many of its outputs
differ from Micro's, and by how much, goes to stderr. A negative CASES prints no cases, only a tally.
"""

import json
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 24
rng = np.random.default_rng(SEED)
T = s.TensorType
BYTES = {T.INT8: np.int8, T.INT16: np.int16, T.INT32: np.int32}


class Model:
    """A model of one LSTM."""

    def __init__(self):
        self.model, self.graph = s.ModelT(), s.SubGraphT()
        self.model.version, self.model.buffers = 3, [s.BufferT()]
        self.model.subgraphs, self.graph.tensors = [self.graph], []

    def tensor(self, shape, kind, scale=None, zero=0, values=None, variable=False):
        tensor = s.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, 0
        tensor.name, tensor.isVariable = f"t{len(self.graph.tensors)}", variable
        if scale is not None:
            tensor.quantization = s.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [float(scale)], [int(zero)]
        if values is not None:
            buffer = s.BufferT()
            raw = np.ascontiguousarray(values.astype(BYTES[kind]))
            buffer.data = np.frombuffer(raw.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def finish(self, inputs, output, intermediates, options):
        code = s.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
        code.version = 1
        operator = s.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
        operator.intermediates, operator.builtinOptions = intermediates, options
        operator.builtinOptionsType = s.BuiltinOptions.UnidirectionalSequenceLSTMOptions
        self.model.operatorCodes, self.graph.operators = [code], [operator]
        self.graph.inputs, self.graph.outputs = [inputs[0]], [output]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def micro(flat, x):
    interpreter = runtime.Interpreter.from_bytes(flat)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def lite(flat, x):
    interpreter = Interpreter(model_content=flat, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def flatten(values):
    return [v.item() for v in np.asarray(values).ravel()]


def lstm(extreme):
    units, inputs, steps = int(rng.choice([1, 2, 3, 4, 5, 7, 8, 13])), int(rng.integers(1, 12)), int(rng.integers(1, 14))
    ends = np.array([-127, 127], np.int8)
    draw = (lambda shape: rng.choice(ends, shape)) if extreme else (lambda shape: rng.integers(-127, 128, shape))
    x_zero, h_zero = [int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))])) for _ in range(2)]
    # Sums of about ±4: inputs of up to 2 and weights of about 1; an extreme one saturates.
    x_scale = np.float32(rng.uniform(0.005, 0.02))
    h_scale = np.float32(rng.uniform(1, 1.3) * (2 if abs(h_zero) > 50 else 1) / 128)
    w_scales = (rng.uniform(0.5, 2, 4) * (3 if extreme else 1) / 127 / np.sqrt(inputs)).astype(np.float32)
    u_scales = (rng.uniform(0.5, 2, 4) * (3 if extreme else 1) / 127 / np.sqrt(units)).astype(np.float32)
    exponent = int(rng.choice([-15, -14, -13, -12, -11, -10, -9]))
    # Keras's layers carry a clip of 10; 0 is none.
    clip = float(rng.choice([0, 10, 0.5]))
    w, u = draw((4, units, inputs)), draw((4, units, units))
    bias = np.stack([rng.uniform(-2, 2, units) / (x_scale * v) for v in w_scales]).astype(np.int32)

    model = Model()
    x_id = model.tensor([1, steps, inputs], T.INT8, x_scale, x_zero)
    w_ids = [model.tensor([units, inputs], T.INT8, v, values=g) for v, g in zip(w_scales, w)]
    u_ids = [model.tensor([units, units], T.INT8, v, values=g) for v, g in zip(u_scales, u)]
    b_ids = [model.tensor([units], T.INT32, x_scale * v, values=g) for v, g in zip(w_scales, bias)]
    h_id = model.tensor([1, units], T.INT8, h_scale, h_zero, variable=True)
    c_id = model.tensor([1, units], T.INT16, 2.0**exponent, variable=True)
    middle = [model.tensor([0], T.INT16, 2.0**-12) for _ in range(4)] + [model.tensor([0], T.INT8, h_scale, h_zero)]
    y_id = model.tensor([1, steps, units], T.INT8, h_scale, h_zero)
    options = s.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction, options.cellClip = s.ActivationFunctionType.TANH, clip
    flat = model.finish([x_id, *w_ids, *u_ids, -1, -1, -1, *b_ids, -1, -1, h_id, c_id, -1, -1, -1, -1],
                        y_id, middle, options)

    low, high = (-128, 128)
    x = (rng.choice([low, high - 1], (1, steps, inputs)) if extreme else rng.integers(low, high, (1, steps, inputs))).astype(np.int8)
    y = micro(flat, x)
    case = dict(units=units, inputs=inputs, steps=steps, x_scale=x_scale.item(), x_zero=x_zero, h_scale=h_scale.item(),
                h_zero=h_zero, w_scales=flatten(w_scales), u_scales=flatten(u_scales), exponent=exponent, clip=clip,
                w=flatten(w), u=flatten(u), bias=flatten(bias), x=flatten(x), y=flatten(y))
    return case, y, lite(flat, x)


cases, outputs, differ, largest, equal = [], 0, 0, 0, 0
for index in range(abs(CASES)):
    case, y, other = lstm(index % 4 == 3)
    cases.append(case)
    gap = np.abs(y.astype(int) - other.astype(int))
    outputs, differ, largest = outputs + y.size, differ + np.count_nonzero(gap), max(largest, gap.max())
    equal += not gap.any()
print(f"LiteRT and Micro differ in {differ} of {outputs} outputs, by up to {largest}; {equal} of {len(cases)} "
      "LSTMs are equal", file=sys.stderr)
if CASES > 0:
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
