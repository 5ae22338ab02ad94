"""Lesson 15: batch normalisation, which later reproductions of the U-Net put before each ReLU.

Each channel gets a learned mean (beta) and deviation (gamma). Since every value changes the mean
and the deviation of its channel, the gradient of one value depends on all of them.
Read beside it: cunet/ops/batch_norm.py
"""

import numpy as np

from cunet.engines import cpu
from cunet.net.layers import Maker
from cunet.net.normed import BatchNorm
from cunet.net.run import Run
from cunet.ops import batch_norm

# One channel of four values
x = np.array([1.0, 2.0, 4.0, 9.0]).reshape(1, 1, 4, 1)
gamma, beta = np.array([2.0]), np.array([0.5])
m, v = batch_norm.statistics(x)
y = batch_norm.forward(x, gamma, beta, m, v)
print(f"x         {x.ravel()}: mean {m[0]:g}, variance {v[0]:g}")
print(f"y         {np.round(y.ravel(), 4)}: mean {y.mean():g}, deviation {y.std():.4f}")

dy = np.array([1.0, 0.0, 0.0, 0.0]).reshape(x.shape)
dx, dgamma, dbeta = batch_norm.backward(dy, x, gamma, m, v)
step, measured = 1e-5, np.empty(4)
for i in range(4):
    sides = []
    for sign in (1, -1):
        moved = x.copy()
        moved[0, 0, i, 0] += sign * step
        there = batch_norm.forward(moved, gamma, beta, *batch_norm.statistics(moved))
        sides.append((dy * there).sum())
    measured[i] = (sides[0] - sides[1]) / (2 * step)
print("\nOnly the first y is asked for, but every x moves it:")
print(f"dx        {np.round(dx.ravel(), 5)}")
print(f"measured  {np.round(measured, 5)}")
print(f"Largest difference: {np.abs(dx.ravel() - measured).max():.0e}")
along = (dx.ravel() * (x.ravel() - m)).sum()
print(f"\ndx sums to {abs(dx.sum()):.0e}: moving all x together changes nothing.")
print(f"Along x - m it is nearly 0 ({abs(along):.0e}, because of EPSILON): stretching all x")
print("changes nothing either.")

# Scale and shift of the input leave no trace
rng = np.random.default_rng(0)
image = rng.standard_normal((4, 16, 16, 1))
make, train = Maker(0, "float64", "cpu", cpu), Run(train=True)  # a training pass
layer = BatchNorm("norm", 1, make)
brighter, _ = layer(7 * image + 3, train)
plain, _ = layer(image, train)
print("\nAn image 7 times as strong, plus 3: largest difference of the results")
print(f"{abs(brighter - plain).max():.0e}")

# Training and use differ
layer = BatchNorm("norm", 1, make)
print("\nA trained net must work on one image alone: running statistics take the batch's place.")
print("They are weighted means of past batches, the newest with 0.1:\n")
print("batches   running mean   running variance   largest difference of the results")
for batch in range(61):
    images = 2 * rng.standard_normal((4, 16, 16, 1)) + 1
    if batch in (0, 1, 5, 20, 60):
        used = layer(images)[0]  # any other pass
        kept = layer.mean.copy(), layer.variance.copy()
        far = abs(layer(images, train)[0] - used).max()
        print(f"{batch:7d}   {kept[0][0]:12.3f}   {kept[1][0]:16.3f}   {far:33.3f}")
    else:
        layer(images, train)
