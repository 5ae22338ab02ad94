"""What a user asks for of a volume, and the task that it becomes for an image and a network."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from cunet.checks import between, fields, flag, refused, whole, whole_numbers
from cunet.data.dataset import sha256
from cunet.errors import CunetError, not_among
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr.multiscales import VERSIONS
from cunet.net.unet import UNet
from cunet.segmentation.instances import Instances
from cunet.segmentation.segment import check_average
from cunet.volumes.grid import Index, block_of, chunk_of, step_of, tile_of_volume
from cunet.volumes.objects import check_by_blocks
from cunet.volumes.source import identity
from cunet.volumes.task import OBJECTS, PROBS, PRODUCTS, Task, planes_of

FLOAT_BYTES = 100 * 10**9  # of float32 probabilities that are written without being asked for
SMALLEST_LEVEL = 512  # pixels a side, about, at which lower resolutions end


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
            source=str(image.path.absolute()),
            image=identity(image),
            shape=shape,
            model=str(model),
            model_hash=sha256(model),
            classes=classes,
            block=block,
            chunk=chunk,
            tile=tile,
            level=selection.get("level") or 0,
            channel=selection.get("channel"),
            time=selection.get("time"),
            sections=sections,
            precision=self.precision,
            average=self.average,
            threshold=self.threshold,
            skip_empty=self.skip_empty,
            products=self.products,
            prob=prob,
            objects=self.objects,
            connectivity=self.instances.connectivity,
            min_area=self.instances.min_area,
            levels=self.levels or usual_levels(shape),
            version=self.zarr,
        )

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
