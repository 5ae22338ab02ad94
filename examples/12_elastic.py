"""Lesson 12: elastic deformation - random vectors on a 3x3 grid, smooth in between.

The paper's augmentation: vectors from a normal distribution with a deviation of 10 pixels, and the
displacements of all pixels by bicubic interpolation. With only thirty images to learn from, it
shows the net how else tissue may look.
Read beside it: cunet/data/augment.py
"""

from dataclasses import replace

import numpy as np
from show import beside

from cunet.data.augment import OFF, Augmentation, displacement, draw

SIDE, SIGMA = 189, 10.0
rng = np.random.default_rng(3)

vectors = rng.normal(0, SIGMA, (3, 3))
field = displacement(vectors, SIDE)
nodes = field[:: SIDE // 2, :: SIDE // 2]
print("Displacement along the rows, in pixels: the vectors, and the field every 47 pixels.\n")
print(beside(vectors=vectors.round(1), field=field[::47, ::47].astype(float).round(1)))
far = np.abs(nodes - vectors).max()
print(f"\nThe field passes through the vectors: largest difference {far:.0e} pixels.")

draws = np.array([displacement(rng.normal(0, SIGMA, (3, 3)), 49) for _ in range(4000)])
rms = np.sqrt((draws**2).mean(axis=0))
print("\nRoot mean square over 4000 fields, every eighth of the tile:\n")
print(beside(rms=rms[::6, ::6].round(1)))
print(f"\n{SIGMA:g} at the nine nodes, less where neighbours mix; {rms.mean():.1f} on average.")

# One field serves image and labels: what belonged together stays together.
rows, columns = np.mgrid[:SIDE, :SIDE]
grid = ((rows % 27 < 4) | (columns % 27 < 4)).astype(np.uint8)
image = grid[..., None].astype(np.float32)
weights = np.ones((SIDE, SIDE), np.float32)
bend = replace(OFF, elastic="grid", sigma=SIGMA)
x, y, _ = draw(rng, image, grid, weights, SIDE, SIDE, bend)
print("\nA grid before and after (every third column, every sixth row):\n")
for lines in zip(grid[::6, :108:3], y[::6, :108:3], strict=True):
    print("   " + "   ".join("".join(".#"[v] for v in line) for line in lines))
agree = ((x[..., 0] > 0.5) == (y > 0)).mean()
print(f"\nImage (bilinear, rounded) and labels (nearest) agree in {agree:.1%} of the pixels.")
print("Beyond its border an image is mirrored, so a tile may look outside.")

every = Augmentation()
print("\nA training sample is also shifted, rotated and mirrored, and its grey values vary:")
print(f"contrast by {every.contrast:.0%}, brightness by {every.brightness} standard deviations.")
