"""cunet.trace: one forward and backward pass of a network on one tile, with all that there is to
see in it: what each layer made of the tile, the gradients that came back, what one output pixel
sees, and what each skip contributes.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import to_device, to_host, working_on
from cunet.checks import (
    arguments,
    array_or_path,
    refused,
    text,
    whole,
    whole_from_0,
    whole_numbers,
)
from cunet.core_checks import positive
from cunet.data.labels import IGNORE
from cunet.data.meaning import MEANINGS
from cunet.engines import engine_of
from cunet.errors import CunetError, DataError, NumericError, not_among
from cunet.files.atomic import write_text
from cunet.net.checkpoint import copy_of
from cunet.net.memory import explained, refuse_impossible, task_of
from cunet.net.tiles import tile_for_output, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.tiling import Piece
from cunet.segmentation.window import Applied, is_probability
from cunet.tracing.field import Field, measure
from cunet.tracing.given import Model, Picture, model_given, picture_given
from cunet.tracing.layers import Layer, layers_of
from cunet.tracing.place import Side, place
from cunet.tracing.recording import Recorder
from cunet.tracing.skips import Skip, silenced


@dataclass(frozen=True)
class Trace:
    """One pass. As text it is a line; save(path) writes the page, document() has the numbers.

    layers       in the order of the data, each with .output and .gradient (H, W, C): layers.py
    field        what one output pixel sees: field.py
    skips        the output with each skip silenced: skips.py
    probability  (P, Q, K) of the output pixels that lie in the image, and labels (P, Q) the class
                 ids that the loss compares them with
    pixel        (row, column) of the chosen output pixel in the image that the network was shown
    down, across where the tile lies: place.py
    """

    model: Model
    picture: Picture
    pixel: tuple[int, int]
    down: Side
    across: Side
    loss: float
    labels: np.ndarray
    probability: np.ndarray
    layers: list[Layer]
    field: Field
    skips: list[Skip]

    def __getitem__(self, name: str) -> Layer:
        """A layer by its name, such as trace["contract0.conv1"]."""
        named = {layer.name: layer for layer in self.layers}
        if name not in named:
            raise not_among("layer", name, named)
        return named[name]

    def __repr__(self) -> str:
        sides = f"{self.down.tile} x {self.across.tile}"
        return f"Trace({self.model.name}, a tile of {sides} pixels: loss {self.loss:.4g})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the model and the files; warnings begin with "warning: "."""
        return self.model.notes + self.picture.notes

    @cached_property
    def _document(self) -> dict[str, Any]:
        from cunet.tracing.document import document

        return document(self)

    def document(self) -> dict[str, Any]:
        """All numbers, as `cunet trace --json` prints them."""
        return self._document

    def save(self, path: str | Path) -> None:
        """Write the page, one HTML file that needs no other, replacing an older one; DeviceError
        where the disk has no room, CunetError where the file cannot be written."""
        from cunet.tracing.page import page

        write_text(Path(path), page(self))


@arguments(
    image=array_or_path, pixel=whole_numbers, truth=array_or_path, labels=text, tile=whole,
    page=whole_from_0, lr=positive, device=text,
)  # fmt: skip
def trace(
    net: UNet | str | Path,
    image: np.ndarray | str | Path,
    pixel: tuple[int, int] | None = None,
    truth: np.ndarray | str | Path | None = None,
    labels: str | None = None,
    tile: int | None = None,
    page: int = 0,
    lr: float | None = None,
    device: str = "cpu",
) -> Trace:
    """One forward and backward pass of a network on one tile of an image, to look at.

    net is a network, or the name of a model file, a run folder or a network; image a file, of which
    `page` is shown, or an array (H, W) or (H, W, C) that holds the values of a file. pixel: the
    (row, column) of the output pixel whose receptive field is measured, and around which the tile
    lies; by default the middle of the image. truth: a label file or an array (H, W), which the loss
    compares with; labels is "classes" or "instances" where its numbers do not tell. Without truth
    the loss is that against the network's own most probable classes. tile: the side of the tile, by
    default the usual one of the network, and smaller where that suffices for the whole image. lr:
    of the relative updates; by default that of the run in whose folder the model lies, else 1e-3.
    device: where a network that is given by its name computes.

    The pass is one without dropout, in the precision of the weights; net is not changed. Raises
    CunetError for arguments that do not fit, DataError for images and labels that do not,
    DeviceError where the memory does not suffice, NumericError where the network returns NaN.

        traced = cunet.trace("em", "slices.tif", pixel=(100, 200))
        traced["contract0.conv1"].gradient  # (H, W, C)
        traced.save("trace.html")
    """
    if labels is not None and labels not in MEANINGS:
        raise not_among("labels", labels, MEANINGS)
    model = model_given(net, lr, device)
    picture = picture_given(model.net, image, page, truth, labels)
    found = model.net
    where = _pixel(pixel, picture)
    down, across = _tile(found, where, picture, tile)
    task = task_of(found, max(down.tile, across.tile), 1, training=True)
    refuse_impossible(task, found.device)
    quiet = np.errstate(over="ignore", invalid="ignore")  # what comes out is looked at
    with working_on(found.device), explained(found, task.tile), quiet:
        return _traced(model, picture, where, down, across)


