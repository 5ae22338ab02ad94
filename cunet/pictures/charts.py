"""Line charts as SVG inside a web page, drawn with matplotlib in the page's colours.

A browser shows the title of a point, as what it stands for, where the pointer rests on it.
"""

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib draws in the colours on the left; _inline puts the page's own in their place, which
# differ for light and dark.
_THEME = {
    "#010101": "currentColor",
    "#020202": "var(--grid)",
    "#030303": "var(--blue)",
    "#040404": "var(--orange)",
    "#050505": "var(--soft)",
    "#060606": "var(--green)",
    "#070707": "var(--purple)",
    "#080808": "var(--olive)",
}
INK, GRID, BLUE, ORANGE, SOFT, GREEN, PURPLE, OLIVE = _THEME
Dashes = str | tuple[int, tuple[float, ...]]  # a name, or where it begins and lengths on, off ...

WIDTH, HEIGHT = 360, 220  # pixels of the page at which text has the sizes below
TEXT, TITLE = 11.5, 12.5  # pixels: text below 11 is hard to read
INCH = 72  # pixels of the SVG that matplotlib writes
MANY_DECADES = 3  # of a logarithmic axis, at which its labels would touch
REACH = 7  # pixels around a point at which its title is shown


@dataclass(frozen=True)
class Line:
    """One line of a chart; x and y of equal length, titles of the same length or empty."""

    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    label: str = ""
    colour: str = BLUE
    style: Dashes = "solid"  # or "dashed", "dotted", "none", or lengths
    width: float = 1.6
    marker: str = ""
    titles: Sequence[str] = ()


def line_chart(
    name: str,
    lines: Sequence[Line],
    xlabel: str,
    title: str,
    log: bool = False,
    legend: bool = True,
) -> str:
    """The lines as SVG for a web page that sets the variables of _THEME.

    name makes the ids inside unique on the page; legend: whether the chart explains its lines, or
    the page does. Text stays text, in the font of the page; on a
    page WIDTH pixels wide it is at least TEXT pixels high.
    """
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator

    output = io.StringIO()
    own = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": TEXT}
    own |= {"axes.edgecolor": GRID, "xtick.color": INK, "ytick.color": INK, "text.color": INK}
    own |= {"axes.labelcolor": INK, "axes.titlecolor": INK, "grid.color": GRID}
    own |= {"xtick.labelsize": TEXT, "ytick.labelsize": TEXT}
    with style.context(["default", own]):
        figure = Figure(figsize=(WIDTH / INCH, HEIGHT / INCH), layout="constrained")
        axis = figure.subplots()
        for line in lines:
            axis.plot(
                line.x,
                line.y,
                linestyle=line.style,
                label=line.label or None,
                color=line.colour,
                linewidth=line.width,
                marker=line.marker,
                markersize=4.5,
            )
        axis.set_title(title, loc="left", fontsize=TITLE)
        axis.set_xlabel(xlabel)
        if log:
            decades = np.log10(np.concatenate([line.y for line in lines]))
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            if decades.max() - decades.min() < MANY_DECADES:
                axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
                axis.yaxis.set_minor_formatter("{x:g}")
        if xlabel == "step":
            whole = MaxNLocator(5, integer=True, steps=[1, 2, 5, 10])
            axis.xaxis.set_major_locator(whole)
            axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.grid(True, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(which="both", length=0)
        axis.margins(x=0.02)
        if legend and any(line.label for line in lines):
            axis.legend(frameon=False, fontsize=TEXT)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(output, format="svg", transparent=True, metadata=nothing)
    named = " and ".join(line.label for line in lines if line.label)
    spoken = f"Chart: {title} over {xlabel}" + f"; {named}" * bool(named)
    titles = "".join(_titles(axis, line) for line in lines)  # now it is known where things are
    return _inline(output.getvalue(), name, spoken).replace("</svg>", f"{titles}</svg>")


def colour_on_page(colour: str) -> str:
    """What a page writes for a colour of a line."""
    return _THEME[colour]


def _titles(axis: "Axes", line: Line) -> str:
    """Invisible circles around the points of a line that have titles."""
    if not len(line.titles):
        return ""
    places = axis.transData.transform(np.column_stack([line.x, line.y])) * INCH / axis.figure.dpi
    return "".join(
        f'<circle cx="{x:.1f}" cy="{HEIGHT - y:.1f}" r="{REACH}" fill="none" pointer-events="all">'
        f"<title>{html.escape(title)}</title></circle>\n"
        for (x, y), title in zip(places, line.titles, strict=True)
        if np.isfinite((x, y)).all()
    )


def _inline(svg: str, name: str, spoken: str) -> str:
    """An SVG document as an element of a page: no prolog, ids of its own, the page's colours."""
    view = svg[svg.index('viewBox="') :].split('"')[1]
    body = svg[svg.index("<defs>") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub(r"#0([1-8])0(?:\1)0(?:\1)", lambda m: _THEME[m[0]], body)
    label = html.escape(spoken)
    return f'<svg class="chart" viewBox="{view}" role="img" aria-label="{label}">\n{body}'
