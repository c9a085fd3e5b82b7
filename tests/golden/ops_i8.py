"""Makes tests/golden/ops_i8.json: int8 sums, products, requantizations, activations, means and what moves numbers, run
by TensorFlow Lite's own reference kernels, as int8.py does.

    pip install numpy ai-edge-litert tflite-micro pyyaml
    python ops_i8.py [SEED] [ROUNDS] > ops_i8.json      # committed: seed 1, 1 round

Shapes are without TensorFlow Lite's batch of 1. A second operand is a constant of the model.
"""

import json

import numpy as np
from ai_edge_litert import schema_py_generated as s

from int8 import INT8, INT32, ROUNDS, Model, flat, int8s, rng, scale, zero_point

ACTIVATIONS = ["none", "relu", "relu6"]


def near(value):
    """A scale within a factor of 4 of another."""
    return np.float32(value * np.exp(rng.uniform(-1.4, 1.4)))


def operand(shape, extreme, its_scale=None):
    """An int8 tensor of this shape."""
    its_scale = scale() if its_scale is None else its_scale
    values, zero = int8s(shape, extreme), zero_point()
    return dict(shape=list(shape), scale=np.float32(its_scale).item(), zero=zero, values=values)


def add(model, x, constant=False):
    return model.tensor([1, *x["shape"]], INT8, [x["scale"]], [x["zero"]],
                        values=x["values"][None] if constant else None)


def case(op, inputs, y, **more):
    each = [dict(shape=x["shape"], scale=x["scale"], zero=x["zero"], values=flat(x["values"])) for x in inputs]
    return dict(op=op, inputs=each, y_shape=list(y["shape"]), y_scale=np.float32(y["scale"]).item(),
                y_zero=y["zero"], y=flat(y["values"]), **more)


def fuse(options):
    activation = str(rng.choice(ACTIVATIONS))
    kinds = s.ActivationFunctionType
    options.fusedActivationFunction = dict(none=kinds.NONE, relu=kinds.RELU, relu6=kinds.RELU6)[activation]
    return activation


def arithmetic(op, extreme):
    model = Model()
    shape = [int(v) for v in rng.integers(1, 6, int(rng.integers(1, 4)))]
    second = [shape, shape[-1:], [1]][int(rng.integers(3))]
    x0 = operand(shape, extreme)
    x1 = operand(second, extreme, near(x0["scale"]) if op == "add" else None)
    if op == "add":
        options, y_scale = s.AddOptionsT(), near(max(x0["scale"], x1["scale"]))
    else:
        options, y_scale = s.MulOptionsT(), near(x0["scale"] * x1["scale"] * 80)
    activation, y_zero = fuse(options), zero_point()
    x1_id = model.tensor(second, INT8, [x1["scale"]], [x1["zero"]], values=x1["values"])
    x_id = add(model, x0)
    y_id = model.tensor([1, *shape], INT8, [y_scale], [y_zero])
    y = model.run(op.upper(), [x_id, x1_id], y_id, x0["values"][None], 2, options)
    y = dict(shape=shape, scale=y_scale, zero=y_zero, values=y)
    return case(op, [x0, x1], y, activation=activation)


def unary(op, name, y_scale=None, y_zero=None, options=None, version=2, x=None, shape=None, **more):
    model = Model()
    if x is None:
        x = dict(shape=[256], scale=scale().item(), zero=zero_point(), values=np.arange(-128, 128).astype(np.int8))
    y_scale = near(x["scale"]) if y_scale is None else y_scale(x)
    y_zero = zero_point() if y_zero is None else y_zero(x)
    shape = x["shape"] if shape is None else shape
    x_id = add(model, x)
    y_id = model.tensor([1, *shape], INT8, [y_scale], [y_zero])
    y = model.run(name, [x_id], y_id, x["values"][None], version, options)
    return case(op, [x], dict(shape=shape, scale=y_scale, zero=y_zero, values=y), **more)


def alike(x):
    return x["scale"]


def zero_alike(x):
    return x["zero"]


def leaky():
    options = s.LeakyReluOptionsT()
    options.alpha = np.float32(rng.choice([0.01, 0.1, 0.2, 0.3, rng.uniform(0, 1)])).item()
    return unary("leaky_relu", "LEAKY_RELU", options=options, slope=options.alpha)


