"""Lesson 4: the skip connection - crop, concatenate, and no copy of either.

A convolution of channels side by side is the sum of two convolutions: conv(a|b) = conv(a) +
conv(b). So a fast engine keeps the concatenation as a pair of views. In backward the skip's image,
which was used twice, gets the sum of two gradients.
Read beside it: cunet/ops/crop_concat.py, and `_level` in cunet/net/unet.py
"""

import numpy as np
from show import beside

from cunet.engines import cpu
from cunet.ops import conv, crop_concat

rng = np.random.default_rng(0)
skip = np.arange(36.0).reshape(1, 6, 6, 1)  # kept from the contracting path: larger
up = 100 + np.arange(4.0).reshape(1, 2, 2, 1)  # came up from the level below: smaller
pair = crop_concat.forward(up, skip)
print("The skip is cropped to its centre and put beside the up-sampled image:\n")
print(beside(skip=skip[0, :, :, 0], up=pair[0][0, :, :, 0], centre_of_skip=pair[1][0, :, :, 0]))
print(f"\nThe centre shares the skip's memory: {np.shares_memory(pair[1], skip)}")
print(f"The first half is `up` itself:       {pair[0] is up}")

# conv(a|b) = conv(a) + conv(b)
up, skip = rng.standard_normal((1, 10, 10, 4)), rng.standard_normal((1, 18, 18, 4))
w, bias = rng.standard_normal((3, 3, 8, 4)), rng.standard_normal(4)
pair = crop_concat.forward(up, skip)
from_pair = cpu.conv_forward(pair, w, bias)
from_copy = conv.forward(np.concatenate(pair, axis=3), w, bias)
print("\nThe CPU's convolution takes the pair as channels side by side.")
print(f"Largest difference from a real concatenation: {np.abs(from_pair - from_copy).max():.0e}")
side, channels = 392, 128  # the uppermost concatenation of the paper's net
print(f"The copy saved at the top of the paper's U: {side * side * channels * 4 / 1e6:.1f} MB")

# Backward: dy has the channels of both; the skip also went down into the pooling.
dy, _, _ = cpu.conv_backward(rng.standard_normal(from_pair.shape), pair, w)
dup, dcentre = crop_concat.backward(dy, up_channels=4)
dbelow = rng.standard_normal(skip.shape)  # what comes back from the level below
alone = dbelow.copy()
centre = crop_concat.centre(dbelow, *dcentre.shape[1:3])  # a view: writing to it writes there
centre += dcentre
changed = (dbelow != alone)[0, :, :, 0]
print("\nBackward cuts dy in two (views again) and adds the second half at the skip's centre:")
print(f"  dy {dy.shape} -> dup {dup.shape}, dcentre {dcentre.shape}")
print(f"  {changed.sum()} of the skip's {changed.size} pixels got both gradients, the frame one")
print("  (every second row is shown):\n")
for row in changed[::2]:
    print("    " + "".join("+" if both else "." for both in row))
