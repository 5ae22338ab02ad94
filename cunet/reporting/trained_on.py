"""What a run was trained on: the weight map of a slice, and its first augmented samples.

Both are made again, from the data, the settings and the seed of the run, as `cunet weights` and
`cunet augment` make them. H W: height and width of a slice, C its channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import overload

import numpy as np

from cunet.data.on_disk import OnDisk
from cunet.data.weight_images import border
from cunet.data.weight_map import FORMS
from cunet.pictures.sheets import sample_strip
from cunet.reporting.page import escape, folded
from cunet.reporting.parts import middle
from cunet.reporting.pictures import (
    data_uri,
    image_picture,
    label_picture,
    photograph_uri,
    uneven,
    weight_picture,
)
from cunet.terminal import plural
from cunet.training.config import Config
from cunet.training.on_disk import weigh_on_disk
from cunet.training.prepared import Prepared
from cunet.training.weights import Weighing, weighing

SAMPLES = 6
SIDE = 176  # pixels of each of the three pictures of a sample
SCALE = ' <span class="scale"></span> '

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]  # tile, labels, weights: see Samples.sample


@dataclass(frozen=True)
class TrainedOn:
    """The first training slice, of one on disk its middle, and the first samples of the run.

    image (H, W, C), labels (H, W) with the gaps that the weight map opens, weights (H, W); balance
    names classes with their weights; samples come with the names of their slices.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    balance: dict[str, float]
    samples: list[tuple[str, Sample]]
    classes: int


class _Maps(Sequence[np.ndarray]):
    """The weight maps of slices, each computed when it is first asked for."""

    def __init__(self, weighed: Weighing) -> None:
        self._count, self._map = len(weighed.labels), cache(weighed.map)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, i: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        return [self[k] for k in range(self._count)[i]] if isinstance(i, slice) else self._map(i)


def trained_on(config: Config, prepared: Prepared) -> TrainedOn:
    """Of a run whose data were prepared, with whatever weight map."""
    dataset, training = prepared.dataset, prepared.training
    labels: Sequence
    maps: Sequence
    balance = {}
    if isinstance(dataset.images[training[0]], OnDisk):
        labels, maps = weigh_on_disk(config, dataset, training)
    else:
        weighed = weighing(config, dataset, training)
        labels, maps = weighed.labels, _Maps(weighed)
        if config.weight_map in ("paper", "balance"):
            balance = dict(zip(dataset.class_names, weighed.balance.tolist(), strict=True))
    drawn = replace(prepared.samples, labels=labels, weights=maps)
    names = [dataset.slice_names[i] for i in training]
    samples = [(names[drawn.record(k).slice], drawn.sample(k)) for k in range(SAMPLES)]
    whole = dataset.images[training[0]], labels[0], maps[0]
    image, label, weights = (middle(a) if isinstance(a, OnDisk) else a for a in whole)
    return TrainedOn(names[0], image, label, weights, balance, samples, len(dataset.class_names))


def section(shown: TrainedOn | None, config: Config) -> str:
    """The slice with its weight map, and the samples, folded up; empty where the data are gone."""
    if shown is None:
        return ""
    return f"{_weighed(shown, config)}\n{_sheet(shown, config)}"


def _weighed(shown: TrainedOn, config: Config) -> str:
    """The weight map of the slice beside the slice, or a sentence where it has one colour."""
    said = [f"weight map {config.weight_map}"]
    if config.weight_map in FORMS:
        w0, sigma = border(config.weight_map, config.w0, config.border_sigma)
        said.append(f"w0 {w0:g}, sigma {sigma:g} pixels")
    said += [f"{name} {weight:.3g}" for name, weight in shown.balance.items()]
    text = f"{shown.name}, of the slices trained on; {', '.join(said)}."
    if not uneven(shown.weights, shown.labels):
        return f"<p>{escape(text)} All labelled pixels weigh the same in the loss.</p>"
    highest = float(shown.weights.max())
    pictures = [
        ("image", "image", photograph_uri(image_picture(shown.image))),
        ("label", "label", data_uri(label_picture(shown.labels, shown.classes))),
        (
            f"weights, 0 (dark) to {highest:.3g}",
            f"weight of a pixel in the loss, 0{SCALE}{highest:.3g}",
            data_uri(weight_picture(shown.weights, highest)),
        ),
    ]
    figures = "\n".join(
        f'<figure><img src="{uri}" alt="{escape(f"{shown.name}, training: {name}")}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for name, caption, uri in pictures
    )
    return f'<p>{escape(text)}</p>\n<div class="thirds">\n{figures}\n</div>'


def _sheet(shown: TrainedOn, config: Config) -> str:
    """The first samples, each as a strip of tile, labels and weights."""
    highest = max(float(weights.max()) for _, (_, _, weights) in shown.samples)
    inside = len(shown.samples[0][1][1])
    text = (
        f"The input tile of {config.tile} x {config.tile} pixels"
        + f" (orange: the middle of {inside} x {inside} that is predicted)" * (inside < config.tile)
        + ", the boundaries of the labels in red, ignored pixels blue, and the weights, 0"
    )
    strips = "\n".join(
        f'<figure><img src="{photograph_uri(sample_strip(sample, highest, SIDE))}" '
        f'alt="{escape(f"Training sample {number}: tile, labels and weights")}">'
        f"<figcaption>sample {number}, of {escape(name)}</figcaption></figure>"
        for number, (name, sample) in enumerate(shown.samples, start=1)
    )
    changed = "augmented" if config.augment else "not augmented"
    return folded(
        f"The first {plural(len(shown.samples), 'training sample')}, {changed}, seed {config.seed}",
        f'<p class="keys">{escape(text)}{SCALE}{highest:.3g}.</p>\n'
        f'<div class="strips">\n{strips}\n</div>',
    )