def log_softmax():
    x = operand([int(rng.integers(1, 21))], False, scale(1e-3, 1.0))
    if rng.integers(2):
        x["values"] = (x["values"] // 8 + 100).astype(np.int8)
    options = s.LogSoftmaxOptionsT()
    return unary("log_softmax", "LOG_SOFTMAX", lambda _: 1 / 16, lambda _: 127, options, x=x)


def prelu(extreme):
    model = Model()
    shape = [int(v) for v in rng.integers(1, 6, 3)]
    second = [[1, 1, shape[-1]], [1, 1, 1]][int(rng.integers(2))]
    x, slope = operand(shape, extreme), operand(second, extreme, scale(1e-3, 1e-2))
    y_scale, y_zero = near(x["scale"]), zero_point()
    x_id = add(model, x)
    slope_id = model.tensor(second, INT8, [slope["scale"]], [slope["zero"]], values=slope["values"])
    y_id = model.tensor([1, *shape], INT8, [y_scale], [y_zero])
    y = model.run("PRELU", [x_id, slope_id], y_id, x["values"][None], 1)
    return case("prelu", [x, slope], dict(shape=shape, scale=y_scale, zero=y_zero, values=y))


def reduce(op, extreme):
    model = Model()
    x = operand([int(v) for v in rng.integers(1, 9, 3)], extreme)
    same = op == "global_max_pool"
    y_scale = x["scale"] if same else near(x["scale"])
    y_zero = x["zero"] if same else zero_point()
    options = s.ReducerOptionsT()
    options.keepDims = False
    axes = np.array([1, 2], np.int32)
    x_id, axes_id = add(model, x), model.tensor([2], INT32, values=axes)
    shape = x["shape"][2:]
    y_id = model.tensor([1, *shape], INT8, [y_scale], [y_zero])
    name = "REDUCE_MAX" if same else "MEAN"
    y = model.run(name, [x_id, axes_id], y_id, x["values"][None], 2, options)
    return case(op, [x], dict(shape=shape, scale=y_scale, zero=y_zero, values=y))


def pad():
    model = Model()
    x = operand([int(v) for v in rng.integers(1, 5, 3)], False)
    padding = rng.integers(0, 3, (3, 2)).astype(np.int32)
    shape = [int(v) for v in np.array(x["shape"]) + padding.sum(1)]
    x_id = add(model, x)
    padding_id = model.tensor([4, 2], INT32, values=np.concatenate([np.zeros((1, 2), np.int32), padding]))
    y_id = model.tensor([1, *shape], INT8, [x["scale"]], [x["zero"]])
    y = model.run("PAD", [x_id, padding_id], y_id, x["values"][None], 2, s.PadOptionsT())
    y = dict(shape=shape, scale=x["scale"], zero=x["zero"], values=y)
    return case("pad", [x], y, before=flat(padding[:, 0]), after=flat(padding[:, 1]))


def transpose():
    model = Model()
    x = operand([int(v) for v in rng.integers(1, 6, 3)], False)
    axes = [int(v) for v in rng.permutation(3)]
    shape = [x["shape"][axis] for axis in axes]
    x_id = add(model, x)
    axes_id = model.tensor([4], INT32, values=np.array([0, *[axis + 1 for axis in axes]], np.int32))
    y_id = model.tensor([1, *shape], INT8, [x["scale"]], [x["zero"]])
    y = model.run("TRANSPOSE", [x_id, axes_id], y_id, x["values"][None], 2, s.TransposeOptionsT())
    return case("transpose", [x], dict(shape=shape, scale=x["scale"], zero=x["zero"], values=y), axes=axes)


def concat():
    model = Model()
    axis, count = int(rng.integers(3)), int(rng.integers(2, 5))
    first = operand([int(v) for v in rng.integers(1, 5, 3)], False)
    inputs = [first]
    for _ in range(count - 1):
        shape = list(first["shape"])
        shape[axis] = int(rng.integers(1, 5))
        other = operand(shape, False, first["scale"])
        other["zero"] = first["zero"]
        inputs.append(other)
    shape = list(first["shape"])
    shape[axis] = sum(x["shape"][axis] for x in inputs)
    options = s.ConcatenationOptionsT()
    options.axis = axis + 1
    ids = [add(model, x, index > 0) for index, x in enumerate(inputs)]
    y_id = model.tensor([1, *shape], INT8, [first["scale"]], [first["zero"]])
    y = model.run("CONCATENATION", ids, y_id, first["values"][None], 2, options)
    return case("concat", inputs, dict(shape=shape, scale=first["scale"], zero=first["zero"], values=y), axis=axis)


def embedding():
    model = Model()
    entries, features, steps = [int(v) for v in rng.integers(1, 8, 3)]
    table = operand([entries, features], False)
    indices = rng.integers(0, entries, steps).astype(np.int32)
    x_id = model.tensor([steps], INT32)
    table_id = model.tensor(table["shape"], INT8, [table["scale"]], [table["zero"]], values=table["values"])
    shape = [steps, features]
    y_id = model.tensor(shape, INT8, [table["scale"]], [table["zero"]])
    y = model.run("EMBEDDING_LOOKUP", [x_id, table_id], y_id, indices, 1)
    y = dict(shape=shape, scale=table["scale"], zero=table["zero"], values=y)
    return case("embedding", [table], y, indices=flat(indices))


def main():
    cases = []
    for _ in range(ROUNDS):
        for extreme in [False] * 5 + [True]:
            cases += [arithmetic("add", extreme), arithmetic("mul", extreme), prelu(extreme)]
            cases += [reduce("global_avg_pool", extreme), reduce("global_max_pool", extreme)]
        cases += [unary("requantize", "QUANTIZE", options=s.QuantizeOptionsT()) for _ in range(3)]
        cases += [unary("relu", "RELU") for _ in range(3)]
        cases += [unary("relu6", "RELU6", alike, zero_alike) for _ in range(2)]
        cases += [leaky() for _ in range(3)]
        cases += [log_softmax() for _ in range(8)]
        cases += [each() for each in [pad, transpose, concat, embedding] for _ in range(2)]
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")


if __name__ == "__main__":
    main()
