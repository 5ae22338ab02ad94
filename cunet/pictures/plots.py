"""Pictures for people, drawn with matplotlib, which is imported only when one is drawn.

H W: height and width of an image; n: side of an input tile, m: side of its output.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cunet.data.labels import IGNORE
from cunet.files.atomic import publish, temporary_name, write_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cunet.metrics.curves import Sweep

# Drawn in these colours, which the page replaces by its own for light and dark
_THEME = {
    "#010101": "currentColor",
    "#020202": "var(--grid)",
    "#030303": "var(--blue)",
    "#040404": "var(--orange)",
}
INK, GRID, BLUE, ORANGE = _THEME


@dataclass(frozen=True)
class Line:
    """One line of a chart; x and y of equal length."""

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""
    colour: str = BLUE
    style: str = "solid"  # or "dashed", "none"
    width: float = 1.6
    opacity: float = 1.0
    marker: str = ""


def line_chart(name: str, lines: Sequence[Line], xlabel: str, title: str, log: bool = False) -> str:
    """The lines as SVG to stand inside a web page that sets --grid, --blue and --orange.

    name makes the ids inside unique on the page. Text stays text, in the font of the page.
    """
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator

    output = io.StringIO()
    own = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9.5}
    own |= {"axes.edgecolor": GRID, "xtick.color": INK, "ytick.color": INK, "text.color": INK}
    own |= {"axes.labelcolor": INK, "axes.titlecolor": INK, "grid.color": GRID}
    with style.context(["default", own]):
        figure = Figure(figsize=(5.6, 2.9), layout="constrained")
        axis = figure.subplots()
        for line in lines:
            axis.plot(
                line.x,
                line.y,
                linestyle=line.style,
                label=line.label or None,
                color=line.colour,
                linewidth=line.width,
                alpha=line.opacity,
                marker=line.marker,
                markersize=4,
            )
        axis.set_title(title, loc="left", fontsize=10.5)
        axis.set_xlabel(xlabel)
        if log:
            axis.set_yscale("log")
            axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
        if xlabel == "step":
            axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        axis.grid(True, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(which="both", length=0)
        axis.margins(x=0.02)
        if any(line.label for line in lines):
            axis.legend(frameon=False, fontsize=8.5)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(output, format="svg", transparent=True, metadata=nothing)
    return _inline(output.getvalue(), name, title)


def _inline(svg: str, name: str, title: str) -> str:
    """An SVG document as an element of a page: no prolog, ids of its own, the page's colours."""
    view = re.search(r'viewBox="[^"]*"', svg)[0]
    body = svg[svg.index("<defs>") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub("#0[1-4]0[1-4]0[1-4]", lambda m: _THEME.get(m[0], m[0]), body)
    return f'<svg class="chart" {view} role="img" aria-label="{title}">\n{body}'


def heat(values: np.ndarray, highest: float) -> np.ndarray:
    """Values (H, W) from 0 to `highest` as colours (H, W, 3) uint8, dark to bright."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"](values / max(highest, 1e-30), bytes=True)
    return colours[..., :3]


def augmentation_sheet(
    samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path
) -> None:
    """Draws training samples on one PNG: input tile, labels and weight map side by side.

    samples are x (n, n, C) normalised, labels (m, m) and weights (m, m) of its middle, which the
    frame in the tile shows. Class boundaries are red, ignored pixels blue. All weight maps share
    one scale. Raises DeviceError or CunetError where the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    groups = 2 if len(samples) > 1 else 1
    lines = -(-len(samples) // groups)
    figure = Figure(figsize=(6.3 * groups + 1, 2.1 * lines), layout="compressed")
    axes = figure.subplots(lines, 3 * groups, squeeze=False)
    highest = max(float(weights.max()) for _, _, weights in samples)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (x, labels, weights) in enumerate(samples):
        tile, outline, heat = axes.reshape(-1, 3)[number]
        size, edge = len(labels), (len(x) - len(labels)) // 2
        middle = x[edge : edge + size, edge : edge + size]
        tile.imshow(_shown(x), cmap="gray", vmin=0, vmax=1)
        frame = (edge - 0.5, edge - 0.5)
        tile.add_patch(Rectangle(frame, size, size, fill=False, edgecolor="orange"))
        outline.imshow(_shown(middle), cmap="gray", vmin=0, vmax=1)
        outline.imshow(_outlined(labels))
        picture = heat.imshow(weights, cmap="inferno", vmin=0, vmax=highest)
        if number < groups:
            tile.set_title("input tile", fontsize=9)
            outline.set_title("labels", fontsize=9)
            heat.set_title("weights", fontsize=9)
    figure.colorbar(picture, ax=axes, shrink=0.4, label="weight of a pixel in the loss")
    _save(figure, path)


def score_curves(sweep: "Sweep", threshold: float, path: str | Path) -> None:
    """Draws the precision-recall and the ROC curve on one PNG, the threshold marked on both.

    Dashed is what chance would reach. Raises DeviceError or CunetError where the file cannot be
    written.
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
    _save(figure, path)


def threshold_curves(curves: dict[str, list[float]], path: str | Path) -> None:
    """Draws the scores of the ISBI 2012 challenge over their thresholds on one PNG.

    curves as cunet.metrics.isbi2012.evaluate answers them; the best value of each is marked. Raises
    DeviceError or CunetError where the file cannot be written.
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
    _save(figure, path)


def iou_curves(thresholds: list[dict[str, float]], path: str | Path) -> None:
    """Draws F1, precision and recall of objects over the threshold of their IoU on one PNG.

    thresholds as cunet.metrics.dsb2018.summary answers them; what is undefined is left out. Raises
    DeviceError or CunetError where the file cannot be written.
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
    _save(figure, path)


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.4f}"


def _save(figure: "Figure", path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    path = Path(path)
    part = temporary_name(path)
    try:
        figure.savefig(part, format="png", dpi=110)
        publish(part, path)
    except OSError as error:
        raise write_error(error, path, 0) from error
    finally:
        part.unlink(missing_ok=True)


def _shown(x: np.ndarray) -> np.ndarray:
    """A normalised image (H, W, C) as gray (H, W) or colour (H, W, 3) from 0 to 1."""
    shown = np.clip(0.5 + x / 5, 0, 1)
    return shown if x.shape[2] == 3 else shown[..., 0]


def _outlined(labels: np.ndarray) -> np.ndarray:
    """(H, W, 4): red where a pixel and its neighbour differ in class, blue where it is ignored."""
    picture = np.zeros((*labels.shape, 4))
    ignored = labels == IGNORE
    picture[ignored] = (0.2, 0.4, 1, 0.35)
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    picture[edge] = (1, 0.15, 0.1, 1)
    return picture
