"""ONNX files, their protobuf messages written by hand.

    ModelProto   ir_version 1, producer_name 2, producer_version 3, doc_string 6, graph 7,
                 opset_import 8 (domain 1, version 2), metadata_props 14 (key 1, value 2)
    GraphProto   node 1, name 2, initializer 5, input 11, output 12
    NodeProto    input 1, output 2, name 3, op_type 4, attribute 5
    Attribute    name 1, float 2, integer 3, text 4, integers 8, type 20
    TensorProto  dims 1, data_type 2, name 8, raw_data 9 (little-endian, the last axis fastest)
    ValueInfo    name 1, type 2 (tensor_type 1: elem_type 1, shape 2: dim 1: value 1, name 2),
                 doc_string 3

The file takes raw image values, (N, C, H, W) float32, and normalises them itself; it returns the
probabilities of all classes, (N, K, P, Q) float32. Source: github.com/onnx/onnx, onnx.proto.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cunet.data.dataset import sha256
from cunet.errors import CunetError
from cunet.exchange.onnx_graph import (
    FLOAT,
    INPUT,
    OPSET,
    OUTPUT,
    Graph,
    Node,
    graph_of,
    least_side,
)
from cunet.exchange.protobuf import BYTES, blob, number, single, text, varint
from cunet.files.atomic import Part
from cunet.files.json_file import finite
from cunet.net.sizes import lattice, shrinkage
from cunet.net.tiles import check_tile
from cunet.net.unet import UNet

IR_VERSION = 8  # the format that belongs to opset 17
KINDS = {"<f4": FLOAT, "<i8": 7, "<f2": 10}  # TensorProto.DataType
LARGEST = (1 << 31) - 1  # bytes of a message of protobuf
Pieces = list[bytes | memoryview]  # of a file, in order: the filters are not copied again


def write(
    net: UNet,
    path: str | Path,
    mirror: bool = False,
    size: int | None = None,
    float16: bool = False,
    source: str | Path | None = None,
) -> dict[str, Any]:
    """Write an .onnx file, whole or not at all; an older one is replaced. Arguments: see to_bytes.

    Returns what `described` does. Raises as to_bytes does, and DeviceError where the disk has no
    room.
    """
    pieces = _pieces(net, mirror, size, float16, source)
    with Part(path, sum(map(len, pieces))) as part:
        for piece in pieces:
            part.file.write(piece)
    return described(net, mirror, size)


def to_bytes(
    net: UNet,
    mirror: bool = False,
    size: int | None = None,
    float16: bool = False,
    source: str | Path | None = None,
) -> bytes:
    """The content of an .onnx file.

    mirror   the file mirrors the image beyond its border: it takes (N, C, H, W), H and W multiples
             of 2^depth from least_side(shape, True) on, and returns (N, K, H, W), what
             cunet.segment returns. Otherwise it takes tiles, as the network itself does.
    size     both sides of the one image or tile that it takes, (1, C, size, size): some programs
             need that, OpenCV 4 among them. None: any sizes, and any number of images.
    float16  the filters are stored as float16, for half the bytes; input, output and all that is
             computed stay float32. Rounding them changed the probabilities of a trained network
             by up to 0.001; verify_export measures it.
    source   the model file that the network is from; its SHA-256 is written into the metadata.

    Raises CunetError for a size that does not fit and for a network that ONNX cannot hold as one
    function of an image, NumericError where weights are no numbers of float32 (float16).
    """
    return b"".join(_pieces(net, mirror, size, float16, source))


def _pieces(
    net: UNet, mirror: bool, size: int | None, float16: bool, source: str | Path | None
) -> Pieces:
    """The file in pieces."""
    _check(net, mirror, size)
    said = described(net, mirror, size)
    shape, sides = net.shape, ["height", "width"]
    batch: int | str = "batch"
    outgoing = sides if said["lost"] == 0 else ["output_height", "output_width"]
    dims_in, dims_out = [batch, shape.in_channels, *sides], [batch, shape.classes, *outgoing]
    if size is not None:
        dims_in = [1, shape.in_channels, size, size]
        dims_out = [1, shape.classes, *[size - said["lost"]] * 2]
    graph = _graph(graph_of(net, mirror, float16, size is None))
    graph.append(blob(11, _value(INPUT, dims_in, said["input"])))
    graph.append(blob(12, _value(OUTPUT, dims_out, said["output"])))
    head = number(1, IR_VERSION) + text(2, "cunet") + text(3, version("cunet"))
    head += text(6, f"U-Net. Takes {said['input']}. Returns {said['output']}.")
    tail = blob(8, text(1, "") + number(2, OPSET))
    for key, value in _metadata(net, mirror, size, float16, source).items():
        tail += blob(14, text(1, key) + text(2, value))
    pieces = [head, *_blob(7, graph), tail]
    if (total := sum(map(len, pieces))) > LARGEST:
        advice = "" if float16 else "; store its filters as float16 (--float16)"
        raise CunetError(f"an ONNX file holds at most {LARGEST:,} bytes, this network takes "
                         f"{total:,}{advice}")  # fmt: skip
    return pieces


def _check(net: UNet, mirror: bool, size: int | None) -> None:
    """CunetError for what cannot be exported."""
    shape = net.shape
    if net.resize is not None:
        raise CunetError(
            f"this network scales every image to {net.resize} x {net.resize} pixels first, by a "
            "filter that ONNX does not have: it cannot be exported; train one without --resize"
        )
    if net.normalization.per_image and not mirror:
        raise CunetError(
            "this network normalises each image by the mean and deviation of all its pixels, which "
            "a tile does not have: export it for whole images (--mirror)"
        )
    if size is None:
        return
    if not mirror:
        return check_tile(size, shape.depth, shape.padding)
    unit, least = lattice(shape.depth), least_side(shape, True)
    if size < least or size % unit:
        nearest = max(least, round(size / unit) * unit)
        raise CunetError(f"size: with mirror expected a multiple of {unit}, {least} or more, found "
                         f"{size}; the nearest is {nearest}")  # fmt: skip


def described(net: UNet, mirror: bool, size: int | None = None) -> dict[str, Any]:
    """What the file takes and returns, in words, and its sizes in pixels: sides of least + i step,
    of which `lost` are missing in the output; fixed is the only one, or None."""
    shape = net.shape
    least, step = least_side(shape, mirror), lattice(shape.depth)
    lost = 0 if mirror else shrinkage(shape.depth, shape.padding)
    sides = f"H and W {least}, {least + step}, {least + 2 * step} and so on"
    if size is not None:
        sides = f"N = 1 and H = W = {size}"
    what = "whole images" if mirror else "tiles"
    own = "" if not net.normalization.per_image else (
        "; each is normalised by the mean and deviation of all its pixels, so a part of an image "
        "gives another result"
    )  # fmt: skip
    less = f", P = H - {lost}, Q = W - {lost}" if lost else ", P = H, Q = W"
    return {
        "input": f"{what} (N, {shape.in_channels}, H, W) float32 of raw values, as in the image "
        f"file, not normalised; {sides}{own}",
        "output": f"probabilities (N, {shape.classes}, P, Q) float32 from 0 to 1 of classes 0 to "
        f"{shape.classes - 1}, which sum to 1{less}",
        "least": least,
        "step": step,
        "lost": lost,
        "fixed": size,
    }


def _metadata(
    net: UNet, mirror: bool, size: int | None, float16: bool, source: str | Path | None
) -> dict[str, str]:
    """What a program or a person can read about the file without running it."""
    said = described(net, mirror, size)
    found = {
        "cunet.version": version("cunet"),
        "cunet.net": json.dumps(net.settings()),
        "cunet.normalization": json.dumps(finite(vars(net.normalization))),
        "cunet.mirror": json.dumps(mirror),
        "cunet.sizes": json.dumps({k: said[k] for k in ("least", "step", "lost", "fixed")}),
        "cunet.filters": "float16" if float16 else "float32",
        "cunet.input": said["input"],
        "cunet.output": said["output"],
        "cunet.classes": "channel k is the probability of class k of the labels that the network "
        "was trained on; class 0 is the background",
    }
    if source is not None:
        found["cunet.source"] = Path(source).name.encode("utf-8", "replace").decode()
        found["cunet.source_sha256"] = sha256(Path(source))
    return found


def _graph(graph: Graph) -> Pieces:
    """The fields of a GraphProto, without input and output."""
    pieces: Pieces = [blob(1, _node(node)) for node in graph.nodes]
    pieces.append(text(2, "cunet"))
    for name, value in graph.arrays.items():
        pieces += _blob(5, _tensor(name, value))
    return pieces


def _node(node: Node) -> bytes:
    fields = [text(1, name) for name in node.inputs]
    fields += [text(2, node.output), text(3, node.output), text(4, node.op)]
    fields += [blob(5, _attribute(name, value)) for name, value in node.attributes.items()]
    return b"".join(fields)


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return text(1, name) + text(4, value) + number(20, 3)
    if isinstance(value, float):
        return text(1, name) + single(2, value) + number(20, 1)
    if isinstance(value, int):
        return text(1, name) + number(3, value) + number(20, 2)
    return text(1, name) + b"".join(number(8, one) for one in value) + number(20, 7)


def _tensor(name: str, value: np.ndarray) -> Pieces:
    head = b"".join(number(1, side) for side in value.shape)
    head += number(2, KINDS[f"<{value.dtype.str[1:]}"]) + text(8, name)
    return [head, *_blob(9, [value.data.cast("B")])]


def _value(name: str, dims: list[int | str], doc: str) -> bytes:
    shape = b"".join(blob(1, text(2, d) if isinstance(d, str) else number(1, d)) for d in dims)
    tensor = number(1, FLOAT) + blob(2, shape)
    return text(1, name) + blob(2, blob(1, tensor)) + text(3, doc)


def _blob(field: int, pieces: Pieces) -> Pieces:
    """protobuf.blob of data in pieces."""
    return [varint(field << 3 | BYTES) + varint(sum(map(len, pieces))), *pieces]
