"""The student report's data sets and figures, and the table and the curve of ours beside them.

student_report.py trains and scores; what it leaves in a folder is read here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cunet.files.json_file import read_json
from cunet.pictures.plots import share_curves
from cunet.terminal import shell_line

MOST = 80  # per cent of the images that are trained on; the rest is held out
SCORES = ("pixel_f1", "report_mean_average_precision", "kaggle_dsb2018_score")
# Of the preset ucsd; for sections of EM 512 pixels as in the report, and as many pixels a step.
SECTIONS = {"resize": 512, "tile": 256, "batch": 4, "elastic_sigma": 8.0}


@dataclass(frozen=True)
class Row:
    """A data set of the report: what the table calls it, its kind, where it may lie, settings of
    its own, and the report's pixel F1 and mAP."""

    title: str
    kind: str
    folder: str
    settings: dict[str, Any]
    report: tuple[float, float] | None = None


ROWS = {
    "isbi2012": Row("ISBI 2012", "isbi2012", "isbi2012/", SECTIONS, (0.93, 0.53)),
    "isbi2013": Row("ISBI 2013 (SNEMI3D)", "isbi2013", "snemi3d/", SECTIONS),
    "epfl": Row("EPFL, mitochondria", "epfl", "epfl/", SECTIONS),
    "ncmir": Row("NCMIR, mitochondria", "epfl", "ncmir/", SECTIONS),
    "dsb2018": Row("Data Science Bowl 2018", "dsb2018", "stage1_train/", {}, (0.89, 0.47)),
}
ABSTRACT = 0.96  # pixel F1 from 10 % of the images, as the report's abstract has it
TITLES = ("data set", "trained on", "scored on", "steps", "pixel F1", "mAP", "Kaggle's score")


def finished(out: Path) -> dict[str, list[dict[str, Any]]]:
    """The figures of every data set in OUT, by rising share."""
    found = {}
    for name in ROWS:
        paths = [out / f"{name}-{share}.json" for share in range(1, MOST + 1)]
        if there := [read_json(path) for path in paths if path.is_file()]:
            found[name] = there
    return found


def table(done: dict[str, list[dict[str, Any]]], out: Path) -> str:
    """The figures as Markdown, the report's beside them, and what has not been measured."""
    lines = [line(*TITLES), line(*["---"] * len(TITLES))]
    for name, row in ROWS.items():
        for one in done.get(name, []):
            images = f"{one['share']} %: {one['trained_on']} images", str(one["images"])
            found = (number(one[key]) for key in SCORES)
            lines.append(line(row.title, *images, f"{one['steps']:,}", *found))
        if name not in done:
            words = ["python", "examples/paper/student_report.py", "--data", row.folder]
            words += [*(["--name", name] if name != row.kind else []), "--out", str(out)]
            lines.append(line(row.title, f"not measured: `{shell_line(words)}`", *[""] * 5))
        if row.report is not None:
            theirs = (f"{score:.2f}" for score in row.report)
            lines.append(line(row.title, "the report, a split of its own", "", "", *theirs, ""))
    lines.append(line("", "the report's abstract, 10 %", "", "", f"{ABSTRACT}", "", ""))
    return "\n".join(lines)


def line(*cells: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def number(score: float | None) -> str:
    """A score; undefined ones, which JSON has as null, are said to be."""
    return "undefined" if score is None or np.isnan(score) else f"{score:.3f}"


def draw(done: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """The scores over the share, with the report's as lines of their own."""
    curves, levels = {}, {}
    for name, figures in done.items():
        shares = [one["share"] for one in figures]
        values = [[one[key] for one in figures] for key in SCORES[:2]]
        curves[ROWS[name].title] = (shares, *values)
        if (report := ROWS[name].report) is not None:
            levels[ROWS[name].title] = report
    share_curves(curves, levels, ("pixel F1", "mAP as the report has it"), path)
