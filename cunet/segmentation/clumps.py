"""Clumps of touching objects cut apart, by the shape of the mask alone.

Both ways flood the distance to the background from markers, the highest pixels first (Meyer 1991):
where two floods meet is the cut. They differ in the markers:

* at necks: every peak of the distance, and then what is cut at no neck is joined again;
* by K-means: the centres of K-means on the coordinates of a component's pixels, as many as the
  elbow of the errors says (a students' report on U-Net; its rule for the elbow is not known).

scipy.ndimage.watershed_ift is no help: it floods by the difference of neighbouring values, which in
a map of distances is the same nearly everywhere, and cuts anywhere but at the neck.

What came of true masks whose touching cells were merged (matched: IoU > 0.5; F1 of the matches):

                          cells   4-connected components   necks         K-means
    122 images, DSB 2018  5,527   4,254 matched, 0.853     4,988, 0.940  4,774, 0.897
    DIC-C2DH-HeLa           195      94 matched, 0.571       174, 0.874    130, 0.679
    PhC-C2DH-U373           100     100 matched, 1.000        99, 0.900    100, 0.697

On the masks of a small network (DIC-C2DH-HeLa/02, which it was trained on; objects from 300 pixels,
8-connected) SEG was 0.60 with components, 0.79 with necks and 0.75 with K-means.

PhC-C2DH-U373's cells do not touch and have long arms, at whose roots both ways cut: components are
right there. K-means sees where pixels are, not how wide the mask is: a compact clump of many has no
elbow, and a bent object looks like a clump to it.
"""

import heapq
import warnings

import numpy as np
from scipy import ndimage

from cunet.compiled import compiled

STEPS = 8  # heights in steps of 1 / STEPS pixel: differences below are no ridge and no valley
SMOOTH = 1.0  # pixels, standard deviation: the outline's steps make no peaks
# Two peaks are two objects where the distance falls between them from the lower one by more than a
# pixel and by more than a tenth.
NECK, NOTCH = 0.9, 1.0
CONVEX = 0.9  # a component that fills more of its convex hull is one object to K-means
MOST = 8  # objects that K-means looks for in a component
LEAST = 20  # pixels an object has at least, on average, for K-means to look for it
SAMPLE = 5000  # pixels of a component that K-means needs; of more it takes every second, third ...


