"""Which images are segmented, which files their products become, and what is left to be made."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cunet.data.dataset import sha256
from cunet.engines import TENSOR_CORES
from cunet.errors import CunetError
from cunet.files import open_image, read_description
from cunet.files.image_file import ImageFile
from cunet.files.listing import IMAGES
from cunet.files.pages import chosen_pages
from cunet.net.tiles import check_tile, usual_tile
from cunet.net.unet import UNet
from cunet.segmentation.objects import Instances
from cunet.segmentation.products import ENDINGS, NUMBERED, PRODUCTS, How, outputs
from cunet.segmentation.segment_file import check_image
from cunet.segmentation.tiling import plan


@dataclass(frozen=True)
class Job:
    """One image and what is to be made of it.

    targets  product -> file, of every product asked for
    left     the same, of those still to be made
    how      how to segment
    pages    of the image, counted from 0
    """

    file: Path
    targets: dict[str, Path]
    left: dict[str, Path]
    how: How
    pages: list[int]

    def outputs(self) -> dict[str, list[Path]]:
        """The files that make up each product."""
        return {product: outputs(product, p, self.pages) for product, p in self.targets.items()}


def parse_products(text: str) -> list[str]:
    """prob,mask -> ["prob", "mask"]; CunetError for an unknown product."""
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for product in wanted:
        if product not in PRODUCTS:
            raise CunetError(
                f"--products: expected some of {', '.join(PRODUCTS)}, found '{product}'"
            )
    return wanted


def parse_instances(wanted: Iterable[str], given: dict[str, Any]) -> Instances:
    """How a mask becomes objects, from the options by name; None means not given.

    CunetError where no product shows objects, and for a value that is not valid.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if given and not {*NUMBERED, "overlay"} & set(wanted):
        name = next(iter(given)).replace("_", "-")
        raise CunetError(
            f"--{name} makes objects, which are in the products labels, ctc and overlay; name one "
            "of them, as in --products prob,labels"
        )
    if "instances" in given:
        given["method"] = given.pop("instances")
    if "connectivity" in given:
        given["connectivity"] = int(given["connectivity"])
    return Instances(**given)


def find_images(arguments: Iterable[str]) -> list[Path]:
    """Files, the images in folders, and what patterns match; CunetError for two of one name."""
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = without_products(sorted(path.iterdir()))
        elif path.exists() or not glob.has_magic(argument):
            found = [path]
        else:
            found = without_products(sorted(map(Path, glob.glob(argument, recursive=True))))
        if not found:
            raise CunetError(f"'{argument}': no TIFF or PNG file found there; check the name")
        files += found
    for file in files:
        if not file.exists():
            raise CunetError(f"no file '{file}'. Check the name and the folder.")
    stems: dict[str, Path] = {}
    for file in files:
        if stems.setdefault(file.stem, file) != file:
            raise CunetError(
                f"'{stems[file.stem]}' and '{file}' would write products of one name; segment them "
                "in two calls with different --out"
            )
    return list(stems.values())


def without_products(paths: Iterable[Path]) -> list[Path]:
    """The images among the paths, except products made from another of them."""
    images = [p for p in paths if p.suffix.lower() in IMAGES]
    stems = {p.stem for p in images}
    made = re.compile(rf"(.+)_(?:{'|'.join(PRODUCTS)})(?:_\d{{4}})?")
    frames = {f"mask{stem[1:]}" for stem in stems if re.fullmatch(r"t\d+", stem)}

    def is_product(path: Path) -> bool:
        match = made.fullmatch(path.stem)
        return path.stem in frames or (match is not None and match[1] in stems)

    return [p for p in images if not is_product(p)]


def target_paths(file: Path, out: str | Path, wanted: list[str], images: int) -> dict[str, Path]:
    """Where each product of one of the images goes; CunetError where `out` cannot name it."""
    frame = frame_number(file) if "ctc" in wanted else None
    path = Path(out)
    if path.suffix.lower() in IMAGES:
        if images != 1 or len(wanted) != 1:
            raise CunetError(
                f"--out {out} names one file, which needs one image and one product (found "
                f"{images} and {len(wanted)}): give a folder, or --products mask"
            )
        if frame is not None:
            raise CunetError(
                f"--out {out}: ctc names its files itself, here mask{frame}.tif; give a folder"
            )
        if wanted == ["overlay"] and path.suffix.lower() != ".png":
            raise CunetError(f"--out {out}: an overlay is a PNG; use a name ending in .png")
        return {wanted[0]: path}
    names = {product: f"{file.stem}_{product}{ENDINGS[product]}" for product in wanted}
    if frame is not None:
        names["ctc"] = f"mask{frame}.tif"
    return {product: path / name for product, name in names.items()}


def frame_number(file: Path) -> str:
    """t007.tif -> 007, as the Cell Tracking Challenge names the frames of a sequence."""
    frame = re.fullmatch(r"t(\d+)\.tiff?", file.name, re.IGNORECASE)
    if frame is None:
        raise CunetError(
            f"--products ctc: expected frames named t000.tif, t001.tif ..., found '{file}'; for "
            "other names use --products labels"
        )
    return frame[1]


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
    made_by = f"model {sha256(Path(model))[:16]}, threshold {how.threshold:g}, "
    made_by += f"average {how.average}, stride {how.stride}"
    made_by += f", tile {how.tile}" if how.stride == "paper" else ""  # else no pixel depends on it
    made_by += f", {net.precision}" if net.precision in TENSOR_CORES else ""
    plans = []
    for file, targets in jobs:
        with open_image(file) as image:
            check_image(image, net)
            chosen = chosen_pages(pages, image)
            how.instances.check_size(image.height, image.width, f"'{file}'")
            for side in (image.height, image.width) if net.resize is None else ():
                plan(side, net.shape.depth, how.tile, how.stride, net.shape.padding)
            if "ctc" in targets:
                check_one_page(image)
        text = f"cunet segment {file.name}, pages {pages or 'all'}, {made_by}"
        own = replace(how, description=text)
        left = to_do(file, targets, chosen, own, overwrite)
        plans.append(Job(file, targets, left, own, chosen))
    return plans


def check_one_page(image: ImageFile) -> None:
    """CunetError where the image has several pages: a frame of a sequence is one."""
    if image.pages > 1:
        raise CunetError(
            f"--products ctc: '{image.path}' has {image.pages} pages, a frame of a sequence has "
            "one; save the pages as t000.tif, t001.tif ..., or use --products labels"
        )


def to_do(
    file: Path, targets: dict[str, Path], pages: list[int], how: How, overwrite: bool
) -> dict[str, Path]:
    """The products that are still to be made.

    A file that exists must have been made from the same image in the same way; CunetError where
    it was not, and where a product would replace the image itself.
    """
    left = {}
    for product, target in targets.items():
        if target.resolve() == file.resolve():
            raise CunetError(f"'{target}' is the image itself; choose another --out")
        paths = outputs(product, target, pages)
        for path in paths if not overwrite else []:
            text = how.text(product)
            plain = text.encode("ascii", "replace").decode()
            if path.exists() and read_description(path) not in (text, plain):
                raise CunetError(
                    f"'{path}' exists and was not made by this command with these settings; give "
                    "--overwrite to replace it, or another --out"
                )
        if overwrite or not all(path.exists() for path in paths):
            left[product] = target
    return left


def fitting_tile(tile: int | None, net: UNet) -> int:
    """The tile asked for, or the usual one of the network; CunetError for one that does not fit."""
    if tile is None:
        return usual_tile(net.shape.depth, net.shape.padding)
    check_tile(tile, net.shape.depth, net.shape.padding)
    return tile
