"""Lesson 3: the 2x2 up-convolution, and why it is called a transposed convolution.

Forward, every pixel becomes a 2x2 block. Backward is a convolution with stride 2 and the same
filter: each is the adjoint (the transposed matrix) of the other.
Read beside it: cunet/ops/up_conv.py
"""

import numpy as np
from show import beside

from cunet.ops import conv, up_conv

x = np.array([[1.0, 2.0], [3.0, 4.0]])
w = np.array([[1.0, 10.0], [0.0, -1.0]])
y = up_conv.forward(x[None, :, :, None], w[:, :, None, None], np.zeros(1))[0, :, :, 0]
print("Up-convolution: y[2i + a, 2j + b] = x[i, j] * w[a, b]\n")
print(beside(x=x, w=w, y=y))
print("\nEvery pixel of x stamps the filter, times its value, onto a block of its own.")
print(f"For one channel that is the Kronecker product: {np.array_equal(y, np.kron(x, w))}")

# The same map as a matrix A, column by column: y = A x.
columns = []
for index in np.ndindex(x.shape):
    unit = np.zeros((1, 2, 2, 1))
    unit[0][index] = 1
    columns.append(up_conv.forward(unit, w[:, :, None, None], np.zeros(1)).ravel())
matrix = np.array(columns).T
print("\nAs a 16x4 matrix A, y = A x, every row has one entry or none:\n")
for row in matrix.astype(int):
    print("   " + " ".join(f"{value:3d}" if value else "  ." for value in row))

rng = np.random.default_rng(0)
dy = rng.integers(-3, 4, (4, 4)).astype(float)
dx, dw, _ = up_conv.backward(dy[None, :, :, None], x[None, :, :, None], w[:, :, None, None])
print("\nBackward multiplies by the transposed matrix: dx = A^T dy.\n")
print(beside(dy=dy, dx=dx[0, :, :, 0], A_transposed_dy=(matrix.T @ dy.ravel()).reshape(2, 2)))

# With channels: an ordinary convolution that visits every second pixel.
x, w = rng.standard_normal((1, 5, 6, 8)), rng.standard_normal((2, 2, 8, 4))
dy = rng.standard_normal((1, 10, 12, 4))
dx, _, _ = up_conv.backward(dy, x, w)
strided = conv.forward(dy, w.swapaxes(2, 3), np.zeros(8))[:, ::2, ::2]
print("\nWith 8 channels in and 4 out, random numbers:")
far = np.abs(dx - strided).max()
print(f"  backward against a stride-2 convolution: largest difference {far:.0e}")
up = (up_conv.forward(x, w, np.zeros(4)) * dy).sum()
down = (x * dx).sum()
print(f"  the definition of an adjoint:  <up(x), dy> = {up:.10f}")
print(f"                                 <x, dx>     = {down:.10f}")
