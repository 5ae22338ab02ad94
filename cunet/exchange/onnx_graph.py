"""A U-Net as an ONNX graph, node by node.

ONNX is channels first: images are (N, C, H, W), the filters of a convolution (K, C, R, S), those of
an up-convolution (C, K, 2, 2). In the order of the data, with the names of cunet's own layers:

    Sub, Div                        raw image values become what the network was trained on
    Pad                             with mirror: the image is mirrored beyond its border
    Conv, Relu, Conv, Relu          a level contracts (batch normalisation stands before each Relu),
    MaxPool                         hands half the resolution to the level below,
    ConvTranspose, Slice, Concat    doubles what comes back, and puts it before the centre of what
    Conv, Relu, Conv, Relu          it kept; it expands
    Conv, Softmax                   a score for each class becomes a probability

A pixel of a skip lies at a distance from its border that the depth alone decides, so the crop is a
Slice by constants, and height and width stay free. Dropout is of training and has no node. Source
of the operators: onnx.ai/onnx/operators, version OPSET.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cunet.backend import Array, to_host
from cunet.errors import NumericError
from cunet.net.layers import Conv, Dropout, UpConv
from cunet.net.normed import BareConv, BatchNorm
from cunet.net.shape import Shape
from cunet.net.sizes import lattice, margin, shrinkage
from cunet.net.tiles import smallest_tile, tile_for_output
from cunet.net.unet import UNet
from cunet.ops.batch_norm import EPSILON

OPSET = 17  # before 13 Softmax meant another function
FLOAT = 1  # TensorProto.DataType, what Cast makes
INPUT, OUTPUT = "image", "probability"


class Node(NamedTuple):
    """An operation: its name in ONNX, the names of what it takes and of what it makes."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


