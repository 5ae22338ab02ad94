"""Which images are segmented, and which files their products become."""

import glob
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, not_among
from cunet.files import FORMATS, read_description
from cunet.files.listing import WRITTEN, folders_of, images_of, is_image, visible
from cunet.files.ome_zarr import is_node
from cunet.segmentation.how import ENDINGS, NUMBERED, PRODUCTS
from cunet.segmentation.instances import Instances

LONGEST_NAME = 255  # bytes of a file's name
OURS = ("cunet segment ", "cunet objects ")  # how the description of a product begins
OTHER_ENDINGS = {".csv": "table", ".zip": "rois"}  # of --out: the product of such a name
WHAT = {
    "overlay": "an overlay is a PNG",
    "table": "a table is a CSV file",
    "rois": "ROIs are a zip file",
}
_PRODUCT = re.compile(rf"(.+)_(?:{'|'.join(PRODUCTS)})(?:_\d{{4}})?")
_FRAME = re.compile(r"mask\d+")  # of ctc


def parse_products(text: str, known: Iterable[str] = PRODUCTS) -> list[str]:
    """prob,mask -> ["prob", "mask"]; CunetError for a product that is not known."""
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for product in wanted:
        if product not in known:
            raise not_among("--products", product, known)
    return wanted


def parse_instances(wanted: Iterable[str], given: dict[str, Any]) -> Instances:
    """How a mask becomes objects, from the options by name; None means not given.

    CunetError where no product shows objects, and for a value that is not valid.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if given and not {*NUMBERED, "overlay"} & set(wanted):
        name = next(iter(given)).replace("_", "-")
        raise CunetError(
            f"--{name} makes objects, which are in the products labels, ctc, table, rois and "
            "overlay; name one of them, as in --products prob,labels"
        )
    if "instances" in given:
        given["method"] = given.pop("instances")
    if "connectivity" in given:
        given["connectivity"] = int(given["connectivity"])
    return Instances(**given)


def is_volume(images: Iterable[str], out: str | Path, stride: str, given: dict[str, Any]) -> bool:
    """Whether the output is an OME-Zarr. given: options that are for these alone, by name; None
    and False mean not given. CunetError where images, options and output do not fit together."""
    if Path(out).suffix.lower() == ".zarr":
        if stride != "exact":
            raise CunetError(f"--stride {stride} leaves seams, which no OME-Zarr is made with")
        return True
    for name, value in given.items():
        if value not in (None, False) or (name == "skip_empty" and value is False):
            flag = "keep-empty" if value is False else name.replace("_", "-")
            raise CunetError(f"--{flag}: for a volume; give --out a name ending in .ome.zarr")
    for path in map(Path, images):
        if is_node(path):
            raise CunetError(
                f"'{path}' is an OME-Zarr, which is segmented into another one: give --out "
                f"{path.name.partition('.')[0]}_segmented.ome.zarr"
            )
    return False


def without_products(paths: Iterable[Path]) -> list[Path]:
    """The images, except products: those made from another of them, and by name and description
    those of images elsewhere."""
    images = list(paths)
    stems = {p.stem for p in images}
    frames = {f"mask{stem[1:]}" for stem in stems if re.fullmatch(r"t\d+", stem)}

    def is_product(path: Path) -> bool:
        match = _PRODUCT.fullmatch(path.stem)
        beside = path.stem in frames or (match is not None and match[1] in stems)
        return beside or is_ours(path)

    return [p for p in images if not is_product(p)]


def is_ours(path: Path) -> bool:
    """Whether a file has the name of a product, and says that this program made it."""
    named = _PRODUCT.fullmatch(path.stem) or _FRAME.fullmatch(path.stem)
    return bool(named) and path.is_file() and read_description(path).startswith(OURS)


def find_images(
    arguments: Iterable[str],
    chosen: Callable[[Iterable[Path]], list[Path]] = without_products,
) -> list[Path]:
    """Files, the images in folders, and what patterns match; CunetError for two of one name.

    What exists is meant by its name, whatever characters it has; the rest is a pattern. Of the
    images of a folder or a pattern those are taken that `chosen` leaves. A shell that replaces
    patterns itself names products beside their images: these are left out as well.
    """
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if is_node(path):  # a folder, and yet one image
            found = [path]
        elif path.is_dir():
            found = chosen(images_of(path))
        elif path.exists() or not glob.has_magic(argument):
            found = [path]
        else:
            matches = map(Path, glob.glob(argument, recursive=True))
            found = chosen(p for p in visible(matches) if p.is_file() and is_image(p))
        if not found:
            hint = f"; {_folder_within(path)}"
            raise CunetError(f"'{argument}': no image found there ({FORMATS}){hint}")
        files += found
    for file in files:
        if not file.exists():
            raise CunetError(f"no file '{file}'. Check the name and the folder.")
    stems: dict[str, Path] = {}
    for file in files:
        first = stems.setdefault(file.stem, file)
        if first != file and not first.samefile(file):
            raise one_name(first, file)
    made = {file for file in stems.values() if _made_of(file, stems) and is_ours(file)}
    return [file for file in stems.values() if file not in made]


def _folder_within(folder: Path) -> str:
    """What to give in place of a folder without images: one inside it, images/ before others."""
    inside = sorted(folders_of(folder), key=lambda inner: inner.name != "images")
    found = next((inner for inner in inside if images_of(inner)), None)
    return f"there are some in '{found}'" if found else "check the name"


def _made_of(file: Path, stems: Iterable[str]) -> bool:
    """Whether a file has the name of a product of one of these images, or of a frame among them."""
    match = _PRODUCT.fullmatch(file.stem)
    if match is None and _FRAME.fullmatch(file.stem):
        return f"t{file.stem.removeprefix('mask')}" in stems
    return match is not None and match[1] in stems


def probabilities_of(paths: Iterable[Path]) -> list[Path]:
    """Of the images in a folder those that are probabilities by name (x_prob.tif); where none is,
    all but this program's products."""
    images = list(paths)
    named = [p for p in images if p.stem.endswith("_prob")]
    return named or without_products(images)


