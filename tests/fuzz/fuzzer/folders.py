"""The kind `folders`: data sets of all layouts in which something is missing, odd or wrong."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuzzer import pictures
from fuzzer.case import Case, Kind, Result
from fuzzer.changes import CHANGES, HARMLESS
from fuzzer.layouts import LAYOUTS, SIDE, SLICES, TINY


class Folders(Kind):
    """A data set in which one or two things are not as they should be."""

    name = "folders"

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(3)
        images = pictures.cells(rng, SLICES, SIDE, SIDE)
        self.shared = folder
        for name, layout in LAYOUTS.items():
            layout(folder / name, images)

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        layout = list(LAYOUTS)[rng.integers(len(LAYOUTS))]
        data = folder / "data"
        shutil.copytree(self.shared / layout, data, symlinks=True)
        harmless = bool(rng.random() < 0.25)
        changes = HARMLESS if harmless else CHANGES
        told, names = [], ["data"]
        for _ in range(int(rng.choice([1, 1, 2]))):
            files = sorted(p for p in data.rglob("*") if p.is_file() and not p.is_symlink())
            if not files:
                break
            file = files[rng.integers(len(files))]
            names.append(file.name)
            change = changes[rng.integers(len(changes))]
            told.append(f"{file.relative_to(data)}: {change(rng, file, data)}")
        command = ["train", "--data", "data", "--dry-run", "--json", *TINY]

        def verdict(result: Result) -> Iterator[str]:
            if harmless and result.code:
                yield f"refused for what does not matter: {result.err.strip()[:300]}"
            elif result.code == 0:
                yield from unlike(self.shared / layout, data, result, harmless)

        return Case(command, names, f"{layout}: {'; '.join(told)}", verdict=verdict)


def unlike(good: Path, data: Path, result: Result, same: bool) -> Iterator[str]:
    """What a data set that was accepted must not be: of other pixels or labels than its files.

    Files that were not touched must be read as they were; where no change mattered, all of them.
    """
    from cunet.data.load import load

    summary = json.loads(result.out)
    theirs, ours = load(good), load(data)
    if summary["training_slices"] + summary["held_out_slices"] != len(ours.images):
        yield f"{summary['training_slices']} slices announced, {len(ours.images)} read"
    for name, labels in zip(ours.slice_names, ours.labels, strict=True):
        odd = set(np.unique(labels).tolist()) - {*range(len(ours.class_names)), 255}
        if odd:
            yield f"{name}: labels {sorted(odd)[:5]} of {len(ours.class_names)} classes"
        lost = ours.kind == "dsb2018" and not labels.any()  # elsewhere a page may be empty
        if lost and not any(word in result.err for word in (name, "warning", "empty")):
            yield f"{name}: no nucleus, and no word of it"
    if len(ours.class_names) > 2 and "warning" not in result.err:
        yield f"{len(ours.class_names)} classes, where the data have two, and no word of it"
    if not same:
        return
    if len(theirs.images) != len(ours.images):
        yield f"{len(ours.images)} slices, expected {len(theirs.images)}"
        return
    for what in ("images", "labels"):
        for a, b in zip(getattr(theirs, what), getattr(ours, what), strict=True):
            if a.shape != b.shape or not np.array_equal(a, b):
                yield f"{what} differ from those of the good folder"
                return
