"""Lesson 8: the U as a recursion - a U-Net is a level inside a level.

Prints Fig. 1 of the paper: the size of the image after every layer, watched in a real network of
width 1, and the parameters of the real network of width 64.
Read beside it: cunet/net/unet.py, cunet/net/sizes.py
"""

import numpy as np

from cunet import UNet
from cunet.net.sizes import margin, output_size
from cunet.net.tiles import smallest_tile

TILE, DEPTH, WIDTH = 572, 4, 64

sides: dict[str, int] = {}
thin = UNet(width=1, depth=DEPTH)
x = np.zeros((1, TILE, TILE, 1), np.float32)
thin(x, remember=False, watch=lambda name, y: sides.update({name: y.shape[1]}))


def level(i: int, entering: int) -> list[str]:
    """The picture of level i and of all below it, one line a level."""
    down = [entering, sides[f"contract{i}.conv1"], sides[f"contract{i}.conv2"]]
    left = "   " * i + "-".join(f"{side:3d}" for side in down)
    if i == DEPTH:
        return [left]
    up = [sides[f"expand{i}.{name}"] for name in ("up", "conv1", "conv2")]
    right = "-".join(f"{side:3d}" for side in up)
    crop = (down[-1] - up[0]) // 2
    across = f" crop {crop} ".center(68 - 3 * i - len(left) - len(right), "-")
    return [left + across + ">" + right, *level(i + 1, down[-1] // 2)]


print(f"The sides of the image (input {TILE}, output {sides['head']}); one line a resolution:\n")
for i, line in enumerate(level(0, TILE)):
    print(f"{WIDTH << i:5d} channels   {line}")
print("""
  572-570-568    from number to number a 3x3 convolution and a ReLU
  ----------->   the copy of the last number, cropped on every side
  line to line   on the left 2x2 max-pooling down, on the right 2x2 up-convolution up""")

net = UNet(width=WIDTH, depth=DEPTH)
total = sum(p.value.size for p in net.parameters())
print(f"\nParameters, level by level, of {len(net.layers())} convolutional layers:\n")
for i, here in enumerate(net.levels):
    layers = [*here.contract, *here.expand, *([here.up] if here.up else [])]
    learned = [layer for layer in layers if hasattr(layer, "parameters")]  # not the dropout
    count = sum(p.value.size for layer in learned for p in layer.parameters())
    bar = "  " + "#" * round(50 * count / total)
    print(f"  level {i}   {count:11,}   {count / total:6.1%}{bar.rstrip()}")
head = net.head.w.value.size + net.head.b.value.size
print(f"  head      {head:11,}   {head / total:6.1%}")
print(f"  together  {total:11,}")

lost = f"{margin(DEPTH)} pixels lost on each side"
print("\nA level takes 4 pixels on the way down and 4 on the way up, the bottom 4 once; what")
print("the levels below take counts double: 4, 16, 40, 88, 184.")
print(f"So {TILE} -> {output_size(TILE, DEPTH)}, {lost}.")
first = [smallest_tile(DEPTH) + k * 2**DEPTH for k in range(4)]
print(f"Every pooling needs an even side, so only tiles of {first}")
print(f"and so on fit, in steps of {2**DEPTH}.")
