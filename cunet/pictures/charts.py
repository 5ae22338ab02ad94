"""Line charts as SVG inside a web page, drawn with matplotlib in the page's colours."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# matplotlib draws in the colours on the left; _inline puts the page's own in their place, which
# differ for light and dark.
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

    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    label: str = ""
    colour: str = BLUE
    style: str = "solid"  # or "dashed", "none"
    width: float = 1.6
    opacity: float = 1.0
    marker: str = ""


def line_chart(name: str, lines: Sequence[Line], xlabel: str, title: str, log: bool = False) -> str:
    """The lines as SVG for a web page that sets --grid, --blue and --orange.

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
    view = svg[svg.index('viewBox="') :].split('"')[1]
    body = svg[svg.index("<defs>") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub("#0[1-4]0[1-4]0[1-4]", lambda m: _THEME.get(m[0], m[0]), body)
    return f'<svg class="chart" viewBox="{view}" role="img" aria-label="{title}">\n{body}'
