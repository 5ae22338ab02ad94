"""Lesson 5: dropout from a counter - a random mask that a key alone decides.

Element i is dropped if the i-th number of a counter-based generator (Philox) is below the rate.
The mask can be regenerated from the key: in backward, on another device, or for one element only.
Read beside it: cunet/ops/dropout.py
"""

import numpy as np
from show import beside

from cunet.ops import dropout
from cunet.philox import philox

x = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)
dy = np.ones_like(x)
key = 2015
y, dx = dropout.forward(x, 0.5, key), dropout.backward(dy, 0.5, key)
print("Half of x is dropped; the rest is doubled, so that the expected sum stays the same.\n")
print(beside(x=x[0, :, :, 0], y=y[0, :, :, 0], dx_for_dy_of_ones=dx[0, :, :, 0]))
print(f"\nBackward drew the same mask again from the key {key}; 64 bits were remembered, no mask.")

# A counter-based generator is a function: counter and key in, four random words out.
words = philox(np, 0, 1, 0)[0]
print("\nPhilox4x32-10 of counter 0 under key 0: " + " ".join(f"{word:08x}" for word in words))
print("Published (Salmon et al. 2011):         6627e8d5 e169c58d bc57ac4c 9b00dbd8")

# Neighbouring counters have nothing to do with each other.
first, second = (int(word) for word in philox(np, 0, 2, 0)[:, 0])
bits = (first ^ second).bit_count()
print(f"\nCounters 0 and 1 differ in one bit, their first words in {bits} of 32.")

# One element alone: element i is word i % 4 of counter i // 4.
i = 10
word = philox(np, i // 4, i // 4 + 1, key)[0, i % 4]
fate = "kept" if word >= 2**31 else "dropped"
print(f"\nElement {i} alone: its word is {word:08x}, the limit 80000000, so it is {fate};")
print(f"the mask above says {y.ravel()[i]:g}.")

# Over many keys the mean is x, and every key has about its share of zeros.
keys = range(2000)
ratio = sum(dropout.forward(x, 0.5, k) for k in keys) / len(keys) / x
share = np.mean([(dropout.mask(x, 0.5, k) == 0).mean() for k in keys])
print(f"\nOver {len(keys)} keys {share:.2%} were dropped, and the mean of y / x lies")
print(f"between {ratio.min():.2f} and {ratio.max():.2f} for every element.")
print("Without a generator - when segmenting - dropout is the identity: nothing is rescaled.")
