"""Lesson 6: the pixel-wise softmax with weighted cross-entropy, the paper's equation 1.

Its gradient with respect to the logits is w (p - [k = label]) / norm. The logarithm of the softmax
is computed as a - max - log(sum exp(a - max)), because the obvious formula overflows.
Read beside it: cunet/ops/softmax_loss.py
"""

import numpy as np

from cunet.ops import softmax_loss

# Three pixels, two classes: sure and right, undecided, sure and wrong.
logits = np.array([[[[0.0, 3.0], [0.0, 0.0], [4.0, 0.0]]]])
labels = np.array([[[1, 1, 1]]])
weights = np.array([[[1.0, 1.0, 2.0]]])
target, scale = softmax_loss.targets(logits, labels, weights)  # the labels, and weights / norm
loss, log_p = softmax_loss.forward(logits, target, scale)
dlogits = softmax_loss.backward(log_p, target, scale)
print("pixel      logits      p(0)   p(1)  label  weight  -log p(label)    dlogits")
for i, name in enumerate(("right", "unsure", "wrong")):
    a, p, d = logits[0, 0, i], np.exp(log_p[0, 0, i]), dlogits[0, 0, i]
    cost, weight = -log_p[0, 0, i, labels[0, 0, i]], weights[0, 0, i]
    row = f"{name:7} {a[0]:5.1f} {a[1]:5.1f}   {p[0]:6.3f} {p[1]:6.3f}    1   {weight:6.1f}"
    print(f"{row}  {cost:11.3f}   {d[0]:+8.3f} {d[1]:+6.3f}")
costs = -log_p[0, 0, :, 1]
by_hand = (weights[0, 0] * costs).sum() / weights.sum()
print(f"\nloss = sum of weight * cost / sum of weights = {loss:.6f} (by hand {by_hand:.6f})")
print("Every pixel's dlogits sum to 0: what one class gains the others lose.")

# Finite differences
step, worst = 1e-5, 0.0
for index in np.ndindex(logits.shape):
    up, down = logits.copy(), logits.copy()
    up[index] += step
    down[index] -= step
    above = softmax_loss.loss(up, labels, weights)[0]
    below = softmax_loss.loss(down, labels, weights)[0]
    worst = max(worst, abs((above - below) / (2 * step) - dlogits[index]))
print(f"Largest difference from the measured gradient: {worst:.0e}")

print("\nWhy log-sum-exp: -log p of class 1, in float32, for logits (0, a)\n")
print("      a   log(exp / sum of exp)   a - max - log(sum exp(a - max))")
for a in (10, 80, 100, -80, -110, -1000):
    pair = np.array([0, a], np.float32)
    with np.errstate(all="ignore"):  # overflow is what we want to see
        obvious = 0 - np.log(np.exp(pair) / np.exp(pair).sum())[1]
    cost, _ = softmax_loss.loss(pair[None, None, None], np.ones((1, 1, 1), int))
    print(f"  {a:5d}   {obvious:17.3g}   {abs(cost):20.3g}")
print("\nexp(89) is already infinite in float32, and exp(-104) is 0, whose logarithm is infinite.")

double = softmax_loss.loss(logits, labels, 2 * weights)[0]
print("\nAs the loss is divided by the sum of the weights, only their ratios count:")
print(f"doubled weights give {double:.6f}.")
