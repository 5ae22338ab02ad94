"""The pictures of the report, as PNG inside the page. H W: height and width of a slice."""

import base64
import io
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt, label

from cunet.data.dataset import IGNORE
from cunet.metrics import warping
from cunet.plots import heat

LARGEST = 640  # pixels of a picture's longer side on the page
FINE = 256  # pictures of more pixels a side are smoothed by the browser

# Okabe and Ito's palette: told apart by colour-blind people as well
SKY, GOLD, GREEN, YELLOW = (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE = (0, 114, 178), (213, 94, 0), (204, 121, 167)
OUTLINE, MISSED, INVENTED, IGNORED = YELLOW, BLUE, VERMILION, PURPLE
MERGED, CUT = VERMILION, SKY
CLASSES = [SKY, GOLD, GREEN, YELLOW, BLUE, VERMILION]


@dataclass(frozen=True)
class Example:
    """A slice as shown: image (H, W, C), class ids, weight map and probability (H, W), its Dice."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    probability: np.ndarray
    dice: float


def image_picture(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as gray (H, W) or colour (H, W, 3) uint8; 1 % of the pixels saturate."""
    shown = image if image.shape[2] == 3 else image.mean(axis=2)
    low, high = np.percentile(shown, (0.5, 99.5))
    scaled = (shown - low) / max(float(high) - float(low), 1e-30)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def label_picture(labels: np.ndarray, classes: int) -> np.ndarray:
    """Class ids (H, W) as colours (H, W, 3): black and white for two classes."""
    palette = np.zeros((256, 3), np.uint8)
    for k in range(1, min(classes, IGNORE)):
        palette[k] = (255, 255, 255) if classes == 2 else CLASSES[(k - 1) % len(CLASSES)]
    palette[IGNORE] = IGNORED
    return palette[labels]


def error_picture(example: Example) -> np.ndarray:
    """The image (H, W, 3) with what is missed and invented coloured, and the prediction's outline.

    The prediction is probability > 0.5; ignored pixels are no errors.
    """
    picture = _in_colour(example.image)
    found, counted = example.probability > 0.5, example.labels != IGNORE
    truth = counted & (example.labels > 0)
    for where, colour in ((truth & ~found, MISSED), (counted & found & ~truth, INVENTED)):
        picture[where] = 0.3 * picture[where] + 0.7 * np.array(colour)
    picture[found & ~binary_erosion(found, border_value=1)] = OUTLINE
    return np.rint(picture).astype(np.uint8)


def topology_errors(
    probability: np.ndarray, truth: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where a slice's warping error at this threshold lies: merges and splits, (H, W) bool each."""
    found = probability.astype(np.float64) > threshold
    kinds = warping.classify(warping.warp(probability, truth, threshold), found)
    return kinds == warping.MERGE, kinds == warping.SPLIT


def topology_picture(image: np.ndarray, merges: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) with merges and splits coloured, and a ring around each place.

    The rings show single pixels in a large image; their size goes with that of the image.
    """
    picture, side = _in_colour(image), max(image.shape[:2])
    gap, width = max(1, side // 128), max(1, side // 170)
    marks = [(where, colour) for where, colour in ((merges, MERGED), (splits, CUT)) if where.any()]
    for where, colour in marks:
        distance = distance_transform_edt(~where)
        picture[(distance > gap) & (distance <= gap + width)] = colour
    for where, colour in marks:
        picture[where] = colour
    return np.rint(picture).astype(np.uint8)


def places(where: np.ndarray, name: str) -> str:
    """How many places and pixels (H, W) bool marks; pixels that touch at a corner are one place."""
    count, pixels = label(where, np.ones((3, 3)))[1], int(where.sum())
    said = f"{count:,} {name}{'s' * (count != 1)}"
    return f"{said} ({pixels:,} pixel{'s' * (pixels != 1)})" if count else f"no {name}"


def _in_colour(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as red, green and blue (H, W, 3) from 0 to 255, to be drawn upon."""
    gray = image_picture(image)
    return (gray if gray.ndim == 3 else np.repeat(gray[..., None], 3, axis=2)).astype(float)


def pictures(
    example: Example, classes: int, thresholds: dict[str, float] | None = None
) -> list[tuple[str, str]]:
    """(caption, data URI) of a slice: errors, image, labels, weight map, probability.

    With the best thresholds of the ISBI 2012 scores two more: merges and splits after the first,
    and the probability cut at that of the pixel error as the last.
    """
    highest = float(example.weights.max())
    probability = np.rint(255 * example.probability).astype(np.uint8)
    shown = [
        ("prediction on the image", data_uri(error_picture(example))),
        ("image", data_uri(image_picture(example.image))),
        ("label", data_uri(label_picture(example.labels, classes))),
        (f"weight map, 0 (dark) to {highest:.3g}", data_uri(heat(example.weights, highest))),
        ("probability, 0 to 1", data_uri(probability)),
    ]
    if thresholds:
        where = thresholds["warping_error"]
        merges, splits = topology_errors(example.probability, example.labels > 0, where)
        said = f"{places(merges, 'merge')} and {places(splits, 'split')} at threshold {where:.1f}"
        shown.insert(1, (said, data_uri(topology_picture(example.image, merges, splits))))
        best = thresholds["pixel_error"]
        found = np.where(example.probability.astype(np.float64) > best, 255, 0).astype(np.uint8)
        shown.append((f"probability above {best:.1f}, best for the pixel error", data_uri(found)))
    return shown


def figures(example: Example, classes: int, thresholds: dict[str, float] | None = None) -> str:
    """The pictures of a slice, as a grid of the page."""
    fine = ' class="fine"' if min(example.labels.shape) >= FINE else ""
    shown = [
        f'<figure><img{fine} src="{uri}" alt="{escape(f"{example.name}: {caption}")}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, uri in pictures(example, classes, thresholds)
    ]
    kind = "slice scored" if thresholds else "slice"
    return f'<div class="{kind}">\n' + "\n".join(shown) + "\n</div>"


def key(picture: str, *meanings: tuple[tuple[int, int, int], str]) -> str:
    """What the colours of a picture mean."""
    spans = (
        f'<span class="key"><span class="swatch" style="background: rgb{colour}"></span>'
        f"{meaning}</span> "
        for colour, meaning in meanings
    )
    return f'<p class="keys">{picture}: {"".join(spans)}</p>'


def data_uri(picture: np.ndarray) -> str:
    """An array (H, W) or (H, W, 3) uint8 as the address of a PNG that stands in itself."""
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    output = io.BytesIO()
    image.save(output, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(output.getvalue()).decode()
