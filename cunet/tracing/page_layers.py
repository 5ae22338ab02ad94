"""The part of the page that shows the layers: some channels of each, and of their gradients."""

from typing import TYPE_CHECKING, Any

import numpy as np

from cunet.pictures.charts import BLUE, ORANGE, Line, line_chart
from cunet.reporting.page import escape
from cunet.terminal import plural
from cunet.tracing.layers import Layer
from cunet.tracing.pictures import signed_uri

if TYPE_CHECKING:
    from cunet.tracing.trace import Trace

STRONGEST, DEADEST = 3, 1  # channels of a layer that are shown

KINDS = {
    "image": "The normalised tile, and how the loss would change with each of its pixels.",
    "conv": "A convolution; its output is taken before any ReLU.",
    "conv relu": "A convolution and its ReLU: what is below 0 became 0 (black), and got no "
    "gradient.",
    "norm": "The convolution's output normalised, scaled and shifted, then its ReLU.",
    "pool": "The largest of each 2 x 2 pixels: a quarter of the pixels, and only those that won "
    "hand a gradient back.",
    "up-conv": "Twice the resolution: each pixel became 2 x 2, by a filter for each of the four.",
    "up-conv relu": "Twice the resolution: each pixel became 2 x 2, then a ReLU.",
    "concat": "The up-sampled channels, and behind them those that came along the skip.",
    "head": "The logits: one number for each class at every pixel. Their gradient is the "
    "probability minus the truth, over the number of pixels.",
}


def layers(trace: "Trace") -> str:
    """Every layer in the order of the data."""
    head = (
        "<p>Of each layer the pictures show the channels that vary most over the tile, and the "
        "one that varies least: first what the channel computed, then, beside it or below, the "
        "gradient of the loss with respect to it. Where that is above 0 the loss would grow if "
        "this number grew. "
        "Each picture has its own scale; its colours are full at the number below it.</p>\n"
        '<p class="keys"><span class="signed"></span> below 0, 0, above 0</p>'
    )
    numbers = trace.document()["layers"]
    shown = [_layer(one, n) for one, n in zip(trace.layers, numbers, strict=True)]
    return "\n".join([head, *shown])


def _layer(layer: Layer, numbers: dict[str, Any]) -> str:
    kind = layer.name if layer.name == "head" else layer.kind
    kind += " relu" if layer.relu and layer.kind != "norm" else ""
    picked = layer.channels(STRONGEST, DEADEST)
    strips = "\n".join(
        f'<div class="strip" role="group" aria-label="{name}">{_strip(layer, images, picked, name)}'
        "</div>"
        for name, images in (("output", layer.output), ("gradient", layer.gradient))
    )
    return (
        f'<section class="layer" id="{layer.name}">\n<h3>{layer.name} '
        f"<small>{' x '.join(map(str, layer.output.shape))}</small></h3>\n"
        f'<p>{KINDS[kind]} <span class="soft">{escape(_said(numbers))}</span></p>\n'
        f'<div class="strips">{strips}</div>\n</section>'
    )


def _strip(layer: Layer, images: np.ndarray, picked: list[int], name: str) -> str:
    """Pictures of these channels."""
    dead, figures = layer.dead, []
    for channel in picked:
        uri, full = signed_uri(images[..., channel])
        scale = "dead" if name == "output" and layer.relu and dead[channel] else f"{full:.2g}"
        if name == "gradient" and full == 0:
            scale = "all 0"
        figures.append(
            f'<figure><img src="{uri}" alt="{name}, channel {channel}">'
            f"<figcaption>{channel}: {scale}</figcaption></figure>"
        )
    return "".join(figures)


def _said(numbers: dict[str, Any]) -> str:
    """The numbers of a layer in a line."""
    out, back, weights = numbers["output"], numbers["gradient"], numbers["weights"]
    parts = [f"Mean {out['mean']:.3g}, deviation {out['deviation']:.3g}"]
    if out["zeros"] is not None:
        dead = plural(out["dead_channels"], "dead channel")
        parts.append(f"{100 * out['zeros']:.1f} % at 0, {dead}")
    parts.append(f"|dy| {back['norm']:.3g}")
    if "norm_of_skip" in back:
        parts.append(
            f"its part of the up-sampled channels {back['norm_of_upsampled']:.3g}, that of the "
            f"skip's {back['norm_of_skip']:.3g}"
        )
    if weights:
        parts.append(
            f"|W| {weights['norm']:.3g}, |dW| {weights['gradient_norm']:.3g}, relative update "
            f"{weights['relative_update']:.2g}"
        )
    return "; ".join(parts) + "."


def charts(document: dict[str, Any]) -> str:
    """The gradient on its way back, and the updates, over the layers; empty where all are 0."""
    back = [layer["gradient"]["norm"] for layer in document["layers"]]
    updates = [(layer["weights"] or {}).get("relative_update", 0) for layer in document["layers"]]
    shown = []
    for name, title, values, colour in (
        ("gradient", "|dy|, from the tile (left) to the head", back, BLUE),
        ("update", "relative update of the filters", updates, ORANGE),
    ):
        at = [i for i, value in enumerate(values) if value > 0 and np.isfinite(value)]
        if len(at) > 1:
            line = Line(at, [values[i] for i in at], colour=colour, marker="o")
            shown.append(line_chart(name, [line], "layer, in the order of the table", title, True))
    return f'<div class="charts">{"".join(shown)}</div>' if shown else ""
