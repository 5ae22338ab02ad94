"""Images and labels of one's own that stay on disk: checked in one pass, read when samples are
drawn. See folder.py, which holds slices in memory, and whose errors and notes these are."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cunet.data.coding import colours_of, refuse_mixed
from cunet.data.dataset import (
    Dataset,
    Slice,
    of_grey,
    of_values,
    refuse_unlike,
    shares_of,
    summary,
)
from cunet.data.facts import ImageFacts, LabelFacts, image_facts, label_facts
from cunet.data.file_notes import hash_of, name_in, of_files, of_pages, own_products, places
from cunet.data.label_page import LabelPage
from cunet.data.labels import notes_of_labels, refuse_lossy
from cunet.data.layouts import Files
from cunet.data.meaning_on_disk import meaning_on_disk, stray_notes
from cunet.data.on_disk import Computed
from cunet.data.pages_on_disk import Page, Source
from cunet.data.slices import refuse_unlike_channels, slices_of
from cunet.files import open_image
from cunet.files.ome_zarr import is_node
from cunet.files.pixel_size import PixelSize

DEEP = 8  # slices of a chunk; more slow the drawing of samples down
Remarks = dict[str, list[str]]  # note -> the files that it is on


def load_on_disk(
    folder: Path, files: Sequence[Files], notes: list[str], meaning: str | None
) -> Dataset:
    """The data set of these files, checked; see folder.load."""
    began, remarks = time.perf_counter(), Remarks()
    parts = [_slices(one, remarks) for one in files]  # sizes are compared before much is read
    slices = [s for part in parts for s in part]
    grey_too = {s.image.shape[2] for s in slices} == {1, 3}
    for s in slices:
        refuse_unlike(s, s if grey_too else slices[0])
    images = image_facts([(s.image, f"image {s.image_name}") for s in slices])  # type: ignore[misc]
    slices, greys = _grey_where_others_are(slices, images, grey_too)
    for s in slices:
        refuse_unlike(s, slices[0])
    refuse_mixed(((s.image_name, s.image_colours) for s in slices), "images")
    labels: list[LabelFacts] = []
    for one, part in zip(files, parts, strict=True):
        found, colours = _label_facts(one, part)
        start = len(labels)
        slices[start : start + len(part)] = [
            replace(s, label_colours=colours) for s in slices[start : start + len(part)]
        ]
        labels += found
    names, pages = [s.label_name for s in slices], [s.labels for s in slices]
    read = meaning_on_disk(pages, labels, names, meaning)  # type: ignore[arg-type]
    numbered = read.instances is not None and any(len(s.label_colours) > 2 for s in slices)
    refuse_mixed(((s.label_name, s.label_colours) for s in slices), "labels", numbered)
    notes += [of_files(note, named) for note, named in remarks.items()] + own_products(files)
    notes += [*greys, summary([s.image for s in slices]), *read.notes]
    if meaning is None and read.instances is None:
        notes += stray_notes(read.labels, names)
    pairs = [*zip(slices, images, strict=True)]
    flat = [s.image_name for s, one in pairs if one.flat]
    notes += of_values(flat, [(s.image_name, one.apart) for s, one in pairs if one.apart])
    counts = [y.counts for y in read.labels if y.counts is not None]
    shares = shares_of(counts, len(read.class_names))
    shown = ", ".join(f"{100 * share:.1f} %" for share in shares)
    notes.append(f"shares of classes 0 to {len(shares) - 1}: {shown}")
    hashes = _hashes(folder, files, parts, images, labels)
    notes.append(f"all slices were read once, to check them: {time.perf_counter() - began:.0f} s")
    arrays: dict[str, Any] = {  # which take these for arrays
        "images": [s.image for s in slices],
        "labels": read.labels,
        "instances": read.instances,
    }
    return Dataset(
        name=folder.resolve().name,
        kind="folder",
        class_names=read.class_names,
        slice_names=tuple(s.name for s in slices),
        notes=tuple(notes),
        hashes=hashes,
        pixel_sizes=tuple(s.pixel_size for s in slices),
        **arrays,
    )


def _slices(one: Files, remarks: Remarks) -> list[Slice]:
    """The slices of one image and its label file, of which only the heads are read."""

    def remark(place: str, said: Sequence[str], file: str = "") -> None:
        for note in said:
            remarks.setdefault(f"{place}: {note}", []).append(file)

    where, where_labels = places(one)
    channels: list[list[Page]] = []
    for path in one.images:
        with open_image(path) as image:
            source = Source(path, image)
            channels.append([Page([source], page) for page in range(image.pages)])
            remark(where, [f"axes {image.axes}"])
            remark(where, [n for n in image.notes if n not in image.doubts])
            remark(f"warning: {where}", image.doubts, path.name)
            colours = colours_of(image, [np.zeros(1, np.uint8)])
            size = PixelSize.of(image.calibration)
            if (deep := source.chunk[0]) > DEEP:
                remark(
                    where,
                    [
                        f"chunks span {deep} slices, of which a sample needs one: drawing is slow; "
                        "save it with chunks of one slice"
                    ],
                    path.name,
                )
    refuse_unlike_channels(one, channels)
    images = [
        Page([p.sources[0] for p in same], same[0].page) for same in zip(*channels, strict=True)
    ]
    with open_image(one.labels, indices=True) as image:
        refuse_lossy(image)
        source = Source(one.labels, image, indices=True)
        pages = [LabelPage(Page([source], page), one.labels) for page in range(image.pages)]
        plain, coded = notes_of_labels(image)
        remark(where_labels, plain)
        remark(where_labels, coded, one.labels.name)
    return slices_of(one, images, pages, colours, {}, size)


def _label_facts(one: Files, slices: Sequence[Slice]) -> tuple[list[LabelFacts], dict]:
    """What is in the pages of a label file, and how viewers show these numbers."""
    facts = label_facts([s.labels for s in slices])  # type: ignore[misc]
    with open_image(one.labels, indices=True) as image:
        return facts, colours_of(image, [found.numbers for found in facts])


def _grey_where_others_are(
    slices: Sequence[Slice], facts: Sequence[ImageFacts], grey_too: bool
) -> tuple[list[Slice], list[str]]:
    """As in dataset.py, of images of which it is known whether their channels are equal; these now
    have their totals."""
    taken, names = [], []
    for s, found in zip(slices, facts, strict=True):
        if grey_too and s.image.shape[2] == 3 and found.grey:
            names.append(s.image_name)
            image: Any = Computed([s.image], lambda part: part[..., :1], s.image.dtype, 1)  # type: ignore[list-item]
            s = replace(s, image=image)
        s.image.total = found.total[: s.image.shape[2]]  # type: ignore[attr-defined]
        taken.append(s)
    return taken, of_grey(names)


def _hashes(
    folder: Path,
    files: Sequence[Files],
    parts: Sequence[Sequence[Slice]],
    images: Sequence[ImageFacts],
    labels: Sequence[LabelFacts],
) -> dict[str, str]:
    """The hash of every file; OME-Zarr images whose hash the pass has found are not read again."""
    hashes, start = {}, 0
    for one, part in zip(files, parts, strict=True):
        pages = slice(start, start + len(part))
        for path in (*one.images, one.labels):
            known = None
            if is_node(path) and path == one.labels and all(s.labels.plain for s in part):  # type: ignore[attr-defined]
                known = of_pages(found.sha256 for found in labels[pages])
            elif is_node(path) and (path,) == one.images:
                known = of_pages(found.sha256 for found in images[pages])
            hashes[name_in(folder, path)] = known or hash_of(path)
        start += len(part)
    return hashes
