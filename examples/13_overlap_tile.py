"""Lesson 13: the overlap-tile strategy - an image of any size, and no seam.

Tiles overlap by the margin that a valid net loses. One thing is easily missed: pooling divides the
image by a grid of 16 pixels, so tiles must start at multiples of 16, or a pixel's probability
depends on its tile. The paper's 388 is not such a multiple; 384 is.
Read beside it: cunet/segmentation/tiling.py
"""

import numpy as np
from show import picture

from cunet import UNet, segment
from cunet.data.mirror import reflect
from cunet.data.synthetic import membranes
from cunet.net.sizes import lattice, margin, output_size
from cunet.net.tiles import tile_for_output
from cunet.segmentation.tiling import plan

SIDE, TILE = 500, 572
net = UNet(width=4, seed=1)  # untrained: seams do not wait for training
image = membranes(1, SIDE, SIDE, seed=0)[0][0]
image = (image - image.mean()) / image.std()

row = " ".join(str(i) for i in reflect(-4, 13, 5))
print(f"Beyond its border the image is mirrored; 5 pixels and 4 more on each side: {row}\n")
print(f"A tile of {TILE} gives {output_size(TILE, 4)} pixels, {margin(4)} lost on each side.")
for stride in ("exact", "paper"):
    starts = plan(SIDE, 4, TILE, stride).starts
    phases = [start % lattice(4) for start in starts]
    print(f"  stride {starts.step}: tiles start at {list(starts)}, on the pooling grid at {phases}")

largest = tile_for_output(SIDE, 4)
whole = segment(image, net, tile=largest)[..., 1]
print(f"\nThe reference is one tile of {largest} around the whole image of {SIDE}.")
print("Largest difference of the probability from it, in each of the 2x2 tiles:\n")
for stride in ("exact", "paper"):
    step = plan(SIDE, 4, TILE, stride).starts.step
    far = np.abs(segment(image, net, TILE, stride=stride)[..., 1] - whole)
    cuts = (slice(0, step), slice(step, SIDE))
    tiles = [[f"{far[down, across].max():.1e}" for across in cuts] for down in cuts]
    print(f"  stride {step}   {'   '.join(tiles[0])}\n{'':15}{'   '.join(tiles[1])}\n")

print("Where it differs with stride 388 (every 20th row, every 10th column; @ is 0.2 or more):\n")
for line in picture(far[5::20, 5::10], 0, 0.2):
    print("    |" + line + "|")
print("\nOnly the tile that starts at 0 is right in both; where the next begins there is a seam.")
print("With 384 the others differ by rounding at most: the image may be cut into any number of")
print("tiles, and the result does not show it. (How large a seam is depends on the net.)")
