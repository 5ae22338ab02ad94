"""The frame of the report: one page, no script, nothing to load."""

import html
from collections.abc import Iterable, Sequence
from string import Template

from cunet.terminal import printable

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1d232b; --soft: #5b6572; --grid: #d8dde3; --card: #f4f6f8;
  --blue: #0072b2; --orange: #d55e00; --alert: #fff3e6; --key: 3px solid var(--orange);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ed; --soft: #9aa5b1; --grid: #343c46; --card: #1d232a;
    --blue: #56b4e9; --orange: #f0883e; --alert: #33261a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: .75rem;
     border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 48rem; }
p.keys { max-width: none; }
.soft, figcaption, dd, caption { color: var(--soft); }
.alert { background: var(--alert); border-left: var(--key); padding: .6rem 1rem; max-width: none;
         margin: 1rem 0; border-radius: 0 6px 6px 0; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
         margin: 1.5rem 0 1rem; }
.card { background: var(--card); border-radius: 8px; padding: .75rem .9rem; }
.card .name { font-size: .82rem; color: var(--soft); }
.card .value { font-size: 1.55rem; font-weight: 650; line-height: 1.3;
               font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
          gap: 1.25rem; }
.chart { display: block; width: 100%; height: auto; color: var(--ink); }
.chart text { font-family: inherit !important; }
.slice { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin: 0 0 1.5rem; }
.slice figure { margin: 0; }
.slice figure:first-child { grid-column: span 2; grid-row: span 2; }
.slice.scored { grid-template-columns: repeat(10, minmax(0, 1fr)); }
.slice.scored figure { grid-column: span 2; grid-row: auto; }
.slice.scored figure:nth-child(-n+2) { grid-column: span 5; }
.slice.cells figure { grid-column: span 1; grid-row: auto; }
.slice.cells figure:nth-child(-n+2) { grid-column: span 2; }
.slice img { display: block; width: 100%; border-radius: 4px; image-rendering: pixelated; }
.slice img.fine { image-rendering: auto; }
figcaption { font-size: .82rem; margin-top: .15rem; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
          margin-right: .35em; vertical-align: -.05em; border: 1px solid var(--soft); }
.key { display: inline-block; margin-right: .9em; font-size: .9rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
          gap: 0 2.5rem; align-items: start; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; padding: .22rem .6rem .22rem 0; border-bottom: 1px solid var(--grid);
         vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--soft); width: 38%; }
thead th { font-size: .82rem; }
.plain th { width: auto; }
.plain td, .plain thead th { overflow-wrap: break-word; }
.plain > table th { min-width: 4.8em; }
summary { cursor: pointer; font-size: .9rem; }
.plain + .charts { margin-top: 1.5rem; }
td { font-variant-numeric: tabular-nums; }
tr.changed th { color: var(--ink); font-weight: 650; }
tr.changed th::before { content: "\\25cf\\00a0"; color: var(--orange); }
tr.changed td:nth-child(2) { font-weight: 650; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dt { font-weight: 650; margin-top: .7rem; }
dd { margin: 0; max-width: 48rem; }
@media (max-width: 700px) {
  body { padding: 1.25rem .9rem 3rem; }
  .plain table { font-size: .8rem; }
  .plain td, .plain th { padding-right: .4rem; }
  .slice { grid-template-columns: repeat(2, 1fr); }
  .slice.scored { grid-template-columns: repeat(6, minmax(0, 1fr)); }
  .slice.scored figure:nth-child(-n+2) { grid-column: span 6; }
  .slice.scored figure:nth-last-child(-n+2) { grid-column: span 3; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --grid: #ccc; --card: #fff; --alert: #fff;
          --blue: #0072b2; --orange: #d55e00; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  .card { border: 1px solid var(--grid); }
  .charts, .tables { grid-template-columns: 1fr 1fr; gap: 0 1.5rem; }
  table { font-size: 9pt; }
  .cards { grid-template-columns: repeat(3, 1fr); }
  .slice, .charts svg, .card, tr { break-inside: avoid; }
  h2, h3, dt { break-after: avoid; }
}
</style>
</head>
<body>
$body
</body>
</html>
""")

# Term and meaning, in the order of the page
DEFINITIONS = [
    (
        "White, foreground",
        "Every class but the first; with two classes, class 1 (for ISBI 2012: cell interior). "
        "Its probability is 1 minus that of class 0. Pixels marked to be ignored never count.",
    ),
    (
        "Pixel error",
        "1 - the maximal F-score of white over the thresholds 0, 0.1 ... 1, a pixel being called "
        "white where its probability is above the threshold. True and false positives and "
        "negatives are summed over all slices named before F is formed; it is not the share of "
        "wrong pixels. This is the definition of the ISBI 2012 challenge.",
    ),
    (
        "Dice",
        "The F-score of white, 2 TP / (2 TP + FP + FN), at threshold 0.5, summed in the same way; "
        "under a picture, of that slice alone.",
    ),
    (
        "Constant predictor",
        "Calls every pixel white. Its pixel error follows from the share w of white pixels: "
        "1 - 2 w / (1 + w). A network must be clearly below it.",
    ),
]
# ... and those that come after the definitions of the scores
RUN_DEFINITIONS = [
    (
        "last and best",
        "last.npz is the network after the last step. best.npz is that of the lowest validation "
        "pixel error (ties: the earlier); without held-out slices it equals last.npz.",
    ),
    (
        "Training loss",
        "The weighted cross-entropy of the samples of one step, as the solver sees it. Faint: "
        "every step; strong: the mean over a fiftieth of the steps.",
    ),
    (
        "Validation loss",
        "The mean cross-entropy (natural logarithm) of the pixels of the held-out slices, "
        "unweighted; it need not be comparable with the training loss.",
    ),
    (
        "Waiting for data",
        "The share of a step's time in which the network waited for its sample. Near 0: "
        "augmentation keeps up; otherwise it is the bottleneck.",
    ),
    (
        "Weight map",
        "What each pixel counts in the loss, by the setting weight_map. Here class frequencies "
        "are those of the slices shown; in training, those of all training slices.",
    ),
]


def escape(text: object) -> str:
    """A text of the page: names of files are in it, which may hold markup, or be no text at all."""
    return html.escape(printable(text))


def table(rows: Iterable[Sequence], head: Sequence[str] = (), marked: Sequence[str] = ()) -> str:
    """Rows of text as a table, the first cell of each naming it."""
    lines = []
    if head:
        cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    for name, *values in rows:
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        mark = ' class="changed"' if name in marked else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(name)}</th>{cells}</tr>')
    return "<table>\n" + "\n".join(lines) + "\n</table>"


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
