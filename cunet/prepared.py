"""A data set made ready to train on: checked, split, normalised, weighed."""

from dataclasses import dataclass, replace

import numpy as np

from cunet.config import Config
from cunet.data.dataset import IGNORE, Dataset, load
from cunet.data.resize import resized
from cunet.data.samples import Samples
from cunet.data.weight_map import class_weights, components, falk2019_map, open_gaps, paper_map
from cunet.normalization import Normalization
from cunet.sizes import output_size
from cunet.split import split
from cunet.threads import parallel


@dataclass(frozen=True)
class Prepared:
    """A data set that was checked, split and made ready to be drawn from."""

    dataset: Dataset
    training: list[int]  # indices of slices
    held_out: list[int]
    normalization: Normalization
    samples: Samples


def prepare(config: Config) -> Prepared:
    """Load and check the data, split it, normalise the images and compute the weight maps."""
    dataset = load(config.data, config.dataset)
    if config.resize:
        dataset = resized(dataset, config.resize)
    training, held_out = split(config, dataset.slice_names)
    images = [dataset.images[i] for i in training]
    normalization = Normalization.of(images)
    if config.normalization == "image":
        identity = Normalization.identity(images[0].shape[2])
        normalization = replace(identity, per_image=True)
    labels, weights = weigh(config, dataset, training)
    samples = Samples(
        [normalization.fitted(lambda a, b, x=x: x[a:b], len(x)).apply(x) for x in images],
        labels,
        weights,
        config.tile,
        output_size(config.tile, config.depth, config.padding),
        config.augmentation(),
        config.seed,
        config.batch,
    )
    return Prepared(dataset, training, held_out, normalization, samples)


def weigh(config: Config, dataset: Dataset, slices: list[int]) -> tuple[list, list]:
    """The labels and the weight maps (H, W) of the slices, as config.weight_map says.

    Class frequencies are counted over these slices. With a border term, and with class balance
    where instances are given, the gap between touching cells becomes background in the labels too;
    "none" leaves labels as they are.
    """
    form, given = config.weight_map, dataset.instances
    labels = [dataset.labels[i] for i in slices]
    if form == "none" or (form == "balance" and not given):
        instances: list = [None] * len(labels)
    else:
        instances = [given[i] if given else components(cells(dataset.labels[i])) for i in slices]
        labels = [open_gaps(y, cell, IGNORE) for y, cell in zip(labels, instances, strict=True)]
    balance = class_weights(labels, len(dataset.class_names), IGNORE)
    table = np.zeros(256, np.float32)  # the ignored label weighs nothing
    table[: len(balance)] = 1 if form == "none" else balance
    shape = {"w0": config.w0, "sigma": config.border_sigma}
    shape = {name: value for name, value in shape.items() if value is not None}
    weights: list = [None] * len(labels)

    def one(i: int) -> None:
        if form == "paper":
            weights[i] = paper_map(labels[i], instances[i], balance, ignore=IGNORE, **shape)
        elif form == "falk2019":
            weights[i] = falk2019_map(labels[i], instances[i], ignore=IGNORE, **shape)
        else:
            weights[i] = table[labels[i]]

    parallel(one, range(len(labels)))
    return labels, weights


def cells(labels: np.ndarray) -> np.ndarray:
    """Which pixels belong to a cell: every class but the background, ignored pixels apart."""
    return (labels > 0) & (labels != IGNORE)
