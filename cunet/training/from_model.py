"""Training that starts from a trained network (fine-tuning): what it takes over, and what is new.

The new network has the shape of the model, its filters and biases and its running statistics.
The head, the last 1x1 convolution, is drawn anew where its outputs are others. The solver begins
anew, and images are normalised by their own grey values, as in every training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.data.dataset import Dataset, sha256
from cunet.data.on_disk import OnDisk
from cunet.errors import CunetError, DataError
from cunet.models.places import name_in_box
from cunet.net import checkpoint
from cunet.net.model_input import shape_of
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape
from cunet.net.tiles import smallest_tile, valid_tiles
from cunet.net.unet import UNet
from cunet.training.given import SHAPE

USUAL = ("sigmoid", "dropout", "resize", "normalization")  # the model's unless given
HEAD = "head."  # how the names of its arrays begin


@dataclass(frozen=True)
class Model:
    """What the header of a model file says of the network that a training starts from.

    name    that of a network which comes with cunet, or the full path of the file: it means the
            same from every folder
    resize  the side of the square that its images were scaled to, or None
    """

    name: str
    path: Path
    shape: Shape
    resize: int | None
    normalization: Normalization

    @classmethod
    def read(cls, model: str) -> "Model":
        """From a model file, a run folder or a name; errors as in checkpoint.read_header."""
        path = checkpoint.model_file(model)
        header = checkpoint.read_header(path)
        net = header["net"]
        return cls(
            str(full_name(model)),
            path,
            shape_of(net),
            net.get("resize"),
            checkpoint.normalization_of(header),
        )

    def settings(self) -> dict[str, Any]:
        """Those of a training that this network decides, by their names in Config."""
        how = "image" if self.normalization.per_image else "data"
        own = vars(self.shape) | {"resize": self.resize, "normalization": how}
        return {name: own[name] for name in (*SHAPE, *USUAL)}

    def refuse_other_shape(self, given: Mapping[str, Any]) -> None:
        """CunetError where settings are given that a network of this shape does not have."""
        own = self.settings()
        for name in SHAPE:
            if name in given and given[name] != own[name]:
                raise CunetError(
                    f"{name}: {given[name]} is given, but model '{self.name}' has {own[name]}, and "
                    f"a training that starts from it keeps its shape; leave {name} out, or train "
                    "without --from"
                )

    def refuse_other_channels(self, dataset: Dataset) -> None:
        """DataError where images do not have the channels that this network was made for."""
        wanted, image = self.shape.in_channels, dataset.images[0]
        found = image.shape[2]
        if found == wanted:
            return
        if wanted == 1:
            equal = all(map(_grey, dataset.images))
            fix = (
                "they are grey saved as colour: save them in grey" if equal else "save them in grey"
            )
        elif (found, wanted) == (1, 3):
            fix = "save them in colour, with three equal channels"
        else:
            fix = f"save them with {wanted} channels"
        raise DataError(
            f"the images of '{dataset.name}' have {found} channel(s), model '{self.name}' was made "
            f"for {wanted}; {fix}, or start --from a model trained on such images"
        )

    def keeps_head(self, shape: Shape) -> bool:
        """Whether the head of this network serves one of that shape."""
        return (self.shape.classes, self.shape.sigmoid) == (shape.classes, shape.sigmoid)

    def put_into(self, net: UNet) -> None:
        """Copy the weights into a new network of this shape, those of the head where it serves.

        CunetError where the shapes differ, and the errors of checkpoint.read.
        """
        self.refuse_other_shape(vars(net.shape))
        _, arrays = checkpoint.read(self.path)
        targets = checkpoint.learned(net)
        if not self.keeps_head(net.shape):
            targets = {name: v for name, v in targets.items() if not name.startswith(HEAD)}
        checkpoint.put(self.path, targets, arrays)

    def notes(self, shape: Shape, normalization: Normalization) -> tuple[str, ...]:
        """What a training of a network of that shape takes over, in lines for its user."""
        head = f"the head is kept ({shape.classes} classes)"
        had, has = (f"{one.classes} classes" for one in (self.shape, shape))
        if had == has:
            had, has = ("a sigmoid" if one.sigmoid else "a softmax" for one in (self.shape, shape))
        if not self.keeps_head(shape):
            head = f"the head is drawn anew: it had {had}, here {has}"
        lines = [f"weights of {self.name}; {head}"]
        before, now = self.normalization, normalization
        lines.append(f"normalisation: {_in_words(now)} (the model: {_in_words(before)})")
        if not (before.per_image or now.per_image) and not _known(before):
            lines.append(
                "warning: the model was saved without a normalisation, so it may know its images "
                "in other numbers than mean 0 and deviation 1; expect poor first steps"
            )
        elif _scaled(before) and not _scaled(now):
            lines.append(
                "warning: the model knows images from 0 to 1, and this training gives them mean 0 "
                "and deviation 1; expect poor first steps"
            )
        return tuple(lines)


def _grey(image: Any) -> bool:
    """Whether an image in memory has equal channels."""
    return not isinstance(image, OnDisk) and bool((image == image[..., :1]).all())


def _known(normalization: Normalization) -> bool:
    """Whether it was found from images: the range of those that are none is not a number."""
    return all(low == low for low in normalization.low)


def _scaled(normalization: Normalization) -> bool:
    """Whether it brings images to 0 to 1, as those of imported networks do."""
    return not any(normalization.mean) and normalization.deviation == normalization.high


def _in_words(normalization: Normalization) -> str:
    if normalization.per_image:
        return "each image by its own mean and deviation"
    mean, deviation = (
        ", ".join(f"{value:.5g}" for value in values)
        for values in (normalization.mean, normalization.deviation)
    )
    return f"mean {mean}, deviation {deviation}"


def taken_over(
    model: str | None, dataset: Dataset, shape: Shape, normalization: Normalization
) -> tuple[str, ...]:
    """The notes of a training of these data, by a network of this shape; none without a model."""
    if model is None:
        return ()
    known = Model.read(model)
    known.refuse_other_channels(dataset)
    return known.notes(shape, normalization)


def merged(usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as usual < those of the model given["from_model"], if any < given.

    The name of the model becomes one that means the same from every folder, and the usual tile one
    that fits. CunetError where another shape is given than the model's.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if "from_model" not in given:
        return dict(usual) | given
    model = Model.read(given["from_model"])
    model.refuse_other_shape(given)
    settings = dict(usual) | model.settings() | given | {"from_model": model.name}
    if "tile" not in given:
        settings["tile"] = _tile_that_fits(settings)
    return settings


def _tile_that_fits(settings: Mapping[str, Any]) -> int:
    """The largest tile up to the usual one; with "same" padding none larger than the images are
    scaled to, where nothing lies beyond them."""
    depth, padding, most = settings["depth"], settings["padding"], settings["tile"]
    if padding == "same" and settings["resize"]:
        most = min(most, settings["resize"])
    return max(valid_tiles(depth, 1, most, padding), default=smallest_tile(depth, padding))


def full_name(model: str | None) -> str | None:
    """A name of the same model file that means it from every folder: its full path, or the
    name of one that comes with cunet; None for None."""
    if model is None:
        return None
    path = checkpoint.model_file(model)
    return name_in_box(path) or str(path.absolute())


def facts_of(model: str | None) -> dict[str, Any]:
    """What is written down of the model that a run starts from: its file and the file's SHA-256."""
    if model is None:
        return {}
    path = checkpoint.model_file(model)
    return {"from_model": {"file": model, "sha256": sha256(path)}}
