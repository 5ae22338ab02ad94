"""The pictures of the report, as PNG inside the page. H W: height and width of a slice."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import (
    binary_erosion,
    distance_transform_edt,
    label,
    maximum_filter,
    minimum_filter,
)

from cunet.data.labels import IGNORE
from cunet.metrics import warping
from cunet.pictures.colours import (
    BLUE,
    GREEN,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    class_colours,
    heat,
    object_colours,
)
from cunet.pictures.inline import data_address
from cunet.terminal import plural

MAX_SIDE = 640  # pixels of a picture's longer side on the page
SAME_COLOUR = 1e-3  # of the highest weight: what differs by less looks the same

OUTLINE, MISSED, INVENTED, IGNORED = YELLOW, BLUE, VERMILION, PURPLE
CONFUSED, TRUE_BORDER = GREEN, YELLOW
UNKNOWN = (90, 90, 90)  # grey, since cells have all colours
MERGED, CUT = VERMILION, SKY


@dataclass(frozen=True)
class Example:
    """A slice as shown: image (H, W, C), class ids, weight map and probability of white (H, W).

    value is its score. classes (H, W) are the most probable ones, of more than two; objects are the
    true and the found cell numbers (H, W), where the data set numbers its cells.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    probability: np.ndarray
    value: float
    classes: np.ndarray | None = None
    objects: tuple[np.ndarray, np.ndarray] | None = None
    caption: str = ""  # of the picture of the objects

    @property
    def weighs_unevenly(self) -> bool:
        """Whether a picture of the weight map would have more than one colour.

        Pixels to be ignored, which weigh nothing, are left aside.
        """
        return uneven(self.weights, self.labels)

    @property
    def found(self) -> np.ndarray:
        """(H, W) bool: what is found white."""
        return self.probability > 0.5 if self.classes is None else self.classes > 0


def uneven(weights: np.ndarray, labels: np.ndarray) -> bool:
    """Whether pixels (H, W) that are not ignored have weights that look different."""
    counted = weights[labels != IGNORE]
    if not counted.size:
        return False
    lowest, highest = float(counted.min()), float(counted.max())
    return highest - lowest > SAME_COLOUR * highest


def image_picture(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as grey (H, W) or colour (H, W, 3) uint8; 1 % of the pixels saturate."""
    shown = image if image.shape[2] == 3 else image.mean(axis=2)
    low, high = np.percentile(shown, (0.5, 99.5))
    scaled = (shown - low) / max(float(high) - float(low), 1e-30)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def label_picture(labels: np.ndarray, classes: int) -> np.ndarray:
    """Class ids (H, W) as colours (H, W, 3): black and white for two classes."""
    palette = np.zeros((256, 3), np.uint8)
    known = min(classes, IGNORE)
    palette[1:known] = 255 if classes == 2 else class_colours(known)[1:]
    palette[IGNORE] = IGNORED
    return palette[labels]


def error_picture(example: Example) -> np.ndarray:
    """The image (H, W, 3) with what is missed and invented coloured, and the prediction's outline.

    The prediction is probability > 0.5, or of more than two classes the most probable one, where a
    wrong class other than the first is coloured too; ignored pixels are no errors. Where there is a
    picture of the objects, outlines are left to it.
    """
    picture, width = _in_colour(example.image), _line(example.image)
    found, counted = example.found, example.labels != IGNORE
    truth = counted & (example.labels > 0)
    for where, colour in ((truth & ~found, MISSED), (counted & found & ~truth, INVENTED)):
        picture[where] = 0.3 * picture[where] + 0.7 * np.array(colour)
    if example.objects is None:
        picture[found & ~binary_erosion(found, iterations=width, border_value=1)] = OUTLINE
    if example.classes is not None:
        picture[truth & found & (example.labels != example.classes)] = CONFUSED
    return np.rint(picture).astype(np.uint8)


def found_picture(image: np.ndarray, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) under the found objects' colours, with the borders of the true objects.

    As in Fig. 4 of the paper. truth and found are numbers (H, W); a border is drawn inside. Large
    objects come first in the table of colours, so that they differ most even among many specks.
    """
    picture, inside = _in_colour(image), found > 0
    sizes = np.bincount(found[inside], minlength=1)
    rank = np.empty(len(sizes), np.intp)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    colours = object_colours(len(sizes))[rank[found[inside]]]
    picture[inside] = 0.6 * picture[inside] + 0.4 * colours
    size = 2 * _line(image) + 1
    same = minimum_filter(truth, size, mode="nearest") == maximum_filter(
        truth, size, mode="nearest"
    )
    picture[(truth > 0) & ~same] = TRUE_BORDER
    return np.rint(picture).astype(np.uint8)


def cells_picture(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The true cells (H, W) in colours (H, W, 3), and grey what is to be ignored."""
    _, numbers = np.unique(np.append(truth, 0), return_inverse=True)
    picture = object_colours(int(numbers.max()))[numbers[:-1].reshape(truth.shape)]
    picture[labels == IGNORE] = UNKNOWN
    return picture


def weight_picture(weights: np.ndarray, highest: float) -> np.ndarray:
    """A weight map (H, W) as colours (H, W, 3), 0 dark, `highest` bright.

    In a map that is made smaller each pixel first takes the largest weight nearby: the line between
    touching cells is one pixel wide and would fade in a mean.
    """
    return heat(maximum_filter(weights, _line(weights)), highest)


def topology_errors(
    probability: np.ndarray, truth: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where a slice's warping error at this threshold lies: merges and splits, (H, W) bool each."""
    found = probability.astype(np.float64) > threshold
    kinds = warping.classify(warping.warp(probability, truth, threshold), found)
    return kinds == warping.MERGE, kinds == warping.SPLIT


def topology_picture(image: np.ndarray, merges: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) with merges and splits coloured, and a ring around each place.

    The rings make single pixels visible in a large image; they grow with the image.
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
    return f"{plural(count, name)} ({plural(pixels, 'pixel')})" if count else f"no {name}"


def _line(image: np.ndarray) -> int:
    """The width of a line that is about one pixel wide once the picture is made smaller."""
    return -(-max(image.shape[:2]) // MAX_SIDE)


def _in_colour(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as red, green and blue (H, W, 3) from 0 to 255, to be drawn upon."""
    grey = image_picture(image)
    return (grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)).astype(float)


def data_uri(picture: np.ndarray) -> str:
    """An array (H, W) or (H, W, 3) uint8 as a data URI that holds a PNG."""
    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return data_address(image, optimize=True)


def photograph_uri(picture: np.ndarray) -> str:
    """The same as a JPEG, a fifth of the bytes, for what is looked at and not measured."""
    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return data_address(image, "jpeg", quality=60, subsampling=0, optimize=True)