def _traced(
    model: Model, picture: Picture, pixel: tuple[int, int], down: Side, across: Side
) -> Trace:
    net, image = model.net, picture.image
    normalization = net.normalization.fitted(lambda r0, r1: image[r0:r1], len(image))
    cut = image[down.seen][:, across.seen]
    x = to_device(normalization.apply(cut, net.dtype)[None], net.device)
    recorder = Recorder(engine_of(net.device, net.dtype))
    inside = down.inside, across.inside
    copy = copy_of(net, recorder)
    logits, backward = copy(x, remember="once", watch=recorder.named)
    probability = to_host(copy.probability(logits))[0]
    if not is_probability(probability):
        rows = Piece(down.first, down.output, down.output + len(probability))
        raise Applied(net, normalization, name=picture.name).failure(cut, rows)
    labels = _labels(picture, probability, down, across)
    loss, dlogits = copy.loss(logits, to_device(labels[None], net.device), None, IGNORE)
    layers = list(layers_of(recorder.notes, x, backward(dlogits, input_gradient=True)))
    if not all(np.isfinite(layer.gradient).all() for layer in layers):
        raise NumericError(
            f"{model.name}: gradients are NaN or infinite, the weights are too large for "
            f"{net.dtype}; use another model, or train again with a smaller --lr"
        )
    place_in_output = pixel[0] - down.output, pixel[1] - across.output
    return Trace(
        model,
        picture,
        pixel,
        down,
        across,
        loss + 0.0,  # -0.0 is 0
        labels[inside],
        probability[inside],
        layers,
        measure(net, x, place_in_output),
        list(silenced(net, x, inside)),
    )


def _pixel(pixel: tuple[int, int] | None, picture: Picture) -> tuple[int, int]:
    """The pixel in the image that the network is shown; CunetError for one outside."""
    (height, width), shown = picture.size, picture.image.shape
    row, column = (height // 2, width // 2) if pixel is None else _two(pixel)
    if not (0 <= row < height and 0 <= column < width):
        raise CunetError(
            f"pixel: expected a row from 0 to {height - 1} and a column from 0 to {width - 1}, "
            f"found {row},{column}"
        )
    if picture.scaled is None:
        return row, column
    return (2 * row + 1) * shown[0] // (2 * height), (2 * column + 1) * shown[1] // (2 * width)


def _two(pixel: tuple[int, ...]) -> tuple[int, int]:
    if len(pixel) != 2:
        raise refused("pixel", "two whole numbers, (row, column)", pixel)
    return pixel[0], pixel[1]


def _tile(
    net: UNet, pixel: tuple[int, int], picture: Picture, tile: int | None
) -> tuple[Side, Side]:
    """Where the tile lies, down and across."""
    depth, padding = net.shape.depth, net.shape.padding
    if picture.scaled is not None:
        if tile is not None:
            raise CunetError(
                f"tile {tile}: this network scales every image to {picture.scaled} x "
                f"{picture.scaled} pixels and takes it in one tile; leave it out"
            )
        tile = tile_for_output(picture.scaled, depth, padding)
    tile = usual_tile(depth, padding) if tile is None else tile
    height, width = picture.image.shape[:2]
    return place(pixel[0], height, net.shape, tile), place(pixel[1], width, net.shape, tile)


def _labels(picture: Picture, probability: np.ndarray, down: Side, across: Side) -> np.ndarray:
    """The class ids (P, Q) of all output pixels: the truth, else the most probable ones. Those that
    lie beyond the image do not count."""
    labels = np.full(probability.shape[:2], IGNORE, np.uint8)
    if picture.labels is None:
        labels[down.inside, across.inside] = probability.argmax(2)[down.inside, across.inside]
        return labels
    there = labels[down.inside, across.inside]
    there[...] = picture.labels[
        down.output : down.output + there.shape[0], across.output : across.output + there.shape[1]
    ]
    if (there == IGNORE).all():
        raise DataError(
            f"truth '{picture.truth}': all pixels of the tile are {IGNORE}, ignore, and the loss "
            "is of none; choose another pixel"
        )
    return labels
