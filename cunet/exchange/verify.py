"""An exported file against its model: the largest difference of probabilities on the same tiles.

Tiles have several sizes. They show synthetic membranes (cunet/data/synthetic.py), always the same
ones, as bright as the images that the network was trained on, and parts of a user's own image.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cunet.checks import arguments, array_or_path, between, callback, number, path, whole
from cunet.data.dataset import sha256
from cunet.data.mirror import reflect
from cunet.data.synthetic import membranes
from cunet.data.values import check_values
from cunet.errors import CheckError
from cunet.exchange.export import ending_of, model_or_net
from cunet.exchange.import_network import import_network
from cunet.exchange.onnx_run import OnnxFile
from cunet.exchange.package import check_package
from cunet.files.pages import read_image
from cunet.net.checkpoint import load, model_file
from cunet.net.sizes import lattice
from cunet.net.tiles import smallest_tile, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.one_image import image_of_channels
from cunet.segmentation.segment import segment

# The largest differences that pass. In float32 another order of the sums makes 3e-6 in trained
# networks and 8e-5 in an untrained one of full width; filters rounded to float16 make 9e-4 in a
# trained network and 2e-2 in small ones of random numbers
LIMIT, LIMIT_FLOAT16 = 5e-4, 2e-2
TILES, MOST_SLICES = 4, 16
GREY, SPREAD = 150, 40  # about the mean and the deviation of synthetic membranes

BY_ONNXRUNTIME = (".onnx", ".bioimageio.zip")
BY_CUNET = (".caffemodel", ".safetensors", ".pt", ".pth")  # formats that it imports


class NetFile:
    """A file that cunet reads itself, with the attributes of OnnxFile. says_images: whether its
    format says how images are scaled and normalised by themselves; Caffe's does not."""

    mirror, float16, fixed, source_sha256 = False, False, None, None

    def __init__(self, file: str | Path, net: UNet):
        self.path, self.net, self.shape = file, net, net.shape
        self.says_images = ending_of(file, BY_CUNET) != ".caffemodel"
        self.least = smallest_tile(net.shape.depth, net.shape.padding)
        self.step = lattice(net.shape.depth)

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        return of_tile(self.net, tile)


class Case(NamedTuple):
    """What is computed by both: which picture it is of, and its pixels (H, W, C) float32."""

    picture: str
    pixels: np.ndarray


