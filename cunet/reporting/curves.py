"""The charts of the report, and sentences where there is too little for a chart."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from cunet.pictures.charts import BLUE, INK, ORANGE, SOFT, Line, line_chart
from cunet.reporting.facts import Facts
from cunet.reporting.log import Log
from cunet.reporting.page import escape

MAX_POINTS = 400  # at which a curve over the steps is drawn
MARKED_BELOW = 60  # validations: each is a dot


def curves(facts: Facts) -> str:
    """Loss, validation, learning rate and waiting over the steps.

    A curve of one value is a sentence instead: of one step, of one validation, of a learning rate
    that stays what it is.
    """
    log = facts.log
    if not len(log.step):
        return "<p>No step was logged.</p>"
    charts, said = [], []
    if len(log.step) > 1:
        charts.append(_loss(log))
    else:
        said.append(f"One step was made: training loss {log.loss[0]:.4g}.")
    if len(log.val_step) > 1:
        charts += _validation(facts)
    elif len(log.val_step):
        said.append(
            f"One validation, after step {int(log.val_step[0]):,}: loss {log.val_loss[0]:.4g}, "
            f"pixel error {log.val_pixel_error[0]:.4f}, Dice {log.val_dice[0]:.4f}."
        )
    if log.lr.min() < log.lr.max():
        charts.append(
            line_chart("rate", [Line(*points(log.step, log.lr))], "step", "Learning rate")
        )
    else:
        said.append(f"Learning rate: {log.lr[0]:g}" + " at every step" * (len(log.step) > 1) + ".")
    waited = np.isfinite(log.wait)
    if waited.sum() > 1:
        share = 100 * smoothed(log.wait[waited])
        line = Line(*points(log.step[waited], share))
        charts.append(line_chart("wait", [line], "step", "Waiting for data, % of a step"))
    text = "".join(f"<p>{escape(one)}</p>\n" for one in said)
    drawn = "\n".join(charts)
    return text + f'<div class="charts">\n{drawn}\n</div>' * bool(charts)


def _loss(log: Log) -> str:
    """The loss of every step, thin, and its mean over some steps."""
    smooth = smoothed(log.loss)
    lines = [Line(*points(log.step, smooth), "mean", BLUE, width=2)]
    if np.array_equal(smooth, log.loss):  # few steps
        lines = [Line(log.step, log.loss)]
    else:
        lines.insert(0, Line(*thinned(log.step, log.loss), "every step", SOFT, width=0.5))
    wide = bool(log.loss.min() > 0 and smooth.max() > 5 * smooth.min())
    return line_chart("loss", lines, "step", "Training loss", log=wide)


def _validation(facts: Facts) -> list[str]:
    """Loss, pixel error and Dice of the validations, of which there are two or more."""
    log = facts.log
    marker = "o" if len(log.val_step) < MARKED_BELOW else ""
    constant, best = facts.constant_error, log.best
    ends = [log.val_step[0], log.val_step[-1]]
    titles = validation_titles(log)
    error = [Line(log.val_step, log.val_pixel_error, marker=marker, titles=titles)]
    if constant is not None and facts.found:
        label = f"all {facts.found.foreground}"
        error.append(Line(ends, [constant] * 2, label, INK, "dashed", 1.0))
    place = [log.val_step[best]], [log.val_pixel_error[best]]
    label = f"best: {log.val_pixel_error[best]:.4f}, step {int(log.val_step[best]):,}"
    error.append(Line(*place, label, ORANGE, "none", marker="D"))
    one = {"valloss": ("Validation loss", log.val_loss), "dice": ("Dice, held out", log.val_dice)}
    loss, dice = (
        line_chart(name, [Line(log.val_step, values, marker=marker, titles=titles)], "step", title)
        for name, (title, values) in one.items()
    )
    return [loss, line_chart("error", error, "step", "Pixel error, held out"), dice]


def validation_titles(log: Log, name: str = "") -> list[str]:
    """What the page says of every validation where the pointer rests on it; of a run's name."""
    if len(log.val_step) > MAX_POINTS:  # they would lie on one another, and cost more than the rest
        return []
    return [
        f"{name + ', ' if name else ''}step {int(step):,}: loss {loss:.4g}, pixel error "
        f"{error:.4f} at threshold {threshold:.1f}, Dice {dice:.4f}"
        for step, loss, error, threshold, dice in zip(
            log.val_step,
            log.val_loss,
            log.val_pixel_error,
            log.val_threshold,
            log.val_dice,
            strict=True,
        )  # fmt: skip
    ]


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
