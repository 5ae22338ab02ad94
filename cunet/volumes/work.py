"""Going on with a segmentation that was begun: what is left of it, until all is there.

Whoever works on it - this process, one part of many, the workers of a cluster - does blocks that
nobody has done yet, and notes them beside the output. When all are there, objects are joined across
blocks and lower resolutions made. Killed anywhere, it goes on where it was.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.files.json_file import json_text
from cunet.files.lock import InUse
from cunet.files.ome_zarr.output import add_label, label_names, set_levels
from cunet.segmentation.segment_file import one_class_warning
from cunet.volumes.begin import same
from cunet.volumes.books import Books, Done
from cunet.volumes.output import name_of
from cunet.volumes.stages import (
    Stage,
    do_run,
    network_stage,
    run_length,
    runs_of,
    stages_after,
)
from cunet.volumes.task import Task, written

Progress = Callable[[int, int, str], None]
Part = tuple[int, int]  # i of n, from 1


@dataclass(frozen=True)
class Begun:
    """A segmentation that was begun; warnings: what its user must hear of the image."""

    task: Task
    books: Books
    warnings: list[str]


class Engine(Protocol):
    """What has units done somewhere."""

    def run(self, output: str, stage: Stage, left: np.ndarray) -> Iterator[int]:
        """Have these units of a stage done; yields how many more are done, now and then."""
        ...


class Here:
    """Does them in this process."""

    def __init__(self, device: str):
        self.device = device

    def run(self, output: str, stage: Stage, left: np.ndarray) -> Iterator[int]:
        """One after the other."""
        for units in runs_of(left.tolist(), 1):
            for _ in do_run(output, stage.name, stage.units, units, self.device):
                yield 1


def go_on(
    begun: Begun,
    engine: Engine,
    part: Part | None = None,
    only_finish: bool = False,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, Any]:
    """Do what is left of a segmentation, or of a part of it; returns what there is now, as
    segment_volume does."""
    task, books, warnings = begun.task, begun.books, begun.warnings
    result = result_of(task, books)
    if result is not None:
        return result | {"skipped": True, "warnings": warnings}
    with books.working():
        same(task, books)  # nobody has begun it anew meanwhile
        result = _go_on(task, books, engine, part, only_finish, progress)
    if result["finished"]:
        warnings = warnings + one_class_warning(Path(task.source), result["class_shares"])
    return result | {"warnings": warnings}


def _go_on(
    task: Task, books: Books, engine: Engine, part: Part | None, only_finish: bool,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """That, where it is not finished."""
    start = time.perf_counter()
    first = network_stage(task)
    done = books.read(first.name, first.units)
    if not only_finish:
        own = of_part(done.left, part, first.units)
        count = 0
        for more in engine.run(str(books.output.absolute()), first, own):
            count += more
            progress(count, len(own), first.what)
        done = books.read(first.name, first.units)
    elif len(done.left):
        raise CunetError(
            f"'{books.output}' cannot be finished: {len(done.left):,} of {first.units:,} blocks "
            "are left; segment them first, by the same command without --finish"
        )
    summary = state_of(task, done)
    check_all(books, first, of_part(done.left, part, first.units))
    if len(done.left):
        summary["next_part"] = next_part(done.left, part, first.units)
        return summary | {"finished": False, "seconds": round(time.perf_counter() - start, 1)}
    with ExitStack() as stack:
        try:
            stack.enter_context(books.finishing())
        except InUse:
            if part is None:
                raise
            return summary | {"finished": False}  # by another part, which ended before this one
        result = result_of(task, books)  # another part may have finished it just now
        if result is None:
            found = finish_all(task, books, engine, progress)
            result = summary | found | {"finished": True}
            write_text(books.done, json_text(result))
        books.tidy()
    return result | {"seconds": round(time.perf_counter() - start, 1)}


def result_of(task: Task, books: Books) -> dict[str, Any] | None:
    """What was found when all was made; None before that, and where more is asked for now."""
    result = books.result()
    asked = result is not None and result.get("products") == list(task.products)
    return result if asked else None


def finish_all(task: Task, books: Books, engine: Engine, progress: Progress) -> dict[str, Any]:
    """Objects across blocks and lower resolutions; returns how many objects there are."""
    if "labels" in task.products and "labels" not in label_names(books.output):
        add_label(books.output, "labels", "uint32")
    stages = list(stages_after(task, books))
    count, total = 0, sum(stage.units for stage in stages)
    for stage in stages:
        done = books.read(stage.name, stage.units)
        count += stage.units - len(done.left)
        for more in engine.run(str(books.output.absolute()), stage, done.left):
            count += more
            progress(count, total, f"pieces ({stage.what})")
        check_all(books, stage, books.read(stage.name, stage.units).left)
    remove_parts(books.output)
    for product in reversed(written(task)):  # labels, which have as many levels as it, first
        set_levels(books.output, name_of(product), task.levels)
    objects = None
    if "labels" in task.products:
        slabs = 1 if task.objects == "volume" else task.grid.counts[0]
        objects = books.read("join", slabs).sums["objects"]
    return {"objects": objects}


def check_all(books: Books, stage: Stage, missing: np.ndarray) -> None:
    """CunetError where units of a stage are missing that were done just now."""
    if len(missing):
        raise CunetError(
            f"'{books.output}': {len(missing)} of {stage.units} {stage.what} are missing; run "
            "the same command again"
        )


def remove_parts(output: Path) -> None:
    """Remove the hidden files of writers that were killed: nobody writes any more."""
    for path in output.rglob(".*.part"):
        path.unlink(missing_ok=True)


def of_part(left: np.ndarray, part: Part | None, total: int) -> np.ndarray:
    """The units that part i of n does: every n-th run of neighbours, whatever is done already, so
    that parts which begin at different times share nothing."""
    if part is None:
        return left
    i, n = part
    length = run_length(total, n)
    return left[(left // length) % n == i - 1]


def next_part(left: np.ndarray, part: Part | None, total: int) -> str | None:
    """The part after this one, in a circle, that has something left to do."""
    if part is None:
        return None
    i, n = part
    parts = (k % n + 1 for k in range(i, i + n))
    return next(f"{k}/{n}" for k in parts if len(of_part(left, (k, n), total)))


def state_of(task: Task, done: Done) -> dict[str, Any]:
    """How far it is, in numbers."""
    counts = done.sums.get("classes", [0] * task.classes)
    all_counted = sum(counts)
    return {
        "image": task.source,
        "shape": list(task.shape),
        "products": list(task.products),
        "objects_in": task.objects if "labels" in task.products else None,
        "block": list(task.block),
        "tile": task.tile,
        "blocks": len(done.units),
        "left": len(done.left),
        "tiles": done.sums.get("tiles", 0),
        "skipped_tiles": done.sums.get("skipped", 0),
        "class_shares": [c / all_counted if all_counted else None for c in counts],
    }
