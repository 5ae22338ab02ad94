"""Which images `cunet segment` reads and which files it writes."""

import glob
import re
from pathlib import Path

import click

IMAGES = (".tif", ".tiff", ".png")


def parse_products(text: str) -> list[str]:
    """prob,mask -> ["prob", "mask"]."""
    from cunet.segmentation.products import PRODUCTS as known

    wanted = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for product in wanted:
        if product not in known:
            raise click.UsageError(
                f"--products: expected some of {', '.join(known)}, found '{product}'"
            )
    return wanted


def find_images(arguments: tuple[str, ...]) -> list[Path]:
    """Files, the images in folders, and what patterns match; no two of one name."""
    from cunet.errors import CunetError

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


def without_products(paths: list[Path]) -> list[Path]:
    """The images among the paths, but no product of another of them."""
    from cunet.segmentation.products import PRODUCTS

    images = [p for p in paths if p.suffix.lower() in IMAGES]
    stems = {p.stem for p in images}
    made = re.compile(rf"(.+)_(?:{'|'.join(PRODUCTS)})(?:_\d{{4}})?")
    matches = {p: made.fullmatch(p.stem) for p in images}
    frames = {f"mask{stem[1:]}" for stem in stems if re.fullmatch(r"t\d+", stem)}
    return [p for p in images if not (matches[p] and matches[p][1] in stems or p.stem in frames)]


def target_paths(file: Path, out: str, wanted: list[str], images: int) -> dict[str, Path]:
    """Where each product of an image goes."""
    from cunet.segmentation.products import ENDINGS

    frame = frame_number(file) if "ctc" in wanted else None
    path = Path(out)
    if path.suffix.lower() in IMAGES:
        if images != 1 or len(wanted) != 1:
            raise click.UsageError(
                f"--out {out} names one file, which needs one image and one product (found "
                f"{images} and {len(wanted)}): give a folder, or --products mask"
            )
        if frame is not None:
            raise click.UsageError(
                f"--out {out}: ctc names its files itself, here mask{frame}.tif; give a folder"
            )
        if wanted == ["overlay"] and path.suffix.lower() != ".png":
            raise click.UsageError(f"--out {out}: an overlay is a PNG; use a name ending in .png")
        return {wanted[0]: path}
    names = {product: f"{file.stem}_{product}{ENDINGS[product]}" for product in wanted}
    if frame is not None:
        names["ctc"] = f"mask{frame}.tif"
    return {product: path / name for product, name in names.items()}


def frame_number(file: Path) -> str:
    """t007.tif -> 007, as the Cell Tracking Challenge names the frames of a sequence."""
    frame = re.fullmatch(r"t(\d+)\.tif", file.name)
    if frame is None:
        raise click.UsageError(
            f"--products ctc: expected frames named t000.tif, t001.tif ..., found '{file}'; for "
            "other names use --products labels"
        )
    return frame[1]


def check_one_page(image) -> None:
    """A frame of a sequence is one page; a usage error where the image has more."""
    if image.pages > 1:
        raise click.UsageError(
            f"--products ctc: '{image.path}' has {image.pages} pages, a frame of a sequence has "
            "one; save the pages as t000.tif, t001.tif ..., or use --products labels"
        )


def parse_instances(wanted: list[str], given: dict):
    """What an object of a mask is, from the options that were given.

    A usage error where no product shows objects, CunetError for a value that is none.
    """
    from cunet.segmentation.objects import Instances

    given = {name: value for name, value in given.items() if value is not None}
    if given and not {"labels", "ctc", "overlay"} & set(wanted):
        name = next(iter(given)).replace("_", "-")
        raise click.UsageError(
            f"--{name} makes objects, which are in the products labels, ctc and overlay; name one "
            "of them, as in --products prob,labels"
        )
    if "instances" in given:
        given["method"] = given.pop("instances")
    if "connectivity" in given:
        given["connectivity"] = int(given["connectivity"])
    return Instances(**given)


def to_do(file: Path, targets: dict[str, Path], pages: list[int], how, overwrite: bool) -> dict:
    """The products that are still to be made.

    What is there already must have been made from the same image in the same way; CunetError
    where it was not, and where a product would replace the image itself.
    """
    from cunet.errors import CunetError
    from cunet.files import read_description
    from cunet.segmentation.products import outputs

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


def digest(model: str) -> str:
    """The first digits of the SHA-256 of a model file: which network made a product."""
    import hashlib

    with open(model, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def chosen_pages(text: str | None, image) -> list[int]:
    """0,5,10-12 -> [0, 5, 10, 11, 12]."""
    from cunet.errors import CunetError

    if text is None:
        return list(range(image.pages))
    pages: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            pages += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise click.UsageError(f"--pages: expected 0,5,10-12, found '{text}'") from error
    if not pages or max(pages) >= image.pages:
        raise CunetError(
            f"--pages {text}: '{image.path}' has pages 0 to {image.pages - 1}; give some of them, "
            "as in 0,5,10-12"
        )
    return pages
