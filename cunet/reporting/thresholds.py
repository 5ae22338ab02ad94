"""What the choice of a threshold does: precision, recall and F-score, as charts and a table."""

import numpy as np

from cunet.metrics.pixel import THRESHOLDS
from cunet.pictures.charts import INK, ORANGE, Line, line_chart
from cunet.reporting import isbi
from cunet.reporting.facts import Found
from cunet.reporting.page import folded, number, table

HALF = 5  # the place of 0.5 among the thresholds
HEAD = ("Threshold", "F-score", "Precision", "Recall")


def section(found: Found, slices: str) -> str:
    """The charts and the table, folded up; `slices` says what was segmented."""
    counts = found.counts
    columns = counts.f_scores(), counts.precisions(), counts.recalls()
    charts = [recall_chart(*columns), threshold_chart(columns[0], found.foreground)]
    if found.scores:
        charts += isbi.charts(found.scores)
    rows = [
        (f"{threshold:.1f}", *map(number, values))
        for threshold, *values in zip(THRESHOLDS, *columns, strict=True)
    ]
    best = f"{counts.best_threshold():.1f}"
    text = (
        f"F-score, precision and recall of {found.foreground} over {slices}, last.npz. Precision "
        f"is the share of the found pixels that are {found.foreground}, recall the share of the "
        f"{found.foreground} pixels that are found. Rest the pointer on a point for its threshold "
        "and values; the table has all of them."
    )
    if found.scores:
        text += " The best value of each score is marked."
    listed = table(rows, HEAD, marked=[best])
    drawn = "\n".join(charts)
    return folded(
        f"The best threshold is {best}: pixel error {counts.pixel_error():.4f}",
        f'<p>{text}</p>\n<div class="charts">\n{drawn}\n<div class="plain">{listed}</div></div>',
    )


def recall_chart(f_scores: np.ndarray, precision: np.ndarray, recall: np.ndarray) -> str:
    """Precision over recall, a point for each threshold at which both are defined."""
    said = titles(f_scores, precision, recall)
    shown = np.flatnonzero(np.isfinite(precision) & np.isfinite(recall)).tolist()
    if not shown:
        return "<p>No pixel is white, or none is found: there is no precision-recall curve.</p>"
    best = int(f_scores.argmax())
    marks = {HALF: (f"threshold 0.5: F {f_scores[HALF]:.4f}", INK, "s")}
    marks[best] = (f"best F {f_scores[best]:.4f}, threshold {THRESHOLDS[best]:.1f}", ORANGE, "D")
    lines = [Line(recall[shown], precision[shown], marker="o", titles=[said[i] for i in shown])]
    lines += [
        Line(recall[[place]], precision[[place]], label, colour, "none", marker=marker)
        for place, (label, colour, marker) in marks.items()
        if place in shown
    ]
    return line_chart("recall", lines, "recall", "Precision over recall")


def threshold_chart(scores: np.ndarray, foreground: str) -> str:
    """The F-score of the foreground at the thresholds 0 to 1."""
    best = int(scores.argmax())
    mark = Line([THRESHOLDS[best]], [scores[best]], "best", ORANGE, "none", marker="D")
    said = [f"threshold {t:.1f}: F-score {f:.4f}" for t, f in zip(THRESHOLDS, scores, strict=True)]
    lines = [Line(THRESHOLDS, scores, marker="o", titles=said), mark]
    return line_chart("threshold", lines, "threshold", f"F-score of {foreground}")


def titles(f_scores: np.ndarray, precision: np.ndarray, recall: np.ndarray) -> list[str]:
    """What is said of the point of each threshold."""
    return [
        f"threshold {t:.1f}: precision {number(p)}, recall {number(r)}, F-score {number(f)}"
        for t, f, p, r in zip(THRESHOLDS, f_scores, precision, recall, strict=True)
    ]
