"""The charts of the report."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from cunet.metrics.pixel import THRESHOLDS
from cunet.pictures.charts import BLUE, INK, ORANGE, Line, line_chart
from cunet.reporting.facts import Facts

MAX_POINTS = 400  # at which a curve over the steps is drawn


def curves(facts: Facts) -> str:
    """Loss, validation, learning rate and waiting over the steps; empty where no step was made."""
    log = facts.log
    if not len(log.step):
        return "<p>No step was logged.</p>"
    smooth = smoothed(log.loss)
    charts = [
        line_chart(
            "loss",
            [
                Line(*thinned(log.step, log.loss), colour=BLUE, width=0.7, opacity=0.35),
                Line(*points(log.step, smooth), colour=BLUE),
            ],
            "step",
            "Training loss",
            log=bool(log.loss.min() > 0 and smooth.max() > 5 * smooth.min()),
        )
    ]
    if len(log.val_step):
        charts += _validation(facts)
    charts += [
        line_chart("rate", [Line(*points(log.step, log.lr))], "step", "Learning rate"),
        line_chart(
            "wait",
            [Line(*points(log.step, 100 * smoothed(log.wait)))],
            "step",
            "Waiting for data, % of a step",
        ),
    ]
    return '<div class="charts">\n' + "\n".join(charts) + "\n</div>"


def _validation(facts: Facts) -> list[str]:
    log = facts.log
    marker = "o" if len(log.val_step) < 60 else ""
    constant, best = facts.constant_error, log.best
    ends = [log.val_step[0], log.val_step[-1]]
    error = [Line(log.val_step, log.val_pixel_error, colour=BLUE, marker=marker)]
    if constant is not None:
        error.append(Line(ends, [constant] * 2, "all white", INK, "dashed", 1.0, 0.7))
    place = [log.val_step[best]], [log.val_pixel_error[best]]
    label = f"best: {log.val_pixel_error[best]:.4f}, step {int(log.val_step[best])}"
    error.append(Line(*place, label, ORANGE, "none", marker="D"))
    return [
        line_chart(
            "valloss",
            [Line(log.val_step, log.val_loss, marker=marker)],
            "step",
            "Validation loss",
        ),
        line_chart("error", error, "step", "Pixel error, held-out slices"),
        line_chart(
            "dice",
            [Line(log.val_step, log.val_dice, marker=marker)],
            "step",
            "Dice, held-out slices",
        ),
    ]


def threshold_chart(scores: np.ndarray) -> str:
    """The F-score at the thresholds 0 to 1."""
    best = int(scores.argmax())
    mark = Line([THRESHOLDS[best]], [scores[best]], "best", ORANGE, "none", marker="D")
    lines = [Line(THRESHOLDS, scores, marker="o"), mark]
    return line_chart("threshold", lines, "threshold", "F-score of white")


def smoothed(values: np.ndarray) -> np.ndarray:
    """The mean over a window of a fiftieth of the values around each."""
    return uniform_filter1d(values, max(1, len(values) // 50), mode="nearest")


def points(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS points of a smooth curve, its ends among them."""
    picked = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return x[picked], y[picked]


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A rough curve with fewer points: the lowest and the highest value of every stretch."""
    if len(x) <= 2 * MAX_POINTS:
        return x, y
    parts = np.array_split(np.arange(len(x)), MAX_POINTS)
    ends = [sorted((part[y[part].argmin()], part[y[part].argmax()])) for part in parts]
    picked = np.concatenate(ends)
    return x[picked], y[picked]
