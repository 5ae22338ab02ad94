"""The weight maps of a data set's slices, as a training computes them."""

from dataclasses import dataclass

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE, cells
from cunet.data.weight_map import class_weights, components, falk2019_map, open_gaps, paper_map
from cunet.threads import parallel
from cunet.training.config import Config


@dataclass(frozen=True)
class Weighing:
    """How the pixels of some slices are weighed.

    form       "paper", "falk2019", "balance" or "none"
    labels     (H, W) class ids of each slice, with the gaps between touching cells as background
    instances  (H, W) cell numbers of each slice; None where the form needs none
    balance    (K,) the weight of each class
    border     w0 and sigma, where they are not those of the form
    """

    form: str
    labels: list[np.ndarray]
    instances: list[np.ndarray | None]
    balance: np.ndarray
    border: dict[str, float]

    def map(self, i: int) -> np.ndarray:
        """The weights (H, W) float32 of slice i; ignored pixels weigh nothing."""
        labels, instances = self.labels[i], self.instances[i]
        if self.form == "paper" and instances is not None:
            return paper_map(labels, instances, self.balance, ignore=IGNORE, **self.border)
        if self.form == "falk2019" and instances is not None:
            return falk2019_map(labels, instances, ignore=IGNORE, **self.border)
        table = np.zeros(256, np.float32)
        table[: len(self.balance)] = 1 if self.form == "none" else self.balance
        return table[labels]


def weighing(config: Config, dataset: Dataset, slices: list[int]) -> Weighing:
    """How the slices are weighed in the form of config.weight_map.

    Class frequencies are counted over these slices. With a border term, and with class balance
    where the data set has instances, the gap between touching cells becomes background in the
    labels too; "none" leaves the labels as they are.
    """
    form, known = config.weight_map, dataset.instances
    labels, instances = [dataset.labels[i] for i in slices], list[np.ndarray | None]()
    if form == "none" or (form == "balance" and not known):
        instances = [None] * len(labels)
    else:
        found = [known[i] if known else components(cells(dataset.labels[i])) for i in slices]
        labels = [open_gaps(y, cell, IGNORE) for y, cell in zip(labels, found, strict=True)]
        instances = [*found]
    given = {"w0": config.w0, "sigma": config.border_sigma}
    border = {name: value for name, value in given.items() if value is not None}
    balance = class_weights(labels, len(dataset.class_names), IGNORE)
    return Weighing(form, labels, instances, balance, border)


def weigh(config: Config, dataset: Dataset, slices: list[int]) -> tuple[list, list]:
    """The labels and the weight maps (H, W) of the slices, see weighing."""
    found = weighing(config, dataset, slices)
    weights: list = [None] * len(slices)

    def one(i: int) -> None:
        weights[i] = found.map(i)

    parallel(one, range(len(slices)))
    return found.labels, weights
