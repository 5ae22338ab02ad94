"""What is made of a volume, from what and how: all that decides the bits of the output.

It is written beside the output before the first block, and read by everyone who works on it. Blocks
that were made in another way never stand beside each other.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError
from cunet.files.atomic import write_text
from cunet.files.json_file import json_text, read_json
from cunet.volumes.books import Books
from cunet.volumes.grid import Grid, Index

PRODUCTS = ("prob", "mask", "labels")
OBJECTS = ("sections", "volume")
PROBS = ("float32", "uint8")


@dataclass(frozen=True)
class Task:
    """
    source      the image file or OME-Zarr; level, channel, time: what of it, sections: (first,
                last + 1), None is all
    image       what proves that the source is the same: see source.identity
    shape       (Z, Y, X) of what is segmented
    model       the model file, model_hash its SHA-256; precision as asked for; classes: its K
    tile, average, threshold, skip_empty: how it is applied
    products    some of prob, mask, labels; prob: the type of its numbers, p or round(255 p)
    objects     whether labels are counted on each of the sections or in the whole volume
    connectivity, min_area: as `segmentation.objects.Instances` has them
    block, chunk  (Z, Y, X): what is written at once, and compressed as one piece
    levels      resolutions of the output
    version     of OME-Zarr
    """

    source: str
    image: str
    shape: Index
    model: str
    model_hash: str
    classes: int
    block: Index
    chunk: Index
    tile: int
    level: int = 0
    channel: int | None = None
    time: int | None = None
    sections: tuple[int, int] | None = None
    precision: str | None = None
    average: str = "none"
    threshold: float = 0.5
    skip_empty: bool = True
    products: tuple[str, ...] = ("prob", "mask")
    prob: str = "float32"
    objects: str = "sections"
    connectivity: int = 4
    min_area: int = 0
    levels: int = 1
    version: str = "0.5"

    def labelled_as(self, other: "Task") -> "Task":
        """The task with its labels made as those of another."""
        return replace(
            self,
            objects=other.objects,
            connectivity=other.connectivity,
            min_area=other.min_area,
        )

    @property
    def grid(self) -> Grid:
        """The blocks."""
        return Grid(self.shape, self.block)

    @property
    def planes(self) -> tuple[int, ...]:
        """The axis of its probabilities before (Z, Y, X), see planes_of."""
        return planes_of(self.classes)

    @property
    def masked(self) -> bool:
        """Whether a mask is written: objects are made of it."""
        return "mask" in self.products or "labels" in self.products

    def save(self, books: Books) -> None:
        """Write it to the books."""
        write_text(books.task, json_text(asdict(self)))

    @classmethod
    def load(cls, books: Books) -> "Task":
        """That of the books. CunetError where there are none, DataError where they are damaged."""
        try:
            found = read_json(books.task)
        except FileNotFoundError:
            raise CunetError(
                f"'{books.output}' was not begun: no '{books.task}'; begin it with  cunet segment "
                f"VOLUME --out {books.output}"
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(
                f"'{books.task}' cannot be read ({error}): give --overwrite to begin anew"
            ) from error
        known = {f.name for f in fields(cls)}
        if set(found) != known:
            odd = ", ".join(sorted(set(found) ^ known))
            raise DataError(
                f"'{books.task}' was written by another version of cunet (found or missing: "
                f"{odd:.80}): go on with that version, or give --overwrite to begin anew"
            )
        lists = {name: tuple(v) for name, v in found.items() if isinstance(v, list)}
        return cls(**found | lists)

    def difference(self, begun: "Task") -> str:
        """How `begun` differs from this task, in words; "" where it does not."""
        ours, theirs = (json.loads(json.dumps(asdict(task))) for task in (self, begun))
        changed = [
            f"{name.replace('_', '-')} {_short(theirs[name])} (now {_short(ours[name])})"
            for name in ours
            if ours[name] != theirs[name] and name not in ("source", "model")
        ]
        return ", ".join(changed)


def planes_of(classes: int) -> tuple[int, ...]:
    """The axis of probabilities before (Z, Y, X): (K,), but none with two classes, of which that of
    class 1 is stored alone."""
    return () if classes == 2 else (classes,)


def written(task: "Task") -> list[str]:
    """The products that the output holds: a mask also where only labels are asked for; and as its
    image, where the probability is not wanted, the mask of two classes as 0 and 255."""
    asked = {
        "prob": "prob" in task.products,
        "image": "prob" not in task.products and task.classes == 2,
        "mask": task.masked,
        "labels": "labels" in task.products,
    }
    return [product for product, is_asked in asked.items() if is_asked]


def _short(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) < 40 else text[:16]


def output_of(path: str | Path) -> Path:
    """Where the output goes; CunetError for a name that is none of an OME-Zarr."""
    path = Path(path)
    if path.suffix.lower() != ".zarr":
        raise CunetError(f"--out {path}: an OME-Zarr has a name that ends in .ome.zarr")
    return path
