"""What may be odd about a file of a data set: each function changes one and says how.

HARMLESS changes make no difference to what the data set holds; CHANGES may.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import tifffile

from fuzzer import pictures, png, tiff
from fuzzer.bytes_of import damaged
from fuzzer.layouts import SIDE, SLICES, write


def _rename(file: Path, name: str) -> None:
    file.rename(file.with_name(name))


def upper_case(rng, file: Path, data: Path) -> str:
    if file.suffix == ".tif" and not file.parent.name.startswith("images"):
        return hidden(rng, file, data)  # the challenges fix these names
    name = file.stem + file.suffix.upper()
    _rename(file, name)
    return f"renamed to {name}"


def hidden(rng, file: Path, data: Path) -> str:
    """What systems and people leave behind."""
    names = (f"._{file.name}", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", ".hidden.png")
    name = names[rng.integers(len(names))]
    (file.parent / name).write_bytes(rng.bytes(40))
    return f"{name} beside it"


def folder_named_so(rng, file: Path, data: Path) -> str:
    name = ("__MACOSX", ".git", "@eaDir")[rng.integers(3)]
    folder = (data, file.parent)[rng.integers(2)] / name
    folder.mkdir(exist_ok=True)
    (folder / file.name).write_bytes(file.read_bytes())
    return f"a copy in {name}"


def linked(rng, file: Path, data: Path) -> str:
    aside = data.parent / "elsewhere"
    aside.mkdir(exist_ok=True)
    target = aside / f"{len(list(aside.iterdir()))}{file.name}"
    file.rename(target)
    file.symlink_to(target)
    return "a link to a file elsewhere"


def as_other_type(rng, file: Path, data: Path) -> str:
    """The same labels in another integer type, the same pixels compressed."""
    if file.suffix == ".png":
        return hidden(rng, file, data)
    try:
        array = tifffile.imread(file)
    except tifffile.TiffFileError:  # it lies among what people leave behind
        return hidden(rng, file, data)
    tifffile.imwrite(file, array, photometric="minisblack", compression="zlib")
    return "compressed"


HARMLESS = (upper_case, hidden, hidden, folder_named_so, linked, as_other_type)


def gone(rng, file: Path, data: Path) -> str:
    file.unlink()
    return "deleted"


def emptied(rng, file: Path, data: Path) -> str:
    file.write_bytes(b"")
    return "emptied"


def broken(rng, file: Path, data: Path) -> str:
    content, what = damaged(rng, file.read_bytes())
    file.write_bytes(content)
    return what


def hostile(rng, file: Path, data: Path) -> str:
    change = png.mutated if file.suffix.lower() == ".png" else tiff.mutated
    try:
        content, what = change(rng, file.read_bytes())
    except Exception:  # it was changed before, and is no image any more
        return broken(rng, file, data)
    file.write_bytes(content)
    return what


def other_pixels(rng, file: Path, data: Path) -> str:
    """Another size, type, or values that this file should not hold."""
    side = (SLICES, SIDE, SIDE) if "train-" in file.name else (SIDE, SIDE)
    y = side[:-2]
    arrays = {
        "larger": pictures.cells(rng, *y, SIDE + 8, SIDE),
        "smaller": pictures.cells(rng, *y, 5, 3),
        "one pixel": np.zeros((*y, 1, 1), np.uint8),
        "a page more": pictures.cells(rng, *(n + 1 for n in y or (0,)), SIDE, SIDE),
        "constant": np.full(side, rng.choice([0, 1, 255]), np.uint8),
        "grey": pictures.cells(rng, *side),
        "numbers": rng.integers(0, 14, side).astype(np.uint8),
        "0 and 7": (rng.random(side) > 0.5).astype(np.uint8) * 7,
        "0 and 254": (rng.random(side) > 0.5).astype(np.uint8) * 254,
        "0 and 255 and one 1": np.where(rng.random(side) > 0.5, 255, 0).astype(np.uint8),
        "colour": pictures.cells(rng, SIDE, SIDE, 3),
    }
    if file.suffix == ".tif":
        arrays |= {
            "NaN": np.where(rng.random(side) > 0.9, np.nan, 1).astype(np.float32),
            "huge": np.where(rng.random(side) > 0.9, 1e39, 1.0),
            "infinite": np.where(rng.random(side) > 0.9, np.inf, 1).astype(np.float32),
            "complex": np.ones(side, np.complex64),
            "16 bits": pictures.cells(rng, *side, dtype="uint16"),
            "negative": -pictures.cells(rng, *side).astype(np.int16),
            "large numbers": rng.integers(0, 2**31, side).astype(np.uint32),
        }
    name = list(arrays)[rng.integers(len(arrays))]
    array = arrays[name]
    if name.startswith("0 and 255"):
        array.reshape(-1)[5] = 1
    if file.suffix == ".png":
        array = array if name == "colour" else array.reshape(-1, *array.shape[-2:])[0]
    write(file, array)
    return f"pixels: {name}"


def renamed(rng, file: Path, data: Path) -> str:
    names = (
        "x" + file.name, file.stem, file.name + ".bak", file.stem + "[1]" + file.suffix,
        file.stem + ",b" + file.suffix, file.stem + "\x1b[31m" + file.suffix, "-" + file.name,
        file.stem + " \u00e4\u202e" + file.suffix, os.fsdecode(b"\xe4\xff" + file.name.encode()),
        "a" * (250 - len(file.suffix)) + file.suffix, file.stem + "\n" + file.suffix,
    )  # fmt: skip
    name = names[rng.integers(len(names))]
    _rename(file, name)
    return f"renamed to {name[:60]!r}"


def twice(rng, file: Path, data: Path) -> str:
    other = {".tif": ".png", ".png": ".tif"}.get(file.suffix, ".tif")
    (file.parent / (file.stem + other)).write_bytes(file.read_bytes())
    return f"again as {other}"


def became_folder(rng, file: Path, data: Path) -> str:
    file.unlink()
    file.mkdir()
    return "a folder in its place"


def loop(rng, file: Path, data: Path) -> str:
    match rng.integers(3):
        case 0:
            file.unlink()
            file.symlink_to(file.name)
            return "a link to itself"
        case 1:
            file.unlink()
            file.symlink_to("nowhere")
            return "a link to nothing"
        case _:
            (file.parent / "again").symlink_to(file.parent)
            return "a link to its own folder beside it"


def folder_gone(rng, file: Path, data: Path) -> str:
    if file.parent == data:
        return gone(rng, file, data)
    shutil.rmtree(file.parent)
    return "its folder deleted"


def folder_emptied(rng, file: Path, data: Path) -> str:
    for other in file.parent.iterdir():
        if not other.is_dir():
            other.unlink()
    return "its folder emptied"


def special(rng, file: Path, data: Path) -> str:
    file.unlink()
    os.mkfifo(file)
    return "a pipe in its place"


CHANGES = (gone, emptied, broken, hostile, hostile, other_pixels, other_pixels, other_pixels,
           renamed, twice, became_folder, loop, folder_gone, folder_emptied, special)  # fmt: skip
