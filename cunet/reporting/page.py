"""The frame of the report, one page without a script or anything to load, and its elements."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from cunet.errors import CunetError
from cunet.reporting.style import STYLE
from cunet.terminal import printable

PAGE = Template(f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>{STYLE}</style>
</head>
<body>
$body
</body>
</html>
""")

REPORT = "report.html"  # in a run folder
MANY_COLUMNS = 5  # from here on a table may be wider than a narrow screen

Card = tuple[str, str, str]  # name, value, what it is of
Sections = Mapping[str, tuple[str, str]]  # id -> title, content


def html_file(path: str | Path) -> Path:
    """Where a page is written; CunetError where the name is not that of a page, or is that of the
    report of a run, which its training replaces."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise CunetError(f"'{path}': the page is HTML; name a file that ends in .html")
    if path.name == REPORT and (path.parent / "run.toml").is_file():
        raise CunetError(
            f"'{path}' is where the report of that run belongs; give the page another name"
        )
    return path


def escape(text: object) -> str:
    """A text of the page: names of files are in it, which may hold markup, or be no text at all."""
    return html.escape(printable(text))


def contents(sections: Sections, more: str = "") -> str:
    """The table of contents, a line of links, and what else leads into the page."""
    links = "".join(
        f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in sections.items()
    )
    return f'<nav aria-label="On this page"><ul>{links}</ul>{more}</nav>'


def in_sections(sections: Sections, kind: str = "") -> list[str]:
    """The sections one after the other, each under its title; kind: their class in the style."""
    styled = f' class="{kind}"' if kind else ""
    return [
        f'<section id="{name}"{styled}>\n<h2>{title}</h2>\n{content}\n</section>'
        for name, (title, content) in sections.items()
    ]


def cards(shown: Sequence[Card], kind: str = "") -> str:
    """Figures in boxes; the main ones are larger."""
    boxes = "\n".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f"<dd>{escape(more)}</dd></div>"
        for name, value, more in shown
    )
    return f'<dl class="{f"cards {kind}".strip()}">\n{boxes}\n</dl>'


def table(
    rows: Iterable[Sequence],
    head: Sequence[str] = (),
    marked: Sequence[str] = (),
    title: str = "Table",
) -> str:
    """Rows of text as a table, the first cell of each naming it.

    A wide one can be moved inside its box, by keys too, for which the box has a title.
    """
    lines = []
    if head:
        cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for name, *values in rows:
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        mark = ' class="changed"' if name in marked else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(name)}</th>{cells}</tr>')
    box = '<div class="scroll"'
    if len(head) >= MANY_COLUMNS:
        box += f' role="region" aria-label="{escape(title)}" tabindex="0"'
    return f"{box}><table>\n" + "\n".join(lines) + "\n</tbody></table></div>"


def folded(summary: str, content: str) -> str:
    """Content that a click on its summary shows."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def number(value: float) -> str:
    """A score as it is printed."""
    return f"{value:.4f}" if value == value else "undefined"


def duration(seconds: float) -> str:
    """42 s, 12 min 5 s or 3 h 4 min."""
    whole = round(float(seconds))
    if whole < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {whole % 60} s"
