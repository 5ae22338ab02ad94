"""Where the network of a name is looked for: the first place that has the name decides.

1. cunet itself: em, whose earlier names are bundled and isbi2012, and nuclei
2. installed wheels: entry points of the group "cunet.models". `name = "package"` says that the
   package holds name.npz, `name = "package:other"` that it holds other.npz. It is found without
   running the code of a package at the top.
3. the folders of CUNET_MODELS, separated as those of PATH
4. the user's own folder: models/ below CUNET_CACHE; without that below cunet/ in XDG_CACHE_HOME,
   else in LOCALAPPDATA on Windows, else in ~/.cache
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, did_you_mean, of_system
from cunet.files.listing import files_of
from cunet.models.names import ALIASES, IN_THE_BOX, full_name, is_name
from cunet.models.record import refuse_changed

GROUP = "cunet.models"
HERE = Path(__file__).parent
BOX = {name: HERE / f"{name}.npz" for name in IN_THE_BOX}
OWN = "your folder"


@dataclass(frozen=True)
class Found:
    """A network that a place has.

    place    in words: "comes with cunet", "wheel mylab-nets 1.2", "CUNET_MODELS", "your folder"
    problem  why it cannot be used as it is; "" where nothing is known against it
    """

    name: str
    path: Path
    place: str
    problem: str = ""


def own_folder() -> Path:
    """The folder that `get` and `add` write to; it need not be there. CunetError without a home."""
    if cache := os.environ.get("CUNET_CACHE"):
        return Path(cache).absolute() / "models"
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as its specification says
        base = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    try:
        return (Path(base) if base else Path.home() / ".cache") / "cunet" / "models"
    except RuntimeError as error:
        raise CunetError(
            "there is no home folder for networks; set CUNET_CACHE to a folder of yours"
        ) from error


def given_folders() -> list[Path]:
    """The folders of CUNET_MODELS."""
    return [Path(p) for p in os.environ.get("CUNET_MODELS", "").split(os.pathsep) if p]


def everything() -> Iterator[Found]:
    """Every network of every place, in the order in which names are looked for; a later one of the
    same name is never used. CunetError where a folder cannot be read."""
    for name, path in BOX.items():
        yield Found(name, path, "comes with cunet")
    yield from _in_wheels()
    for folder in given_folders():
        yield from _in_folder(folder, "CUNET_MODELS")
    try:
        own = own_folder()
    except CunetError:
        return
    yield from _in_folder(own, OWN)


def first(name: str) -> Found | None:
    """What a name means, or None."""
    meant = full_name(name)
    return next((found for found in everything() if found.name == meant), None)


def name_in_box(path: Path) -> str | None:
    """The name of the network in a file that comes with cunet; None for another file."""
    return next((name for name, file in BOX.items() if file == path), None)


def find(name: str) -> Path | None:
    """The file of a name, which is the one of its record where it has one; None where no place has
    the name. Raises CunetError where it cannot be used, DataError where it was changed."""
    found = first(name)
    if found is None:
        return None
    if found.problem:
        raise CunetError(f"model '{name}' ({found.place}): {found.problem}")
    refuse_changed(found.path, strict=True)
    return found.path


def unknown(name: str, more: dict[str, Any]) -> CunetError:
    """The error to raise for a name that no place has. more: the index, by its names."""
    known = {found.name for found in everything()} | more.keys() | ALIASES.keys()
    absent = [str(folder) for folder in given_folders() if not folder.is_dir()]
    where = f" (of CUNET_MODELS, {', '.join(absent)} is not there)" if absent else ""
    return CunetError(
        f"no model '{name:.80}': expected a .npz file, a run folder, or a name that "
        f"`cunet models list` shows{where}{did_you_mean(name, sorted(known))}"
    )


def _in_folder(folder: Path, place: str) -> Iterator[Found]:
    """The networks of a folder, by name."""
    try:
        files = files_of(folder)
    except OSError as error:
        raise of_system(error, f"cannot read the models in '{folder}' ({place})") from error
    for path in files:
        if path.suffix == ".npz" and is_name(path.stem):
            yield Found(path.stem, path.absolute(), place)


def _in_wheels() -> Iterator[Found]:
    """The networks that installed packages announce, in the order of the search for packages."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        owner = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module
        file, problem = f"{entry.attr or entry.name}.npz", ""
        folder = _folder_of(entry.module)
        path = (folder or Path(entry.module)) / file
        if not is_name(entry.name) or not is_name(path.stem):
            continue  # no --model could say it
        if folder is None:
            problem = f"package '{entry.module}' is not in a folder; reinstall {owner}"
        elif not path.is_file():
            problem = f"'{path}' is missing; reinstall {owner}"
        yield Found(entry.name, path, f"wheel {owner}", problem)


def _folder_of(package: str) -> Path | None:
    """The folder of an installed package, which is not run; None where it has none."""
    try:
        spec = find_spec(package)
    except Exception:  # what the packages above it raise when they are imported
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(p) for p in places if os.path.isdir(p)), None)
