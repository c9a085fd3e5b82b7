"""Makes tests/golden/conv_i8.json: int8 convolutions with dilation, groups, depthwise and several frames, run by
TensorFlow Lite's own reference kernels, as int8.py does.

    pip install numpy ai-edge-litert tflite-micro pyyaml
    python conv_i8.py [SEED] [ROUNDS] > conv_i8.json      # committed: seed 1, 1 round

Frames are TensorFlow Lite's batch. Weights of CONV_2D are `[out, kernel_h, kernel_w, in / groups]`, those of
DEPTHWISE_CONV_2D `[1, kernel_h, kernel_w, out]`.
"""

import json

import numpy as np
from ai_edge_litert import schema_py_generated as s

from int8 import INT8, INT32, ROUNDS, Model, flat, int8s, rng, scale, weights, zero_point


def convolution(kind, extreme):
    model = Model()
    relu, same = bool(rng.integers(2)), bool(rng.integers(2))
    kernel = [int(v) for v in rng.integers(1, 5, 2)]
    stride, dilation = [int(v) for v in rng.integers(1, 4, 2)], [int(v) for v in rng.integers(1, 4, 2)]
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    size, frames = [int(rng.integers(k, k + 5)) for k in span], int(rng.integers(1, 3))
    if kind == "depthwise":
        channels, multiplier = int(rng.integers(2, 7)), int(rng.integers(1, 4))
        groups, outputs, w_shape = channels, channels * multiplier, [1, *kernel, channels * multiplier]
    else:
        groups = 1 if kind == "dilated" else int(rng.integers(2, 4))
        each = int(rng.integers(2, 4))
        channels, outputs = groups * each, groups * int(rng.integers(1, 7))
        w_shape = [outputs, *kernel, each]
    x_shape = [frames, *size, channels]
    x_scale, x_zero, y_zero = scale(), zero_point(), int(rng.choice([-128, 127, *rng.integers(-60, 61, 4)]))
    w_scales = np.array([scale(0.01, 0.04) for _ in range(outputs)], np.float32)
    terms = kernel[0] * kernel[1] * channels // groups
    spread = (127 * 127 if extreme else 74 * 90) * np.sqrt(terms)
    y_scale = np.float32(x_scale * np.median(w_scales) * spread / 60)
    bias = rng.integers(-int(spread), int(spread), outputs).astype(np.int32)
    w, x = weights(w_shape, extreme), int8s(x_shape, extreme)
    axis = 3 if kind == "depthwise" else 0
    x_id = model.tensor(x_shape, INT8, [x_scale], [x_zero])
    w_id = model.tensor(w_shape, INT8, w_scales, [0] * outputs, axis=axis, values=w)
    b_id = model.tensor([outputs], INT32, x_scale * w_scales, [0] * outputs, values=bias)
    if kind == "depthwise":
        options, name, version = s.DepthwiseConv2DOptionsT(), "DEPTHWISE_CONV_2D", 3
        options.depthMultiplier = outputs // channels
    else:
        options, name, version = s.Conv2DOptionsT(), "CONV_2D", 3
    options.padding = s.Padding.SAME if same else s.Padding.VALID
    options.strideH, options.strideW = stride
    options.dilationHFactor, options.dilationWFactor = dilation
    activation = s.ActivationFunctionType
    options.fusedActivationFunction = activation.RELU if relu else activation.NONE
    if same:
        out = [-(-n // k) for n, k in zip(size, stride)]
        total = [max((o - 1) * t + k - n, 0) for o, t, k, n in zip(out, stride, span, size)]
    else:
        out, total = [(n - k) // t + 1 for n, k, t in zip(size, span, stride)], [0, 0]
    y_id = model.tensor([frames, *out, outputs], INT8, [y_scale], [y_zero])
    y = model.run(name, [x_id, w_id, b_id], y_id, x, version, options)
    return dict(kind=kind, x_shape=x_shape, x_scale=x_scale.item(), x_zero=x_zero, y_scale=y_scale.item(),
                y_zero=y_zero, w_shape=w_shape, w_scales=flat(w_scales), w=flat(w), bias=flat(bias), stride=stride,
                dilation=dilation, groups=groups, padding=[t // 2 for t in total] + [t - t // 2 for t in total],
                relu=relu, x=flat(x), y_shape=list(y.shape), y=flat(y))


cases = []
for _ in range(ROUNDS):
    for kind in ["dilated", "grouped", "depthwise"]:
        cases += [convolution(kind, extreme) for extreme in [False] * 6 + [True] * 2]
print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")
