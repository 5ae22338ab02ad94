"""The scores of a run whose data set numbers its cells, as the report shows them."""

from collections.abc import Sequence

import numpy as np

from cunet.metrics import ctc, dsb2018
from cunet.metrics.curves import Counts
from cunet.pictures.charts import BLUE, INK, ORANGE, Line, line_chart
from cunet.reporting.page import escape, folded, number, table
from cunet.reporting.slices import Segmented

MAX_OPEN_ROWS = 20  # a table of more slices is folded up
MAX_NAME = 24  # characters: longer names of slices are cut
BOWL_KEYS = ("half", "kaggle", "report")
F1_AT_HALF = "F1 at IoU 0.5"
KAGGLE_NAME, REPORT_NAME = "Kaggle score", "Mean precision (mAP)"
GOOD_NAME = "Cells of IoU above 0.5"
NO_BOWL = (
    "Scores of the Data Science Bowl 2018 are not given: some pixels are marked to be ignored, and "
    "whether an object found there is right is not known."
)

DEFINITIONS = [
    (
        "SEG",
        "The score of the Cell Tracking Challenge. An annotated cell R is matched by the found "
        "object S that holds more than half of its pixels, if there is one; it then counts "
        "|R and S| / |R or S|, else 0. SEG is the mean over all annotated cells of all slices "
        "named. What is found elsewhere costs nothing, so that cells that are not annotated do "
        "no harm.",
    ),
    (
        "Foreground IoU",
        "The pixels that are cell in both label and prediction, over those that are cell in either "
        "of them, summed over all slices. It does not measure whether cells are separated. Pixels "
        "marked to be ignored are left out; cunet evaluate ctc, which reads no such marks, counts "
        "all pixels.",
    ),
]
BOWL_DEFINITIONS = [
    (
        F1_AT_HALF,
        "2 TP / (2 TP + FP + FN) of objects, summed over all slices: nuclei and found objects are "
        "matched one to one where their IoU is 0.5 or more.",
    ),
    (
        KAGGLE_NAME,
        "The score of the Data Science Bowl 2018: of each slice the mean of TP / (TP + FP + FN) "
        "over the IoU thresholds 0.50, 0.55 ... 0.95, and of these the mean.",
    ),
    (
        REPORT_NAME,
        "Of each slice the mean of TP / (TP + FP) over the IoU thresholds 0.50, 0.55 ... 1.00, and "
        "of these the mean; cunet evaluate dsb calls it report_mean_average_precision. Nuclei "
        "that are missed do not count in it.",
    ),
]


def cards(slices: Sequence[Segmented], where: str, bowl: bool) -> list[tuple[str, str, str]]:
    """The key figures: name, value and what they are of."""
    scores = _scores(slices, bowl)
    names = {"kaggle": KAGGLE_NAME, "half": F1_AT_HALF, "SEG": "SEG", "iou": "Foreground IoU"}
    good = f"{scores['good']:,} of {scores['objects']:,}"
    shown = [(name, number(scores[key]), where) for key, name in names.items() if key in scores]
    return [*shown, (GOOD_NAME, good, where)]


