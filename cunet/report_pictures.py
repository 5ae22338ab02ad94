"""The pictures of the report, as PNG inside the page. H W: height and width of a slice."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from cunet.data.dataset import IGNORE
from cunet.plots import heat

LARGEST = 640  # pixels of a picture's longer side on the page

# Okabe and Ito's palette: told apart by colour-blind people as well
SKY, GOLD, GREEN, YELLOW = (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE = (0, 114, 178), (213, 94, 0), (204, 121, 167)
OUTLINE, MISSED, INVENTED, IGNORED = YELLOW, BLUE, VERMILION, PURPLE
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
    gray = image_picture(example.image)
    picture = (gray if gray.ndim == 3 else np.repeat(gray[..., None], 3, axis=2)).astype(float)
    found, counted = example.probability > 0.5, example.labels != IGNORE
    truth = counted & (example.labels > 0)
    for where, colour in ((truth & ~found, MISSED), (counted & found & ~truth, INVENTED)):
        picture[where] = 0.3 * picture[where] + 0.7 * np.array(colour)
    picture[found & ~binary_erosion(found, border_value=1)] = OUTLINE
    return np.rint(picture).astype(np.uint8)


def pictures(example: Example, classes: int) -> list[tuple[str, str]]:
    """(caption, data URI) of a slice: errors, image, labels, weight map, probability."""
    highest = float(example.weights.max())
    probability = np.rint(255 * example.probability).astype(np.uint8)
    return [
        ("prediction on the image", data_uri(error_picture(example))),
        ("image", data_uri(image_picture(example.image))),
        ("label", data_uri(label_picture(example.labels, classes))),
        (f"weight map, 0 (dark) to {highest:.3g}", data_uri(heat(example.weights, highest))),
        ("probability, 0 to 1", data_uri(probability)),
    ]


def data_uri(picture: np.ndarray) -> str:
    """An array (H, W) or (H, W, 3) uint8 as the address of a PNG that stands in itself."""
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    output = io.BytesIO()
    image.save(output, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(output.getvalue()).decode()
