"""Lesson 1: what a convolution computes, and what its gradients are, on a 4x4 image.

The three passes of cunet are compared with loops written out here and with finite differences.
Read beside it: cunet/ops/conv.py
"""

import numpy as np
from show import beside

from cunet.ops import conv

x = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]], float)
w = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)  # brightness left minus right
bias = np.array([0.5])

# cunet's arrays are (batch, rows, columns, channels) and (rows, columns, channels in, out)
image, filters = x[None, :, :, None], w[:, :, None, None]
y = conv.forward(image, filters, bias)[0, :, :, 0]

print("y[p, q] = b + sum over r, s of x[p + r, q + s] * w[r, s]\n")
print(beside(x=x, w=w, y=y))
terms = [f"{x[r, s]:g}*{w[r, s]:g}" for r, s in np.ndindex(w.shape) if w[r, s]]
print(f"\ny[0, 0] = 0.5 + {' + '.join(terms)} = {y[0, 0]:g}")
print("A 3x3 filter fits into a 4x4 image at 2x2 places: a valid convolution makes it 2 smaller.")

# A loss L of which we know the derivative by y: L = sum(dy * y).
dy = np.array([[1.0, 2.0], [0.0, -1.0]])
dx, dw, db = conv.backward(dy[None, :, :, None], image, filters)

# By hand: y[p, q] took x[p + r, q + s] times w[r, s]. Each passes dy[p, q] to the other.
dw_by_hand, dx_by_hand = np.zeros_like(w), np.zeros_like(x)
for p, q in np.ndindex(dy.shape):
    for r, s in np.ndindex(w.shape):
        dw_by_hand[r, s] += x[p + r, q + s] * dy[p, q]
        dx_by_hand[p + r, q + s] += w[r, s] * dy[p, q]


def differences(array: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """(L(v + step) - L(v - step)) / (2 step) for every element v of x or w."""
    found = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept, losses = array[index], []
        for moved in (kept + step, kept - step):
            array[index] = moved
            losses.append((dy * conv.forward(image, filters, bias)[0, :, :, 0]).sum())
        array[index] = kept
        found[index] = (losses[0] - losses[1]) / (2 * step)
    return found


dw_measured, dx_measured = differences(w), differences(x)
print("\nNow backward. The loss is L = sum(dy * y), with dy =\n")
print(beside(dy=dy))
print("\ndw[r, s] = sum over p, q of x[p + r, q + s] * dy[p, q]\n")
print(beside(cunet=dw[:, :, 0, 0], by_hand=dw_by_hand, measured=dw_measured))
print("\ndx[p + r, q + s] collects w[r, s] * dy[p, q]\n")
print(beside(cunet=dx[0, :, :, 0], by_hand=dx_by_hand, measured=dx_measured))
print(f"\ndb = sum of dy = {db[0]:g}: the bias reached every y once.")

far = max(np.abs(dw[:, :, 0, 0] - dw_measured).max(), np.abs(dx[0, :, :, 0] - dx_measured).max())
print(f"Largest difference between cunet and the measured gradients: {far:.0e}")