def section(slices: Sequence[Segmented], of: str, bowl: bool) -> str:
    """The tables of the scores of slices with cells; `of` says which they are.

    bowl adds the scores of the Data Science Bowl 2018.
    """
    scores = _scores(slices, bowl)
    text = (
        f"Over {of}. Found objects are the 4-connected components of probability above 0.5, with "
        "nothing filled, split or dropped. SEG counts annotated cells only; pixels marked to be "
        "ignored do not count in the foreground IoU."
    )
    main = [
        ("SEG", number(scores["SEG"]), "mean IoU of the annotated cells with their objects"),
        (
            "Matched cells",
            f"{scores['matched']:,} of {scores['objects']:,}",
            "annotated cells of which one object holds more than half",
        ),
        (
            GOOD_NAME,
            f"{scores['good']:,} of {scores['objects']:,}",
            "annotated cells; those merged with others are seldom among them",
        ),
        ("Found objects", f"{scores['found']:,}", "whether anything is annotated there or not"),
        ("Foreground IoU", number(scores["iou"]), "of all cells' pixels together"),
    ]
    each = []
    for one in slices:
        alone = _scores([one], "kaggle" in scores)
        name = one.name if len(one.name) <= MAX_NAME else f"{one.name[: MAX_NAME - 3]}..."
        row = [name, number(alone["SEG"]), f"{alone['matched']} of {alone['objects']}"]
        row += [str(alone["found"]), number(alone["iou"])]
        each.append(row + [number(alone[key]) for key in BOWL_KEYS if key in alone])
    head = ["Slice", "SEG", "Matched", "Found", "IoU"]
    chart = ""
    if "kaggle" in scores:
        head += ["F1", "Kaggle", "mAP"]
        main += [
            (F1_AT_HALF, number(scores["half"]), "of objects, matched one to one"),
            (KAGGLE_NAME, number(scores["kaggle"]), "TP / (TP + FP + FN), ten thresholds of IoU"),
            (REPORT_NAME, number(scores["report"]), "TP / (TP + FP): missed nuclei do not count"),
        ]
        if scores["thresholds"][0]["tp"]:
            chart = f"<div>{_chart(scores['thresholds'])}</div>"
        else:
            text += " No object matches a nucleus with an IoU of 0.5 or more."
    elif bowl:
        text += " " + NO_BOWL
    listed = table(each, head, title="Scores slice by slice")
    if len(each) > MAX_OPEN_ROWS:
        listed = folded(f"All {len(each)} slices", listed)
    top = "<div>" + table(main, ("Score", "Value", "What it is")) + f"</div>{chart}"
    return (
        f'<p>{escape(text)}</p>\n<div class="tables plain">{top}</div>\n'
        f'<div class="plain"><h3>Slice by slice</h3>\n{listed}</div>\n'
    )


def caption(one: Segmented) -> str:
    """What the picture of the cells of a slice shows, in figures."""
    scores = _scores([one], False)
    return (
        f"found objects in colours, true borders yellow: SEG {number(scores['SEG'])}, "
        f"{scores['matched']} of {scores['objects']} true objects matched, {scores['found']} found"
    )


def _scores(slices: Sequence[Segmented], bowl: bool) -> dict:
    """All scores of these slices together, with those of the Data Science Bowl if defined."""
    parts = [one.cells for one in slices if one.cells is not None]
    scores = ctc.summary([part.frame for part in parts])
    pixels = [part.pixels for part in parts]
    tp, fp, fn, tn = (sum(getattr(p, name) for p in pixels) for name in ("tp", "fp", "fn", "tn"))
    scores["iou"] = Counts(tp, fp, fn, tn).iou()
    scores["good"] = sum(int(np.count_nonzero(part.frame.scores > 0.5)) for part in parts)
    tallies = [part.tally for part in parts if part.tally is not None]
    if bowl and len(tallies) == len(parts):
        found = dsb2018.summary(tallies)
        scores["half"] = found["thresholds"][0]["f1"]
        scores["kaggle"] = found["kaggle_dsb2018_score"]
        scores["report"] = found["report_mean_average_precision"]
        scores["thresholds"] = found["thresholds"]
    return scores


def _chart(rows: Sequence[dict]) -> str:
    """Precision, recall and F1 of objects over the threshold of their IoU."""
    styles = {"precision": (BLUE, "solid"), "recall": (ORANGE, "dashed"), "f1": (INK, "dotted")}
    x = [row["threshold"] for row in rows]
    lines = [
        Line(x, [row[key] for row in rows], key.capitalize(), colour, style)
        for key, (colour, style) in styles.items()
    ]
    return line_chart("objects", lines, "threshold of IoU", "Objects that match, over that IoU")
