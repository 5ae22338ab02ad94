"""What is "averaged over 7 rotated versions of the input data" worth? (Paper, section 4.)

No code of the authors for it is public. Every reading in use is tried here on the held-out slices
of a run, each with the probabilities averaged and with the logits averaged:

    none       the slice as it is
    mirrors    4 mirror images (average_mirror of the authors' release of 2015)
    quarters   4 quarter turns (average_rotate of their later Caffe)
    seven      the 7 other rotations and reflections of the square, the slice itself not among them
    square     all 8; what `cunet segment --average rotations` does, with probabilities
    sevenths   7 turns of 360/7 degrees, with bilinear interpolation there and back

    python examples/paper/averaging.py runs/isbi2012-1

For grey slices with an even number of rows and columns; each view is of one tile around a slice.
"""

import argparse
import math
import sys

import numpy as np
from scipy.ndimage import rotate

from cunet.data.labels import cells
from cunet.data.mirror import reflect
from cunet.errors import CunetError
from cunet.metrics import isbi2012
from cunet.net import checkpoint
from cunet.net.sizes import margin
from cunet.net.tiles import tile_for_output
from cunet.net.unet import UNet
from cunet.segmentation.views import AVERAGES, average_views
from cunet.training.config import Config
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_settings

KEYS = isbi2012.KEYS
SQUARE = AVERAGES["rotations"]  # (transposed, rows flipped, columns flipped), the identity first
READINGS = {
    "none": SQUARE[:1],
    "mirrors": AVERAGES["flips"],
    # a quarter turn is a transposition and one flip, a half turn two flips
    "quarters": [view for view in SQUARE if view[0] == (view[1] != view[2])],
    "seven": SQUARE[1:],
    "square": SQUARE,
}


def square_views(net: UNet, image: np.ndarray) -> np.ndarray:
    """Probabilities of cell (8, H, W) of a slice (H, W, 1), one for every view of the square."""
    tile = tile_for_output(max(image.shape), net.shape.depth)
    rows, columns = (reflect(-margin(net.shape.depth), tile, side) for side in image.shape[:2])
    cut = image[rows[:, None], columns]
    views = [average_views(net, cut, [view])[..., 1] for view in SQUARE]
    return np.stack([p[: image.shape[0], : image.shape[1]] for p in views])


def turned_views(net: UNet, image: np.ndarray, count: int = 7) -> np.ndarray:
    """Probabilities of cell (count, H, W) from turns of 360 / count degrees about the centre."""
    height, width = image.shape[:2]
    tile = tile_for_output(math.ceil(math.hypot(height, width)), net.shape.depth)
    around = [math.ceil((math.sqrt(2) * tile - side) / 2) for side in (height, width)]
    rows, columns = (
        reflect(-edge, side + 2 * edge, side)
        for edge, side in zip(around, (height, width), strict=True)
    )
    wide = image[rows[:, None], columns]  # mirrored far enough for a turned tile
    views = []
    for k in range(count):
        turned = rotate(wide, 360 * k / count, reshape=False, order=1, mode="nearest")
        p = average_views(net, middle(turned, tile, tile), SQUARE[:1])[..., 1]
        back = rotate(p, -360 * k / count, reshape=False, order=1, mode="nearest")
        views.append(middle(back, height, width))
    return np.stack(views)


def middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The central part of an image."""
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def mean_of_logits(p: np.ndarray) -> np.ndarray:
    """The probability whose logit is the mean of theirs; p (views, H, W)."""
    p = np.clip(p.astype(np.float64), 1e-12, 1 - 1e-12)
    return 1 / (1 + np.exp(-np.log(p / (1 - p)).mean(axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="run folder of a training with --fold")
    run = parser.parse_args().run
    try:
        prepared = prepare(Config(**read_settings(run)))
        net = checkpoint.load(f"{run}/last.npz")
    except CunetError as error:
        sys.exit(f"error: {error}")
    if not prepared.held_out:
        sys.exit(f"error: run '{run}' held out no slices; train with --fold 0/5")
    odd = [side for image in prepared.dataset.images for side in image.shape[:2] if side % 2]
    if odd or net.shape.in_channels > 1 or net.shape.classes > 2:
        sys.exit("error: this needs grey slices with even sides, and two classes")
    truth = np.stack([cells(prepared.dataset.labels[i]) for i in prepared.held_out])
    images = [net.normalization.apply(prepared.dataset.images[i]) for i in prepared.held_out]
    square = np.stack([square_views(net, image) for image in images], axis=1)
    sevenths = np.stack([turned_views(net, image) for image in images], axis=1)
    print(f"{run}, last.npz, {len(images)} held-out slices\n")
    print(f"{'reading':<10}{'views':>6}  {'averaged':<14}" + "".join(f"{k:>15}" for k in KEYS))
    for name in [*READINGS, "sevenths"]:
        views = sevenths
        if name in READINGS:
            views = square[[SQUARE.index(view) for view in READINGS[name]]]
        means = {"probabilities": views.mean(axis=0), "logits": mean_of_logits(views)}
        for what, p in means.items():
            scores = isbi2012.evaluate(p, truth)
            line = "".join(f"{scores[key]:>15.6f}" for key in KEYS)
            print(f"{name:<10}{len(views):>6}  {what:<14}{line}", flush=True)
            if len(views) == 1:
                break


if __name__ == "__main__":
    main()
