"""Curves of scores as PNG files: over recall, thresholds, IoU of objects, share trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cunet.pictures.figures import save

if TYPE_CHECKING:
    from cunet.metrics.curves import Sweep


def score_curves(sweep: "Sweep", threshold: float, path: str | Path) -> None:
    """Draws the precision-recall and the ROC curve on one PNG, the threshold marked on both.

    The dashed lines are what chance would reach. Raises DeviceError or CunetError if the file
    cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts, pixels = sweep.at(threshold), sweep.positives + sweep.negatives
    precision, recall = counts.precision(), counts.recall()
    found, share = counts.false_positive_rate(), sweep.positives / max(1, pixels)

    curve = sweep.pr_curve()
    curve = [{**point, "recall": 0.0} for point in curve[:1]] + curve
    x, y = ([point[key] for point in curve] for key in ("recall", "precision"))
    left.plot([0, 1], [share] * 2, "--", color="gray", linewidth=1, label="chance")
    # a precision holds from the recall before it on: these steps enclose the average precision
    left.plot(x, y, color="tab:blue", drawstyle="steps-pre")
    label = f"threshold {threshold:g}: precision {_number(precision)}, recall {_number(recall)}"
    left.plot([recall], [precision], "D", color="tab:orange", label=label)
    left.set_title(f"Precision and recall: average precision {_number(sweep.average_precision())}")
    left.set(xlabel="recall: TP / (TP + FN)", ylabel="precision: TP / (TP + FP)")

    curve = sweep.roc_curve()
    x, y = ([point[f"{key}_positive_rate"] for point in curve] for key in ("false", "true"))
    right.plot([0, 1], [0, 1], "--", color="gray", linewidth=1, label="chance")
    right.plot(x, y, color="tab:blue")
    label = f"threshold {threshold:g}: false {_number(found)}, true {_number(recall)}"
    right.plot([found], [recall], "D", color="tab:orange", label=label)
    right.set_title(f"ROC: area {_number(sweep.auc_roc())}")
    right.set(xlabel="false positive rate: FP / (FP + TN)")
    right.set(ylabel="true positive rate: TP / (TP + FN)")

    for axis in (left, right):
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axis.grid(True, linewidth=0.4)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    save(figure, path)


def threshold_curves(curves: dict[str, list[float]], path: str | Path) -> None:
    """Draws the scores of the ISBI 2012 challenge over their thresholds on one PNG.

    curves as cunet.metrics.isbi2012.evaluate returns them; the best value of each is marked. Raises
    DeviceError or CunetError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = ("pixel_error", "rand_error"), ("warping_error",), ("v_rand", "v_info")
    for axis, keys in zip(figure.subplots(1, 3), panels, strict=True):
        for key, colour in zip(keys, ("tab:blue", "tab:orange"), strict=False):
            y = curves[key]
            best = max(y) if key.startswith("v_") else min(y)
            x = curves["threshold"][: len(y)]
            label = f"{key.replace('_', ' ')}: {best:.4g}"
            axis.plot(x, y, "o-", color=colour, markersize=3, label=label)
            axis.plot(x[y.index(best)], best, "D", color=colour)
        axis.set(xlabel="threshold", xlim=(-0.02, 1.02))
        axis.grid(True, linewidth=0.4)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, ncols=2)
    save(figure, path)


def iou_curves(thresholds: list[dict[str, float]], path: str | Path) -> None:
    """Draws F1, precision and recall of objects over the threshold of their IoU on one PNG.

    thresholds as cunet.metrics.dsb2018.summary returns them; undefined scores are left out. Raises
    DeviceError or CunetError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axis = figure.subplots()
    x = [one["threshold"] for one in thresholds]
    for key, style in (("f1", "D-"), ("precision", "o--"), ("recall", "o:")):
        y = [one[key] for one in thresholds]
        label = f"{key.replace('f1', 'F1')} at {x[0]:.2f}: {_number(y[0])}"
        axis.plot(x, y, style, markersize=4, label=label)
    axis.set(xlabel="IoU from which an object counts as found", ylabel="share of the objects")
    axis.set(ylim=(-0.02, 1.02))
    axis.grid(True, linewidth=0.4)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, ncols=3)
    save(figure, path)


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.4f}"


def share_curves(
    curves: dict[str, tuple[Sequence[float], ...]],
    levels: dict[str, Sequence[float]],
    titles: Sequence[str],
    path: str | Path,
) -> None:
    """Draws scores over the share of the images that was trained on, a panel for each score.

    curves: by data set the shares in per cent, then the values of every score. levels: by data set
    a value of every score from elsewhere, as a dashed line. titles: of the panels. Undefined values
    are left out. Raises DeviceError or CunetError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(titles), 4.4), layout="constrained")
    for panel, axis in enumerate(figure.subplots(1, len(titles))):
        for number, (name, (shares, *values)) in enumerate(curves.items()):
            y = [np.nan if value is None else value for value in values[panel]]
            axis.plot(shares, y, "o-", color=f"C{number}", markersize=4, label=name)
            if name in levels:
                label = f"{name}, the report"
                axis.axhline(levels[name][panel], ls="--", color=f"C{number}", lw=1, label=label)
        axis.set(title=titles[panel], xlabel="trained on, % of the images")
        axis.set(xlim=(0, 84), ylim=(-0.02, 1.02))
        axis.grid(True, linewidth=0.4)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=2)
    save(figure, path)
