"""Lesson 10: momentum in Caffe's form, where the learning rate is part of the velocity.

    Caffe     V <- mu V + rate g;   W <- W - V
    PyTorch   V <- mu V + g;        W <- W - rate V

Both are equal while the rate is constant; after the rate drops they differ.
Read beside it: cunet/solvers/sgd.py
"""

import numpy as np

from cunet import SGD, LearningRate
from cunet.net.layers import Parameter

MU, RATE, DROP = 0.99, 1e-3, 600
rate = LearningRate(RATE, "step", gamma=0.1, stepsize=DROP)

weight = Parameter("weight", np.zeros(1))
solver = SGD([weight], lr=rate, momentum=MU)
caffe, torch, velocity = [], [], 0.0
for step in range(1200):
    before = weight.value[0]
    weight.grad[:] = 1.0  # a constant slope: the same gradient for ever
    solver.step()
    caffe.append(before - weight.value[0])
    velocity = MU * velocity + 1.0
    torch.append(rate(step) * velocity)

print(f"How far one update moves a weight on a constant slope of 1: momentum {MU}, rate {RATE:g},")
print(f"and the rate drops to a tenth after {DROP} updates.\n")
print("  update    Caffe  PyTorch")
for step in (0, 1, 10, 68, 200, 599, 600, 610, 668, 800, 1199):
    if step == DROP:
        print("  ------ the rate drops ------")
    marks = list(("#" * round(400 * caffe[step])).ljust(42))
    marks[round(400 * torch[step])] = "|"
    print(f"  {step + 1:6d}  {caffe[step]:.5f}  {torch[step]:.5f}  {''.join(marks).rstrip()}")
print(" " * 27 + "# Caffe, | PyTorch")

print(f"\nThe steps grow to rate / (1 - mu) = {RATE / (1 - MU):g}, a hundred times the rate.")
print("So a rate that suits plain gradient descent is far too large with momentum 0.99.")
half = np.log(0.5) / np.log(MU)
print(f"\nThe velocity forgets half in {half:.0f} updates. After the drop Caffe's steps shrink as")
print("slowly; PyTorch's shrink at once, since its velocity knows no rate.")
extra = sum(caffe[DROP:]) - sum(torch[DROP:])
steps = extra / (0.1 * RATE / (1 - MU))
print(f"So Caffe's weight goes {extra:.2f} further: {steps:.0f} steps of the new length.")
far = np.abs(np.subtract(caffe, torch))[:DROP].max()
print(f"\nBefore the drop the two are equal: largest difference {far:.0e}.")