def image_stem(prob: Path) -> str:
    """x_prob.tif -> x, as the image was called."""
    stem = prob.stem.removesuffix(".ome") if prob.suffix == ".zarr" else prob.stem
    return stem.removesuffix("_prob") or stem


def one_name(first: Path, second: Path) -> CunetError:
    """The error for two images whose products would have the same names."""
    return CunetError(
        f"'{first}' and '{second}' would write products of one name; segment them in two calls "
        "with different --out"
    )


def target_paths(
    file: Path, out: str | Path, wanted: list[str], images: int, stem: str | None = None
) -> dict[str, Path]:
    """Where each product of one of the images goes; CunetError where `out` cannot name it.

    stem: how their names begin, by default that of the image's.
    """
    frame = frame_number(file) if "ctc" in wanted else None
    path, stem = Path(out), stem or file.stem
    if path.suffix.lower() in (*WRITTEN, *OTHER_ENDINGS):
        if images != 1 or len(wanted) != 1:
            raise CunetError(
                f"--out {out} names one file, which needs one image and one product (found "
                f"{images} and {len(wanted)}): give a folder, or --products "
                f"{OTHER_ENDINGS.get(path.suffix.lower(), 'mask')}"
            )
        if frame is not None:
            raise CunetError(
                f"--out {out}: ctc names its files itself, here mask{frame}.tif; give a folder"
            )
        (product,) = wanted
        right, what = ENDINGS[product], WHAT.get(product, f"{product} is an image")
        pictures = (".tif", ".tiff", ".png") if right == ".tif" else (right,)
        if path.suffix.lower() not in pictures:
            raise CunetError(f"--out {out}: {what}; use a name ending in {right}")
        return {product: path}
    names = {product: f"{stem}_{product}{ENDINGS[product]}" for product in wanted}
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
