"""Lesson 7: backpropagation without a graph - a layer returns its result and a function.

Calling a layer returns (y, backward). What backward must remember lives in its closure and is freed
with it. A network's backward calls its layers' backwards in the opposite order; that is all.
Read beside it: cunet/net/layers.py, cunet/net/run.py
"""

import inspect
import tracemalloc

import numpy as np

from cunet.engines import cpu
from cunet.net.layers import Conv, Maker, Pool
from cunet.net.run import Run
from cunet.ops.softmax_loss import loss as softmax_loss

make = Maker(seed=0, dtype="float64", device="cpu", engine=cpu)
first, second = Conv("first", 3, 1, 8, make), Conv("second", 3, 8, 2, make, relu=False)
pool = Pool(make)


def two_layers(x: np.ndarray, remember: bool | str = True):
    """Convolution and ReLU, max-pooling, convolution; backward is the same in reverse."""
    run = Run(remember=remember)  # one pass: run(layer, x) is layer(x), and keeps backward or not
    x, back_first = run(first, x)
    x, back_pool = run(pool, x)
    x, back_second = run(second, x)
    return x, lambda dy: back_first(back_pool(back_second(dy)))


rng = np.random.default_rng(0)
x = rng.standard_normal((1, 106, 106, 1))
y, backward = two_layers(x)
print(f"x {x.shape} -> y {y.shape}\n\nWhat the backward of each layer remembers:\n")
for name, function in inspect.getclosurevars(backward).nonlocals.items():
    held = inspect.getclosurevars(function).nonlocals
    arrays = {key: value for key, value in held.items() if isinstance(value, np.ndarray)}
    print(f"  {name:12} " + ", ".join(f"{key} {value.shape}" for key, value in arrays.items()))
print("\n(y of one layer is x of the next: one array, named twice.)")

# The gradient of one weight, against a finite difference of the loss.
labels = rng.integers(0, 2, y.shape[:3])
loss, dy = softmax_loss(y, labels)
backward(dy)
weight, step = (1, 1, 0, 3), 1e-5
kept, losses = first.w.value[weight], []
for moved in (kept + step, kept - step):
    first.w.value[weight] = moved
    losses.append(softmax_loss(two_layers(x, remember=False)[0], labels)[0])
first.w.value[weight] = kept
print(f"\nThe loss is {loss:.4f}; its derivative by one weight of the first layer:")
print(f"  backward  {first.w.grad[weight]:+.9f}")
print(f"  measured  {(losses[0] - losses[1]) / (2 * step):+.9f}")
before = first.w.grad.copy()
backward(dy)
doubled = np.allclose(first.w.grad, 2 * before)
print(f"Called again, backward adds to .grad: {doubled}. So a batch may come in pieces.")

# Memory: alive as long as backward is. (What larger arrays leave is kept for the next ones, see
# cunet/engines/cpu/buffers.py.)
del y, backward, dy
tracemalloc.start()
start = tracemalloc.get_traced_memory()[0]


def alive() -> str:
    return f"{(tracemalloc.get_traced_memory()[0] - start) / 1e6:6.2f} MB"


y, backward = two_layers(x)
print(f"\nAfter forward           {alive()}   y and all that backward needs")
backward(np.ones_like(y))
print(f"After backward          {alive()}   it could be called once more")
del backward
print(f"After `del backward`    {alive()}   y alone")
y, backward = two_layers(x, remember="once")
backward(np.ones_like(y))
print(f'With remember="once"    {alive()}   y alone: each layer let go when it had run')
y, backward = two_layers(x, remember=False)
print(f"With remember=False     {alive()}   y alone: so a large image can be segmented")
