"""Winograd's schemes for any points, as the lesson on them computes with them: plainly, one tile
after the other."""

import numpy as np

from cunet.ops import conv

# F(2, 3): two outputs of a filter of three taps
AT2 = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)
G2 = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
BT2 = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)
USUAL = (0.0, 1.0, -1.0, 2.0, -2.0)
LARGER = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)

Scheme = tuple[np.ndarray, np.ndarray, np.ndarray]  # AT, G, BT


def scheme(points: tuple[float, ...]) -> Scheme:
    """AT, G and BT for these points and infinity: a filter of 3 taps, len(points) - 1 outputs."""
    outputs = len(points) - 1
    at, g, bt = np.zeros((outputs, len(points) + 1)), [], []
    for i, point in enumerate(points):
        others = np.array([other for other in points if other != point])
        at[:, i] = point ** np.arange(outputs)
        g.append(point ** np.arange(3) / np.prod(point - others))
        bt.append([*np.poly(others)[::-1], 0])
    at[-1, -1] = 1
    return at, np.array([*g, [0, 0, 1]]), np.array([*bt, np.poly(points)[::-1]])


def by_tiles(x: np.ndarray, w: np.ndarray, of: Scheme) -> np.ndarray:
    """A valid convolution of x (H, W, C) and w (3, 3, C, K), tile by tile, in the dtype of x."""
    at, g, bt = (matrix.astype(x.dtype) for matrix in of)
    tile, patch = at.shape
    u = np.einsum("ia,abck,jb->ijck", g, w, g)
    y = np.empty((len(x) - 2, x.shape[1] - 2, w.shape[3]), x.dtype)
    for p in range(0, len(y), tile):
        for q in range(0, y.shape[1], tile):
            d = x[p : p + patch, q : q + patch]
            v = np.einsum("ia,abc,jb->ijc", bt, d, bt)
            m = np.einsum("ijc,ijck->ijk", v, u)
            y[p : p + tile, q : q + tile] = np.einsum("pi,ijk,qj->pqk", at, m, at)
    return y


def error(dtype: str, of: Scheme | None, side: int) -> float:
    """Of a convolution of 64 channels, relative to the largest number of the result; by the
    definition where there is no scheme."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((side, side, 64)), rng.standard_normal((3, 3, 64, 8))
    exact = conv.forward(x[None], w, np.zeros(8))[0]
    x, w = x.astype(dtype), w.astype(dtype)
    found = conv.forward(x[None], w, np.zeros(8, dtype))[0] if of is None else by_tiles(x, w, of)
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def counts(name: str, outputs: int, axes: int = 2) -> tuple[str, ...]:
    """A row of the table: multiplications of a tile by the definition and by Winograd."""
    plain, few = (outputs * 3) ** axes, (outputs + 2) ** axes
    return name, f"{outputs**axes}", str(plain), str(few), f"{few / plain:.3f}"
