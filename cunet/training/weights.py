"""The weight maps of a data set's slices."""

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE, cells
from cunet.data.weight_map import class_weights, components, falk2019_map, open_gaps, paper_map
from cunet.threads import parallel
from cunet.training.config import Config


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
