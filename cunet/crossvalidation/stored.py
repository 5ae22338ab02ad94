"""Scores and predictions read back from the folders of a cross-validation, where they are whole.

What is damaged counts as not there: it is made again from the run's network.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import DataError, of_system
from cunet.files.json_file import read_json
from cunet.metrics import isbi2012
from cunet.net.npz import Damaged, NpzFile

NAN = float("nan")
SCORES = {*isbi2012.KEYS, "dice"}


def read_scores(path: Path, averages: Iterable[str]) -> dict[str, Any] | None:
    """The contents of scores.json with the scores of these averages; None where it is damaged."""
    found = object_in(path)
    kinds = {"model": str, "steps": int, "seconds": float, "held_out": list, "scores": dict}
    if any(type(found.get(name)) is not kind for name, kind in kinds.items()):
        return None
    if any(type(number) is not int for number in found["held_out"]):
        return None
    scores = {average: numbers(found["scores"].get(average)) for average in averages}
    return found | {"scores": scores} if all(scores.values()) else None


def read_tallies(found: dict[str, Any], average: str) -> list[isbi2012.Tally] | None:
    """What was counted of each slice, of the contents of scores.json; None where it is missing."""
    try:
        tallies = [isbi2012.Tally.read(one) for one in found["counts"][average]]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return tallies if 0 < len(tallies) == len(found["held_out"]) else None


def numbers(scores: Any) -> dict[str, Any] | None:
    """Scores as evaluate() makes them, NaN for null; None where they are something else."""
    if not isinstance(scores, dict) or not isinstance(scores.get("thresholds"), dict):
        return None
    single = {
        name: NAN if scores[name] is None else scores[name] for name in SCORES & scores.keys()
    }
    if any(
        type(value) not in (float, int)
        for value in (*single.values(), *scores["thresholds"].values())
    ):
        return None
    return scores | single


def object_in(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where it is missing or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def has_pages(path: Path, names: Iterable[str]) -> bool:
    """Whether held_out.npz holds predictions of these names."""
    try:
        with NpzFile(path) as file:
            return all(file.head(name).dtype == np.float32 for name in names)
    except (OSError, Damaged, KeyError):
        return False


def read_page(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One prediction in held_out.npz, of this shape; DataError where it is damaged."""
    try:
        with NpzFile(path) as file:
            head = file.head(name)
            if head.shape != shape or head.dtype != np.float32:
                raise Damaged(f"'{name}' is {head.dtype} {head.shape}, expected float32 {shape}")
            page = file.read(name, head)
        if not (page.min() >= 0 and page.max() <= 1.001):  # NaN is not
            raise Damaged(f"'{name}' is no probability")
    except OSError as error:
        raise of_system(error, f"cannot read '{path}'") from error
    except (Damaged, KeyError) as error:
        raise DataError(f"'{path}' is damaged ({error}); remove it and resume") from error
    return page
