"""Images to augment: a smooth scene, and one whose pixels tell where they are."""

import numpy as np
from PIL import Image
from scipy import ndimage


def scene(height=90, width=110, channels=1, seed=0):
    """A smooth image, labels that follow it, and weights; read-only."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.standard_normal((height, width, channels)), (4, 4, 0))
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    labels = (image[..., 0] > 0).astype(np.uint8)
    weights = (1 + rng.random((height, width))).astype(np.float32)
    for array in (image, labels, weights):
        array.flags.writeable = False
    return image, labels, weights


def picture():
    """The image of the scene in 8 bits, and its labels."""
    image, labels, _ = scene()
    return np.uint8(np.clip(128 + 40 * image[..., 0], 0, 255)), labels


def picture_folder(folder):
    """The same as a data set in a folder."""
    for name, pixels in zip(("images", "labels"), picture(), strict=True):
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "a.png")


def coordinates(size):
    """An image (size, size, 2) whose channels are its own row and column numbers."""
    return np.stack(np.mgrid[:size, :size], -1).astype(np.float32)
