"""A synthetic stack of serial sections in electron microscopy: cells, dark membranes, organelles.

It is computed, not measured, and serves where no data set is at hand. Arrays are (n, H, W).
"""

from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from cunet.files.tiff_output import TiffOutput

SECTION_HEIGHT = 6.0  # in pixels: neighbouring sections are similar, not equal
CELL_DISTANCE = 34.0  # of neighbouring cells, on average, in pixels
SLICES, SIDE = 16, 256  # of the stack that write_stack writes


def membranes(slices: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, H, W) uint8 and their labels (n, H, W) uint8: 255 inside cells, 0 on membranes.

    Cells are sections through a three-dimensional Voronoi diagram with bent walls. Membranes are
    2 to 4 pixels wide and vary in darkness. Mitochondria and vesicles are as dark as membranes but
    lie inside cells, and cells and light vary, so no threshold finds the membranes. The same seed
    gives the same stack.
    """
    rng = np.random.default_rng(seed)
    cells = _cells(rng, slices, height, width)
    images = np.empty((slices, height, width), np.uint8)
    labels = np.empty((slices, height, width), np.uint8)
    level = rng.normal(0, 12, cells.max() + 1).astype(np.float32)
    mitochondria = _bodies(rng, slices, height, width, density=1 / 2800, radius=(7, 16))
    vesicles = _bodies(rng, slices, height, width, density=1 / 130, radius=(1.8, 4))
    for z, section in enumerate(cells):
        depth = _wall_distance(section)
        shape = section.shape
        half = 1.4 + 0.45 * np.clip(_smooth_noise(rng, shape, 12), -1.5, 1.3)
        wall = depth < half
        image = 160 + level[section]
        image += 13 * _smooth_noise(rng, shape, 1.2) + 8 * _smooth_noise(rng, shape, 4)
        for body in mitochondria:
            _draw_mitochondrion(image, depth, body, z)
        for body in vesicles:
            _draw_vesicle(image, depth, body, z)
        # Walls cut at a slant are pale and blurred; here by patches.
        share = np.clip(0.72 + 0.2 * _smooth_noise(rng, shape, 9), 0.25, 0.95)
        _darken(image, share * np.clip(half + 0.5 - depth, 0, 1))
        image = ndimage.gaussian_filter(image, 0.7)
        image *= 1 + 0.1 * _smooth_noise(rng, shape, 50)
        image += rng.normal(0, 6) + rng.normal(0, 18, shape)
        images[z] = np.clip(np.rint(image), 0, 255)
        labels[z] = np.where(wall, 0, 255)
    return images, labels


def _cells(rng: np.random.Generator, slices: int, height: int, width: int) -> np.ndarray:
    """The cell of every pixel (n, H, W): the nearest of random points, seen through bent space."""
    margin = 1.5 * CELL_DISTANCE
    box = np.array([slices * SECTION_HEIGHT, height, width]) + 2 * margin
    count = int(np.ceil(box.prod() / CELL_DISTANCE**3))
    points = rng.random((count, 3)) * box
    # Now and then a large cell: the other points keep away from its middle.
    large = rng.random((int(np.ceil(box.prod() / (4 * CELL_DISTANCE) ** 3)), 3)) * box
    clear = cKDTree(large).query(points)[0] > 1.6 * CELL_DISTANCE
    tree = cKDTree(np.concatenate([points[clear], large]) - margin)
    cells = np.empty((slices, height, width), np.int32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    bend = [7 * _smooth_noise(rng, (height, width), 14) for _ in range(2)]
    for z in range(slices):
        # The bending drifts slowly too, so walls do not keep their shape through the stack.
        bend = [0.97 * part + 1.7 * _smooth_noise(rng, (height, width), 14) for part in bend]
        where = [np.full(rows.shape, z * SECTION_HEIGHT), rows + bend[0], columns + bend[1]]
        cells[z] = tree.query(np.stack(where, axis=-1))[1]
    return cells


def _wall_distance(section: np.ndarray) -> np.ndarray:
    """Distance in pixels (H, W) to the nearest pixel that has a neighbour in another cell."""
    wall = np.zeros(section.shape, bool)
    below, right = section[:-1] != section[1:], section[:, :-1] != section[:, 1:]
    wall[:-1] |= below
    wall[1:] |= below
    wall[:, :-1] |= right
    wall[:, 1:] |= right
    return ndimage.distance_transform_edt(~wall).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Noise (H, W) float32 of zero mean and unit deviation, smooth over sigma pixels."""
    # Wide noise is made small and enlarged: as smooth, and much cheaper.
    step = max(1, int(sigma / 3))
    small = [length // step + 3 for length in shape]
    noise = rng.standard_normal(small, np.float32)
    noise = ndimage.gaussian_filter(noise, sigma / step, mode="wrap")
    if step > 1:
        noise = ndimage.zoom(noise, step, order=1)
    noise = noise[: shape[0], : shape[1]]
    return (noise - noise.mean()) / noise.std()


def _bodies(
    rng: np.random.Generator,
    slices: int,
    height: int,
    width: int,
    density: float,
    radius: tuple[float, float],
) -> np.ndarray:
    """Random ellipsoids (k, 7), each a few sections high.

    Columns: section, row, column of the centre, long and short radius, angle, height in sections.
    density is how many of them a section cuts, per pixel.
    """
    count = max(1, round(density * height * width * (slices + 4) / 2))
    long = rng.uniform(*radius, count)
    return np.column_stack(
        [
            rng.uniform(-2, slices + 2, count),
            rng.uniform(0, height, count),
            rng.uniform(0, width, count),
            long,
            long * rng.uniform(0.5, 1, count),
            rng.uniform(0, np.pi, count),
            rng.uniform(0.7, 1.6, count),
        ]
    )


def _cut(
    shape: tuple[int, ...], body: np.ndarray, z: int
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """The ellipse in which section z cuts a body: its window, distance from its outline in pixels
    (negative inside), and the coordinate along its axis. None where it is not cut."""
    level, row, column, long, short, angle, high = body
    share = 1 - ((z - level) / high) ** 2
    if share < 0.1:
        return None
    long, short = long * np.sqrt(share), short * np.sqrt(share)
    top, left = max(int(row - long - 3), 0), max(int(column - long - 3), 0)
    bottom, right = min(int(row + long + 4), shape[0]), min(int(column + long + 4), shape[1])
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    rows, columns = rows - row, columns - column
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = np.cos(angle) * rows - np.sin(angle) * columns
    radius = np.hypot(along / long, across / short)
    return (slice(top, bottom), slice(left, right)), (radius - 1) * short, along


def _darken(image: np.ndarray, share: np.ndarray) -> None:
    """Moves image by a share (0 to 1) towards the grey of membranes, in place."""
    image += share * (55 - image)


def _draw_mitochondrion(image: np.ndarray, depth: np.ndarray, body: np.ndarray, z: int) -> None:
    """Darkens an ellipse with a dark outline and stripes, where it is clear of the walls."""
    if (cut := _cut(image.shape, body, z)) is None:
        return
    window, outside, along = cut
    clear = np.clip((depth[window] - 3) / 2, 0, 1)
    # Its outline follows the wall where the cell is too narrow for it.
    outside = np.maximum(outside, 4.5 - depth[window])
    inside = np.clip(0.5 - outside, 0, 1)
    outline = np.exp(-((outside / 1.2) ** 2))
    stripes = 0.5 + 0.5 * np.sin(1.3 * along + body[0])
    _darken(image[window], clear * np.maximum(inside * (0.25 + 0.3 * stripes), 0.7 * outline))


def _draw_vesicle(image: np.ndarray, depth: np.ndarray, body: np.ndarray, z: int) -> None:
    """Darkens a small disc with a paler middle, where it is clear of the walls."""
    if (cut := _cut(image.shape, body, z)) is None:
        return
    window, outside, _ = cut
    clear = np.clip((depth[window] - 2.5) / 2, 0, 1)
    disc = np.clip(0.7 - outside, 0, 1) - 0.8 * np.clip(-0.8 - outside, 0, 1)
    _darken(image[window], 0.65 * clear * disc)


def write_stack(folder: Path, seed: int) -> None:
    """A synthetic stack in the ISBI 2012 layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, stack in zip(
        ("train-volume.tif", "train-labels.tif"), membranes(SLICES, SIDE, SIDE, seed), strict=True
    ):
        with TiffOutput(folder / name, SLICES, SIDE, SIDE, np.uint8) as file:
            for page, pixels in enumerate(stack):
                file.write_rows(page, 0, pixels)
