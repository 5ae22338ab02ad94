"""Lesson 14: everything together - a small U-Net learns one image by heart.

The first test of any network: if it cannot overfit a single tile, something is wrong. Forward,
loss, backward, step: the whole of training is the four lines of the loop.
Read beside it: cunet/training/loop.py, cunet/solvers/adam.py
"""

import numpy as np
from show import picture

from cunet import Adam, LearningRate, UNet, softmax_loss
from cunet.data.synthetic import membranes
from cunet.data.weight_map import class_weights
from cunet.net.sizes import margin, output_size
from cunet.ops.softmax_loss import probability as softmax

TILE, DEPTH, STEPS = 148, 2, 120

images, truth = membranes(1, TILE, TILE, seed=5)
image = images[0].astype(np.float32)
x = ((image - image.mean()) / image.std())[None, :, :, None]
middle = slice(margin(DEPTH), margin(DEPTH) + output_size(TILE, DEPTH))
labels = (truth[:, middle, middle] > 0).astype(np.uint8)  # 0 membrane, 1 cell
weights = class_weights(labels, classes=2)[labels]

net = UNet(width=8, depth=DEPTH, dropout=0, seed=0)
solver = Adam(net.parameters(), lr=LearningRate(3e-3, "cosine", max_iter=STEPS))
count = sum(p.value.size for p in net.parameters())
print(f"A tile of {TILE} -> {labels.shape[1]}, a net of {count:,} parameters, {STEPS} steps\n")

for step in range(1, STEPS + 1):
    logits, backward = net(x)
    loss, dlogits = softmax_loss(logits, labels, weights)
    backward(dlogits)
    rate = solver.step()
    if step == 1 or step % 10 == 0:
        print(f"  step {step:4d}   rate {rate:.4f}   loss {loss:.4f}  " + "#" * round(50 * loss))
print(f"\nA probability of one half everywhere would cost ln 2 = {np.log(2):.4f}.")

probability = softmax(net(x, remember=False))[0, :, :, 1]
found = probability > 0.5
true = labels[0] > 0
both = (found & true).sum()
wrong = (found != true).mean()
dice = 2 * both / (found.sum() + true.sum())
white = true.mean()
print(f"\nWrong pixels            {wrong:.4f}   (all white: {1 - white:.4f})")
print(f"Pixel error, 1 - Dice   {1 - dice:.4f}   (all white: {1 - 2 * white / (1 + white):.4f})")

print("\nImage, truth and prediction (every fourth row, every second column of a part):\n")
part = (slice(0, 96, 4), slice(0, 48, 2))
grey = x[0, middle, middle, 0][part]
columns = [picture(grey, -2, 2), picture(true[part], 0, 1), picture(probability[part], 0, 1)]
for lines in zip(*columns, strict=True):
    print("   " + "   ".join(lines).rstrip())
print("\nBy heart is not understanding: for that it needs other images, and lessons 11 and 12.")
