"""The command that leads on, from a run to its segmentation and from there to its score: one that
works as it is pasted, and makes what is not there yet."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cunet.data import ctc_files, dsb2018, epfl, layouts
from cunet.data.dataset import sha256
from cunet.errors import CunetError
from cunet.files import listing, read_description
from cunet.files.ome_zarr import is_node
from cunet.net.checkpoint import model_file
from cunet.segmentation.how import ENDINGS
from cunet.segmentation.inputs import find_images
from cunet.terminal import shell_line, without

TRAINED_ON = ("train-volume", "train-input", "training")  # stacks whose pages may be held out


def segment_command(
    data: str, run: str, hold_out: str | None = None, pages: Sequence[int] = ()
) -> str:
    """The command that applies a run to the data set's test images, to those that the training held
    out (by name, or as pages of a stack), or else to its images.

    It writes to another folder where the usual one holds products of another model.
    """
    folder, out, products = Path(data), ".", ["prob", "mask"]
    if is_node(folder):
        name = f"{Path(run).resolve().name}.ome.zarr"
        return shell_line(["cunet", "segment", data, "--model", run, "--out", name])
    chosen: list[str] = []
    names = ["test-volume.tif", "train-volume.tif", "test-input.tif", "train-input.tif"]
    names += ["testing.tif", "training.tif"] if epfl.matches(folder) else []
    found = [listing.tiff_named(folder, name) for name in names]
    found = [path for path in found if path.exists()]
    for way in layouts.readings(folder)[:1]:
        first = _first_image(folder, way.choice)
        if len(first) == 1:  # several are channels, which segment does not join
            found.append(first[0] if way.ending else way.images)  # beside labels: these are images
    sequences = ctc_files.sequences(folder) if folder.is_dir() else []
    if sequences:
        asked = [part.strip().split("/")[0] for part in (hold_out or "").split(",")]
        held_out = (path for path in sequences if path.name in asked)
        sequence = next(held_out, sequences[-1])
        found = [folder if sequence == folder.resolve() else folder / sequence.name]
        products, out = ["ctc"], f"{sequence.name}_RES"
    elif folder.is_dir() and dsb2018.matches(folder):
        found, products, out = [_bowl_images(folder)], ["labels"], "labels"
    elif found and found[0].stem.lower() in TRAINED_ON and pages:
        chosen = ["--pages", ",".join(map(str, pages))]
    if not found:
        return "cunet segment --help"
    made = _made_here(str(found[0]), run, out, products)
    if made is False:
        out = Path(run).resolve().name if out == "." else f"{out}-{Path(run).resolve().name}"
    elif made and sequences:
        return _ctc(find_images([str(found[0])]), out) or "cunet train --help"
    elif isinstance(made, list):
        products = made
    words = ["cunet", "segment", str(found[0]), "--model", run, *chosen]
    words += ["--products", ",".join(products)] if products != ["prob", "mask"] else []
    return shell_line(words + (["--out", out] if out != "." else []))


def after_volume(arguments: Sequence[str], found: dict[str, Any], out: str) -> str:
    """What follows `cunet segment` of a volume: its next part that is not done, the same again
    where it is not finished, at last the objects of its sections as tables."""
    if found["finished"]:
        if found["objects_in"] == "volume" or len(found["class_shares"]) > 2:
            return "cunet segment --help"  # tables are of sections
        return shell_line(["cunet", "objects", out, "--products", "table"])
    part = found.get("next_part")
    again = without(arguments, ("--json",), ("--part",) if part else ())
    return shell_line(["cunet", *again, *(["--part", part] if part else [])])


def _first_image(folder: Path, choice: str) -> tuple[Path, ...]:
    """The files of the first image of a folder; none where it is no longer as it was."""
    try:
        return layouts.find(folder, choice)[0][0].images
    except CunetError:
        return ()


def _bowl_images(folder: Path) -> Path:
    """The images of the Data Science Bowl's layout, as one pattern."""
    folders = dsb2018.image_folders(folder).values()
    if folder in folders:
        return folder / "images"
    files = [path for one in folders for path in listing.images_of(one / "images")]
    endings = {path.suffix for path in files}
    name = f"*{endings.pop()}" if len(endings) == 1 else "*"
    return Path(glob.escape(str(next(iter(folders)).parent)), "*", "images", name)


def _made_here(image: str, run: str, out: str, products: list[str]) -> list[str] | bool | None:
    """Whether products of the first image are in the folder `out`: None where they are not, False
    where another model made them, else what can be made next, if anything."""
    try:
        first = find_images([image])[0]
        model = f"model {sha256(model_file(run))[:16]}"
    except (CunetError, OSError):
        return None
    there = [path for product in products for path in _files(first, out, product)]
    if not there:
        return None
    if not all(model in read_description(path) for path in there):
        return False
    return [p for p in ("labels", "overlay") if not _files(first, out, p)] or products


def _files(image: Path, out: str, product: str) -> list[Path]:
    """The files of a product that are there."""
    name = f"{glob.escape(image.stem)}_{product}*{ENDINGS[product]}"
    if product == "ctc":
        name = f"mask{image.stem[1:]}.tif"
    return sorted(Path(out).glob(name)) if Path(out).is_dir() else []


def after_segment(
    arguments: Iterable[str], files: list[Path], out: str, wanted: list[str], pages: str | None
) -> str:
    """The command after a segmentation, whose arguments were these: it scores the products against
    their truth, makes those that are not there yet, or shows the network."""
    if "ctc" in wanted and (scored := _ctc(files, out)):
        return scored
    truth = listing.tiff_named(files[0].parent, "train-labels.tif")
    named = listing.is_image(Path(out))  # --out is the one file
    if len(files) == 1 and pages and "prob" in wanted and truth.is_file():
        if files[0] == listing.tiff_named(files[0].parent, "train-volume.tif"):
            prob = Path(out) if named else Path(out, f"{files[0].stem}_prob.tif")
            line = ["cunet", "evaluate", "isbi", str(prob), str(truth), "--pages", pages]
            return shell_line(line)
    folder = "." if named else out
    more = [
        product
        for product in ("labels", "overlay", "mask", "prob")
        if product not in wanted and not _files(files[0], folder, product)
    ]
    if not more:
        return "cunet explain"
    return with_products(arguments, more, ["-o", "--out"] if named else [])


def with_products(
    arguments: Iterable[str], more: Iterable[str], dropped: Iterable[str] = ()
) -> str:
    """The command of these arguments with other products, without the options in dropped."""
    words = without(arguments, ("--overwrite", "--json"), ["--products", *dropped])
    return shell_line(["cunet", *words, "--products", ",".join(more)])


def _ctc(files: list[Path], out: str) -> str | None:
    """The command that scores the frames of a sequence; None without their truth beside them."""
    sequence = files[0].parent
    truth = ctc_files.ground_truth(sequence.resolve())
    annotated = {int(number) for number in ctc_files.annotations(truth)}
    scored = annotated & {int(file.stem[1:]) for file in files if file.parent == sequence}
    if not scored:
        return None
    path = truth if sequence.is_absolute() else os.path.relpath(truth)
    frames = [] if scored == annotated else ["--frames", ",".join(map(str, sorted(scored)))]
    return shell_line(["cunet", "evaluate", "ctc", out, str(path), *frames])
