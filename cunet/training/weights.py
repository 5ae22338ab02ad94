"""The weight maps of a data set's slices."""

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE, cells
from cunet.data.weight_map import class_weights, components, falk2019_map, open_gaps, paper_map
from cunet.threads import parallel
from cunet.training.config import Config


def weigh(config: Config, dataset: Dataset, slices: list[int]) -> tuple[list, list]:
    """The labels and the weight maps (H, W) of the slices, in the form of config.weight_map.

    Class frequencies are counted over these slices. With a border term, and with class balance
    where the data set has instances, the gap between touching cells becomes background in the
    labels too; "none" leaves the labels as they are.
    """
    form, known = config.weight_map, dataset.instances
    labels = [dataset.labels[i] for i in slices]
    if form == "none" or (form == "balance" and not known):
        instances: list = [None] * len(labels)
    else:
        instances = [known[i] if known else components(cells(dataset.labels[i])) for i in slices]
        labels = [open_gaps(y, cell, IGNORE) for y, cell in zip(labels, instances, strict=True)]
    balance = class_weights(labels, len(dataset.class_names), IGNORE)
    table = np.zeros(256, np.float32)  # the ignored label weighs nothing
    table[: len(balance)] = 1 if form == "none" else balance
    given_border = {"w0": config.w0, "sigma": config.border_sigma}
    border = {name: value for name, value in given_border.items() if value is not None}
    weights: list = [None] * len(labels)

    def one(i: int) -> None:
        if form == "paper":
            weights[i] = paper_map(labels[i], instances[i], balance, ignore=IGNORE, **border)
        elif form == "falk2019":
            weights[i] = falk2019_map(labels[i], instances[i], ignore=IGNORE, **border)
        else:
            weights[i] = table[labels[i]]

    parallel(one, range(len(labels)))
    return labels, weights
