"""Files of other programs made by hand: Caffe's messages and torch.save's ZIP, from their
descriptions alone; and small networks to be put into them."""

import io
import struct
import zipfile

import numpy as np

import cunet


def small_net(seed=5, **shape):
    """A network whose biases and statistics are not those it begins with."""
    net = cunet.UNet(**{"width": 2, "depth": 2, "seed": seed, "dropout": 0.0} | shape)
    rng = np.random.default_rng(seed)
    for parameter in net.parameters():
        if parameter.name.endswith(("biases", "beta")):
            parameter.value += rng.uniform(0.05, 0.3, parameter.value.shape)
        elif parameter.name.endswith("gamma"):
            parameter.value *= rng.uniform(0.5, 1.5, parameter.value.shape)
    for name, value in net.statistics().items():
        value[...] = rng.uniform(0.2, 0.6, value.shape) * (1 if name.endswith("variance") else 0.2)
    return net


def normalised(net, mean, deviation):
    """The same network, for images of this mean and deviation."""
    channels = net.shape.in_channels
    kind = type(net.normalization)
    net.normalization = kind(
        (mean,) * channels, (deviation,) * channels, (0.0,) * channels, (255.0,) * channels
    )
    return net


# Caffe


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def message(number, content):
    """A field: a whole number, text, bytes, or a float (an np.float32)."""
    if isinstance(content, np.float32):
        return varint(number << 3 | 5) + struct.pack("<f", content)
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values, old=False, packed=True, double=False):
    """A BlobProto."""
    if old:
        sides = (1,) * (4 - values.ndim) + values.shape
        head = b"".join(message(i + 1, n) for i, n in enumerate(sides))
    else:
        head = message(7, message(1, b"".join(map(varint, values.shape))))
    if double:
        return head + message(8, values.astype("<f8").tobytes())
    if packed:
        return head + message(5, values.astype("<f4").tobytes())
    return head + b"".join(message(5, np.float32(v)) for v in values.reshape(-1))


def caffe_weights(net):
    """{layer: (filters, biases)} in Caffe's order, names as in the authors' prototxt of depth 2."""
    names = ["conv_d0a-b", "conv_d0b-c", "conv_d1a-b", "conv_d1b-c", "conv_d2a-b", "conv_d2b-c",
             "upconv_d2c_u1a", "conv_u1b-c", "conv_u1c-d",
             "upconv_u1d_u0a", "conv_u0b-c", "conv_u0c-d", "conv_u0d-score"]  # fmt: skip
    found = {}
    for name, layer in zip(names, net.layers(), strict=True):
        w = layer.w.value
        order = (2, 3, 0, 1) if name.startswith("upconv") else (3, 2, 0, 1)
        found[name] = w.transpose(order), layer.b.value
    return found


def caffemodel(weights, old=False, more=b"", **blobs):
    """A NetParameter of layers with weights alone; old: V1 layers, as until 2014."""
    out = [message(1, "made by hand")]
    for name, arrays in weights.items():
        up = name.startswith("upconv")
        if old:
            layer = message(4, name) + message(5, 39 if up else 4)
        else:
            layer = message(1, name) + message(2, "Deconvolution" if up else "Convolution")
        for values in arrays:
            layer += message(6 if old else 7, blob(values, old, **blobs))
        out.append(message(2 if old else 100, layer))
    return b"".join(out) + more


