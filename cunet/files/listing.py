"""What a folder holds for us: the one filter that every listing of files goes through.

Left out is what systems leave behind unasked, such as the hidden `._a.tif` that macOS writes beside
a.tif on foreign disks, and folders whose names look like those of files.
"""

from collections.abc import Iterable
from pathlib import Path

# How the names of image files end, in any spelling of the case: those that cunet writes, and those
# that it reads.
WRITTEN = (".tif", ".tiff", ".png")
IMAGES = (*WRITTEN, ".lsm", ".jpg", ".jpeg", ".bmp")
_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


def visible(paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that a person put there, in the order of their names."""
    return sorted(
        path
        for path in paths
        if not path.name.startswith(".") and path.name.lower() not in _LEFT_BEHIND
    )


def files_of(folder: Path) -> list[Path]:
    """The visible files of a folder, by name; none where it is no folder.

    A link to nothing is among them: whoever opens it says that the file is missing.
    """
    return [path for path in visible(folder.iterdir()) if is_file(path)] if folder.is_dir() else []


def is_file(path: Path) -> bool:
    """Whether a path is a file, or a link to a file that is gone."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def folders_of(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name; none where it is no folder."""
    return [path for path in visible(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []


def one_within(folder: Path, name: str) -> str:
    """What to say where a folder lacks a file that the first of its folders with one has, or ""."""
    try:
        found = [inner for inner in folders_of(folder) if (inner / name).is_file()]
    except OSError:  # a hint is not worth an error of its own
        return ""
    return f"there is one in '{found[0]}'" if found else ""


def images_of(folder: Path) -> list[Path]:
    """The image files of a folder, by name; none where it is no folder."""
    return [path for path in files_of(folder) if is_image(path)]


def tiff_named(folder: Path, name: str) -> Path:
    """The file of a folder with this name, such as train.tif, else one that differs in spelling.

    That is the case of its letters, or .tiff for .tif. Where there is none, the name as it is.
    """
    exact = folder / name
    if is_file(exact):
        return exact
    stem = Path(name).stem.lower()
    alike = (
        p
        for p in images_of(folder)
        if p.stem.lower() == stem and p.suffix.lower() in (".tif", ".tiff")
    )
    return next(alike, exact)


def is_image(path: Path) -> bool:
    """Whether a path has the name of an image file that cunet reads."""
    return path.suffix.lower() in IMAGES


def free_name(name: str) -> str:
    """curves.png, or curves-2.png and so on where that is there."""
    path, number = Path(name), 2
    while path.exists():
        path, number = path.with_name(f"{Path(name).stem}-{number}{path.suffix}"), number + 1
    return str(path)
