"""Makes tests/golden/int8.json: single int8 operators, run by TensorFlow Lite's own reference kernels.

    pip install numpy ai-edge-litert tflite-micro pyyaml
    python int8.py [SEED] [ROUNDS] > int8.json      # committed: seed 1, 1 round

Each case runs on LiteRT's reference kernels (BUILTIN_REF) and on TensorFlow Lite Micro's; both must agree to the bit.
Where they do not, the case says so on stderr and keeps Micro's answer, which is computed in fixed point alone.
"""

import json
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 1
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
rng = np.random.default_rng(SEED)
INT8, INT32, FLOAT = s.TensorType.INT8, s.TensorType.INT32, s.TensorType.FLOAT32
BYTES = {INT8: np.int8, INT32: np.int32, FLOAT: np.float32}


class Model:
    """A model of one operator."""

    def __init__(self):
        self.model, self.graph = s.ModelT(), s.SubGraphT()
        self.model.version, self.model.buffers = 3, [s.BufferT()]
        self.model.subgraphs, self.graph.tensors = [self.graph], []

    def tensor(self, shape, kind, scales=None, zero_points=None, axis=0, values=None):
        tensor = s.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, 0
        tensor.name = f"t{len(self.graph.tensors)}"
        if scales is not None:
            quantization = s.QuantizationParametersT()
            quantization.scale = [float(v) for v in scales]
            quantization.zeroPoint = [int(v) for v in zero_points]
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        if values is not None:
            buffer = s.BufferT()
            raw = np.ascontiguousarray(values.astype(BYTES[kind]))
            buffer.data = np.frombuffer(raw.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def run(self, name, inputs, output, values, version=3, options=None):
        code = s.OperatorCodeT()
        code.builtinCode = getattr(s.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        operator = s.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(s.BuiltinOptions, kind)
        self.model.operatorCodes = [code]
        self.graph.operators, self.graph.inputs, self.graph.outputs = [operator], [inputs[0]], [output]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        flat = bytes(builder.Output())

        lite = Interpreter(model_content=flat, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        lite.allocate_tensors()
        lite.set_tensor(lite.get_input_details()[0]["index"], values)
        lite.invoke()
        wanted = lite.get_tensor(lite.get_output_details()[0]["index"])
        micro = runtime.Interpreter.from_bytes(flat)
        micro.set_input(values, 0)
        micro.invoke()
        found = micro.get_output(0)
        if not np.array_equal(wanted, found):
            differ = np.count_nonzero(wanted != found)
            print(f"{name}: LiteRT and Micro differ in {differ} of {found.size} numbers", file=sys.stderr)
        return found


def int8s(shape, extreme=False):
    if extreme:
        return rng.choice(np.array([-128, -127, 127], np.int8), shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def weights(shape, extreme=False):
    if extreme:
        return rng.choice(np.array([-127, 127], np.int8), shape)
    return rng.integers(-127, 128, shape).astype(np.int8)


def scale(low=1e-3, high=0.1):
    return np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))


def zero_point():
    return int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))


def flat(values):
    return [v.item() for v in np.asarray(values).ravel()]


