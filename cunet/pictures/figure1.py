"""The paper's Fig. 1 as SVG, drawn from the layers that cunet.net.figure1.explain lists.

Every box is an image (H, W, C): the taller the larger its side, the wider the more channels. The
contracting path goes down on the left, the expansive path up on the right. As in the paper the
copied channels are the left half of a concatenation (in memory the up-sampled ones come first).
Where the boxes stand is in figure1_layout.py.
"""

import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

from cunet.pictures.figure1_layout import (
    EDGE,
    FONT,
    LABEL,
    LETTER,
    Box,
    Levels,
    boxes_of,
)

NARROWEST = 560  # the legend of the smallest network needs as much
STYLE = """
.figure1 { color: #1d232b; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
.figure1 text { fill: currentColor; }
.figure1 .box { fill: #d6e6f7; stroke: currentColor; }
.figure1 .copied { fill: none; }
.figure1 .crop { fill: none; stroke: currentColor; stroke-dasharray: 4 3; }
.figure1 .conv { fill: #1f5fbf; }
.figure1 .copy { fill: #8b95a1; }
.figure1 .pool { fill: #c8372d; }
.figure1 .up { fill: #2a8f4f; }
.figure1 .head { fill: #0d8c94; }
@media (prefers-color-scheme: dark) {
  .figure1 { color: #e6e9ed; }
  .figure1 .box { fill: #23415f; }
  .figure1 .copied { fill: none; }
  .figure1 .conv { fill: #6cb0ff; }
  .figure1 .pool { fill: #ff7d72; }
  .figure1 .up { fill: #5fd083; }
  .figure1 .head { fill: #45cbd3; }
}
"""


def svg(document: Mapping[str, Any]) -> str:
    """The figure as a complete SVG file, of what cunet.net.figure1.explain returns.

    It follows the reader's light or dark colours, and can also stand inside a web page.

        text = svg(explain(Shape(width=16), 412))
        Path("fig1.svg").write_text(text, encoding="utf-8")
    """
    left, right, *scales = boxes_of(document["layers"])
    crops = document["padding"] == "valid"
    bottom = max(box.y + box.half_height for box in left[-1]) + LABEL
    last = right[0][-1]
    names = [_side_text(left[0][0], "input image tile", -1)]
    names.append(_side_text(last, "output segmentation map", 1))
    width = last.right + max(0, last.half_label - last.width / 2) + EDGE
    width = max(width + LETTER * len("segmentation") + EDGE, NARROWEST)
    parts = [*_arrows(left, right), *(_drawn(box) for level in (*left, *right) for box in level)]
    parts += [_crop(level[-1], right[i][0]) for i, level in enumerate(left[:-1]) if crops]
    legend, bottom = _legend(document, width, bottom + 2 * LABEL)
    caption, bottom = _caption(document, scales, crops, width, bottom + LABEL / 2)
    title = "U-Net, width {width}, depth {depth}".format_map(document)
    body = "\n".join([*parts, *names, *legend, *caption])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure1" role="img" '
        f'viewBox="0 0 {width:.0f} {bottom + EDGE:.0f}">\n<title>{title}</title>\n'
        f"<desc>{escape(_spoken(left, right))}</desc>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _arrows(left: Levels, right: Levels) -> list[str]:
    arrows = []
    for level in (*left, *right):
        for before, box in zip(level, level[1:], strict=False):
            kind = "head" if box.kind == "conv 1x1" else "conv"
            arrows.append(_arrow(kind, before.right, box.y, box.x, box.y))
    for i, level in enumerate(right):
        came, concat = left[i][-1], level[0]
        arrows.append(_arrow("copy", came.right, came.y, concat.x, concat.y))
        pooled = left[i + 1][0]
        start, end = came.y + came.half_height + LABEL, pooled.y - pooled.half_height - LABEL
        arrows.append(_arrow("pool", came.middle, start, pooled.middle, end))
        below = right[i + 1][2] if i + 1 < len(right) else left[-1][-1]
        start, end = below.y - below.half_height - LABEL, concat.y + concat.half_height + LABEL
        arrows.append(_arrow("up", below.middle, start, concat.up_sampled, end))
    return arrows


