"""Slices on disk made ready to train on: their statistics, and what is computed of each part when
a sample is drawn from it. All has the bits that slices in memory give. H W C: a slice's shape."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE
from cunet.data.on_disk import Computed, OnDisk, together
from cunet.data.sums import OrderedSum
from cunet.data.weight_map import (
    FORMS,
    class_weights,
    falk2019_map,
    open_gaps,
    paper_map,
    reach_of,
    weights_of_counts,
)
from cunet.errors import CunetError
from cunet.net.normalization import SAMPLED_PIXELS, Normalization, lost
from cunet.training.config import Config


def statistics(images: Sequence[OnDisk]) -> Normalization:
    """Normalization.of for images (H, W, C) on disk, read in blocks."""
    areas = [image.shape[0] * image.shape[1] for image in images]
    count = sum(areas)
    mean = np.sum(_totals(images), axis=0) / count
    every = max(1, count // SAMPLED_PIXELS)
    squares = [OrderedSum(area, len(mean), mean.dtype) for area in areas]
    sample: list[list[np.ndarray]] = [[] for _ in images]
    for i, first, block in together(images):
        pixels, seen = block.reshape(-1, len(mean)), first * block.shape[1]
        sample[i].append(pixels[-seen % every :: every].copy())
        apart = pixels - mean
        squares[i].add(np.square(apart, out=apart))
    variance = np.sum([one.total for one in squares], axis=0) / count
    low, high = np.percentile(np.concatenate(sum(sample, [])), (0.1, 99.9), axis=0)
    if lost(mean, variance):
        mean, variance = _from_differences(images, areas)
    return Normalization.of_statistics(mean, variance, low, high)


def _totals(images: Sequence[OnDisk]) -> list[np.ndarray]:
    """The sums of the images' pixels, (C,) each."""
    known = [image.total for image in images if image.total is not None]
    if len(known) == len(images):
        return known
    sums = [
        OrderedSum(image.size // image.shape[2], image.shape[2], image.dtype) for image in images
    ]
    for i, _, block in together(images):
        sums[i].add(block.reshape(-1, block.shape[2]))
    return [one.total for one in sums]


def _from_differences(
    images: Sequence[OnDisk], areas: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance from the differences to the first pixel, as in net/normalization.py."""
    first = images[0][:1, :1][0, 0].astype(np.float64)
    sums = [[OrderedSum(area, len(first), first.dtype) for _ in range(2)] for area in areas]
    for i, _, block in together(images):
        apart = block.reshape(-1, len(first)) - first
        sums[i][0].add(apart)
        sums[i][1].add(np.square(apart))
    total, squares = (np.sum([pair[k].total for pair in sums], axis=0) for k in range(2))
    mean = total / sum(areas)
    return first + mean, np.maximum(squares / sum(areas) - mean * mean, 0)


def normalised(image: OnDisk, normalization: Normalization) -> OnDisk:
    """An image (H, W, C) float32 whose parts are normalised when they are read."""
    fitted = normalization.fitted(image.reader(), len(image))
    return Computed([image], fitted.apply, np.float32, image.shape[2])


def weigh_on_disk(
    config: Config, dataset: Dataset, slices: list[int]
) -> tuple[list[OnDisk], list[OnDisk]]:
    """weights.weigh for slices on disk. CunetError for a border term between cells that are not
    numbered: which of them are one cell is known of whole slices only."""
    form, classes = config.weight_map, len(dataset.class_names)
    labels: list = [dataset.labels[i] for i in slices]
    if dataset.instances is None and form in FORMS:
        raise CunetError(
            f"weight_map {form}: its border term needs the cells of whole slices, and these are "
            "read part by part; give --weight-map balance (or none), or labels that number the "
            "cells, with --labels instances"
        )
    if dataset.instances is None or form == "none":
        balance = weights_of_counts(np.sum([y.counts[:classes] for y in labels], axis=0))
        return labels, [_looked_up(y, form, balance) for y in labels]
    instances: list = [dataset.instances[i] for i in slices]
    pairs = [*zip(labels, instances, strict=True)]
    labels = [Computed(pair, open_gaps, np.uint8, margin=1) for pair in pairs]
    balance = class_weights(_ids(labels), classes, IGNORE)
    if form == "balance":
        return labels, [_looked_up(y, form, balance) for y in labels]
    given: dict[str, Any] = {"w0": config.w0, "sigma": config.border_sigma}
    border = {name: value for name, value in given.items() if value is not None}

    def weights(y: np.ndarray, cells: np.ndarray) -> np.ndarray:
        if form == "paper":
            return paper_map(y, cells, balance, **border)
        return falk2019_map(y, cells, **border)

    margin = math.ceil(reach_of(form, border.get("sigma"))) + 1
    maps = [
        Computed(pair, weights, np.float32, margin=margin)
        for pair in zip(labels, instances, strict=True)
    ]
    return labels, [*maps]


def _ids(labels: Sequence[OnDisk]) -> Iterator[np.ndarray]:
    """The class ids of all slices, block by block."""
    return (block for _, _, block in together(labels))


def _looked_up(labels: OnDisk, form: str, balance: np.ndarray) -> OnDisk:
    """The weight of each pixel's class, (H, W) float32."""
    table = np.zeros(256, np.float32)
    table[: len(balance)] = 1 if form == "none" else balance
    return Computed([labels], lambda y: table[y], np.float32)