def layer(kind, extreme):
    """conv2d or dense."""
    model = Model()
    relu, same, bias_there = bool(rng.integers(2)), bool(rng.integers(2)), True
    stride = [int(v) for v in rng.integers(1, 4, 2)]
    if kind == "conv2d":
        kernel = [int(v) for v in rng.integers(1, 6, 2)]
        size = [int(rng.integers(k, k + 5)) for k in kernel]
        channels, outputs = int(rng.integers(1, 6)), int(rng.integers(1, 10))
        x_shape, w_shape = [1, *size, channels], [outputs, *kernel, channels]
    else:
        channels, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 11))
        x_shape, w_shape = [1, channels], [outputs, channels]
    x_scale, x_zero, y_zero = scale(), zero_point(), int(rng.choice([-128, 127, *rng.integers(-60, 61, 4)]))
    w_scales = np.array([scale(0.01, 0.04) for _ in range(outputs)], np.float32)
    # What a sum is about; the outputs then spread over the int8 range, and a little past its ends.
    spread = (127 * 127 if extreme else 74 * 90) * np.sqrt(np.prod(w_shape[1:]))
    y_scale = np.float32(x_scale * np.median(w_scales) * spread / 60)
    bias = rng.integers(-int(spread), int(spread), outputs).astype(np.int32)
    w, x = weights(w_shape, extreme), int8s(x_shape, extreme)
    x_id = model.tensor(x_shape, INT8, [x_scale], [x_zero])
    w_id = model.tensor(w_shape, INT8, w_scales, [0] * outputs, values=w)
    b_id = model.tensor([outputs], INT32, x_scale * w_scales, [0] * outputs, values=bias)
    if kind == "conv2d":
        options = s.Conv2DOptionsT()
        options.padding = s.Padding.SAME if same else s.Padding.VALID
        options.strideH, options.strideW = stride
        if same:
            out = [-(-n // k) for n, k in zip(size, stride)]
            total = [max((o - 1) * t + k - n, 0) for o, t, k, n in zip(out, stride, kernel, size)]
        else:
            out, total = [(n - k) // t + 1 for n, k, t in zip(size, kernel, stride)], [0, 0]
        y_shape = [1, *out, outputs]
        padding = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        options, y_shape, padding, kernel = s.FullyConnectedOptionsT(), [1, outputs], [0] * 4, [1, 1]
    options.dilationHFactor = options.dilationWFactor = 1
    activation = s.ActivationFunctionType
    options.fusedActivationFunction = activation.RELU if relu else activation.NONE
    y_id = model.tensor(y_shape, INT8, [y_scale], [y_zero])
    name, version = ("CONV_2D", 3) if kind == "conv2d" else ("FULLY_CONNECTED", 12)
    y = model.run(name, [x_id, w_id, b_id], y_id, x, version, options)
    return dict(op=kind, x_shape=x_shape[1:], x_scale=x_scale.item(), x_zero=x_zero, y_scale=y_scale.item(),
                y_zero=y_zero, w_shape=w_shape, w_scales=flat(w_scales), w=flat(w), bias=flat(bias),
                stride=stride, padding=padding, relu=relu, x=flat(x), y_shape=list(y.shape[1:]), y=flat(y))


def pool(kind):
    model = Model()
    kernel, stride = [int(v) for v in rng.integers(1, 5, 2)], [int(v) for v in rng.integers(1, 4, 2)]
    size, same = [int(rng.integers(k, k + 6)) for k in kernel], bool(rng.integers(2))
    channels, x_scale, x_zero = int(rng.integers(1, 5)), scale(), zero_point()
    options = s.Pool2DOptionsT()
    options.padding = s.Padding.SAME if same else s.Padding.VALID
    options.filterHeight, options.filterWidth = kernel
    options.strideH, options.strideW = stride
    options.fusedActivationFunction = s.ActivationFunctionType.NONE
    if same:
        out = [-(-n // k) for n, k in zip(size, stride)]
        total = [max((o - 1) * t + k - n, 0) for o, t, k, n in zip(out, stride, kernel, size)]
    else:
        out, total = [(n - k) // t + 1 for n, k, t in zip(size, kernel, stride)], [0, 0]
    x = int8s([1, *size, channels])
    x_id = model.tensor(x.shape, INT8, [x_scale], [x_zero])
    y_id = model.tensor([1, *out, channels], INT8, [x_scale], [x_zero])
    name = "MAX_POOL_2D" if kind == "max_pool2d" else "AVERAGE_POOL_2D"
    y = model.run(name, [x_id], y_id, x, 2, options)
    return dict(op=kind, x_shape=list(x.shape[1:]), x_scale=x_scale.item(), x_zero=x_zero, kernel=kernel,
                stride=stride, padding=[t // 2 for t in total] + [t - t // 2 for t in total],
                x=flat(x), y_shape=list(y.shape[1:]), y=flat(y))


def function(kind, x_scale, x_zero):
    """Sigmoid, tanh over all 256 integers; softmax over a few at a time."""
    model = Model()
    name, y_scale, y_zero = dict(sigmoid=("LOGISTIC", 1 / 256, -128), tanh=("TANH", 1 / 128, 0),
                                 softmax=("SOFTMAX", 1 / 256, -128))[kind]
    x = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    options = None
    if kind == "softmax":
        x = int8s([1, int(rng.integers(1, 21))])
        if rng.integers(2):
            x = (x // 8 + 100).astype(np.int8)
        options = s.SoftmaxOptionsT()
        options.beta = 1.0
    x_id = model.tensor(x.shape, INT8, [x_scale], [x_zero])
    y_id = model.tensor(x.shape, INT8, [y_scale], [y_zero])
    y = model.run(name, [x_id], y_id, x, 2, options)
    return dict(op=kind, x_shape=[x.size], x_scale=np.float32(x_scale).item(), x_zero=x_zero, x=flat(x), y=flat(y))


def convert(kind, at_halves):
    model = Model()
    the_scale, zero = scale(), zero_point()
    if kind == "quantize":
        x = (rng.uniform(-160, 160, 40) * the_scale).astype(np.float32)
        if at_halves:
            the_scale = np.float32(0.25)
            x = (rng.integers(-300, 300, 40) * the_scale / 2).astype(np.float32)
        x = x.reshape(1, 40)
        x_id = model.tensor(x.shape, FLOAT)
        y_id = model.tensor(x.shape, INT8, [the_scale], [zero])
        y = model.run("QUANTIZE", [x_id], y_id, x, 1, s.QuantizeOptionsT())
    else:
        x = np.arange(-128, 128, 3).astype(np.int8).reshape(1, -1)
        x_id = model.tensor(x.shape, INT8, [the_scale], [zero])
        y_id = model.tensor(x.shape, FLOAT)
        y = model.run("DEQUANTIZE", [x_id], y_id, x, 2, s.DequantizeOptionsT())
    return dict(op=kind, x_shape=[x.size], scale=the_scale.item(), zero=zero, x=flat(x), y=flat(y))


if __name__ == "__main__":
    cases = []
    for _ in range(ROUNDS):
        cases += [layer("conv2d", extreme) for extreme in [False] * 8 + [True] * 2]
        cases += [layer("dense", extreme) for extreme in [False] * 6 + [True] * 2]
        cases += [pool(kind) for kind in ["max_pool2d", "avg_pool2d"] for _ in range(5)]
        for kind in ["sigmoid", "tanh"]:
            scales = [1 / 16, 0.0123, 0.2, scale(1e-3, 0.5).item()]
            cases += [function(kind, v, zero_point()) for v in scales]
        cases += [function("softmax", v, zero_point()) for v in [1 / 16, 0.0123, 0.2, 1.0, *[scale(1e-3, 1.0).item() for _ in range(6)]]]
        cases += [convert("quantize", halves) for halves in [False, True]]
        cases += [convert("dequantize", False)]
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
