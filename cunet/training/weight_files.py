"""The weight map that a training would use, as a file to look at: of label files or a data set."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import cells, read_labels
from cunet.data.meaning import meaning_of
from cunet.data.on_disk import refuse_on_disk
from cunet.data.resize import resized
from cunet.data.suspicion import refuse_stray
from cunet.data.weight_map import FORMS, components
from cunet.errors import CunetError
from cunet.files import TiffOutput, open_image
from cunet.files.calibration import Calibration
from cunet.files.frames import frames
from cunet.training.config import Config
from cunet.training.held_out import split
from cunet.training.resolve import with_data
from cunet.training.weights import weighing


def write_weights(
    labels: str | Path, out: str | Path, config: Config, given: Container[str] = ()
) -> tuple[dict, list[str]]:
    """Writes the weights of a label file's pages, or of the slices of a data folder that would be
    trained on, as a float32 TIFF.

    The settings are those of a training; given: names of those that are not a preset's. The pages
    are computed and written one after the other; the file appears complete or not at all, and
    replaces an older one.

    Returns what was found, as `cunet weights --json` prints it, and notes on the labels. Raises
    CunetError for a missing file and for slices of several sizes, DataError for a file that holds
    no labels, DeviceError if the disk has no room.
    """
    path, calibration, axes = Path(labels), Calibration(), None
    if path.is_dir():
        config, dataset = with_data(replace(config, data=str(path)), given)
        slices, _ = split(config, dataset.slice_names)
        if not config.resize:
            refuse_on_disk(dataset.labels, "a file of weight maps", "Name one label file.")
    else:
        dataset = _of_file(path, config.labels)
        slices = list(range(len(dataset.labels)))
        with open_image(path, indices=True) as file:
            chosen = frames(file, range(file.pages))
        calibration, axes = chosen.calibration, chosen.axes
    if config.resize:
        dataset, calibration = resized(dataset, config.resize), Calibration()
    sizes = {dataset.labels[i].shape for i in slices}
    if len(sizes) > 1:
        raise CunetError(
            f"'{path}' holds slices of {len(sizes)} sizes, and pages of a TIFF have one; name one "
            "label file, or give --resize"
        )
    found, ranges = weighing(config, dataset, slices), list[float]()
    (height, width), count = sizes.pop(), len(slices)
    with TiffOutput(
        out, count, height, width, np.float32, calibration=calibration, axes=axes
    ) as output:
        for number in range(count):
            weights = found.map(number)
            output.write_rows(number, 0, weights)
            ranges += [float(weights.min()), float(weights.max())]
    known, form = dataset.instances, config.weight_map
    numbered = [known[i] if known else components(cells(dataset.labels[i])) for i in slices]
    border = dict(zip(("w0", "sigma"), FORMS.get(form, (None, None)), strict=True)) | found.border
    return {
        "output": str(out),
        "form": form,
        **border,
        "masks": known is None,
        "classes": list(dataset.class_names),
        "slices": [dataset.slice_names[i] for i in slices],
        "pages": count,
        "height": height,
        "width": width,
        "cells": [int(np.unique(page[page > 0]).size) for page in numbered],
        "class_weights": found.balance.tolist() if form in ("paper", "balance") else None,
        "minimum": min(ranges),
        "maximum": max(ranges),
    }, [*dataset.notes]


def _of_file(path: Path, meaning: str | None) -> Dataset:
    """The labels of a file as a data set without images."""
    pages, notes = read_labels(path, meaning == "instances")
    names = [f"'{path}' page {number}" for number in range(len(pages))]
    read = meaning_of(pages, names, meaning)
    doubts = []
    if meaning is None and read.instances is None:
        doubts = refuse_stray(read.labels, names)
    return Dataset(
        name=path.name,
        kind="labels",
        images=[],
        labels=read.labels,
        class_names=read.class_names,
        slice_names=tuple(f"page {number}" for number in range(len(pages))),
        notes=(*notes, *read.notes, *doubts),
        instances=read.instances,
    )
