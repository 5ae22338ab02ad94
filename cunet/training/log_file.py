"""log.csv: one line a step, read even where lines of it are torn or spoilt."""

import csv
from pathlib import Path

from cunet.errors import DataError, of_system
from cunet.files.json_file import read_text

COLUMNS = (
    "step",
    "seconds",
    "lr",
    "loss",
    "wait",
    "val_loss",
    "val_dice",
    "val_pixel_error",
    "val_threshold",
)
LARGEST = 1 << 30  # bytes: of ten million steps
LAST_STEP = 10**9
LARGEST_NUMBER = 1e60  # no time, rate or loss is larger


def read(path: Path) -> list[dict[str, str]]:
    """The good lines of a log, each as a dictionary of text, by rising steps.

    step is a whole number, seconds, lr and loss are numbers; wait and what was validated are
    numbers, or empty. A line that is torn or holds anything else counts as missing. CunetError
    where there is no log, DataError where the file is something else.
    """
    try:
        text = read_text(path, LARGEST, errors="replace")
        lines = text.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            del lines[-1]  # its writer was stopped
        reader = csv.DictReader(lines)
        fields, rows = reader.fieldnames or (), list(reader)
    except OSError as error:
        raise of_system(error, f"'{path.parent}' is not a run folder: {path.name}") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"'{path}' is damaged ({error}); restore it") from error
    if missing := [name for name in COLUMNS if name not in fields]:
        raise DataError(f"'{path}' is damaged: its first line has no '{missing[0]}'; restore it")
    good = {int(row["step"]): row for row in rows if _is_good(row)}
    return [good[step] for step in sorted(good)]


def _is_good(row: dict[str, str]) -> bool:
    if None in row or None in row.values():  # too many values, or too few
        return False
    try:
        step = int(row["step"])
        numbers = [float(row[name]) for name in COLUMNS[1:4]]
        numbers += [float(row[name] or 0) for name in COLUMNS[4:]]
    except ValueError:
        return False
    return 1 <= step < LAST_STEP and all(abs(one) < LARGEST_NUMBER for one in numbers)


def missing_steps(path: Path, step: int) -> str:
    """The steps from 1 to `step` that a log lacks, as "2-4, 9"; "" where it is complete."""
    found, before = [], 0
    for k in [*(int(row["step"]) for row in read(path) if int(row["step"]) <= step), step + 1]:
        if k - before > 1:
            found.append(f"{before + 1}-{k - 1}" if k - before > 2 else f"{k - 1}")
        before = k
    return ", ".join(found)
