"""A network as a bioimage.io model package, for ilastik, deepImageJ, BiaPy, napari and others.

The package is a zip of rdf.yaml, which describes the network, the network as ONNX, an image with
the probabilities that belong to it, a cover and a README. rdf.yaml is written as JSON, which is
YAML.

The ONNX file takes raw pixels and mirrors the image's border itself, so what comes out is as large
as what goes in. A program that predicts block by block must not see that mirror inside the image:
`halo` tells it to drop so many pixels of a block, `pad` to mirror the image's own border as
cunet.segment does. Without the two, blocks have seams or wrong borders.

Source: bioimage.io's model description 0.5 (github.com/bioimage-io/spec-bioimage-io).
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cunet.data.synthetic import membranes
from cunet.errors import CunetError
from cunet.exchange import onnx_file
from cunet.exchange.about import PAPER, About, about_of, author, citation, spdx
from cunet.files.atomic import Part
from cunet.files.ome_zarr.sizes import UNITS
from cunet.net.receptive_field import context
from cunet.net.sizes import lattice, margin
from cunet.net.unet import UNet
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import whole_tile

FORMAT = "0.5.12"  # since when `pad` is in the description
OPSET = 17
NETWORK = "network.onnx"
BLOCKS_PER_SIDE = 16  # of the pooling grid, in the test image: 256 pixels at depth 4
COVER_SIDE = 256
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of all files in the zip: the same network, the same bytes


def write(
    net: UNet,
    path: str | Path,
    source: str | Path | None = None,
    about: About | Mapping[str, Any] | None = None,
    float16: bool = False,
) -> dict[str, Any]:
    """Write the package, whole or not at all; returns {"notes": what a user must know of it}.

    about: what it says of the network; as a mapping, what is not known from the record and the card
    beside the model file `source`.

    CunetError for a network that ONNX or such a package cannot hold, DeviceError where the disk has
    no room.
    """
    if net.normalization.per_image:
        raise CunetError(
            "this network normalises each image by the mean and deviation of all its pixels; "
            "bioimage.io's programs give a network blocks, or images with a mirrored border, which "
            "have others. Export it for whole images: OUT.onnx --mirror"
        )
    if not isinstance(about, About):
        about = about_of(None if source is None else Path(source), about or {})
    x = example_image(net)
    y = segment(x, net, whole_tile(x, net.shape))
    files = {
        NETWORK: onnx_file.to_bytes(net, mirror=True, float16=float16, source=source),
        "test_input.npy": npy(x.transpose(2, 0, 1)[None]),
        "test_output.npy": npy(y.astype(np.float32).transpose(2, 0, 1)[None]),
        "cover.png": cover(x, y),
        "README.md": readme(net, about).encode(),
    }
    if not spdx(about.license):
        files["LICENSE.md"] = f"{about.license}\n".encode()
    files = {"rdf.yaml": json.dumps(description(net, about, files), indent=1).encode()} | files
    with Part(Path(path), sum(map(len, files.values()))) as part:
        with zipfile.ZipFile(part.file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return {"notes": notes(net)}


def notes(net: UNet) -> list[str]:
    """What a user of the package must know beyond its description."""
    step = lattice(net.shape.depth)
    found = [
        f"sides are multiples of {step} pixels, at least {least_block(net)}; values as in the file"
    ]
    if net.shape.padding == "same":
        found.append(
            f"the outermost {halo(net)} pixels of an image differ from those of `cunet segment`: "
            "the network was trained with zeros beyond the border, where bioimage.io's programs "
            "mirror"
        )
    return found


def scales(net: UNet) -> dict[str, dict[str, Any]]:
    """The unit and scale of the axes y and x; none where the pixel size is not known."""
    known = net.trained_on.pixel_size
    if known is None:
        return {"y": {}, "x": {}}
    sides = {"y": known.height, "x": known.width}
    return {axis: {"unit": UNITS[known.unit], "scale": side} for axis, side in sides.items()}


def description(net: UNet, about: About, files: dict[str, bytes]) -> dict:
    """What rdf.yaml says."""
    shape = net.shape
    size, own = {"min": least_block(net), "step": lattice(shape.depth)}, scales(net)
    channels = ["grey"] if shape.in_channels == 1 else names("channel", shape.in_channels)
    image_axes = [
        {"type": "batch"},
        {"type": "channel", "channel_names": channels},
        *({"type": "space", "id": axis, "size": size} | own[axis] for axis in "yx"),
    ]
    probability_axes = [
        {"type": "batch"},
        {"type": "channel", "channel_names": names("class", shape.classes)},
        *(
            {
                "type": "space", "id": axis, "halo": halo(net),
                "size": {"tensor_id": "image", "axis_id": axis, "offset": 0},
            } | own[axis]
            for axis in "yx"
        ),
    ]  # fmt: skip

    def entry(name: str) -> dict:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    return {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": about.description,
        "authors": [author(text) for text in about.authors],
        "cite": [PAPER, *map(citation, about.cite)],
        "license": spdx(about.license) or entry("LICENSE.md"),
        "covers": [entry("cover.png")],
        "documentation": entry("README.md"),
        "tags": ["unet", "2d", "semantic-segmentation", "cunet"],
        "inputs": [
            {
                "id": "image",
                "description": "grey values as in the image's file; the network normalises them",
                "axes": image_axes,
                "data": {"type": "float32"},
                "pad": {"mode": "reflect"},
                "preprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
                "test_tensor": entry("test_input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "probability",
                "description": "probability of each class; they sum to 1",
                "axes": probability_axes,
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": entry("test_output.npy"),
            }
        ],
        "weights": {"onnx": entry(NETWORK) | {"opset_version": OPSET}},
        "config": {"cunet": {"net": net.settings()}},
    }


def halo(net: UNet) -> int:
    """Pixels at the edge of a block that depend on what lies outside: 96 at depth 4."""
    if net.shape.padding == "same":
        return context(net.shape.depth)
    step = lattice(net.shape.depth)
    return -(-margin(net.shape.depth) // step) * step


def least_block(net: UNet) -> int:
    """The side of the smallest block with a middle: 208 at depth 4."""
    return 2 * halo(net) + lattice(net.shape.depth)


def example_image(net: UNet) -> np.ndarray:
    """(H, W, C) float32: synthetic membranes of the mean and deviation that the network expects."""
    step = lattice(net.shape.depth)
    side = max(least_block(net), BLOCKS_PER_SIDE * step)
    sections, _ = membranes(net.shape.in_channels, side, side, seed=0)
    x = sections.transpose(1, 2, 0).astype(np.float32)
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    known = net.normalization
    return (x * known.deviation + known.mean).astype(np.float32)


def cover(x: np.ndarray, y: np.ndarray) -> bytes:
    """A PNG of twice the width of its height: the test image, and the probability of class 1."""
    low, high = np.percentile(x[..., 0], (1, 99))
    shown = [(x[..., 0] - low) / max(high - low, 1e-12), y[..., min(1, y.shape[2] - 1)]]
    halves = [np.clip(255 * part[:COVER_SIDE, :COVER_SIDE], 0, 255) for part in shown]
    out = io.BytesIO()
    Image.fromarray(np.hstack(halves).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def readme(net: UNet, about: About) -> str:
    """The package's documentation; bioimage.io wants a heading "Validation"."""
    said = "\n".join(f"* {note.removeprefix('warning: ')}" for note in notes(net))
    card = f"{about.card.strip()}\n\n" if about.card else ""
    return (
        f"# {about.name}\n\n{about.description}\n\nA U-Net (Ronneberger, Fischer, Brox 2015), "
        f"exported by cunet. What it takes and returns:\n\n{said}\n\n{card}"
        "## Validation\n\nThe test tensors are a synthetic image and what `cunet.segment` returns "
        "for it. How good the network is on real images: see above, where its authors say so; "
        "compare it with a labelled image of your own before you trust it.\n"
    )


def names(word: str, count: int) -> Sequence[str]:
    """word0, word1 ..."""
    return [f"{word}{i}" for i in range(count)]


def npy(array: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()
