"""Beginning a segmentation of a volume, or finding the one that was begun and is to go on."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from cunet.checks import between, fields, flag, refused, whole, whole_numbers
from cunet.data.dataset import sha256
from cunet.errors import CunetError, not_among
from cunet.files.image_file import ImageFile
from cunet.files.lock import held
from cunet.files.ome_zarr.multiscales import VERSIONS
from cunet.files.ome_zarr.nodes import holds_node, read_node
from cunet.files.ome_zarr.output import create
from cunet.net.unet import UNet
from cunet.segmentation.objects import Instances
from cunet.segmentation.segment import check_average
from cunet.volumes.books import Books
from cunet.volumes.grid import Index, block_of, chunk_of, step_of, tile_of_volume
from cunet.volumes.objects import check_by_blocks
from cunet.volumes.source import identity
from cunet.volumes.task import OBJECTS, PROBS, PRODUCTS, Task, planes_of

FLOAT_BYTES = 100 * 10**9  # of float32 probabilities that are written without being asked for
SMALLEST_LEVEL = 512  # pixels a side, about, at which lower resolutions end
PATIENCE = 60  # seconds that a process waits for another one to begin the same output


@dataclass(frozen=True)
class Wanted:
    """What a user asks for; None where it is for us to choose. See Task for the words."""

    tile: int | None = None
    average: str = "none"
    threshold: float = 0.5
    products: tuple[str, ...] = ("prob", "mask")
    prob: str | None = None
    block: Index | None = None
    levels: int | None = None
    zarr: str = "0.5"
    skip_empty: bool = True
    objects: str = "sections"
    instances: Instances = Instances()
    precision: str | None = None

    def __post_init__(self) -> None:
        """CunetError for a value that none of these can have."""
        checks = {"tile": whole, "block": whole_numbers, "levels": between(1, 20, whole)}
        given = {name: check for name, check in checks.items() if getattr(self, name) is not None}
        fields(self, given | {"threshold": between(0, 1), "skip_empty": flag})
        check_average(self.average)
        if isinstance(self.products, str):
            raise refused("products", 'several, such as ("prob", "mask")', self.products)
        object.__setattr__(self, "products", tuple(self.products))
        words = {"prob": PROBS, "objects": OBJECTS, "zarr": VERSIONS}
        for name, known in words.items():
            value = getattr(self, name)
            if value not in known and not (name == "prob" and value is None):
                raise not_among(name, value, known)

    def task(
        self, image: ImageFile, net: UNet, model: Path, selection: dict[str, int | None],
        sections: tuple[int, int] | None,
    ) -> Task:  # fmt: skip
        """What is to be made of this image with this network; CunetError for what cannot be."""
        self.check(net)
        first, last = sections or (0, image.pages)
        shape = last - first, image.height, image.width
        tile = tile_of_volume(self.tile, net.shape)
        step = step_of(tile, net.shape)
        chunk = chunk_of(shape, step)
        prob = self.prob or "float32"
        classes = net.shape.classes
        a_voxel = 1 + prod(planes_of(classes)) * (4 if prob == "float32" else 1)
        block = block_of(self.block, shape, step, a_voxel, getattr(image, "chunk", (1,))[0])
        block = whole_chunks(block, chunk, shape)
        if self.prob is None and "prob" in self.products:
            refuse_large(float_bytes(classes, shape))
        return Task(
            str(image.path), identity(image), shape, str(model), sha256(model), classes, block,
            chunk, tile, selection.get("level") or 0, selection.get("channel"),
            selection.get("time"), sections, self.precision, self.average, self.threshold,
            self.skip_empty, self.products, prob, self.objects, self.instances.connectivity,
            self.instances.min_area, self.levels or usual_levels(shape), self.zarr,
        )  # fmt: skip

    def check(self, net: UNet) -> None:
        """CunetError for what cannot be done block by block."""
        odd = [p for p in self.products if p not in PRODUCTS]
        if odd:
            raise CunetError(
                f"--products {odd[0]}: an OME-Zarr holds {', '.join(PRODUCTS)}; for the others "
                "give --out a folder"
            )
        check_by_blocks(self.instances)
        if net.resize is not None:
            raise CunetError(
                f"this network scales every image to {net.resize} x {net.resize} pixels, which "
                "needs whole sections: give --out a folder"
            )


def usual_levels(shape: Index) -> int:
    """Resolutions until a section has about SMALLEST_LEVEL pixels a side."""
    levels, side = 1, max(shape[1:])
    while side > SMALLEST_LEVEL:
        levels, side = levels + 1, -(-side // 2)
    return levels


def whole_chunks(block: Index, chunk: Index, shape: Index) -> Index:
    """The block in whole chunks, as shards must be; only at the volume's end is it larger."""
    z, y, x = (-(-b // c) * c for b, c in zip(block, chunk, strict=True))
    return z, y, x


def float_bytes(classes: int, shape: Index) -> int:
    """Bytes of the probabilities of a volume as float32, before compression."""
    return 4 * prod((*planes_of(classes), *shape))


def refuse_large(size: int) -> None:
    """CunetError where float32 probabilities would take so much that they must be asked for."""
    if size > FLOAT_BYTES:
        raise CunetError(
            f"prob of this volume holds {size / 1e9:,.0f} GB as float32, before compression; give "
            f"--prob uint8 ({size / 4e9:,.0f} GB), --products mask, or --prob float32 to have it so"
        )


def begin(books: Books, task: Task, wanted: Wanted, image: ImageFile, overwrite: bool) -> Task:
    """Make the output and its books, or find those that an earlier call or another process has
    begun in the same way; returns the task. CunetError where something else is there."""
    until = time.monotonic() + PATIENCE
    books.output.parent.mkdir(parents=True, exist_ok=True)
    lock = books.output.with_name(f".{books.output.name}.begin.lock")
    while overwrite or not (books.task.exists() and books.output.exists()):
        with ExitStack() as stack:
            try:
                stack.enter_context(held(lock, books.output))
            except CunetError:  # another part of the same segmentation begins it now
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
                continue
            if overwrite or not (books.task.exists() and books.output.exists()):
                _create(books, task, image, overwrite)
            overwrite = False
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
        task = replace(
            task,
            products=products,
            objects=whose.objects,
            connectivity=whose.connectivity,
            min_area=whose.min_area,
            prob=task.prob if "prob" in task.products else begun.prob,
            block=begun.block if wanted.block is None else task.block,
            levels=begun.levels if wanted.levels is None else task.levels,
        )
    if labels:
        begun = replace(
            begun,
            products=products,
            objects=task.objects,
            connectivity=task.connectivity,
            min_area=task.min_area,
        )
    difference = task.difference(begun)
    if difference:
        raise CunetError(
            f"'{books.output}' was begun with {difference}; go on with the same settings, give "
            "--overwrite to begin anew, or another --out"
        )
    if labels:
        begun.save(books)
    return begun


def _create(books: Books, task: Task, image: ImageFile, overwrite: bool) -> None:
    """The output without pixels, then the books: whoever finds these finds the output."""
    if books.output.exists() and books.folder.exists() and not books.task.exists():
        overwrite = True  # a process was killed while it began
    if books.output.exists():
        if not overwrite:
            raise CunetError(
                f"'{books.output}' exists, and nothing beside it says how it was made; give "
                "--overwrite to replace it, or another --out"
            )
        if not ours(books):
            raise CunetError(
                f"'{books.output}' is not replaced: nothing says that cunet made it; move it away"
            )
        shutil.rmtree(books.output)
    books.remove()
    books.create()
    planes, axes = task.planes, "czyx" if task.planes else "zyx"
    every = tuple(1 for _ in planes)
    create(
        books.output,
        (*planes, *task.shape),
        axes,
        task.prob if "prob" in task.products else None,
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


def ours(books: Books) -> bool:
    """Whether what has the output's name was made by this program."""
    if books.folder.is_dir():
        return True
    return holds_node(books.output) and "cunet" in read_node(books.output).attributes


def translation_of(image: ImageFile) -> tuple[float, float, float]:
    """Where the middle of the first voxel lies along z, y and x, in the unit of its pixel size."""
    z, y, x = getattr(image, "translation", (0.0, 0.0, 0.0))
    return z, y, x


def described(task: Task) -> str:
    """How the output was made, in words."""
    parts = [f"cunet segment {Path(task.source).name}", f"model {task.model_hash[:16]}"]
    parts += [f"tile {task.tile}", f"average {task.average}", f"threshold {task.threshold:g}"]
    if "labels" in task.products:
        parts.append(f"objects in {task.objects}, connectivity {task.connectivity}")
    return ", ".join(parts)
