"""The stages of a segmentation, in order, and one run of units of a stage: what a worker does."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from cunet.volumes.blocks import Blocks
from cunet.volumes.books import Books
from cunet.volumes.finish import Finishing, Joining, Level, Numbering, Scanning, level_grid
from cunet.volumes.output import Output
from cunet.volumes.task import Task, written

RUN = 64  # units of a run, at most: what an engine's own work for each of them is spread over


@dataclass(frozen=True)
class Stage:
    """A stage: its name in the journals, what its units are called, and how many there are."""

    name: str
    what: str
    units: int


def stages_after(task: Task, books: Books) -> Iterator[Stage]:
    """The stages that finish the output, one after the other; each needs all before it."""
    output = Output(books.output)
    if "labels" in task.products:
        blocks = len(task.grid)
        yield Stage("scan", "objects of blocks", blocks)
        slabs = 1 if task.objects == "volume" else task.grid.counts[0]
        yield Stage("join", "objects across blocks", slabs)
        yield Stage("labels", "labels", blocks)
    for product in written(task):
        for level in range(1, task.levels):
            grid = level_grid(output, product, level)
            yield Stage(f"level{level}_{product}", f"level {level} of {product}", len(grid))


def network_stage(task: Task) -> Stage:
    """The first stage, which all the others wait for."""
    return Stage("net", "blocks", len(task.grid))


def worker_of(stage: str, task: Task, books: Books, device: str) -> Blocks | Finishing:
    """What does the units of a stage."""
    if stage == "net":
        return Blocks(task, books, device)
    if stage.startswith("level"):
        number, _, product = stage.removeprefix("level").partition("_")
        return Level(task, books, product, int(number))
    return {"scan": Scanning, "join": Joining, "labels": Numbering}[stage](task, books)


def do_run(
    output: str, stage: str, total: int, units: list[int], device: str
) -> Iterator[dict[str, Any]]:
    """Do those units of a run that no earlier try has left in its journal; yields their notes.

    Everything is read from the disk, so that this may happen in another process or machine.
    """
    books = Books(output)
    with books.working():
        task = Task.load(books)
        done = books.read(stage, total, run=units[0])
        left = [unit for unit in units if not done.units[unit]]
        if left:
            yield from _do(books, task, stage, units[0], left, device)


def _do(
    books: Books, task: Task, stage: str, run: int, left: list[int], device: str
) -> Iterator[dict[str, Any]]:
    """Do these units of the run that begins with unit `run`, each noted when it is done."""
    with (
        books.journal(stage, run) as journal,
        closing(worker_of(stage, task, books, device)) as worker,
        closing(worker.do(left)) as notes,
    ):
        for note in notes:
            journal.add(note)
            yield note


def run_length(units: int, workers: int) -> int:
    """Units of a run: so many that every worker gets several runs, and at most RUN."""
    return max(1, min(RUN, units // (4 * workers)))


def runs_of(left: list[int], workers: int) -> Iterator[list[int]]:
    """The units that are left in runs of consecutive ones, see run_length."""
    length = run_length(len(left), workers)
    for first in range(0, len(left), length):
        yield left[first : first + length]
