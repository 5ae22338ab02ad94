"""Lesson 16: a convolution as tensor cores compute it, in tiles of a matrix that is never built.

A GPU's tensor cores multiply small matrices of few bits and add in float32. The kernel must bring
them the right 128 bytes at the right time: copy, multiply, copy, multiply, then store.
Read beside it: cunet/engines/gpu/convolution.cu, cunet/engines/__init__.py
"""

import numpy as np

from cunet.ops import conv

BITS = {"tf32": 11, "float16": 11, "bfloat16": 8}  # of the mantissa, the first one included


def rounded(a: np.ndarray, precision: str) -> np.ndarray:
    """a rounded to the bits of a precision (except for the small range of float16)."""
    mantissa, exponent = np.frexp(a)
    scale = 2.0 ** BITS[precision]
    return np.ldexp(np.rint(mantissa * scale) / scale, exponent)


def tiled(x: np.ndarray, w: np.ndarray, pixels: int, columns: int, step: int) -> np.ndarray:
    """A valid convolution, `pixels` x `columns` numbers of y at a time, `step` channels of a tap
    at a time. These are the kernel's loops; a block does one turn of the two outer ones."""
    (_, height, width, c), (r, s, _, k) = x.shape, w.shape
    rows, across = height - r + 1, width - s + 1
    y = np.empty((rows * across, k))
    for m0 in range(0, rows * across, pixels):  # a block's pixels: rows of the matrix A
        m = np.arange(m0, min(m0 + pixels, rows * across))
        p, q = m // across, m % across
        for k0 in range(0, k, columns):  # and its output channels: rows of B
            total = np.zeros((len(m), min(columns, k - k0)))
            for tap in range(r * s):
                for c0 in range(0, c, step):
                    channels = slice(c0, c0 + step)
                    a = x[0, p + tap // s, q + tap % s, channels]  # stage 1: copy
                    b = w[tap // s, tap % s, channels, k0 : k0 + columns]
                    total += a @ b  # stage 3: multiply
            y[m, k0 : k0 + columns] = total  # stage 4: store
    return y.reshape(1, rows, across, k)


rng = np.random.default_rng(0)
x, w = rng.standard_normal((1, 20, 23, 40)), rng.standard_normal((3, 3, 40, 24))
exact = conv.forward(x, w, np.zeros(24))
found = tiled(x, w, pixels=128, columns=16, step=32)
print(f"Tiles of 128 pixels x 16 channels, 32 channels of a tap at a time: {found.shape}")
print(f"Largest difference from the definition: {abs(found - exact).max():.0e}")

taps = 9 * 40
print(f"\nThe matrix of taps would have {18 * 21} x {taps} numbers; x has {x.size}.")

print("\nWhat remains of pi, and of a convolution of 360 products whose factors are rounded:\n")
print("precision    pi           error of the sum, relative to the largest")
for precision in BITS:
    y = tiled(rounded(x, precision), rounded(w, precision), 128, 16, 32)
    error = abs(y - exact).max() / abs(exact).max()
    print(f"{precision:<12} {rounded(np.array(np.pi), precision):<12.7f} {error:.0e}")
print("\nErrors of products have either sign and mostly cancel; training does not mind them.")

small = np.float16(1e-5) * np.float16(1e-3)
scaled = float(np.float16(1e-5 * 65536) * np.float16(1e-3)) / 65536
print(f"\nfloat16 ends early: 1e-5 * 1e-3 = {small}. With gradients 65536 times as large, and")
print(f"divided again in float32, it is {scaled:.1e}: that is loss scaling.")
