"""Clumps of touching objects cut apart, by the shape of the mask alone.

Both methods flood the distance to the background from markers, the highest pixels first (Meyer
1991); the cut is where two floods meet. They differ in the markers:

* at necks: every peak of the distance; afterwards objects that no neck separates are joined again;
* by K-means: the centres of K-means on the coordinates of a component's pixels; how many is read
  from the elbow of the errors (a students' report on U-Net; its rule for the elbow is not known).

scipy.ndimage.watershed_ift does not serve: it floods by the difference of neighbouring values,
which is nearly the same everywhere in a map of distances, and so it cuts anywhere but at the neck.

Tested on true masks whose touching cells were merged (matched: IoU > 0.5; F1 of the matches):

                          cells   4-connected components   necks         K-means
    122 images, DSB 2018  5,527   4,254 matched, 0.853     4,988, 0.940  4,774, 0.897
    DIC-C2DH-HeLa           195      94 matched, 0.571       174, 0.874    130, 0.679
    PhC-C2DH-U373           100     100 matched, 1.000        99, 0.900    100, 0.697

On the masks of a small network (DIC-C2DH-HeLa/02, which it was trained on; objects from 300 pixels,
8-connected) SEG was 0.60 with components, 0.79 with necks and 0.75 with K-means.

The cells of PhC-C2DH-U373 do not touch and have long arms, at whose roots both methods cut;
components are right there. K-means sees where pixels are, not how wide the mask is: a compact clump
of many objects has no elbow, and a bent object looks like a clump.
"""

import heapq
import warnings

import numpy as np
from scipy import ndimage

from cunet.compiled import compiled

HEIGHTS_PER_PIXEL = 8  # distances are whole multiples of 1/8 pixel: smaller differences are noise
SMOOTHING = 1.0  # pixels, standard deviation: the outline's stairs make no peaks
# Two peaks are two objects where the distance between them falls below this share of the lower
# peak, and by more than a pixel.
NECK, MIN_DROP = 0.9, 1.0
MAX_CONVEXITY = 0.9  # a component that fills more of its convex hull is one object to K-means
MAX_CENTRES = 8  # objects that K-means looks for in a component
MIN_PIXELS_PER_CENTRE = 20  # K-means looks for no more objects than the pixels allow
MAX_POINTS = 5000  # pixels that K-means is run on; a larger component gives every second, third ...


def split_at_necks(
    numbered: np.ndarray, structure: np.ndarray, neck: float | None = None
) -> np.ndarray:
    """Objects (H, W) int32 from components, each cut at its necks; numbered in no special order.

    structure (3, 3) bool: which pixels are neighbours. A neck is where two peaks of the distance
    to the background are parted by a stretch lower than both: lower than the share `neck` of the
    lower peak (None: NECK), and by MIN_DROP. Convex objects, long thin ones and bent ones of even
    width stay whole.
    """
    neck = NECK if neck is None else neck
    height = heights(numbered)
    peaks = (ndimage.maximum_filter(height, footprint=structure) == height) & (numbered > 0)
    basins = ndimage.label(peaks, structure)[0].astype(np.int32, copy=False)
    _flood(basins, height, neighbours(structure))
    return joined(basins, height, structure, neck)[basins]


def joined(
    basins: np.ndarray, height: np.ndarray, structure: np.ndarray, neck: float
) -> np.ndarray:
    """For each basin number the number of the object that the basin belongs to.

    Passes are taken from the highest down. Two basins become one, with the higher of their peaks,
    where the pass between them is hardly lower than the lower peak.
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
        drop = peak[low] - level
        if level >= neck * peak[low] or drop <= MIN_DROP * HEIGHTS_PER_PIXEL:
            owner[low] = high
    return np.array([top(basin) for basin in range(count + 1)], np.int32)


def passes(
    basins: np.ndarray, height: np.ndarray, structure: np.ndarray
) -> list[tuple[int, int, int]]:
    """(height, basin, basin) of the highest pass between each two basins, highest first."""
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
    found_passes = (level[first].tolist(), one[first].tolist(), other[first].tolist())
    return list(zip(*found_passes, strict=True))


def split_by_kmeans(numbered: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """Objects (H, W) int32 from components, each cut by K-means on its pixels.

    For every component K-means is run with 1, 2 ... MAX_CENTRES centres. The centres at the elbow
    of the errors are markers, from which the distance to the background is flooded. Objects are
    numbered in no special order; they are the same on every run and for any number of threads.
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
    """The centres (k, 2) that K-means finds in a component of pixels (n, 2).

    k is at the elbow of the sum of squared errors: the point furthest below the chord from 1 to
    MAX_CENTRES centres. The errors of a single object have an elbow too, so a component that
    (nearly) fills its convex hull counts as one object. The first centres are drawn as K-means++
    does, from a fixed seed.
    """
    from scipy.cluster.vq import kmeans2, vq

    mean = pixels.mean(axis=0, keepdims=True)
    most = min(MAX_CENTRES, len(pixels) // MIN_PIXELS_PER_CENTRE)
    if most < 3 or convexity(pixels) > MAX_CONVEXITY:  # two points are no curve with an elbow
        return mean
    points = pixels[:: -(-len(pixels) // MAX_POINTS)].astype(np.float64)
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
    """The distance of each object's pixels to the background, in 1 / HEIGHTS_PER_PIXEL pixels.

    int32 from 1 up, 0 on the background; beyond the image all is background.
    """
    inside = numbered > 0
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    distance = ndimage.gaussian_filter(distance, SMOOTHING)
    steps = np.maximum(np.rint(HEIGHTS_PER_PIXEL * distance), 1)
    return np.where(inside, steps, 0).astype(np.int32)


def neighbours(structure: np.ndarray) -> np.ndarray:
    """The steps (dy, dx) to the neighbours of a pixel, in reading order."""
    steps = np.argwhere(structure) - 1
    return steps[steps.any(axis=1)]


@compiled
def _flood(objects: np.ndarray, height: np.ndarray, steps: np.ndarray) -> None:
    """Grow the markers in objects (H, W), in place, over all pixels of a height above 0.

    The highest pixel that a flood has reached is next; among equals the one reached first.
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