def wired(release=True, first="up", changed=None):
    """The layers of depth 2 without weights, as a trained file lists them; changed: name -> (type,
    bottoms, settings) of layers that are otherwise, or None of one that is missing."""
    layers = {}

    def conv(name, bottom, top, relu=True):
        kind = "Deconvolution" if name.startswith("upconv") else "Convolution"
        layers[name] = kind, [bottom], top, b""
        if relu:
            layers[f"relu_{top}"] = "ReLU", [top], top, b""

    bottom = "data"
    for i in range(3):
        conv(f"conv_d{i}a-b", bottom, f"d{i}b")
        conv(f"conv_d{i}b-c", f"d{i}b", f"d{i}c")
        bottom = f"d{i + 1}a"
        if i < 2:
            layers[f"pool_d{i}c-{i + 1}a"] = "Pooling", [f"d{i}c"], bottom, b""
    layers["dropout_d2c"] = "Dropout", ["d2c"], "d2c", b""
    for i, below in ((1, "d2c"), (0, "u1d")):
        conv(f"upconv_{below}_u{i}a", below, f"u{i}a", release)
        both = [f"u{i}a", f"d{i}c"] if first == "up" else [f"d{i}c", f"u{i}a"]
        layers[f"concat_d{i}c_u{i}a-b"] = "Concat", both, f"u{i}b", b""
        conv(f"conv_u{i}b-c", f"u{i}b", f"u{i}c")
        conv(f"conv_u{i}c-d", f"u{i}c", f"u{i}d")
    conv("conv_u0d-score", "u0d", "score", False)
    layers["loss"] = "SoftmaxWithLoss", ["score", "label"], "loss", b""
    return {n: v for n, v in (layers | (changed or {})).items() if v}


def caffemodel_with(weights, layers, old=False):
    """A NetParameter of these layers with these weights."""
    types = {"Convolution": 4, "Deconvolution": 39, "ReLU": 18, "Pooling": 17, "Dropout": 6,
             "Concat": 3, "SoftmaxWithLoss": 21}  # fmt: skip
    out = [message(1, "made by hand")]
    for name, (kind, bottoms, top, settings) in layers.items():
        if old:
            body = message(4, name) + message(5, types[kind])
        else:
            body = message(1, name) + message(2, kind)
        body += b"".join(message(2 if old else 3, one) for one in bottoms)
        tops = [top] if isinstance(top, str) else top
        body += b"".join(message(3 if old else 4, one) for one in tops) + settings
        for values in weights.get(name, ()):
            body += message(6 if old else 7, blob(values, old))
        out.append(message(2 if old else 100, body))
    return b"".join(out)


# PyTorch

KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
         "int64": "LongStorage", "bfloat16": "BFloat16Storage"}  # fmt: skip


class Pickled(bytes):
    """A part of a pickle: commands that leave one value on the stack."""


def pickled(value):
    """Commands of protocol 2 that make a value: None, numbers, text, lists, dicts, tuples."""
    if isinstance(value, Pickled):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(k) + pickled(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickled, value)) + b"e"
    return b"(" + b"".join(map(pickled, value)) + b"t"


def named(name):
    module, _, attribute = name.rpartition(".")
    return Pickled(f"c{module}\n{attribute}\n".encode())


def call(name, *arguments):
    return Pickled(named(name) + pickled(arguments) + b"R")


def tensor(key, shape, kind="float32", offset=0, strides=None, count=None):
    """The commands that make a tensor in the member data/KEY."""
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    count = int(np.prod(shape)) if count is None else count
    told = ("storage", named(f"torch.{KINDS[kind]}"), str(key), "cpu", count)
    storage = Pickled(pickled(told) + b"Q")
    empty = call("collections.OrderedDict")
    return call(
        "torch._utils._rebuild_tensor_v2", storage, offset, tuple(shape), tuple(strides), False,
        empty,
    )  # fmt: skip


def pt_file(saved, members=(), packing=zipfile.ZIP_STORED, **more):
    """The ZIP of torch.save with this value, or pickle, and the bytes of its numbers."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", packing) as file:
        program = saved if isinstance(saved, bytes) else b"\x80\x02" + pickled(saved) + b"."
        file.writestr("archive/data.pkl", program)
        for name, content in {"byteorder": b"little", "version": b"3\n", **more}.items():
            file.writestr(f"archive/{name}", content)
        for i, content in enumerate(members):
            file.writestr(f"archive/data/{i}", content)
    return data.getvalue()


def pt_of(state, around=lambda state: state):
    """A .pt of arrays by name; around: what the checkpoint makes of the state dict."""
    arrays = {name: np.asarray(value) for name, value in state.items()}
    made = {
        name: tensor(i, value.shape, value.dtype.name)
        for i, (name, value) in enumerate(arrays.items())
    }
    return pt_file(around(made), [value.tobytes() for value in arrays.values()])
