"""A data set made ready to train on: checked, split, normalised, with weight maps."""

from dataclasses import dataclass, replace
from typing import Any

from cunet.data.dataset import Dataset
from cunet.data.load import load
from cunet.data.on_disk import OnDisk, Pixels
from cunet.data.resize import resized
from cunet.data.samples import Samples
from cunet.data.values import check_values
from cunet.errors import CunetError
from cunet.net.normalization import Normalization
from cunet.net.sizes import output_size
from cunet.net.trained_on import UNKNOWN, TrainedOn
from cunet.training.config import Config
from cunet.training.held_out import split
from cunet.training.images import facts_of
from cunet.training.on_disk import normalised, statistics, weigh_on_disk
from cunet.training.weights import weigh


@dataclass(frozen=True)
class Prepared:
    """A data set that was checked and split, with the samples to train on."""

    dataset: Dataset
    training: list[int]  # indices of slices
    held_out: list[int]
    normalization: Normalization
    samples: Samples
    trained_on: TrainedOn = UNKNOWN


def prepare(config: Config, dataset: Dataset | None = None) -> Prepared:
    """Load and check the data, split it, normalise the images and compute the weight maps.

    A dataset in memory takes the place of the one in config.data. Raises CunetError where the
    settings do not fit the data, DataError where the data are not valid.
    """
    if dataset is None and not config.data:
        raise CunetError(
            "data: expected the folder of a data set, as in Config(data='my-images/'), found none; "
            "cunet.fit trains on arrays"
        )
    if dataset is None:
        dataset = load(config.data, config.dataset, config.labels)
    else:
        for image, name in zip(dataset.images, dataset.slice_names, strict=True):
            if not isinstance(image, OnDisk):  # these were checked when they were found
                check_values(image, f"image '{name}'")
    if config.resize:
        dataset = resized(dataset, config.resize)
    training, held_out = split(config, dataset.slice_names)
    trained_on, notes = facts_of(config, dataset, training)
    if new := [note for note in notes if note not in dataset.notes]:
        dataset = replace(dataset, notes=(*dataset.notes, *new))
    images: list[Any] = [dataset.images[i] for i in training]
    on_disk = isinstance(images[0], OnDisk)
    labels, weights = (weigh_on_disk if on_disk else weigh)(config, dataset, training)
    if config.normalization == "image":
        identity = Normalization.identity(images[0].shape[2])
        normalization = replace(identity, per_image=True)
    else:
        normalization = statistics(images) if on_disk else Normalization.of(images)
    samples = Samples(
        [_normalised(image, normalization) for image in images],
        labels,
        weights,
        config.tile,
        output_size(config.tile, config.depth, config.padding),
        config.augmentation(),
        config.seed,
        config.batch,
    )
    return Prepared(dataset, training, held_out, normalization, samples, trained_on)


def _normalised(image: Pixels, normalization: Normalization) -> Pixels:
    """An image (H, W, C) float32, by its own mean and deviation where every image has its own."""
    if isinstance(image, OnDisk):
        return normalised(image, normalization)
    fitted = normalization.fitted(lambda r0, r1: image[r0:r1], len(image))
    return fitted.apply(image)
