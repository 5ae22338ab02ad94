"""Which network that comes with cunet is made for some images, by their looks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cunet.errors import CunetError
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.files.pixel_size import PixelSize
from cunet.models.places import BOX
from cunet.models.record import read_record
from cunet.segmentation.looks import EM, FLUORESCENCE, INVERTED_EM, STAINED, kinds_in
from cunet.segmentation.view import own_size

MODELS = {EM: "em", FLUORESCENCE: "nuclei", STAINED: "nuclei"}


@dataclass(frozen=True)
class Choice:
    """The network for some images, by its name, and a line for the user that says why."""

    model: str
    said: str


def for_files(
    files: Iterable[str | Path],
    pixel_size: str | None = None,
    rescale: bool = False,
    invert: bool = False,
) -> Choice:
    """The network for image files, looked at as these options of `cunet segment` show them to it;
    errors as in `choice`, and where one cannot be read."""
    found = {}
    for file in files:
        with open_image(file) as image:
            times = _times(image, pixel_size) if rescale else None
            found[str(file)] = kinds_in(image, invert, times)
    return choice(found)


def choice(found: Mapping[str, Counter[str]]) -> Choice:
    """The network for images, from the kinds of their windows by the name of each image.

    CunetError where half of the windows or more are of no kind, and where images are of several.
    """
    all_kinds = sum(found.values(), Counter[str]())
    known = Counter({kind: n for kind, n in all_kinds.items() if kind in MODELS})
    first = dict[str, tuple[str, str]]()
    for name, kinds in found.items():
        for kind in filter(MODELS.get, kinds):
            first.setdefault(MODELS[kind], (name, kind))
    if len(first) > 1:
        both = " and ".join(f"'{name}' looks like {kind}" for name, kind in first.values())
        raise CunetError(
            f"{both}: no network that comes with cunet is for both, and no run of use is below "
            f"runs/. {_ways()}"
        )
    if 2 * known.total() <= all_kinds.total():
        first_odd = next(name for name, seen in found.items() if not seen or seen.keys() - MODELS)
        if 2 * all_kinds[INVERTED_EM] > all_kinds.total():
            raise CunetError(
                f"'{first_odd}' looks like {INVERTED_EM}, with bright membranes, and no run of use "
                "is below runs/. Give --invert, which exchanges bright and dark; or say which "
                "network to use with --model"
            )
        raise CunetError(
            f"'{first_odd}' looks like neither EM nor nuclei, and no run of use is below runs/. "
            f"{_ways()}"
        )
    (model,) = first
    others = " or ".join(name for name in BOX if name != model)
    what = " and ".join(sorted(known))
    record = read_record(BOX[model])
    terms = f" ({record.license})" if record else ""
    said = f"taken for {what}: model {_purpose(model)}{terms}; another: --model {others}"
    odd = sum(not seen.keys() & MODELS for seen in found.values() if seen)
    said += f"; {odd} of {len(found)} images look like neither" if odd else ""
    said += "; expect errors in stained sections, see its card" if STAINED in known else ""
    return Choice(model, said)


def _ways() -> str:
    """What to type instead."""
    given = "; ".join(f"--model {_purpose(name)}" for name in BOX)
    return f"Say which to use: {given}; or train your own: cunet train --data FOLDER"


def _purpose(name: str) -> str:
    """The name of a network that comes with cunet, and what it is for."""
    record = read_record(BOX[name])
    return f"{name}, for {record.made_for}" if record else name


def _times(image: ImageFile, pixel_size: str | None) -> tuple[float, float] | None:
    """How many times as high and wide an image is at the pixel size of the network for EM; None
    where one of the two sizes is not known."""
    own = own_size(pixel_size, image.calibration)[0]
    record = read_record(BOX[MODELS[EM]])
    if own is None or record is None or not record.pixel_size:
        return None
    return own.times(PixelSize.parse(record.pixel_size))
