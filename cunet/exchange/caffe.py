"""The authors' U-Net of 2015 as Caffe has it: a .caffemodel to a network, and a network to one.

All is found from the names and shapes of the layers with weights, no prototxt is needed: depth,
width, channels, classes, and the variant, since the release's last up-convolution has twice the
channels of the paper's. See caffe_layers.py for the names, caffe_file.py for the format.

The networks of the release were trained on images from 0 to 1, so a file that is written takes grey
values divided by 255 as well. The network's own normalisation is folded into its first convolution,
exactly, since nothing is padded:

    w ((255 x - mean) / deviation) + b  =  (255 / deviation w) x + (b - sum of w mean / deviation)
"""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import to_host
from cunet.errors import CunetError, DataError, NumericError
from cunet.exchange import caffe_file, caffe_layers
from cunet.exchange.caffe_file import Layer
from cunet.exchange.caffe_layers import SCORE, from_caffe, names, to_caffe
from cunet.exchange.caffe_wiring import check_settings, check_wiring
from cunet.exchange.imported import WHITE, Imported, takes_0_to_1
from cunet.files.atomic import Part
from cunet.net.array_shapes import parameter_shapes
from cunet.net.checkpoint import learned
from cunet.net.shape import Shape
from cunet.net.tiles import check_tile, smallest_tile, usual_tile
from cunet.net.unet import UNet

# A mean of so many deviations is folded into the first biases; what is left after they are added to
# the large products of float32 was wrong by 1e-4 in probabilities here, by 0.03 at 100 times that
FURTHEST = 1000


def read(path: str | Path, white: float | None = None) -> UNet:
    """The network in a .caffemodel; see imported()."""
    return imported(path, white).net


def imported(path: str | Path, white: float | None = None) -> Imported:
    """The network in a .caffemodel, as CPU float32, with what its user must hear.

    white: the grey value that it shall see as 1 (255, of 8-bit images). Raises CunetError where the
    file is missing, DataError where it is damaged or holds a network that cunet has not.
    """
    layers = caffe_file.read(path)
    weighted = _weighted(path, layers)
    check_settings(path, layers)
    shape = _shape(path, weighted)
    known = names(shape.depth)
    _check_shapes(path, weighted, shape)
    wiring = check_wiring(path, layers, list(known.values()), shape.release)
    net = UNet(**vars(shape))
    for name, target in learned(net).items():
        layer, _, what = name.rpartition(".")
        filters, biases = weighted[known[layer]].blobs
        values = from_caffe(layer, filters) if what == "filters" else biases.reshape(-1)
        with np.errstate(over="ignore"):
            target[...] = values
        if not np.isfinite(target).all():
            raise DataError(f"network '{path}': layer '{known[layer]}' holds NaN or infinity")
    notes = [takes_0_to_1(net, white), wiring]
    return Imported(net, "Caffe model", list(filter(None, notes)))


def _weighted(path: str | Path, layers: list[Layer]) -> dict[str, Layer]:
    """The layers with weights by name."""
    found: dict[str, Layer] = {}
    for layer in layers:
        if layer.blobs and layer.name in found:
            raise DataError(f"network '{path}': two layers '{layer.name:.60}' have weights")
        if layer.blobs:
            found[layer.name] = layer
    return found


def _shape(path: str | Path, weighted: dict[str, Layer]) -> Shape:
    """The shape of the network that has these layers."""
    depth = 0
    while f"conv_d{depth + 1}a-b" in weighted:
        depth += 1
    known = list(names(depth).values()) if depth else ["conv_d0a-b", "conv_d1a-b"]
    missing = [name for name in known if name not in weighted]
    more = [name for name in weighted if name not in known]
    if missing:
        others = ", ".join(f"'{name:.40}'" for name in more[:4]) or "no others"
        raise DataError(
            f"network '{path}': layer '{missing[0]}' of the authors' U-Net is missing (weights "
            f"have: {others}); cunet reads networks with the layers of their release of 2015"
        )
    if more:
        layer = weighted[more[0]]
        raise DataError(
            f"network '{path}': layer '{layer.name:.60}' ({layer.kind:.40}) has weights, but the "
            "authors' U-Net has no such layer, and cunet cannot leave it out"
        )
    sides = {name: weighted[name].blobs[0].shape for name in known}
    for name, found in sides.items():
        if len(found) != 4:
            raise DataError(f"network '{path}': layer '{name}': expected filters of 4 sides, found "
                            f"{found}")  # fmt: skip
    width, channels, last = *sides["conv_d0a-b"][:2], sides[known[-4]][1]
    variant = "release2015" if last == 2 * width else "paper"
    try:
        return Shape(width, depth, channels, sides[SCORE][0], variant=variant)
    except CunetError as error:
        raise DataError(f"network '{path}': {error}") from error


