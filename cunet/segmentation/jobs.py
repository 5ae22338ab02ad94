"""What is left to be made of which image, decided before anything is computed.

A product that exists counts as done only where it was made from the same content of the image, by
the same model, in the same way.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cunet.data.dataset import sha256
from cunet.engines import TENSOR_CORES
from cunet.errors import CunetError
from cunet.files import open_image, read_description, stored_text
from cunet.files.image_file import ImageFile
from cunet.files.lock import held, lock_of
from cunet.files.pages import chosen_pages
from cunet.net.tiles import check_tile, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.how import How
from cunet.segmentation.inputs import one_name
from cunet.segmentation.products import outputs
from cunet.segmentation.segment_file import check_image
from cunet.segmentation.tiling import plan


@dataclass(frozen=True)
class Job:
    """One image and what is to be made of it.

    targets  product -> file, of every product asked for
    left     the same, of those still to be made
    how      how to segment
    pages    of the image, counted from 0
    overwrite  whether files that exist are replaced
    """

    file: Path
    targets: dict[str, Path]
    left: dict[str, Path]
    how: How
    pages: list[int]
    overwrite: bool = False

    def outputs(self) -> dict[str, list[Path]]:
        """The files that make up each product."""
        return {product: outputs(product, p, self.pages) for product, p in self.targets.items()}


def prepared(
    jobs: Iterable[tuple[Path, dict[str, Path]]],
    net: UNet,
    model: str | Path,
    how: How,
    pages: str | None = None,
    overwrite: bool = False,
) -> list[Job]:
    """Check every image before anything is computed: whether it fits, and what is left to do.

    jobs are the images with the files of their products (`target_paths`); model is the file that
    the network was loaded from. CunetError or DataError for the first image that does not fit.
    """
    jobs = list(jobs)
    refuse_meeting(jobs)
    made_by = f"model {sha256(Path(model))[:16]}, threshold {how.threshold:g}, "
    made_by += f"average {how.average}, stride {how.stride}"
    made_by += f", tile {how.tile}" if how.stride == "paper" else ""  # else no pixel depends on it
    made_by += f", {net.precision}" if net.precision in TENSOR_CORES else ""
    plans = []
    for file, targets in jobs:
        with open_image(file) as image:
            check_image(image, net)
            chosen, all_pages = chosen_pages(pages, image), image.pages
            how.instances.check_size(image.height, image.width, f"'{file}'")
            for side in (image.height, image.width) if net.resize is None else ():
                plan(side, net.shape.depth, how.tile, how.stride, net.shape.padding)
            if "ctc" in targets:
                check_one_page(image)
        text = f"cunet segment {file.name}, image {sha256(file)[:16]}, "
        own = replace(how, description=text + f"pages {_written(chosen, all_pages)}, {made_by}")
        left = to_do(targets, chosen, own, overwrite)
        plans.append(Job(file, targets, left, own, chosen, overwrite))
    return plans


def refuse_meeting(jobs: Iterable[tuple[Path, dict[str, Path]]]) -> None:
    """CunetError where a product would replace one of the images, or that of another image."""
    images = {os.path.realpath(file): file for file, _ in jobs}
    owners: dict[str, Path] = {}
    for file, targets in jobs:
        for target in targets.values():
            path = os.path.realpath(target)
            if path in images:
                what = "the image itself" if images[path] == file else "one of the images"
                raise CunetError(f"'{target}' is {what}; choose another --out")
            if owners.setdefault(path, file) != file:
                raise one_name(owners[path], file)


@contextmanager
def claimed(job: Job) -> Iterator[Job]:
    """The job with what is left to do now, while no other process makes one of these files.

    CunetError where another process is making one, or has just made it in another way.
    """
    with ExitStack() as stack:
        for product, target in job.targets.items():
            if product in job.left:
                stack.enter_context(held(lock_of(target), target))
            elif lock_of(target).exists():  # of a process killed after this product was done
                with suppress(CunetError), held(lock_of(target), target):
                    pass
        yield replace(job, left=to_do(job.left, job.pages, job.how, job.overwrite))


def check_one_page(image: ImageFile) -> None:
    """CunetError where the image has several pages: a frame of a sequence is one."""
    if image.pages > 1:
        raise CunetError(
            f"--products ctc: '{image.path}' has {image.pages} pages, a frame of a sequence has "
            "one; save the pages as t000.tif, t001.tif ..., or use --products labels"
        )


def to_do(targets: dict[str, Path], pages: list[int], how: How, overwrite: bool) -> dict[str, Path]:
    """The products that are still to be made.

    A file that exists must have been made from the same image in the same way; CunetError where
    it was not.
    """
    left = {}
    for product, target in targets.items():
        paths = outputs(product, target, pages)
        for path in paths if not overwrite else []:
            text = stored_text(how.text(product))
            found = read_description(path) if path.exists() else text
            if _how_made(found) != _how_made(text):
                raise CunetError(
                    f"'{path}' exists and was {_difference(found, text)}; give --overwrite to "
                    "replace it, or another --out"
                )
        if overwrite or not all(path.exists() for path in paths):
            left[product] = target
    return left


def _written(pages: list[int], of: int) -> str:
    """Page numbers as --pages takes them, always in the same way: 0-2,5, or all."""
    if pages == list(range(of)):
        return "all"
    parts: list[list[int]] = []
    for page in pages:
        if parts and page == parts[-1][-1] + 1:
            parts[-1].append(page)
        else:
            parts.append([page])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)


def _how_made(description: str) -> str:
    """What decides about a product: not how the image's file was called."""
    return description.partition(", image ")[2] or description


def _difference(found: str, wanted: str) -> str:
    """How a product came about whose description is not the one wanted."""
    image = re.compile(r", image ([0-9a-f]{16}), ")
    old, new = image.search(found), image.search(wanted)
    if old is None or new is None:
        return "not made by this command"
    if old[1] != new[1]:
        return "made of another image, or of this one before it changed"
    return "made with other settings"


def fitting_tile(tile: int | None, net: UNet) -> int:
    """The tile asked for, or the usual one of the network; CunetError for one that does not fit."""
    if tile is None:
        return usual_tile(net.shape.depth, net.shape.padding)
    check_tile(tile, net.shape.depth, net.shape.padding)
    return tile
