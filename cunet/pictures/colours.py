"""The colours of pictures: of classes, of single objects, of errors. Red, green, blue, 0 to 255."""

import numpy as np

# Okabe and Ito's palette, which colour-blind people can distinguish as well
SKY, GOLD, GREEN, YELLOW = (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE = (0, 114, 178), (213, 94, 0), (204, 121, 167)
CLASSES = [SKY, GOLD, GREEN, YELLOW, BLUE, VERMILION]


def class_colours(count: int) -> np.ndarray:
    """The colour of each class id (count, 3) uint8: black for 0, then the palette over and over.

    For more than two classes; the mask of two is drawn black and white.
    """
    table = np.zeros((count, 3), np.uint8)
    for k in range(1, count):
        table[k] = CLASSES[(k - 1) % len(CLASSES)]
    return table


def object_colours(count: int) -> np.ndarray:
    """A bright colour for each object number (count + 1, 3) uint8; black for 0, no object.

    The same number always has the same colour. From number to number, which are often neighbours,
    the hue moves on by the golden section of the circle, 138 degrees. Saturation and brightness
    take turns too, for the numbers whose hues come close.
    """
    number = np.arange(count)
    hue = number * (3 - 5**0.5) / 2 % 1
    saturation = np.array([1.0, 0.6, 0.8])[number % 3]
    value = np.array([1.0, 0.85])[number % 2]
    table = np.zeros((count + 1, 3), np.uint8)
    for channel, turn in enumerate((5, 3, 1)):  # HSV to RGB, channel by channel
        k = (turn + 6 * hue) % 6
        ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
        table[1:, channel] = np.rint(255 * value * (1 - saturation * ramp))
    return table


def heat(values: np.ndarray, highest: float) -> np.ndarray:
    """Values (H, W) from 0 to `highest` as colours (H, W, 3) uint8, dark to bright."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"](values / max(highest, 1e-30), bytes=True)
    return colours[..., :3]
