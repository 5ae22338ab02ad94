"""The curves of several runs over one another, and the legend that says which line is which.

A run has a colour and a dash pattern of its own, so that lines can be told apart without colours.
"""

from collections.abc import Callable, Sequence

import numpy as np

from cunet.pictures.charts import (
    BLUE,
    GREEN,
    INK,
    OLIVE,
    ORANGE,
    PURPLE,
    Dashes,
    Line,
    colour_on_page,
    line_chart,
)
from cunet.reporting.compared import Run
from cunet.reporting.curves import MARKED_BELOW, points, smoothed, validation_titles
from cunet.reporting.page import escape

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK, OLIVE)
# Lengths on and off, in widths of the line
DASHES: tuple[tuple[float, ...], ...] = (
    (), (6, 2), (1.5, 1.5), (7, 2, 1.5, 2), (3.5, 1.5), (8, 2, 1.5, 2, 1.5, 2),
)  # fmt: skip
MARKERS = "osD^vP"
OTHER_PACE = 1.1  # a step that takes this much longer makes curves over time worth a look
UNITS = (("hours", 7200, 3600), ("minutes", 120, 60), ("seconds", 0, 1))  # from how many seconds on

Column = Callable[[Run], np.ndarray]


def look(number: int) -> tuple[str, tuple[float, ...]]:
    """The colour and the dashes of run `number`; no two of the first 36 are the same."""
    turn = number // len(COLOURS)
    return COLOURS[number % len(COLOURS)], DASHES[(number + turn) % len(DASHES)]


def legend(runs: Sequence[Run]) -> str:
    """The line of each run, beside its name."""
    rows = []
    for number, run in enumerate(runs):
        colour, dashes = look(number)
        drawn = " ".join(f"{1.8 * length:g}" for length in dashes)
        line = f'<line x1="0" y1="6" x2="44" y2="6" stroke-dasharray="{drawn}"/>'
        rows.append(
            f'<li><svg class="line" viewBox="0 0 44 12" style="stroke: {colour_on_page(colour)}" '
            f'aria-hidden="true">{line}</svg>{escape(run.name)}</li>'
        )
    return '<ul class="legend">' + "\n".join(rows) + "</ul>"


def curves(runs: Sequence[Run]) -> str:
    """Training loss, validation loss, pixel error and Dice over the steps, and over time where the
    runs differ in how long a step takes."""
    over_steps = _charts(runs, "step", lambda run: run.log.step, lambda run: run.log.val_step)
    if not over_steps:
        return "<p>No step was logged.</p>"
    text = (
        "Training loss is the mean over a fiftieth of the steps. Rest the pointer on a validation "
        "for its run and figures."
    )
    parts = [f"<p>{text}</p>", legend(runs), _grid(over_steps)]
    if _paces_differ(runs):
        longest = max(run.log.seconds[-1] for run in runs if run.done)
        unit, _, seconds = next((u for u in UNITS if longest >= u[1]), UNITS[-1])
        over_time = _charts(
            runs, unit, lambda run: run.log.seconds / seconds,
            lambda run: np.interp(run.log.val_step, run.log.step, run.log.seconds) / seconds,
        )  # fmt: skip
        parts.append(f"<h3>Over time</h3>\n{legend(runs)}{_grid(over_time)}")
    else:
        parts.append(
            "<p>A step takes about as long in every run: over time the curves look the same.</p>"
        )
    return "\n".join(parts)


def _charts(runs: Sequence[Run], xlabel: str, steps: Column, validations: Column) -> list[str]:
    """The charts over one axis, of the runs that have two values or more to draw."""
    trained = [(n, run) for n, run in enumerate(runs) if len(run.log.step) > 1]
    validated = [(n, run) for n, run in enumerate(runs) if len(run.log.val_step) > 1]
    charts = []
    if trained:
        smooth = {n: smoothed(run.log.loss) for n, run in trained}
        least, most = min(s.min() for s in smooth.values()), max(s.max() for s in smooth.values())
        lines = [_line(n, run, *points(steps(run), smooth[n])) for n, run in trained]
        wide = bool(least > 0 and most > 5 * least)
        charts.append(
            line_chart(f"loss-{xlabel}", lines, xlabel, "Training loss, mean", wide, False)
        )
    for name, title in (
        ("val_loss", "Validation loss"),
        ("val_pixel_error", "Pixel error, held out"),
        ("val_dice", "Dice, held out"),
    ):
        lines = [
            _line(n, run, validations(run), getattr(run.log, name), True) for n, run in validated
        ]
        if lines:
            charts.append(line_chart(f"{name}-{xlabel}", lines, xlabel, title, legend=False))
    return charts


def _line(number: int, run: Run, x: np.ndarray, y: np.ndarray, dots: bool = False) -> Line:
    colour, dashes = look(number)
    style: Dashes = (0, dashes) if dashes else "solid"
    few = dots and len(x) < MARKED_BELOW
    titles = validation_titles(run.log, run.name) if dots else ()
    marker = MARKERS[number % len(MARKERS)] if few else ""
    return Line(x, y, run.name, colour, style, 1.8, marker, titles)


def _paces_differ(runs: Sequence[Run]) -> bool:
    """Whether a step takes one run longer than another."""
    paces = [run.log.seconds[-1] / run.done for run in runs if run.done]
    return len(paces) > 1 and max(paces) > OTHER_PACE * min(paces)


def _grid(charts: Sequence[str]) -> str:
    drawn = "\n".join(charts)
    return f'<div class="charts pairs">\n{drawn}\n</div>'
