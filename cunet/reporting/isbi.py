"""The ISBI 2012 scores of a run's slices, as the report shows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cunet.data.labels import IGNORE
from cunet.metrics.isbi2012 import SCORES, Tally, counted, scores, why_not
from cunet.pictures.charts import BLUE, ORANGE, Line, line_chart
from cunet.reporting.page import escape, table
from cunet.terminal import plural

MAX_SCORED_PIXELS = 20_000_000  # in all; 10 million take about a minute on one processor

NAMES = {key: name[:1].upper() + name[1:] for key, (name, *_) in SCORES.items()}

KINDS = (
    ("merge", "joins two cells of the label"),
    ("split", "cuts a cell of the label"),
    ("hole_addition", "makes a hole in a cell, or closes a ring of it"),
    ("object_deletion", "a cell of the label is not found"),
    ("object_addition", "a cell is found that is not in the label"),
    ("hole_deletion", "fills a hole in a cell of the label, or opens it"),
)


DEFINITIONS = [
    (
        "Warped label, merge, split",
        "Pixel by pixel the label is moved towards the prediction, as long as no cell or hole is "
        "joined, cut, made or lost: where exactly a membrane lies does not count. Pixels that "
        "still differ are errors of topology. Cells are 4-connected, membrane 8-connected.",
    ),
    (
        "Pairs of pixels, information",
        "Of the pixels inside the label's cells: which lie in one cell of the label, and which in "
        "one piece of the prediction. A pixel there that is called membrane is a piece of its own. "
        "I is the information that the two share, H and H' are their entropies.",
    ),
    (
        "Thinned",
        "The cells found grow, by a watershed, until lines one pixel wide remain between them: how "
        "wide the membranes found are does not count.",
    ),
]


@dataclass(frozen=True)
class Scores:
    """What isbi2012.scores returns for some slices, their names, and what was counted of each."""

    names: list[str]
    result: dict
    tallies: list[Tally]

    def threshold(self, key: str) -> float:
        """The best threshold of a score."""
        return self.result["thresholds"][key]

    def shown(self, key: str) -> str:
        """A score as it is printed."""
        return printed(self.result, key)


def why_none(labels: Sequence[np.ndarray], classes: int, numbered: bool = False) -> str:
    """Why slices with these labels (H, W) are not scored; empty if they are.

    numbered: the data set numbers its cells, which may touch each other.
    """
    if reason := why_not(labels, classes, IGNORE, numbered):
        return reason
    pixels = sum(page.size for page in labels)
    if pixels > MAX_SCORED_PIXELS:
        return (
            f"for {pixels:,} pixels they would take minutes; cunet segment and cunet evaluate isbi "
            "give them"
        )
    return ""


def score(
    slices: Sequence[tuple[str, np.ndarray, np.ndarray]],
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """The scores of slices, which may differ in size: name, probability (H, W), truth (H, W).

    progress(slices done) is called after every slice."""
    names, probability, truth = map(list, zip(*slices, strict=True))
    tallies = counted(probability, truth, progress=progress)
    return Scores(names, scores(tallies), tallies)


def cards(scores: Scores, where: str) -> list[tuple[str, str, str]]:
    """The key figures: name, value and what they are of."""
    keys = ("v_rand", "v_info", "rand_error")
    return [(NAMES[key], scores.shown(key), where) for key in keys]


def section(scores: Scores, held_out: bool, step: int) -> str:
    """The tables and charts of the scores."""
    of = plural(len(scores.names), "held-out slice" if held_out else "training slice")
    text = (
        f"The scores of the ISBI 2012 challenge, as its organisers define them, over {of} of "
        f"these data; last.npz, step {step:,}. They are not over the challenge's test set and do "
        "not compare with its board. Every score is taken at the threshold that suits it best on "
        "these very slices, as the challenge does."
    )
    result = scores.result
    main = [
        (NAMES[key], scores.shown(key), f"{scores.threshold(key):.1f}", meaning)
        for key, (_, _, meaning) in SCORES.items()
    ]
    kinds = [
        (kind.replace("_", " "), f"{result['warping_pixels'][kind]:,}", meaning)
        for kind, meaning in KINDS
    ]
    each = [
        (name, *(printed(one, key) for key in NAMES))
        for name, one in zip(scores.names, result["per_slice"], strict=True)
    ]
    left = (
        "<h3>Wrong topology</h3>\n<p>Pixels that differ after the label was warped, at threshold "
        f"{scores.threshold('warping_error'):.1f}. Merges and splits are the warping error; a "
        "prediction without any cell has none of them.</p>"
        + table(kinds, ("Kind", "Pixels", "What it means"))
    )
    right = (
        "<h3>Slice by slice</h3>\n<p>Each score at the threshold best for that slice alone.</p>"
        + table(each, ("Slice", *NAMES.values()), title="Scores slice by slice")
    )
    return (
        f'<p>{escape(text)}</p>\n<div class="plain">'
        + table(main, ("Score", "Value", "Threshold", "What it is"))
        + '</div>\n<div class="tables plain">'
        + f"<div>{left}</div>\n<div>{right}</div></div>"
    )


def printed(values: dict, key: str) -> str:
    """One of the five scores as it is printed."""
    return f"{values[key]:.{SCORES[key][1]}f}"


def charts(scores: Scores) -> list[str]:
    """The scores over the thresholds, the best of each marked; those of one scale together."""
    together = [("pixel_error", "rand_error"), ("warping_error",), ("v_rand", "v_info")]
    return [
        line_chart(
            f"isbi-{keys[0]}",
            _lines(scores, keys),
            "threshold",
            " and ".join(NAMES[k] for k in keys),
        )
        for keys in together
    ]


def _lines(scores: Scores, keys: Sequence[str]) -> list[Line]:
    """The curves of these scores, each with its best value marked."""
    curves, lines = scores.result["curves"], []
    looks = [(BLUE, "solid"), (ORANGE, "dashed")]
    for key, (colour, style) in zip(keys, looks, strict=False):
        x = curves["threshold"][: len(curves[key])]
        label = NAMES[key] if len(keys) > 1 else ""  # else the title says it
        lines.append(Line(x, curves[key], label, colour, style))
        place = [scores.threshold(key)], [scores.result[key]]
        lines.append(Line(*place, colour=colour, style="none", marker="D"))
    return lines
