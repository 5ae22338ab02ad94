"""The examples of the report: some slices with their pictures, and what the colours mean."""

from collections.abc import Sequence

import numpy as np

from cunet.data.labels import IGNORE
from cunet.pictures.colours import class_colours
from cunet.reporting.facts import Found
from cunet.reporting.page import escape, number
from cunet.reporting.pictures import (
    CONFUSED,
    CUT,
    IGNORED,
    INVENTED,
    MERGED,
    MISSED,
    OUTLINE,
    TRUE_BORDER,
    Example,
    cells_picture,
    data_uri,
    error_picture,
    found_picture,
    image_picture,
    label_picture,
    places,
    topology_errors,
    topology_picture,
    weight_picture,
)
from cunet.terminal import plural

DARK_TO = " (dark) to "  # in the caption of a weight map, where the page shows the colours
SCALE = ' <span class="scale"></span> '
SMOOTHED_FROM = 256  # pixels a side: larger pictures are smoothed by the browser


def section(found: Found | None) -> str:
    """The chosen slices with their pictures; empty where none could be segmented."""
    if found is None:
        return ""
    first, measure, held_out = found.examples[0], found.slices[0].measure, found.data.held_out
    if held_out == 1:
        which = "The held-out slice"
    elif held_out and held_out <= len(found.examples):
        which = f"All held-out slices, lowest {measure} first"
    elif held_out:
        which = f"The held-out slices of lowest, middle and highest {measure} of {held_out}"
    else:
        which = plural(len(found.examples), "training slice")
    thresholds = found.scores.result["thresholds"] if found.scores else None
    names = found.data.dataset.class_names
    text = f"{which}, segmented with last.npz.{_equal_weights(found)}"
    parts = [f"<p>{escape(text)}</p>", *keys(first, names, bool(thresholds))]
    if len(names) == 2 and first.objects is None and any(map(_ignores, found.examples)):
        parts.append(key("Label", (IGNORED, "to be ignored")))
    for example in found.examples:
        parts.append(f"<h3>{escape(example.name)}: {measure} {number(example.value)}</h3>")
        parts.append(figures(example, len(names), thresholds))
    return "\n".join(parts)


def _ignores(example: Example) -> bool:
    return bool((example.labels == IGNORE).any())


def _equal_weights(found: Found) -> str:
    """A sentence on the slices whose weight map would be of one colour."""
    names = [one.name for one in found.examples if not one.weighs_unevenly]
    if not names:
        return ""
    where = "" if len(names) == len(found.examples) else f" of {', '.join(names)}"
    return f" All labelled pixels{where} weigh the same in the loss: a weight map shows nothing."


def pictures(
    example: Example, classes: int, thresholds: dict[str, float] | None = None
) -> list[tuple[str, str]]:
    """(caption, data URI) of a slice: errors, image, labels, weight map, probability.

    A weight map of one colour is left out.
    With more than two classes the most probable class replaces the probability. Where cells are
    numbered, the found objects come first, and the true cells replace the labels. With the best
    thresholds of the ISBI 2012 scores there are two more: merges and splits after the first, and
    last the probability cut at the threshold of the pixel error.
    """
    highest = float(example.weights.max())
    shown = [
        ("prediction on the image", error_picture(example)),
        ("image", image_picture(example.image)),
        ("label", label_picture(example.labels, classes)),
        ("probability, 0 (black) to 1", np.rint(255 * example.probability).astype(np.uint8)),
    ]
    if example.classes is not None:
        shown[3] = ("most probable class", label_picture(example.classes, classes))
    if example.weighs_unevenly:
        drawn = weight_picture(example.weights, highest)
        shown.insert(3, (f"weight map, 0{DARK_TO}{highest:.3g}", drawn))
    if example.objects is not None:
        shown[0] = ("missed and invented pixels", shown[0][1])
        text = "annotated objects" + "; grey: to be ignored" * _ignores(example)
        shown[2] = (text, cells_picture(example.objects[0], example.labels))
        shown.insert(0, (example.caption, found_picture(example.image, *example.objects)))
    if thresholds:
        where = thresholds["warping_error"]
        merges, splits = topology_errors(example.probability, example.labels > 0, where)
        text = f"{places(merges, 'merge')} and {places(splits, 'split')} at threshold {where:.1f}"
        shown.insert(1, (text, topology_picture(example.image, merges, splits)))
        best = thresholds["pixel_error"]
        found = np.where(example.probability.astype(np.float64) > best, 255, 0).astype(np.uint8)
        shown.append((f"probability above {best:.1f}, best for the pixel error", found))
    return [(caption, data_uri(picture)) for caption, picture in shown]


def figures(example: Example, classes: int, thresholds: dict[str, float] | None = None) -> str:
    """The pictures of a slice, as a grid of the page."""
    fine = ' class="fine"' if min(example.labels.shape) >= SMOOTHED_FROM else ""
    shown = [
        f'<figure><img{fine} src="{uri}" alt="{escape(f"{example.name}: {caption}")}">'
        f"<figcaption>{escape(caption).replace(DARK_TO, SCALE)}</figcaption></figure>"
        for caption, uri in pictures(example, classes, thresholds)
    ]
    return '<div class="slice">\n' + "\n".join(shown) + "\n</div>"


def keys(example: Example, names: Sequence[str], scored: bool) -> list[str]:
    """What the colours of the pictures of such a slice mean, a line for each picture."""
    lines, white = [], "white" if example.objects is None else "foreground"
    if example.objects is not None:
        lines.append(
            f'<p class="keys">First picture: every found object (4-connected, probability above '
            f"0.5) in a colour of its own; {_swatch(TRUE_BORDER, 'borders of the true objects')}"
            "</p>"
        )
    missed = (MISSED, f"missed: {white} in the label, not found")
    invented = (INVENTED, f"invented: found, not {white} in the label")
    meanings = [missed, invented]
    if example.classes is not None:
        first = names[0]
        meanings = [
            (OUTLINE, f"outline of what is found, everything but {first}"),
            (MISSED, f"missed: found to be {first}"),
            (INVENTED, f"invented: {first} in the label"),
            (CONFUSED, "another class than in the label"),
        ]
    elif example.objects is None:
        meanings.insert(0, (OUTLINE, "outline of the prediction (probability above 0.5)"))
    lines.append(key("Second picture" if lines else "First picture", *meanings))
    if scored:
        merged = (MERGED, "merge: two cells of the label joined")
        lines.append(
            key("Second picture, ringed", merged, (CUT, "split: one cell of the label cut"))
        )
    if example.classes is not None:
        colours = zip(map(tuple, class_colours(len(names)).tolist()), names, strict=True)
        lines.append(key("Label and most probable class", *colours, (IGNORED, "ignored")))
    return lines


def key(picture: str, *meanings: tuple[tuple[int, ...], str]) -> str:
    """What the colours of a picture mean."""
    return f'<p class="keys">{picture}: {"".join(_swatch(*one) for one in meanings)}</p>'


def _swatch(colour: tuple[int, ...], meaning: str) -> str:
    return (
        f'<span class="key"><span class="swatch" style="background: rgb{colour}"></span>'
        f"{escape(meaning)}</span> "
    )
