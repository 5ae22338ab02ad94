"""Which images are segmented, and which files their products become."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cunet.errors import CunetError
from cunet.files import FORMATS
from cunet.files.listing import WRITTEN, images_of, is_image, visible
from cunet.segmentation.how import ENDINGS, NUMBERED, PRODUCTS
from cunet.segmentation.objects import Instances

LONGEST_NAME = 255  # bytes of a file's name


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
    """Files, the images in folders, and what patterns match; CunetError for two of one name.

    What exists is meant by its name, whatever characters it has; the rest is a pattern.
    """
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = without_products(images_of(path))
        elif path.exists() or not glob.has_magic(argument):
            found = [path]
        else:
            matches = map(Path, glob.glob(argument, recursive=True))
            found = without_products(p for p in visible(matches) if p.is_file() and is_image(p))
        if not found:
            raise CunetError(f"'{argument}': no image found there ({FORMATS}); check the name")
        files += found
    for file in files:
        if not file.exists():
            raise CunetError(f"no file '{file}'. Check the name and the folder.")
    stems: dict[str, Path] = {}
    for file in files:
        first = stems.setdefault(file.stem, file)
        if first != file and not first.samefile(file):
            raise one_name(first, file)
    return list(stems.values())


def one_name(first: Path, second: Path) -> CunetError:
    """The error for two images whose products would have the same names."""
    return CunetError(
        f"'{first}' and '{second}' would write products of one name; segment them in two calls "
        "with different --out"
    )


def without_products(paths: Iterable[Path]) -> list[Path]:
    """The images, except products made from another of them."""
    images = list(paths)
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
    if path.suffix.lower() in WRITTEN:
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
    for name in names.values():
        if (length := len(os.fsencode(name))) > LONGEST_NAME:
            raise CunetError(
                f"'{file}': its product '{name}' would have a name of {length} bytes, file systems "
                f"take {LONGEST_NAME}; rename the image, or give --out a file name"
            )
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
