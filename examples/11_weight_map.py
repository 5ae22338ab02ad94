"""Lesson 11: the weight map, equation 2 of the paper, on two touching disks.

    w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))      on the background

d1 and d2 are the distances to the nearest and the second nearest cell: the narrower the gap between
two cells, the more it costs to overlook it. With a path, the map is written there as PNG.
Read beside it: cunet/data/weight_map.py

    python 11_weight_map.py [map.png]
"""

import sys

import numpy as np

from cunet.data.weight_map import class_weights, cut_touching, open_gaps, paper_map, two_distances
from cunet.files import write_png

W0, SIGMA, RADIUS = 10.0, 5.0, 14

rows, columns = np.mgrid[:48, :72]
instances = np.zeros((48, 72), np.int32)
for number, column in enumerate((21, 50), start=1):
    instances[np.hypot(rows - 24, columns - column) <= RADIUS + 0.5] = number
mask = (instances > 0).astype(np.uint8)

labels = open_gaps(mask, instances)
balance = class_weights([labels], classes=2)
weights = paper_map(labels, instances, balance, W0, SIGMA)
d1, d2 = two_distances(instances, reach=6 * SIGMA)

print("Two disks that touch, and the weights (. cell 1, o cell 2, 0 ... 9 background):\n")
separate = cut_touching(instances)
for row in range(6, 43, 2):
    line = ""
    for cell, weight in zip(separate[row], weights[row], strict=True):
        line += " .o"[cell] if cell else f"{min(9, int(weight))}"
    print("    " + line)

print(f"\nClass weights N / (K N_k): background {balance[0]:.3f}, cell {balance[1]:.3f}. So each")
print("class has half of the total weight, whatever its area. The border term comes on top.")
touching = (mask > 0) & (labels == 0)
print(f"\nThe disks touch in {touching.sum()} pixels, which were made background. The net must")
print("learn to see this gap, or it finds one cell instead of two.")

middle = int(np.flatnonzero(touching.any(axis=0))[0])
print(f"\nDown the gap, column {middle}, from the middle outwards:\n")
print("  row     d1     d2   weight   w_c + w0 exp(-(d1 + d2)^2 / 50)")
for row in range(24, 48, 3):
    if labels[row, middle] == 0:
        near, next_near = d1[row, middle], d2[row, middle]
        formula = balance[0] + W0 * np.exp(-((near + next_near) ** 2) / (2 * SIGMA**2))
        print(f"  {row:3d}  {near:5.2f}  {next_near:5.2f}   {weights[row, middle]:6.3f}", end="")
        print(f"   {formula:6.3f}  " + "#" * round(4 * weights[row, middle]))

print("\nTo the left of disk 1, where no second cell is near, row 24:")
print("  " + " ".join(f"{weight:.3f}" for weight in weights[24, :7]))

if len(sys.argv) > 1:
    grey = np.round(255 * weights / weights.max()).astype(np.uint8)
    write_png(sys.argv[1], np.kron(grey, np.ones((6, 6), np.uint8)))
    print(f"\nThe map is in '{sys.argv[1]}'.")
