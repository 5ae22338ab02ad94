"""Where people keep images and their labels: which file belongs to which.

    images/a.tif  labels/a.tif             also masks/, and other spellings of the two names
    images/a.tif  masks/a_mask.png         label files with an ending of their own
    a.tif         a_mask.tif               side by side, as Cellpose and many scripts write them
    imagesTr/a_0000.tif  labelsTr/a.tif    nnU-Net's: _0000, _0001 ... are the channels of an image

OME-Zarr images stand for files, and one that has a label image is a data set by itself. A folder
that can be read in several ways is refused with all of them, and NAME of `--dataset
folder:NAME`, the labels' folder or ending, or the label image, chooses one.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cunet.data.dataset import LAYOUTS, PAIRS, listing, some
from cunet.data.ome_zarr_layout import labels_of, pictures_of
from cunet.errors import CunetError, DataError
from cunet.files import FORMATS
from cunet.files.listing import IMAGES, folders_of, is_file, visible
from cunet.files.ome_zarr import is_node
from cunet.terminal import plural

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "imagestr")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "labelstr")
ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_seg")  # of a label file's stem
PRODUCTS = ("_prob", "_overlay", "_cp_output")  # of `cunet segment` and Cellpose: no labels
CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net's names of image files
BOTH = "'{}' and '{}' are both labels of one image; keep one of them."
NOT_READ = (".gif", ".webp", ".jp2", ".czi", ".nd2", ".lif", ".oib", ".oif", ".nii", ".gz", ".mha")


@dataclass(frozen=True)
class Files:
    """One image: its name, its files (several hold a channel each) and its label file."""

    name: str
    images: tuple[Path, ...]
    labels: Path


@dataclass(frozen=True)
class Reading:
    """One way to read a folder.

    choice  NAME of --dataset folder:NAME, which asks for it
    how     the way in words, as "images/ with masks/"
    """

    choice: str
    how: str
    images: Path
    labels: Path
    ending: str = ""  # of label files side by side with the images


def readings(folder: Path, choice: str | None = None) -> list[Reading]:
    """All ways in which a folder holds images with labels, or those that `choice` names."""
    inside = folders_of(folder) if folder.is_dir() else []
    known = {path: path.name.lower() for path in inside}
    wanted = choice.lower() if choice else None
    images = [path for path in inside if known[path] in IMAGE_FOLDERS]
    labels = [path for path in inside if known[path] in LABEL_FOLDERS or known[path] == wanted]
    if len(labels) > 1:  # an empty one is no way to read
        labels = [path for path in labels if pictures_of(path)] or labels
    both = [(x, y) for x in images for y in labels if x != y]
    found = [Reading(y.name, f"{x.name}/ with {y.name}/", x, y) for x, y in both]
    if any(known[r.images] == "imagestr" for r in found):  # nnU-Net's belong together
        found = [r for r in found if (known[r.images] == "imagestr") == r.how.endswith("labelsTr/")]
    stems = {_stem(path) for path in pictures_of(folder)}
    own = [choice] if choice and choice.startswith("_") else []
    for ending in (*own, *(e for e in ENDINGS if e not in own)):
        mine = [stem for stem in stems if _label_ending(stem, (*own, *ENDINGS)) == ending]
        if any(stem[: -len(ending)] in stems for stem in mine):
            how = f"files side by side, labels ending in {ending}"
            found.append(Reading(ending, how, folder, folder, ending))
    return [r for r in found if wanted in (None, r.choice.lower())]


def find(folder: Path, choice: str | None = None) -> tuple[list[Files], list[str]]:
    """The images of a folder with their label files, by name, and notes on how they were found.

    Raises CunetError where the folder holds none or can be read in several ways, DataError for a
    file without a partner and for two files of one name.
    """
    if is_node(folder):
        labels = labels_of(folder, choice)
        return [Files(_stem(folder), (folder,), labels)], [f"labels: label image {labels.name}"]
    ways = readings(folder, choice)
    if not ways:
        what = f"expected {PAIRS}, with labels in '{choice}'" if choice else LAYOUTS
        raise CunetError(f"data folder '{folder}': {what}; found {listing(folder)}.")
    if len(ways) > 1:
        each = "; ".join(f"{way.how}: --dataset folder:{way.choice}" for way in ways)
        if len({way.choice for way in ways}) < len(ways):
            each = "; ".join(way.how for way in ways) + "; keep one of these folders"
        raise CunetError(f"data folder '{folder}' can be read in several ways: {each}.")
    way = ways[0]
    if way.ending:
        pairs, notes = _side_by_side(way)
    else:
        pairs, notes = _two_folders(way)
    several = {len(pair.images) for pair in pairs} - {1}
    if several:
        notes.append(f"nnU-Net's names: {' or '.join(map(str, sorted(several)))} channels an image")
    return pairs, notes


def _side_by_side(way: Reading) -> tuple[list[Files], list[str]]:
    files, notes = by_stem(way.images, PRODUCTS)
    labels = {s: p for s, p in files.items() if _label_ending(s, (way.ending,))}
    others = {s for s in files if s not in labels and _label_ending(s, ENDINGS)}
    images = {s: p for s, p in files.items() if s not in labels and s not in others}
    if others:
        notes.append(f"not used: {some(sorted(files[s].name for s in others))}")
    named: dict[str, Path] = {}
    for stem, path in labels.items():
        name = stem[: -len(way.ending)]
        if name in named:  # a_mask.tif and a_Mask.tif
            raise DataError(BOTH.format(named[name], path))
        named[name] = path
    for stem in sorted(images.keys() ^ named.keys()):
        path, ending = (images | named)[stem], way.ending if stem in images else ""
        raise DataError(
            f"'{path}' has no {'labels' if stem in images else 'image'} beside it; expected a file "
            f"named {stem}{ending}.tif or {stem}{ending}.png ({len(images)} images, {len(named)} "
            "label files). Add it, or move the file elsewhere."
        )
    pairs = [Files(stem, (images[stem],), named[stem]) for stem in sorted(images)]
    return pairs, [*notes, f"{way.how}: {plural(len(pairs), 'image')}"]


def _two_folders(way: Reading) -> tuple[list[Files], list[str]]:
    files, notes = by_stem(way.images)
    found, more = by_stem(way.labels, PRODUCTS)
    notes += more
    images: dict[str, tuple[Path, ...]] = {stem: (path,) for stem, path in files.items()}
    if way.images.name.lower() == "imagestr":
        images = _channels(files)
    own = (way.choice,) if way.choice.startswith("_") else ()
    labels: dict[str, Path] = {}
    endings = set()
    for stem, path in found.items():
        ending = "" if stem in images else _label_ending(stem, (*own, *ENDINGS))
        name = stem[: len(stem) - len(ending)]
        if name in labels:
            raise DataError(BOTH.format(labels[name], path))
        labels[name] = path
        endings.add(ending)
    for stem in sorted(images.keys() ^ labels.keys()):
        path = images[stem][0] if stem in images else labels[stem]
        have, want = way.images.name, way.labels.name
        if stem in labels:
            have, want = want, have
        raise DataError(
            f"'{path}' in {have}/ has no partner in {want}/; expected a file named {stem}.tif or "
            f"{stem}.png there ({len(images)} images, {len(labels)} label files)."
        )
    if (way.images.name, way.labels.name) != ("images", "labels"):
        notes.append(way.how)
    if endings - {""}:
        notes.append(f"{way.labels.name}/: files ending in {' or '.join(sorted(endings - {''}))}")
    return [Files(stem, images[stem], labels[stem]) for stem in sorted(images)], notes


def _channels(files: dict[str, Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each image in imagesTr: a_0000 and a_0001 are channels of a."""
    if not all(CHANNEL.fullmatch(stem) for stem in files):
        return {stem: (path,) for stem, path in files.items()}
    images: dict[str, list[Path]] = {}
    for stem in sorted(files):
        name, number = CHANNEL.fullmatch(stem).groups()  # type: ignore[union-attr]
        if int(number) != len(images.setdefault(name, [])):
            raise DataError(
                f"'{files[stem]}' is channel {int(number)} of '{name}', and channel "
                f"{len(images[name])} is missing."
            )
        images[name].append(files[stem])
    count = {name: len(paths) for name, paths in images.items()}
    if len({*count.values()}) > 1:
        few = min(count, key=lambda name: count[name])
        raise DataError(
            f"'{images[few][0]}' is an image of {count[few]} channel files, others have "
            f"{max(count.values())}; expected as many for every image."
        )
    return {name: tuple(paths) for name, paths in images.items()}


