"""The parts of the page about the whole pass: the tile and its result, what one pixel sees, and the
skips."""

from typing import TYPE_CHECKING, Any

import numpy as np

from cunet.pictures.colours import class_colours
from cunet.reporting.page import escape
from cunet.reporting.pictures import MAX_SIDE, data_uri, image_picture, label_picture
from cunet.terminal import plural
from cunet.tracing.field import Field
from cunet.tracing.pictures import Box, boxed, decades_uri, difference_uri, signed_uri

if TYPE_CHECKING:
    from cunet.tracing.trace import Trace

NAMED = 8  # classes whose colours are named


def figure(picture: str, caption: str, heading: str) -> str:
    """A picture with what it is, and what it means in a sentence."""
    return f"<figure>{picture}<figcaption><b>{escape(heading)}.</b> {caption}</figcaption></figure>"


def img(uri: str, spoken: str) -> str:
    """A picture as an element of the page."""
    return f'<img src="{uri}" alt="{escape(spoken)}">'


def figures(shown: list[str]) -> str:
    """Several beside each other, as many as have room."""
    return '<div class="figures">\n' + "\n".join(shown) + "\n</div>"


def passed(trace: "Trace") -> str:
    """The tile, the labels, the probability and where the gradient begins."""
    height, width = trace.labels.shape
    down, across, classes = trace.down, trace.across, trace.model.net.shape.classes
    output = Box((down.lost, down.lost + height - 1), (across.lost, across.lost + width - 1), "out")
    pixel = _cross(trace.field)
    own = trace.picture.labels is None
    labels = "What the loss compares with: " + (
        "the network's own most probable classes." if own else "the truth."
    )
    if classes > 2:
        labels += f" {_key(classes)}"
    shown = [
        figure(
            boxed(_tile(trace), down.tile, across.tile, [output, pixel], "the tile"),
            "What the network saw, mirrored beyond the image's border. The result is of what lies "
            "in the box; the cross is the chosen pixel.",
            "The tile",
        ),
        figure(img(data_uri(label_picture(trace.labels, classes)), "labels"), labels, "Labels"),
        figure(
            img(data_uri(_result(trace, trace.probability)), "probability"),
            "White is class 1, black class 0." if classes == 2 else "The most probable class.",
            "Probability" if classes == 2 else "Result",
        ),
        figure(
            img(signed_uri(trace["head"].gradient[..., -1], MAX_SIDE)[0], "gradient of the logits"),
            'Where backward begins: <span class="signed"></span> the gradient of the loss with '
            "respect to the last logit. It is large where the network is wrong or unsure.",
            "Gradient",
        ),
    ]
    return figures(shown)


def _key(classes: int) -> str:
    """The colours of the first classes."""
    named = [
        f'<span class="key"><span class="swatch" style="background:rgb{tuple(colour)}"></span>'
        f"class {k}</span>"
        for k, colour in enumerate(class_colours(classes).tolist()[:NAMED])
    ]
    return "".join(named)


def field(trace: "Trace") -> str:
    """The receptive field, by formula and measured."""
    found, numbers = trace.field, trace.document()["receptive_field"]
    pixel = _cross(found)
    boxes = [Box(*found.formula, "formula")]
    if found.measured is not None:
        boxes.append(Box(*found.measured, "measured"))
    tile = boxed(_tile(trace), trace.down.tile, trace.across.tile, [*boxes, pixel], "the field")
    (top, bottom), (left, right) = found.formula
    inner = [
        Box((r0 - top, r1 - top), (c0 - left, c1 - left), box.kind)
        for box in boxes[1:]
        for (r0, r1), (c0, c1) in [(box.rows, box.columns)]
    ]
    seen = boxed(
        decades_uri(found.magnitude), bottom - top + 1, right - left + 1, inner, "the gradient"
    )
    shown = [
        figure(
            tile,
            '<span class="line formula"></span> what the arithmetic of the layers allows, '
            '<span class="line measured"></span> where the gradient is not 0.',
            "Two boxes",
        ),
        figure(
            seen,
            "|da/dx|, how much each input pixel moves the logit, from a millionth of the largest "
            '<span class="scale"></span> to the largest; black is exactly 0.',
            "Effective receptive field",
        ),
    ]
    return f"<p>{_field_said(found, numbers)}</p>\n{figures(shown)}\n<p>{_why(found)}</p>"


