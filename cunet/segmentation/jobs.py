"""What is left to be made of which image, decided before anything is computed.

A product that exists counts as done only where it was made from the same content of the image, by
the same model, in the same way.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cunet.data.dataset import sha256
from cunet.errors import CunetError
from cunet.files import open_image, read_description, stored_text
from cunet.files.image_file import ImageFile
from cunet.files.lock import held, lock_of
from cunet.files.pages import chosen_pages
from cunet.measuring.csv_text import bare
from cunet.net.tiles import check_tile, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.how import ENDINGS, How
from cunet.segmentation.inputs import one_name
from cunet.segmentation.made_by import difference, how_made, without_threshold, written
from cunet.segmentation.products import outputs
from cunet.segmentation.segment_file import check_image, view_for
from cunet.segmentation.stored import Stored, stored_probability
from cunet.segmentation.tiling import plan


@dataclass(frozen=True)
class Job:
    """One image and what is to be made of it.

    targets  product -> file, of every product asked for
    left     the same, of those still to be made
    how      how to segment
    pages    of the image, counted from 0
    overwrite  whether files that exist are replaced
    shape    of the image and the result: pages, height, width, classes
    stored   the probability of an earlier call, where it serves; `claimed` looks for it
    said     what to say about that
    seen     how the network sees the image, where it is scaled
    """

    file: Path
    targets: dict[str, Path]
    left: dict[str, Path]
    how: How
    pages: list[int]
    overwrite: bool = False
    shape: tuple[int, int, int, int] = (0, 0, 0, 0)
    stored: Stored | None = None
    said: str = ""
    seen: str = ""

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
    made_by += f", {net.precision}" if net.precision != "float32" else ""
    plans = []
    for file, targets in jobs:
        with open_image(file) as image:
            check_image(image, net)
            chosen = chosen_pages(pages, image)
            shape = image.pages, image.height, image.width, net.shape.classes
            how.instances.check_size(image.height, image.width, f"'{file}'")
            view = view_for(image, net, how)
            sides = view.to or (image.height, image.width)
            for side in sides if net.resize is None else ():
                plan(side, net.shape.depth, how.tile, how.stride, net.shape.padding)
            if "ctc" in targets:
                check_one_page(image)
        text = f"cunet segment {file.name}, image {sha256(file)[:16]}, "
        text += f"pages {written(chosen, shape[0])}, {made_by}{view.made_by}"
        own = replace(how, description=text)
        left = to_do(targets, chosen, own, overwrite)
        plans.append(Job(file, targets, left, own, chosen, overwrite, shape, seen=view.said))
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
    """The job with what is left to do now, while no other process makes one of these files, and
    with the probability that an earlier call left beside them, where that is not to be made.

    CunetError where another process is making one, or has just made it in another way.
    """
    with ExitStack() as stack:
        for product, target in job.targets.items():
            if product in job.left:
                stack.enter_context(held(lock_of(target), target))
            elif lock_of(target).exists():  # of a process killed after this product was done
                with suppress(CunetError), held(lock_of(target), target):
                    pass
        left = to_do(job.left, job.pages, job.how, job.overwrite)
        stored, said = None, ""
        if left and "prob" not in left:
            path = next(iter(left.values())).parent / f"{job.file.stem}_prob.tif"
            stored, said = stored_probability(path, job.how.description, job.pages, job.shape)
        yield replace(job, left=left, stored=stored, said=said)


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
    it was not. A table without rows does not say how it was made, and is made again.
    """
    left = {}
    for product, target in targets.items():
        paths = outputs(product, target, pages)
        text = stored_text(how.text(product))
        there = [path.exists() and not (product == "table" and bare(path)) for path in paths]
        for path, is_there in zip(paths, there, strict=True):
            found = read_description(path) if is_there and not overwrite else text
            if product == "prob":  # older ones name a threshold
                found = without_threshold(found)
            if how_made(found) != how_made(text):
                raise CunetError(
                    f"'{path}' exists and was {difference(found, text)}; give --overwrite to "
                    "replace it, or another --out"
                )
        if overwrite or not all(there):
            left[product] = target
    return left


def not_made(job: Job, products: Iterable[str]) -> list[str]:
    """Those of the products that have no file yet where those of the job are, to be made next.

    None where the user named the only file.
    """
    product, path = next(iter(job.targets.items()))
    ending = f"_{product}{ENDINGS[product]}"
    stem = job.file.stem if product == "ctc" else path.name.removesuffix(ending)
    if stem == path.name:
        return []
    paths = {p: path.with_name(f"{stem}_{p}{ENDINGS[p]}") for p in products}
    return [p for p in paths if not all(f.exists() for f in outputs(p, paths[p], job.pages))]


def fitting_tile(tile: int | None, net: UNet) -> int:
    """The tile asked for, or the usual one of the network; CunetError for one that does not fit."""
    if tile is None:
        return usual_tile(net.shape.depth, net.shape.padding)
    check_tile(tile, net.shape.depth, net.shape.padding)
    return tile
