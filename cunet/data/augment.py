"""Random training samples: shift, rotation, elastic deformation and grey values (section 3.1 of the
paper), mirror images, which it does not name, and zoom, shear and blur on request.

A tile is a square of points in its own frame; a sample is the image looked up at the moved points.
One field of moved points serves the image (bilinear), the labels (nearest) and the weights
(bilinear). Image (H, W, C), labels and weights (H, W); n is the side of the input tile, m that of
its middle, g the side of the grid of random vectors.

parameters() draws what a sample is made with, apply() makes it. A GPU makes its samples from the
same parameters by a kernel, and draws the noise itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cunet.checks import typed
from cunet.data.bend import displacement, simard_field
from cunet.data.labels import IGNORE
from cunet.data.lookup import bilinear, nearest
from cunet.data.on_disk import Pixels
from cunet.errors import CunetError, DataError


@dataclass(frozen=True)
class Augmentation:
    """What varies from sample to sample. Lengths are in pixels, grey values in image deviations.

    elastic: "grid" is the paper's, grid x grid vectors with components from N(0, sigma), bicubic in
    between; "simard" is that of Simard et al. 2003, a field uniform in (-1, 1), smoothed by a
    Gaussian and scaled by alpha; "none" leaves it out. contrast, brightness and curve are the
    largest changes of slope, of level, and of the slope at the dark and bright ends; noise is the
    largest deviation of the per-pixel noise.

    zoom, shear and blur are not in the paper, and 0 turns them off. The scale lies between
    1 / (1 + zoom) and 1 + zoom, evenly in its logarithm. A line is pushed along itself by up to
    shear times its distance from the middle, rows and columns each by a random share of it. blur is
    the largest deviation of a Gaussian. Raises CunetError.
    """

    elastic: str = "grid"
    grid: int = 3
    sigma: float = 10.0
    alpha: float = 34.0
    smoothing: float = 4.0
    rotate: bool = True
    mirror: bool = True
    shift: bool = True
    contrast: float = 0.25
    brightness: float = 0.25
    curve: float = 0.25
    noise: float = 0.1
    zoom: float = 0.0
    shear: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        typed(self)
        if self.elastic not in ("grid", "simard", "none"):
            raise CunetError(f"elastic must be grid, simard or none, found {self.elastic!r}")
        if self.grid < 2:
            raise CunetError(f"grid must be 2 or more, a node at each corner, found {self.grid}")
        for name in ("sigma", "brightness", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise CunetError(f"{name} must be 0 or more, found {getattr(self, name)}")
        for name in ("contrast", "brightness", "curve", "noise", "zoom", "shear", "blur"):
            object.__setattr__(self, name, getattr(self, name) + 0.0)  # -0.0 becomes 0.0
        if not (0 <= self.contrast < 1 and 0 <= self.curve < 1):
            raise CunetError(
                "contrast and curve must be in 0 <= value < 1, or grey values could turn over, "
                f"found {self.contrast} and {self.curve}"
            )
        if not (0 <= self.zoom < math.inf and 0 <= self.blur < math.inf and 0 <= self.shear < 1):
            raise CunetError(
                "zoom and blur must be 0 or more, and shear in 0 <= shear < 1, "
                f"found {self.zoom}, {self.blur} and {self.shear}"
            )


OFF = Augmentation(
    elastic="none",
    rotate=False,
    mirror=False,
    shift=False,
    contrast=0,
    brightness=0,
    curve=0,
    noise=0,
    zoom=0,
    shear=0,
    blur=0,
)


@dataclass(frozen=True)
class Parameters:
    """The random numbers of one sample, except those of its noise.

    top, left: the tile's first pixel in the image, a whole number that may lie outside. move (2, 2)
    float32 takes the tile's points, counted from its centre, to those of the image; vectors
    (2, g, g) float32 are the displacements at the nodes, field (2, n, n) those at all points, both
    moved already and None where the tile is not bent so. blur is a deviation in pixels. slope,
    curve and level (C) float32 change the grey values, and deviation is that of the noise.
    """

    top: int
    left: int
    move: np.ndarray
    vectors: np.ndarray | None
    field: np.ndarray | None
    blur: float
    slope: np.ndarray
    curve: np.ndarray
    level: np.ndarray
    deviation: np.float32


def parameters(
    rng: np.random.Generator, shape: tuple[int, ...], channels: int, size: int, how: Augmentation
) -> Parameters:
    """Draw a sample's numbers: of an image of this height and width, for a tile of this size."""
    if how.shift:
        top, left = (int(rng.integers(length)) - size // 2 for length in shape)
    else:
        top, left = ((length - size) // 2 for length in shape)
    turn = rng.uniform(0, 2 * np.pi) if how.rotate else 0.0
    flips = rng.choice((-1.0, 1.0), 2) if how.mirror else np.ones(2)
    sine, cosine = np.sin(turn), np.cos(turn)
    move = np.array([[cosine, -sine], [sine, cosine]]) * flips
    if how.zoom:
        limit = math.log1p(how.zoom)
        move *= math.exp(rng.uniform(-limit, limit))
    if how.shear:
        down, right = rng.uniform(-how.shear, how.shear, 2)
        # One after the other, (1 0; right 1)(1 down; 0 1): areas stay, zoom alone changes sizes.
        move = move @ [[1, down], [right, 1 + down * right]]
    move = move.astype(np.float32)
    vectors = field = None
    if how.elastic == "grid":
        # moved here, which is cheaper than to move the field
        drawn = rng.normal(0, how.sigma, (2, how.grid, how.grid))
        vectors = np.einsum("ab,bij->aij", move, drawn).astype(np.float32)
    elif how.elastic == "simard":
        field = simard_field(rng, size, how.alpha * move, how.smoothing)
    blur = rng.uniform(0, how.blur) if how.blur else 0.0
    slope, curve, level = (
        rng.uniform(-limit, limit, (channels,)).astype(np.float32)
        for limit in (how.contrast, how.curve, how.brightness)
    )
    deviation = np.float32(rng.uniform(0, how.noise))
    return Parameters(top, left, move, vectors, field, blur, slope, curve, level, deviation)


def draw(
    rng: np.random.Generator,
    image: Pixels,
    labels: Pixels,
    weights: Pixels,
    input_size: int,
    output_size: int,
    how: Augmentation,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sample, n the input and m the output size: x (n, n, C), w (m, m) float32, y (m, m).

    The image has zero mean and unit deviation. y (of the labels' dtype) and w are the middle m x m
    pixels of the tile. Beyond its border the image is mirrored, the edge pixel not repeated.
    Weights are 0 where the label is "ignore". With everything off (`OFF`) the sample is the centred
    crop, exactly. Raises DataError for images that differ in size.
    """
    if not image.shape[:2] == labels.shape == weights.shape:
        raise DataError(
            "image, labels and weights must be of one height and width, "
            f"found {image.shape[:2]}, {labels.shape} and {weights.shape}"
        )
    channels = image.shape[2]
    drawn = parameters(rng, labels.shape, channels, input_size, how)
    x, y, w = apply(drawn, image, labels, weights, input_size, output_size)
    if how.noise:
        noise = rng.standard_normal(x.shape, np.float32)
        noise *= drawn.deviation
        x += noise
    return x, y, w


def apply(
    drawn: Parameters,
    image: Pixels,
    labels: Pixels,
    weights: Pixels,
    input_size: int,
    output_size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sample of these numbers, as draw() returns it, without noise."""
    rows, columns = _points(drawn, input_size)
    edge = (input_size - output_size) // 2
    middle = (slice(edge, edge + output_size),) * 2
    x = bilinear(image, rows, columns, drawn.top, drawn.left)
    if drawn.blur:  # the tile is mirrored at its edges; before any noise, as optics do
        x = ndimage.gaussian_filter(x, drawn.blur, mode="mirror", axes=(0, 1))
    y = nearest(labels, rows[middle], columns[middle], drawn.top, drawn.left)
    w = bilinear(weights, rows[middle], columns[middle], drawn.top, drawn.left)[..., 0]
    w[y == IGNORE] = 0
    _vary_grey(x, drawn)
    return x, y, w


def _points(drawn: Parameters, size: int) -> list[np.ndarray]:
    """The points to look up: rows and columns (n, n) float32.

    The tile is bent first, then sheared, scaled, mirrored, rotated about its centre and shifted.
    The matrix is applied to the displacements too, since they are measured in the tile's frame.
    Points are counted from the tile's origin, so that float32 places them within 1e-4 pixels in an
    image of any size.
    """
    centre = np.float32((size - 1) / 2)
    line = np.arange(size, dtype=np.float32) - centre
    points = [np.add.outer(down * line, right * line + centre) for down, right in drawn.move]
    for i, point in enumerate(points):
        if drawn.vectors is not None:
            point += displacement(drawn.vectors[i], size)
        elif drawn.field is not None:
            point += drawn.field[i]
    return points


def _vary_grey(x: np.ndarray, drawn: Parameters) -> None:
    """Changes value curve, contrast and brightness of each channel of x (n, n, C), in place.

    x becomes (1 + slope) (x + curve (sqrt(1 + x^2) - 1)) + level. The curve is smooth and always
    rises, since the slope of the bracket stays within 1 - |curve| and 1 + |curve|.
    """
    if drawn.curve.any():
        bent = x * x
        bent += 1
        np.sqrt(bent, out=bent)
        bent -= 1
        bent *= drawn.curve
        x += bent
    if drawn.slope.any():
        x *= 1 + drawn.slope
    if drawn.level.any():
        x += drawn.level