def _check_shapes(path: str | Path, weighted: dict[str, Layer], shape: Shape) -> None:
    """DataError where a layer's weights are not those of a U-Net of this shape."""
    known, wanted = names(shape.depth), parameter_shapes(shape)
    for name, caffe in known.items():
        layer, filters = weighted[caffe], wanted[f"{name}.filters"]
        expected = to_caffe(name, np.broadcast_to(np.float32(0), filters)).shape
        count = prod(wanted[f"{name}.biases"])
        found = [one.shape for one in layer.blobs]
        if found[:1] != [expected] or len(found) != 2 or layer.blobs[1].size != count:
            like = ""
            if caffe == "conv_u0b-c" and expected[0] * 2 == found[0][0]:
                like = "; 2d_cell_net_v0 has these, with leaky ReLUs: no network of cunet"
            raise DataError(
                f"network '{path}': layer '{caffe}': expected filters {expected} and {count} "
                f"biases at width {shape.width}, found {' and '.join(map(str, found))}{like}"
            )


def write(
    net: UNet, path: str | Path, source: str | Path | None = None, size: int | None = None
) -> dict[str, Any]:
    """Write a network as .caffemodel, and beside it the .prototxt that Caffe and OpenCV need.

    Both appear whole or not at all; older ones are replaced. size: side of the input in the
    .prototxt (572, or the next that fits). Returns {"notes": lines for the user}. Raises CunetError
    where Caffe's net cannot hold this one, NumericError where the weights are no numbers,
    DeviceError where the disk has no room.
    """
    path, shape = Path(path), net.shape
    text = path.with_suffix(".prototxt")
    _check_holds(net, path)
    tile = usual_tile(shape.depth) if size is None else size
    check_tile(tile, shape.depth)
    layers, values = caffe_layers.layers(shape), _weights(net)
    layers = [replace(one, blobs=values.get(one.name, [])) for one in layers]
    for name, arrays in values.items():
        if not all(np.isfinite(one).all() for one in arrays):
            raise NumericError(f"'{path}' is not written: layer '{name}' holds NaN or infinity")
    notes = [
        f"input: grey values / {WHITE:g} (the network's normalisation is in the first convolution)",
        f"sides that fit: {smallest_tile(shape.depth)} and every {2**shape.depth} pixels on; "
        f"the prototxt has {tile}",
        "output: layer 'softmax', blob 'prob', a channel for each class",
    ]
    if net.resize:
        notes.append(f"this network takes images scaled to {net.resize} x {net.resize} pixels")
    with Part(path, sum(a.nbytes for b in values.values() for a in b)) as part, Part(text) as proto:
        caffe_file.write(part.file, "cunet", layers)
        head = [f"# A U-Net of width {shape.width}, depth {shape.depth} ({shape.variant}). Weights:"
                f" {path.name}"] + [f"# {note}" for note in notes]  # fmt: skip
        sides = f"dim: 1 dim: {shape.in_channels} dim: {tile} dim: {tile}"
        head += ['name: "cunet"', 'input: "data"', f"input_shape {{ {sides} }}", ""]
        proto.file.write(("\n".join(head) + caffe_file.prototxt(layers)).encode())
    return {"notes": [*notes, f"'{text}' describes the network"]}


def _check_holds(net: UNet, path: Path) -> None:
    """CunetError for a network that the authors' net cannot hold."""
    shape, wrong = net.shape, ""
    if shape.batch_norm:
        wrong = "batch normalization"
    elif shape.sigmoid:
        wrong = "a sigmoid instead of a softmax"
    elif shape.padding != "valid":
        wrong = "same padding"
    elif net.normalization.per_image:
        wrong = "each image normalised by its own mean and deviation"
    elif any(abs(m) > FURTHEST * d for m, d in zip(
        net.normalization.mean, net.normalization.deviation, strict=True
    )):  # fmt: skip
        wrong = f"images of a mean of more than {FURTHEST:,} deviations"
    if wrong:
        raise CunetError(
            f"'{path}' is not written: this network has {wrong}, which the authors' Caffe net does "
            "not; export it to .onnx"
        )


def _weights(net: UNet) -> dict[str, list[np.ndarray]]:
    """Filters and biases by Caffe's layers, the normalisation folded into the first."""
    arrays = {name: to_host(value) for name, value in learned(net).items()}
    found = {}
    for name, caffe in names(net.shape.depth).items():
        w, b = (arrays[f"{name}.{what}"] for what in ("filters", "biases"))
        if caffe == "conv_d0a-b":
            mean, deviation = (np.array(v) for v in (net.normalization.mean,
                                                     net.normalization.deviation))  # fmt: skip
            b = b - np.einsum("rsck,c->k", w.astype(np.float64), mean / deviation)
            w = w * (WHITE / deviation)[:, None]
        with np.errstate(over="ignore"):
            found[caffe] = [to_caffe(name, w).astype(np.float32), b.astype(np.float32)]
    return found