def split_at_necks(numbered: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """Objects (H, W) int32 from components, each cut at its necks; numbered in no special order.

    structure (3, 3) bool: which pixels are neighbours. A neck is where two peaks of the distance
    to the background are parted by a stretch lower than both; how much lower is NECK and NOTCH.
    Convex objects, long thin ones and bent ones of even width stay whole.
    """
    height = heights(numbered)
    peaks = (ndimage.maximum_filter(height, footprint=structure) == height) & (numbered > 0)
    basins = ndimage.label(peaks, structure)[0].astype(np.int32, copy=False)
    _flood(basins, height, neighbours(structure))
    return joined(basins, height, structure)[basins]


def joined(basins: np.ndarray, height: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """For each basin number the number of the object it belongs to.

    Passes are taken from the highest down. Where two basins meet at a pass that is hardly lower
    than the lower one's peak they become one, which keeps the higher peak.
    """
    count = int(basins.max(initial=0))
    peak = np.zeros(count + 1, np.int64)
    np.maximum.at(peak, basins.ravel(), height.ravel())
    owner = list(range(count + 1))

    def top(basin: int) -> int:
        while owner[basin] != basin:
            basin = owner[basin]
        return basin

    for level, one, other in passes(basins, height, structure):
        low, high = sorted((top(one), top(other)), key=lambda basin: (peak[basin], -basin))
        if level >= NECK * peak[low] or peak[low] - level <= NOTCH * STEPS:
            owner[low] = high
    return np.array([top(basin) for basin in range(count + 1)], np.int32)


def passes(
    basins: np.ndarray, height: np.ndarray, structure: np.ndarray
) -> list[tuple[int, int, int]]:
    """(height, basin, basin) of the highest way across between each two basins, highest first."""
    found = []
    for dy, dx in neighbours(structure)[: structure.sum() // 2]:
        here = slice(-dy, None), slice(max(0, -dx), basins.shape[1] - max(0, dx))
        there = slice(0, len(basins) + dy), slice(max(0, dx), basins.shape[1] + min(0, dx))
        a, b = basins[here], basins[there]
        meet = (a != b) & (a > 0) & (b > 0)
        level = np.minimum(height[here][meet], height[there][meet])
        found.append((level, np.minimum(a[meet], b[meet]), np.maximum(a[meet], b[meet])))
    columns = zip(*found, strict=True)
    level, one, other = (np.concatenate(parts).astype(np.int64) for parts in columns)
    pair = one * (int(basins.max(initial=0)) + 1) + other
    order = np.lexsort((-level, pair))
    first = order[np.diff(pair[order], prepend=-1) > 0]
    first = first[np.lexsort((pair[first], -level[first]))]
    answer = (level[first].tolist(), one[first].tolist(), other[first].tolist())
    return list(zip(*answer, strict=True))


def split_by_kmeans(numbered: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """Objects (H, W) int32 from components, each cut as K-means on its pixels says.

    For every component K-means is run for 1, 2 ... MOST centres; the centres at the elbow of the
    errors are markers, and the distance to the background is flooded from them. Numbered in no
    special order. The same on every run and for any number of threads.
    """
    markers = np.zeros_like(numbered)
    count = 0
    for number, box in enumerate(ndimage.find_objects(numbered), 1):
        pixels = np.argwhere(numbered[box] == number)
        for centre in centres(pixels):  # of a bent object a centre may lie outside of it
            y, x = pixels[((pixels - centre) ** 2).sum(axis=1).argmin()]
            count += 1
            markers[box][y, x] = count
    _flood(markers, heights(numbered), neighbours(structure))
    return markers


def centres(pixels: np.ndarray) -> np.ndarray:
    """Where K-means sees the centres (k, 2) of the objects whose pixels (n, 2) are given.

    k is the knee of the sum of squared errors: the point furthest below the chord from 1 to MOST
    centres. The errors of a single object have a knee as well, so that a component which (nearly)
    fills its convex hull is one object. The first centres are drawn as K-means++ does, from a
    fixed seed.
    """
    from scipy.cluster.vq import kmeans2, vq

    mean = pixels.mean(axis=0, keepdims=True)
    most = min(MOST, len(pixels) // LEAST)
    if most < 3 or convexity(pixels) > CONVEX:  # two points are no curve with a knee
        return mean
    points = pixels[:: -(-len(pixels) // SAMPLE)].astype(np.float64)
    tried, errors = [mean], [((points - mean) ** 2).sum()]
    for k in range(2, most + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a centre that lost its pixels stays where it was
            found, _ = kmeans2(points, k, iter=20, minit="++", seed=np.random.default_rng(k))
        tried.append(found)
        errors.append((vq(points, found)[1] ** 2).sum())
    chord = np.linspace(errors[0], errors[-1], most)
    return tried[int((chord - errors).argmax())]


def convexity(pixels: np.ndarray) -> float:
    """The share of the convex hull's pixels that belong to the component of pixels (n, 2)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(pixels)
    except QhullError:  # all in one line
        return 1.0
    corners = pixels[hull.vertices]
    sides = np.abs(np.roll(corners, -1, axis=0) - corners)
    on_the_border = np.gcd(sides[:, 0], sides[:, 1]).sum()
    return len(pixels) / (hull.volume + on_the_border / 2 + 1)  # Pick: volume is the area here


def heights(numbered: np.ndarray) -> np.ndarray:
    """The distance of each object's pixels to what is none, in whole steps from 1 up; 0 outside.

    What lies beyond the image is no object.
    """
    inside = numbered > 0
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    distance = ndimage.gaussian_filter(distance, SMOOTH)
    return np.where(inside, np.maximum(np.rint(STEPS * distance), 1), 0).astype(np.int32)


def neighbours(structure: np.ndarray) -> np.ndarray:
    """The steps (dy, dx) to the neighbours of a pixel, in reading order."""
    steps = np.argwhere(structure) - 1
    return steps[steps.any(axis=1)]


@compiled
def _flood(objects: np.ndarray, height: np.ndarray, steps: np.ndarray) -> None:
    """Grow the markers in objects (H, W), in place, over all pixels of a height above 0.

    The highest pixel that a flood has reached is next, of equal ones the one reached first.
    """
    rows, columns = objects.shape
    queue = [(0, 0, 0, 0) for _ in range(0)]
    reached = 0
    for y in range(rows):
        for x in range(columns):
            if objects[y, x] > 0:
                queue.append((-height[y, x], reached, y, x))
                reached += 1
    heapq.heapify(queue)
    while queue:
        _, _, y, x = heapq.heappop(queue)
        for dy, dx in steps:
            v, u = y + dy, x + dx
            inside = 0 <= v < rows and 0 <= u < columns
            if inside and height[v, u] > 0 and objects[v, u] == 0:
                objects[v, u] = objects[y, x]
                heapq.heappush(queue, (-height[v, u], reached, v, u))
                reached += 1