@dataclass
class Graph:
    """Nodes in the order in which they are computed, and the arrays that they take by name."""

    float16: bool = False  # filters are stored as float16
    nodes: list[Node] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; returns the name of what it makes."""
        self.nodes.append(Node(op, list(inputs), output, attributes))
        return output

    def array(self, name: str, value: Any, dtype: str = "<f4") -> str:
        """Keep an array; returns its name. NumericError where its numbers are none of this type."""
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(value, dtype)
        if not np.isfinite(kept).all():
            wanted = "float16: export it without" if dtype == "<f2" else "float32"
            raise NumericError(f"array '{name}' of the network holds no number of {wanted}")
        self.arrays[name] = kept
        return name

    def whole(self, name: str, value: Sequence[int]) -> str:
        """Keep whole numbers; returns their name."""
        return self.array(name, value, "<i8")

    def filters(self, name: str, value: Array, axes: tuple[int, ...]) -> str:
        """Keep the filters of a layer, their axes in this order; returns the name to compute with.

        Stored as float16 they are made float32 again by a node: every program can run that.
        """
        value = to_host(value).transpose(axes)
        if not self.float16:
            return self.array(name, value)
        return self.add("Cast", [self.array(f"{name}.float16", value, "<f2")], name, to=FLOAT)

    def cut(self, x: str, output: str, first: int, last: int) -> str:
        """Rows and columns x[first:last]; a negative last counts from the end."""
        bounds = (("first", [first] * 2), ("last", [last] * 2), ("axes", [2, 3]))
        names = [self.whole(f"{output}.{what}", value) for what, value in bounds]
        return self.add("Slice", [x, *names], output)


def mirrored_border(depth: int, padding: str = "valid") -> tuple[int, int]:
    """The pixels that a mirroring graph adds before and after each axis: (92, 96) at depth 4.

    92 are lost in the network. A side of 16 n + 188 is none that fits, one of 16 n + 192 is; the
    four pixels more are cut off at the end.
    """
    unit, before = lattice(depth), margin(depth, padding)
    return before, tile_for_output(unit, depth, padding) - unit - before


def least_side(shape: Shape, mirror: bool) -> int:
    """The least height and width that the graph takes: for the paper's network a tile of 188
    pixels, or with mirror an image of 112, which has the 96 pixels that are mirrored beyond it."""
    if not mirror:
        return smallest_tile(shape.depth, shape.padding)
    unit = lattice(shape.depth)
    return (mirrored_border(shape.depth, shape.padding)[1] // unit + 1) * unit


def graph_of(
    net: UNet, mirror: bool = False, float16: bool = False, any_size: bool = True
) -> Graph:
    """The graph of a network, from raw image values (N, C, H, W) to probabilities (N, K, P, Q).

    mirror: the image is mirrored in the graph, and P = H, Q = W: what cunet.segment makes of a
    whole image. float16: filters are stored in half the bytes; all is computed in float32.
    any_size: the file will not say which height and width it takes.
    """
    graph, shape = Graph(float16), net.shape
    before, after = mirrored_border(shape.depth, shape.padding) if mirror else (0, 0)
    x = _normalised(graph, net, after if any_size else 0)
    if after:
        pads = graph.whole("mirrored.pads", [0, 0, before, before, 0, 0, after, after])
        x = graph.add("Pad", [x, pads], "mirrored", mode="reflect")
    y = _conv(graph, net.head, _level(graph, net, 0, x))
    if after > before:
        y = graph.cut(y, "cut", 0, before - after)
    if shape.sigmoid:  # two classes from one number
        p = graph.add("Sigmoid", [y], "class1")
        rest = graph.add("Sub", [graph.array("one", [1.0]), p], "class0")
        graph.add("Concat", [rest, p], OUTPUT, axis=1)
    else:
        graph.add("Softmax", [y], OUTPUT, axis=1)
    return graph


def _normalised(graph: Graph, net: UNet, needed: int) -> str:
    """(image - mean) / deviation for every channel. needed: see _if_large_enough; 0 is any size."""
    if net.normalization.per_image:
        return _normalised_by_itself(graph, needed)
    mean, deviation = (
        graph.array(name, np.reshape(value, (1, -1, 1, 1)))
        for name, value in (
            ("mean", net.normalization.mean),
            ("deviation", net.normalization.deviation),
        )
    )
    if needed:
        mean = _if_large_enough(graph, mean, needed)
    centred = graph.add("Sub", [INPUT, mean], "centred")
    return graph.add("Div", [centred, deviation], "normalised")


def _normalised_by_itself(graph: Graph, needed: int) -> str:
    """Zero mean and unit deviation over each image's own pixels; a constant channel becomes 0.

    All is float32, and programs sum in any order: the mean is subtracted twice, since the first
    leaves its rounding, and what is squared was divided by the range of the image.
    """
    high = graph.add("ReduceMax", [INPUT], "high", axes=[2, 3], keepdims=1)
    low = graph.add("ReduceMin", [INPUT], "low", axes=[2, 3], keepdims=1)
    width = graph.add("Sub", [high, low], "range")
    constant = graph.add("Equal", [width, graph.array("zero", [0.0])], "constant")
    one = graph.array("unit", [1.0])
    mean = graph.add("Where", [constant, high, _mean(graph, INPUT, "about")], "mean")
    if needed:
        mean = _if_large_enough(graph, mean, needed)
    near = graph.add("Sub", [INPUT, mean], "near")
    scaled = graph.add("Div", [near, graph.add("Where", [constant, one, width], "scale")], "scaled")
    centred = graph.add("Sub", [scaled, _mean(graph, scaled, "rest")], "centred")
    square = graph.add("Mul", [centred, centred], "square")
    root = graph.add("Sqrt", [_mean(graph, square, "variance")], "root")
    deviation = graph.add("Where", [constant, one, root], "deviation")
    return graph.add("Div", [centred, deviation], "normalised")


def _mean(graph: Graph, x: str, output: str) -> str:
    """The mean of each channel, of rows first: a sum of millions of pixels loses digits."""
    rows = graph.add("ReduceMean", [x], f"{output}.rows", axes=[3], keepdims=1)
    return graph.add("ReduceMean", [rows], output, axes=[2], keepdims=1)


def _if_large_enough(graph: Graph, mean: str, needed: int) -> str:
    """The mean, and an error where an image has no pixel (needed, needed), 0 times which is added:
    older versions of onnxruntime mirror more pixels than an image has, and return garbage."""
    nothing = graph.add("Mul", [_pixel(graph, needed), graph.array("zero", [0.0])], "nothing")
    return graph.add("Add", [mean, nothing], "mean_of_large_enough")


def _pixel(graph: Graph, at: int) -> str:
    """The pixel (at, at) of every image, (N, C, 1, 1)."""
    return graph.cut(INPUT, "pixel", at, at + 1)


def _level(graph: Graph, net: UNet, i: int, x: str) -> str:
    """The nodes of a level and of all below it, as in UNet._level."""
    level = net.levels[i]
    x = _chain(graph, level.contract, x)
    if level.up is None:
        return x
    pooled = graph.add("MaxPool", [x], f"pool{i}", kernel_shape=[2, 2], strides=[2, 2])
    up = _up(graph, level.up, _level(graph, net, i + 1, pooled))
    crop = shrinkage(net.shape.depth - i - 1, net.shape.padding)  # each side, at this resolution
    centre = graph.cut(x, f"crop{i}", crop, -crop) if crop else x
    both = graph.add("Concat", [up, centre], f"concat{i}", axis=1)  # up-sampled channels first
    return _chain(graph, level.expand, both)


def _chain(graph: Graph, layers: Sequence[Any], x: str) -> str:
    for layer in layers:
        if isinstance(layer, BatchNorm):
            x = _norm(graph, layer, x)
        elif not isinstance(layer, Dropout):
            x = _conv(graph, layer, x)
    return x


def _conv(graph: Graph, layer: Conv | BareConv, x: str) -> str:
    """A convolution and its ReLU; one before batch normalisation has neither biases nor ReLU."""
    size = layer.w.value.shape[0]
    border = size // 2 if layer.padding == "same" else 0
    inputs = [x, graph.filters(layer.w.name, layer.w.value, (3, 2, 0, 1))]
    if isinstance(layer, Conv):
        inputs.append(graph.array(layer.b.name, to_host(layer.b.value)))
    z = graph.add("Conv", inputs, f"{layer.name}.z", kernel_shape=[size, size], pads=[border] * 4)
    return _relu(graph, layer.name, z) if isinstance(layer, Conv) and layer.relu else z


def _norm(graph: Graph, layer: BatchNorm, z: str) -> str:
    """Batch normalisation by the running statistics, and the ReLU behind it."""
    arrays = [(p.name, p.value) for p in layer.parameters()]
    arrays += [(f"{layer.name}.mean", layer.mean), (f"{layer.name}.variance", layer.variance)]
    inputs = [z, *(graph.array(name, to_host(value)) for name, value in arrays)]
    n = graph.add("BatchNormalization", inputs, f"{layer.name}.n", epsilon=EPSILON)
    return _relu(graph, layer.name, n)


def _up(graph: Graph, layer: UpConv, x: str) -> str:
    """An up-convolution; in the authors' release a ReLU follows it."""
    filters = graph.filters(layer.w.name, layer.w.value, (2, 3, 0, 1))
    inputs = [x, filters, graph.array(layer.b.name, to_host(layer.b.value))]
    z = graph.add("ConvTranspose", inputs, f"{layer.name}.z", kernel_shape=[2, 2], strides=[2, 2])
    return _relu(graph, layer.name, z) if layer.relu else z


def _relu(graph: Graph, name: str, z: str) -> str:
    return graph.add("Relu", [z], f"{name}.y")
