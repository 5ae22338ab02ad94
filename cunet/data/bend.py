"""Displacement fields that bend a tile: splines through a grid of vectors, and smoothed noise.

n: side of the tile; g: side of the grid.
"""

from functools import lru_cache

import numpy as np
from scipy import ndimage


def displacement(vectors: np.ndarray, size: int) -> np.ndarray:
    """The field (n, n) float32 through vectors (g, g) that stand from corner to corner of a tile.

    It is the interpolating cubic spline, mirrored at the tile's edges. Splines are linear and
    separable, hence B^T vectors B with one small basis B (g, n) for each size.
    """
    basis = spline_basis(size, len(vectors))
    # einsum, unlike BLAS, sums in one order whatever the number of threads.
    lines = np.einsum("in,ij->nj", basis, vectors.astype(np.float32))
    return np.einsum("nj,jm->nm", lines, basis)


def simard_field(
    rng: np.random.Generator, size: int, move: np.ndarray, smoothing: float
) -> np.ndarray:
    """Displacements (2, n, n) of Simard et al. 2003: noise in (-1, 1), smoothed by a Gaussian,
    then moved by the matrix (2, 2), which also says how large they are."""
    field = rng.random((2, size, size), np.float32) * 2 - 1
    smooth = ndimage.gaussian_filter(field, smoothing, mode="constant", axes=(1, 2))
    return np.einsum("ab,bnm->anm", move, smooth)


@lru_cache(maxsize=16)
def spline_basis(size: int, nodes: int) -> np.ndarray:
    """(g, n) float32: row j is the spline through 1 at node j and 0 at the other nodes."""
    where = np.linspace(0, nodes - 1, size)[None]
    basis = np.empty((nodes, size), np.float32)
    for node, unit in enumerate(np.eye(nodes)):
        basis[node] = ndimage.map_coordinates(unit, where, order=3, mode="mirror")
    basis.flags.writeable = False
    return basis