@arguments(
    path=path, model=model_or_net, image=array_or_path, limit=between(0, 1, number),
    tiles=between(1, 100, whole), progress=callback,
)  # fmt: skip
def verify_export(
    path: str | Path,
    model: str | Path | UNet,
    image: np.ndarray | str | Path | None = None,
    limit: float | None = None,
    tiles: int = TILES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compare an exported file with its model: the largest difference of their probabilities.

    path: a file of `export`. model: a model file, a run folder, a name, or a network. image: one of
    your own, (H, W) or (H, W, C), or its file, of which the first page is read; parts of it are
    compared as well. limit: the largest difference that passes, by default 5e-4, or 0.02 where the
    file's filters are float16. tiles: how many sizes. progress(done, all) is called after each.

    Returns {"worst", "limit", "passed", "same_source", "tiles": [{"picture", "height", "width",
    "difference"}, ...], ...}; same_source: whether the file says that it was made from this model
    file, None where it does not say. Raises CheckError where the file is of a network of another
    shape, DataError where it is damaged or cunet did not write it, CunetError where onnxruntime,
    which runs .onnx files and packages, is not installed.

        assert cunet.verify_export("membranes.onnx", "em")["passed"]
    """
    ending = ending_of(path, (*BY_ONNXRUNTIME, *BY_CUNET))
    net, source = model, None
    if not isinstance(net, UNet):
        source = model_file(net)
        net = load(source)
    file: OnnxFile | NetFile
    if ending in BY_CUNET:
        file = NetFile(path, import_network(path))
    else:
        file = OnnxFile(path)
    _check_shape(file, net)
    if ending == ".bioimageio.zip":
        check_package(path, net)
    if limit is None:
        limit = LIMIT_FLOAT16 if file.float16 else LIMIT
    found = []
    cases = list(_cases(file, net, image, tiles))
    for case in cases:
        height, width = case.pixels.shape[:2]
        found.append({"picture": case.picture, "height": height, "width": width,
                      "difference": _difference(file, net, case.pixels)})  # fmt: skip
        if progress is not None:
            progress(len(found), len(cases))
    differences = [one["difference"] for one in found]
    worst = float(np.max(differences))  # NaN if there is one
    same = None
    if source is not None and file.source_sha256 is not None:
        same = file.source_sha256 == sha256(source)
    return {
        "file": str(path), "model": None if source is None else str(source), "limit": limit,
        "worst": worst, "passed": bool(worst <= limit), "float16": file.float16,
        "mirror": file.mirror, "same_source": same, "tiles": found,
    }  # fmt: skip


def of_tile(net: UNet, tile: np.ndarray) -> np.ndarray:
    """The probabilities (P, Q, K) that a network makes of a tile (H, W, C) of raw values."""
    x = net.normalization.apply(tile, net.dtype)
    return net.probability(net(x[None], remember=False))[0]


def _check_shape(file: OnnxFile | NetFile, net: UNet) -> None:
    """CheckError where the file cannot be an export of a network of this shape, or of one that
    prepares images in another way, which the tiles compared do not show."""
    own, model = ({**vars(s), "dropout": 0} for s in (file.shape, net.shape))
    if not isinstance(file, NetFile):  # ONNX has no resize; normalization is seen by images
        own, model = own | {"resize": None}, model | {"resize": net.resize}
    elif file.says_images:
        for known, one in ((own, file.net), (model, net)):
            known |= {"resize": one.resize, "per_image": one.normalization.per_image}
    differ = [f"{name} {own[name]}, not {model[name]}" for name in own if own[name] != model[name]]
    if differ:
        raise CheckError(f"'{file.path}' was exported from another network: {'; '.join(differ)}")


def _difference(file: OnnxFile | NetFile, net: UNet, pixels: np.ndarray) -> float:
    """The largest difference of probabilities; NaN where one is NaN."""
    if file.mirror:
        expected = segment(pixels, net, tile=usual_tile(net.shape.depth, net.shape.padding))
    else:
        expected = of_tile(net, pixels)
    found = file(pixels)
    if found.shape != expected.shape:
        raise CheckError(f"'{file.path}' makes {found.shape} of {pixels.shape}, the model "
                         f"{expected.shape}: it is no export of this model")  # fmt: skip
    return float(np.abs(found - expected).max())


def _cases(
    file: OnnxFile | NetFile, net: UNet, image: np.ndarray | str | Path | None, tiles: int
) -> Iterator[Case]:
    """The tiles, or images, that are compared."""
    more = file.step * max(1, 16 // file.step)
    sides = [(file.least + 2 * i * more, file.least + 4 * i * more) for i in range(tiles)]
    if file.fixed is not None:
        sides = [file.fixed] * tiles
    height, width = (max(64, side) for side in sides[-1])
    slices = min(tiles + net.shape.in_channels - 1, MOST_SLICES)
    pages, _ = membranes(slices, height, width, seed=0)
    for i, (height, width) in enumerate(sides):
        planes = [pages[(i + c) % len(pages)] for c in range(net.shape.in_channels)]
        standard = (np.stack(planes, axis=-1)[:height, :width] - GREY) / np.float32(SPREAD)
        scaled = standard * net.normalization.deviation + net.normalization.mean
        yield Case("membranes", scaled.astype(np.float32))
    if image is None:
        return
    given, name = image, "image"
    if not isinstance(given, np.ndarray):
        given, name = read_image(given, pages=0)[0], str(image)
    given = image_of_channels(given, net.shape.in_channels)
    check_values(given, name)
    for i, (height, width) in enumerate(sides):  # from the upper left to the lower right
        rows, columns = (
            reflect(max(0, (size - side) * i // max(1, tiles - 1)), side, size)
            for size, side in zip(given.shape[:2], (height, width), strict=True)
        )
        yield Case(name, given[rows[:, None], columns].astype(np.float32))
