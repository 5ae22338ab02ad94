"""Beginning a segmentation of a volume, or finding the one that was begun and is to go on."""

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from cunet.errors import CunetError, DataError
from cunet.files.image_file import ImageFile
from cunet.files.lock import held
from cunet.files.ome_zarr.image import OmeZarrImage
from cunet.files.ome_zarr.output import create
from cunet.files.ome_zarr.sizes import scale_of
from cunet.volumes.books import Books
from cunet.volumes.replacing import clear, renew_labels
from cunet.volumes.task import Task, written
from cunet.volumes.wanted import Wanted

PATIENCE = 60  # seconds that a process waits for another one to begin the same output


def begin(books: Books, task: Task, wanted: Wanted, image: ImageFile, overwrite: bool) -> Task:
    """Make the output and its books, or find those that an earlier call or another process has
    begun in the same way; returns the task. CunetError where something else is there."""
    if overwrite and only_labels_differ(task, wanted, books):
        renew_labels(books, task)
        return go_along(task, wanted, books)
    until = time.monotonic() + PATIENCE
    books.output.parent.mkdir(parents=True, exist_ok=True)
    again = not books.any_done and other_than_begun(task, wanted, books)  # nothing would be lost
    lock = books.output.with_name(f".{books.output.name}.begin.lock")
    while overwrite or again or not (books.task.exists() and books.output.exists()):
        with ExitStack() as stack:
            try:
                stack.enter_context(held(lock, books.output))
            except CunetError:  # another part of the same segmentation begins it now
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
                continue
            if overwrite or again or not (books.task.exists() and books.output.exists()):
                _create(books, task, image, overwrite or again)
            overwrite = False
        again = False
    return go_along(task, wanted, books)


def go_along(task: Task, wanted: Wanted, books: Books) -> Task:
    """What was begun, where this task asks for nothing else: for fewer products, or for labels,
    which are made of the mask that is there and join it. CunetError for other settings."""
    begun = Task.load(books)
    labels = "labels" in task.products and "labels" not in begun.products and begun.masked
    products = (*begun.products, "labels") if labels else begun.products
    there = {*products, *(["mask"] if begun.masked else [])}
    if set(task.products) <= there:
        whose = task if "labels" in task.products else begun
        task = replace(agreeing(task, begun, wanted), products=products).labelled_as(whose)
    if labels:
        begun = replace(begun, products=products).labelled_as(task)
    refuse_other(task, begun, books)
    moved = not (Path(begun.source).exists() and Path(begun.model).exists())
    if moved:
        begun = replace(begun, source=task.source, model=task.model)
    if labels or moved:
        begun.save(books)
    return begun


def only_labels_differ(task: Task, wanted: Wanted, books: Books) -> bool:
    """Whether what was begun has labels that were made in another way, and is the same else."""
    if not (books.task.exists() and books.output.exists()):
        return False
    try:
        begun = Task.load(books)
    except DataError:
        return False  # damaged: it is begun anew
    labelled = begun.labelled_as(task)
    both = "labels" in task.products and "labels" in begun.products
    return both and labelled != begun and not agreeing(task, begun, wanted).difference(labelled)


def other_than_begun(task: Task, wanted: Wanted, books: Books) -> bool:
    """Whether something was begun with other settings."""
    if not (books.task.exists() and books.output.exists()):
        return False
    begun = Task.load(books)
    return bool(agreeing(task, begun, wanted).difference(begun)) or task.products != begun.products


def agreeing(task: Task, begun: Task, wanted: Wanted) -> Task:
    """The task with what it leaves to us as it was begun."""
    return replace(
        task,
        products=begun.products,
        prob=task.prob if "prob" in task.products else begun.prob,
        block=begun.block if wanted.block is None else task.block,
        levels=begun.levels if wanted.levels is None else task.levels,
    )


def same(task: Task, books: Books) -> None:
    """CunetError where the output was begun anew in another way; labels may have joined it."""
    now = replace(Task.load(books), products=task.products)
    refuse_other(task, now.labelled_as(task), books)


def refuse_other(task: Task, begun: Task, books: Books) -> None:
    """CunetError where what was begun has other settings than this task."""
    difference = task.difference(begun)
    if difference:
        raise CunetError(
            f"'{books.output}' was begun with {difference}; go on with the same settings, give "
            "--overwrite to begin anew, or another --out"
        )


def _create(books: Books, task: Task, image: ImageFile, overwrite: bool) -> None:
    """The output without pixels, then the books: whoever finds these finds the output."""
    clear(books, overwrite)
    books.create()
    planes, axes = task.planes, "czyx" if task.planes else "zyx"
    every = tuple(1 for _ in planes)
    create(
        books.output,
        (*planes, *task.shape),
        axes,
        {"prob": task.prob, "image": "uint8"}.get(written(task)[0]),
        image.calibration,
        translation=(*map(float, (0,) * len(every)), *translation_of(image)),
        chunk=(*every, *task.chunk),
        shard=(*every, *task.block),
        version=task.version,
        name=books.output.name.partition(".")[0],
        labels={"mask": "uint8"} if task.masked else {},
        description=described(task),
    )
    task.save(books)


def translation_of(image: ImageFile) -> tuple[float, float, float]:
    """Where the middle of the first voxel lies along z, y and x, in the unit of the calibration,
    which is one for all axes; the image may have several."""
    z, y, x = image.translation
    if isinstance(image, OmeZarrImage):
        own = dict(zip(image.array_axes, image.scale, strict=True))
        sizes, _ = scale_of(image.calibration, "zyx")
        dz, dy, dx = (n / own.get(axis, n) for axis, n in zip("zyx", sizes, strict=True))
        return z * dz, y * dy, x * dx
    return z, y, x


def described(task: Task) -> str:
    """How the output was made, in words."""
    parts = [f"cunet segment {Path(task.source).name}", f"model {task.model_hash[:16]}"]
    parts += [f"tile {task.tile}", f"average {task.average}", f"threshold {task.threshold:g}"]
    if "labels" in task.products:
        parts.append(f"objects in {task.objects}, connectivity {task.connectivity}")
    return ", ".join(parts)
