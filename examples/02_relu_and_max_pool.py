"""Lesson 2: ReLU and max-pooling, which pass the gradient on or stop it, but never change it.

Each must remember little: ReLU its own output; max-pooling its input and output, which show where
the maximum was. Among equal maxima the first one gets the gradient, as in Caffe.
Read beside it: cunet/ops/relu.py, cunet/ops/max_pool.py
"""

import numpy as np
from show import beside

from cunet.ops import max_pool, relu

x = np.array([[-2.0, -0.5, 0.0, 0.5, 2.0]])
dy = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
y = relu.forward(x)
print("ReLU: y = max(x, 0). The gradient passes where y > 0.\n")
for name, row in (("x", x), ("y", y), ("dy", dy), ("dx", relu.backward(dy, y))):
    print(f"  {name:>2} " + " ".join(f"{value:5g}" for value in row[0]))
print("\nThe input is not needed: y > 0 exactly where x > 0. So cunet writes y over x.")

x = np.array([[1, 3, 5, 5], [2, 0, 5, 5], [0, 0, 7, 1], [0, 0, 1, 7]], float)
dy = np.array([[10.0, 20.0], [30.0, 40.0]])
y = max_pool.forward(x[None, :, :, None])
dx = max_pool.backward(dy[None, :, :, None], x[None, :, :, None], y)[0, :, :, 0]
print("\nMax-pooling: the largest of every 2x2 window; dy returns to where it came from.\n")
print(beside(x=x, y=y[0, :, :, 0], dy=dy, dx=dx))
print("\nTop right all four are 5, bottom right two are 7: the first in reading order gets it all.")
print(f"Nothing is lost or doubled: sum of dy {dy.sum():g}, sum of dx {dx.sum():g}.")

# How often does that rule decide? Mostly at zero, after a ReLU.
rng = np.random.default_rng(0)
features = relu.forward(rng.standard_normal((1, 400, 400, 1)))
pooled = max_pool.forward(features)
windows = np.stack([features[:, a::2, b::2] for a, b in max_pool.WINDOW])
tied = (windows == pooled).sum(0) > 1
print(f"\nAfter a ReLU on random numbers {tied.mean():.1%} of the windows are ties (1/16 expected)")
print(f"of the value {pooled[tied].max():g}: there the ReLU before stops the gradient anyway.")