def _cross(found: Field) -> Box:
    """The chosen pixel."""
    row, column = found.pixel
    return Box((row, row), (column, column), "pixel")


def _field_said(found: Field, numbers: dict[str, Any]) -> str:
    allowed = numbers["formula"]
    sizes = " x ".join(str(last - first + 1) for first, last in allowed.values())
    text = (
        f"A gradient of 1 was put on one logit (class {found.logit}) of the chosen pixel, 0 on all "
        "others, and went back to the tile. By formula the pixel can depend on "
        f"{sizes} input pixels: rows {_span(allowed['rows'])}, columns "
        f"{_span(allowed['columns'])}."
    )
    if found.measured is None:
        return text + " Measured: no input pixel has any influence here."
    seen = numbers["measured"]
    text += f" Measured: rows {_span(seen['rows'])}, columns {_span(seen['columns'])}"
    text += ", the same." if numbers["equal"] else "."
    return text + (
        f" Half of |da/dx| lies within {numbers['half_within']} x {numbers['half_within']} pixels "
        f"around it, 95 % within {numbers['most_within']} x {numbers['most_within']}."
    )


def _why(found: Field) -> str:
    """Why measure and formula differ, where they do."""
    parts = []
    if found.cut:
        parts.append(
            "The field ends where the tile ends, beyond which zeros are put (same padding)."
        )
    if found.measured is None or found.measured != found.formula:
        parts.append(
            "The measured box is smaller than the formula's: the formula takes every path through "
            "the layers, but a ReLU that is at 0 passes no gradient, and a pooling passes it to "
            "the largest of its four pixels alone. Here all paths to the missing rows or columns "
            "are closed."
        )
    elif found.zeros:
        parts.append(
            f"Within the box {plural(found.zeros, 'pixel has', 'pixels have')} a gradient of "
            "exactly 0: all paths to them lead through a ReLU at 0, or through a pooling that took "
            "another pixel."
        )
    return escape(" ".join(parts))


def skips(trace: "Trace") -> str:
    """The result with each skip silenced."""
    text = (
        "<p>Each skip in turn was silenced: the filters of expand<i>i</i>.conv1 for its channels "
        "were set to 0, and the tile went through again. Where much changes, the network relies on "
        "what came along this skip; it was trained with all of them, so this says what it uses, "
        "not what it could learn without."
    )
    if trace.model.net.shape.batch_norm:
        text += " The running means of its normalization still expect the skip."
    text += "</p>"
    shown = []
    for skip in trace.skips:
        share = 100 * skip.changed / skip.pixels
        name = f"Skip {skip.level} silenced"
        said = (
            f"{plural(skip.changed, 'pixel')} of {skip.pixels:,} ({share:.1f} %) become another "
            f"class; the probability changes by {skip.change:.3g} on average."
        )
        shown.append(figure(img(data_uri(_result(trace, skip.probability)), name), said, name))
        change = skip.probability[..., 1] - trace.probability[..., 1]
        meaning = '<span class="signed"></span> class 1 less or more probable without the skip.'
        shown.append(figure(img(difference_uri(change), "change"), meaning, "Change"))
    return f"{text}\n{figures(shown)}"


def _tile(trace: "Trace") -> str:
    cut = trace.picture.image[trace.down.seen][:, trace.across.seen]
    return data_uri(image_picture(cut))


def _result(trace: "Trace", probability: np.ndarray) -> np.ndarray:
    """The probability of class 1 in grey; of several classes the most probable one."""
    if probability.shape[2] == 2:
        return np.rint(255 * probability[..., 1]).astype(np.uint8)
    return label_picture(probability.argmax(2).astype(np.uint8), probability.shape[2])


def _span(span: list[int]) -> str:
    return f"{span[0]} to {span[1]}"