def by_stem(folder: Path, leave_out: Sequence[str] = ()) -> tuple[dict[str, Path], list[str]]:
    """The image files of a folder by stem, and a note on what else lies there.

    leave_out: endings of stems that are not meant. CunetError where there is no image, DataError
    for two files of one stem.
    """
    files: dict[str, Path] = {}
    found, note = image_files(folder)
    for path in found:
        stem = _stem(path)
        if stem.lower().endswith(tuple(leave_out)):
            continue
        if stem in files:
            raise DataError(f"'{path}' and '{files[stem]}' have the same stem; keep one of them.")
        files[stem] = path
    if not files:
        raise CunetError(f"'{folder}' holds no image ({FORMATS}); found {listing(folder)}.")
    return files, note


def image_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files in a folder, in any spelling, by name; a note on what else lies there.

    Raises DataError for pictures in a format that is not read.
    """
    files, others = [], []
    for path in visible(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in NOT_READ:
            raise DataError(f"'{path}' is not {FORMATS}; expected these. Convert or remove it.")
        if (suffix in IMAGES and is_file(path)) or is_node(path):
            files.append(path)
        else:
            others.append(path.name)
    return files, [f"{folder.name}/: not used: {some(others, 5)}"] if others else []


def _stem(path: Path) -> str:
    """The name of a file without its suffix; a.ome.tif is a."""
    stem = path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem
    return unicodedata.normalize("NFC", stem)  # macOS splits letters


def _label_ending(stem: str, endings: Iterable[str]) -> str:
    """The ending, in any spelling, that makes a stem that of a label file; "" for none."""
    low = stem.lower()
    return next((end for end in endings if low.endswith(end.lower()) and len(end) < len(low)), "")