def _arrow(kind: str, x: float, y: float, to_x: float, to_y: float) -> str:
    """An arrow along one axis, not quite from end to end."""
    shaft, wing, tip = (3, 7, 9) if kind == "copy" else (1.5, 4.5, 7)
    length = abs(to_x - x) + abs(to_y - y)
    ahead, across = (to_x - x) / length, (to_y - y) / length
    corners = [(2, shaft), (length - 2 - tip, shaft), (length - 2 - tip, wing), (length - 2, 0)]
    corners += [(along, -aside) for along, aside in reversed(corners[:-1])]
    points = (
        f"{x + a * ahead - b * across:.1f},{y + a * across + b * ahead:.1f}" for a, b in corners
    )
    return f'<polygon class="{kind}" points="{" ".join(points)}"/>'


def _drawn(box: Box) -> str:
    """A box, what the pointer shows of it, and its labels."""
    top, split = box.y - box.height / 2, box.width * box.copied / box.channels
    parts = [f"<g><title>{escape(f'{box.layer}, {box.kind}: ')}"]
    parts[0] += f"{box.side} × {box.side} pixels, {box.channels} channels</title>"
    if split:
        parts.append(_rect("box copied", box.x, top, split, box.height))
    parts.append(_rect("box", box.x + split, top, box.width - split, box.height))
    parts.append("</g>")
    parts.append(_text(box.channels, box.middle, box.y - box.half_height - 5))
    parts.append(_text(f"{box.side}²", box.middle, box.y + box.half_height + FONT))
    return "".join(parts)


def _crop(box: Box, target: Box) -> str:
    """The frame around what is copied."""
    return _rect("crop", box.x, box.y - target.height / 2, box.width, target.height)


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}/>'


def _text(words: object, x: float, y: float, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(words))}</text>'


def _side_text(box: Box, words: str, direction: int) -> str:
    """Words one below the other beside the first box (direction -1) or the last (1)."""
    x = box.middle + direction * (max(box.width / 2, box.half_label) + EDGE)
    first, anchor = box.y + FONT / 3 - LABEL, "start" if direction > 0 else "end"
    lines = (_text(w, x, first + k * LABEL, anchor) for k, w in enumerate(words.split()))
    return "\n".join(lines)


def _legend(document: Mapping[str, Any], width: float, y: float) -> tuple[list[str], float]:
    """What the arrows are, in as many lines as needed, and where it ends."""
    norm = ", batch norm" if document["batch_norm"] else ""
    kinds = {
        "conv": f"conv 3×3{norm}, ReLU",
        "copy": "copy and crop" if document["padding"] == "valid" else "copy",
        "pool": "max pool 2×2",
        "up": "up-conv 2×2" + ", ReLU" * (document["variant"] == "release2015"),
        "head": "conv 1×1",
    }
    x, parts = float(EDGE), []
    for kind, words in kinds.items():
        needed = 34 + LETTER * len(words)
        if x + needed > width:
            x, y = EDGE, y + LABEL
        parts.append(_arrow(kind, x, y - FONT / 3, x + 28, y - FONT / 3))
        parts.append(_text(words, x + 34, y, "start"))
        x += needed + EDGE
    return parts, y + LABEL


def _caption(
    document: Mapping[str, Any], scales: list[str], crops: bool, width: float, y: float
) -> tuple[list[str], float]:
    """What is drawn, and to which scale, in lines of the drawing's width, and where it ends."""
    (side, *_, inputs), (out, *_, outputs) = document["input"], document["output"]
    words = (
        f"{side} × {side} pixels of {inputs} channel{'s'[: inputs > 1]} in, {out} × {out} of "
        f"{outputs} out; {document['conv_layers']} convolutional layers, "
        f"{document['parameters']:,} parameters. The number above a box counts its channels, and "
        f"its width is drawn {scales[1]} them; the number below is the side of the image in "
        f"pixels, and its height is drawn {scales[0]} it. "
    )
    words += "Dashed: what is copied. " * crops + "Without colour: the copied channels."
    lines = textwrap.wrap(words, int((width - 2 * EDGE) / LETTER))
    return [_text(line, EDGE, y + k * LABEL, "start") for k, line in enumerate(lines)], (
        y + len(lines) * LABEL
    )


def _spoken(left: Levels, right: Levels) -> str:
    """The figure in a sentence, for those who cannot see it."""
    down, up = (
        ", ".join(f"{level[2].channels} channels of {level[2].side} pixels" for level in path)
        for path in (left, right[::-1])
    )
    return (
        f"Contracting path, level by level: {down}. Expansive path: {up}. At every level of the "
        "expansive path the up-sampled image is concatenated with that of the contracting path."
    )
