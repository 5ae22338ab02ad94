"""Random training samples: shift, rotation, mirroring, elastic deformation and grey values
(section 3.1 of the paper), and zoom, shear and blur on request.

A tile is a square of points in its own frame; a sample is the image looked up at the moved points.
One field of moved points serves the image (bilinear), the labels (nearest) and the weights
(bilinear). Image (H, W, C), labels and weights (H, W); n is the side of the input tile, g the side
of the grid of random vectors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from cunet.data.labels import IGNORE
from cunet.data.lookup import bilinear, nearest
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


def draw(
    rng: np.random.Generator,
    image: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
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
    (top, left), rows, columns = _points(rng, labels.shape, input_size, how)
    edge = (input_size - output_size) // 2
    middle = (slice(edge, edge + output_size),) * 2
    x = _blur(rng, bilinear(image, rows, columns, top, left), how)
    y = nearest(labels, rows[middle], columns[middle], top, left)
    w = bilinear(weights[..., None], rows[middle], columns[middle], top, left)[..., 0]
    w[y == IGNORE] = 0
    return _vary_grey(rng, x, how), y, w


def displacement(vectors: np.ndarray, size: int) -> np.ndarray:
    """The field (n, n) float32 through vectors (g, g) that stand from corner to corner of a tile.

    It is the interpolating cubic spline, mirrored at the tile's edges. Splines are linear and
    separable, hence B^T vectors B with one small basis B (g, n) for each size.
    """
    basis = _basis(size, len(vectors))
    # einsum, unlike BLAS, sums in one order whatever the number of threads.
    lines = np.einsum("in,ij->nj", basis, vectors.astype(np.float32))
    return np.einsum("nj,jm->nm", lines, basis)


def _points(
    rng: np.random.Generator, shape: tuple[int, ...], size: int, how: Augmentation
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The tile's origin (a whole pixel), and the points to look up: rows, columns (n, n) float32.

    The tile is bent first, then sheared, scaled, mirrored, rotated about its centre and shifted.
    The matrix is applied to the displacements too, since they are measured in the tile's frame.
    Points are counted from the tile's origin, so that float32 places them within 1e-4 pixels in an
    image of any size.
    """
    if how.shift:
        origin = [int(rng.integers(length)) - size // 2 for length in shape]
    else:
        origin = [(length - size) // 2 for length in shape]
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

    centre = np.float32((size - 1) / 2)
    line = np.arange(size, dtype=np.float32) - centre
    points = [np.add.outer(down * line, right * line + centre) for down, right in move]
    if how.elastic != "none":
        bend = _grid_field if how.elastic == "grid" else _simard_field
        for point, field in zip(points, bend(rng, size, how, move), strict=True):
            point += field
    return origin, points[0], points[1]


def _grid_field(
    rng: np.random.Generator, size: int, how: Augmentation, move: np.ndarray
) -> Sequence[np.ndarray]:
    """The paper's displacements (2, n, n): random vectors at the nodes, splines in between.

    move (2, 2) is applied to the vectors, which is cheaper than to the field.
    """
    vectors = rng.normal(0, how.sigma, (2, how.grid, how.grid))
    return [displacement(part, size) for part in np.einsum("ab,bij->aij", move, vectors)]


def _simard_field(
    rng: np.random.Generator, size: int, how: Augmentation, move: np.ndarray
) -> Sequence[np.ndarray]:
    """Displacements (2, n, n) of Simard et al. 2003: noise, smoothed, times alpha, then moved."""
    field = rng.random((2, size, size), np.float32) * 2 - 1
    smooth = ndimage.gaussian_filter(field, how.smoothing, mode="constant", axes=(1, 2))
    return np.einsum("ab,bnm->anm", how.alpha * move, smooth)


@lru_cache(maxsize=16)
def _basis(size: int, nodes: int) -> np.ndarray:
    """(g, n) float32: row j is the spline through 1 at node j and 0 at the other nodes."""
    where = np.linspace(0, nodes - 1, size)[None]
    basis = np.empty((nodes, size), np.float32)
    for node, unit in enumerate(np.eye(nodes)):
        basis[node] = ndimage.map_coordinates(unit, where, order=3, mode="mirror")
    basis.flags.writeable = False
    return basis


def _blur(rng: np.random.Generator, x: np.ndarray, how: Augmentation) -> np.ndarray:
    """x (n, n, C) smoothed, the tile mirrored at its edges; before any noise, as optics do."""
    if not how.blur:
        return x
    deviation = rng.uniform(0, how.blur)
    return ndimage.gaussian_filter(x, deviation, mode="mirror", axes=(0, 1))


def _vary_grey(rng: np.random.Generator, x: np.ndarray, how: Augmentation) -> np.ndarray:
    """Changes contrast, brightness and value curve of each channel of x (n, n, C), and adds noise.

    In place: x becomes slope (x + bend (sqrt(1 + x^2) - 1)) + level + noise. The curve is smooth
    and always rises, since the slope of the bracket stays within 1 - |bend| and 1 + |bend|.
    """
    channels = x.shape[-1]
    slope, bend, level = (
        rng.uniform(-limit, limit, (channels,)).astype(np.float32)
        for limit in (how.contrast, how.curve, how.brightness)
    )
    deviation = np.float32(rng.uniform(0, how.noise))
    if how.curve:
        x += bend * (np.sqrt(1 + x * x) - 1)
    if how.contrast:
        x *= 1 + slope
    if how.brightness:
        x += level
    if how.noise:
        x += deviation * rng.standard_normal(x.shape, np.float32)
    return x
