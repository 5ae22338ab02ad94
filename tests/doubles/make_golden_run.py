"""Ten losses of a small training, from the oracle and Caffe's update rule in plain Python.

`python tests/doubles/make_golden_run.py` writes golden_run.json. Nothing of cunet is used; cunet
must reproduce the losses (test_sgd.py). Weights and images follow from a formula, so that only the
dropout keys come from a random generator.
"""

import json
import math
from pathlib import Path

import numpy as np
import oracle
import oracle_net

FILE = Path(__file__).with_name("golden_run.json")
WIDTH, DEPTH, CLASSES, SIDE, DROPOUT = 2, 1, 2, 18, 0.25
STEPS, ITER_SIZE = 10, 2
BASE, GAMMA, STEP_VALUES = 0.004, 0.5, (4, 7)
MOMENTUM, DECAY, CLIP = 0.9, 0.01, 14.0
IGNORE = 255


def wave(seed, *shape):
    """Numbers in (-1, 1) without a pattern."""
    number = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return np.sin(number**2 * 0.37 + seed).reshape(shape)


def initial():
    """Name of the layer -> [filters, biases]."""
    parameters = {}
    for i, (name, shape) in enumerate(oracle_net.layer_shapes(WIDTH, DEPTH, 1, CLASSES).items()):
        taps = 1 if ".up" in name else shape[0] * shape[1]
        filters = 2 / math.sqrt(taps * shape[2]) * wave(i, *shape)
        parameters[name] = [filters, 0.2 * np.abs(wave(i + 0.5, shape[3]))]
    return parameters


def batch(number):
    """x (2, 18, 18, 1), labels (2, 2, 2) and weights (2, 2, 2) of a forward pass."""
    x = 2 * wave(10 + number, 2, SIDE, SIDE, 1)
    labels = (wave(20 + number, 2, 2, 2) > 0).astype(np.uint8)
    labels[number % 2, 0, 1] = IGNORE
    return x, labels, 1 + 9 * wave(30 + number, 2, 2, 2) ** 2


def rate(done):
    """Caffe's multistep."""
    return BASE * GAMMA ** sum(done >= value for value in STEP_VALUES)


def run():
    """The loss of every step, and the sum of squares of all parameters at the end."""
    parameters = initial()
    velocity = {name: [np.zeros(a.shape) for a in pair] for name, pair in parameters.items()}
    losses = []
    for step in range(STEPS):
        total, loss = None, 0.0
        random = np.random.default_rng(100 + step)
        for part in range(ITER_SIZE):
            x, labels, weights = batch(ITER_SIZE * step + part)
            keys = [int(random.integers(2**64, dtype=np.uint64)) for _ in range(2)]
            net = oracle_net.Net(parameters, DEPTH, rate=DROPOUT)
            one, dlogits = oracle.softmax_loss(net.forward(x, keys), labels, weights, IGNORE)
            net.backward(dlogits)
            loss += one / ITER_SIZE
            if total is None:
                total = {name: [g.copy() for g in net.grads[name]] for name in parameters}
            else:
                for name, pair in net.grads.items():
                    for gradient, more in zip(total[name], pair, strict=True):
                        gradient += more
        losses.append(loss)
        update(parameters, velocity, total, rate(step))
    square = sum(float((a * a).sum()) for pair in parameters.values() for a in pair)
    return losses, square


def update(parameters, velocity, gradients, lr):
    """SGDSolver::ApplyUpdate: clip, normalize, regularize, V = mu V + lr lr_mult g, W = W - V."""
    square = sum(float((g * g).sum()) for pair in gradients.values() for g in pair)
    scale = CLIP / math.sqrt(square) if math.sqrt(square) > CLIP else 1.0
    for name, pair in parameters.items():
        for i, (lr_mult, decay_mult) in enumerate(((1, 1), (2, 0))):
            g = gradients[name][i] * scale / ITER_SIZE + DECAY * decay_mult * pair[i]
            velocity[name][i] = MOMENTUM * velocity[name][i] + lr * lr_mult * g
            pair[i] = pair[i] - velocity[name][i]


if __name__ == "__main__":
    losses, square = run()
    FILE.write_text(json.dumps({"losses": losses, "sum_of_squares": square}, indent=2) + "\n")
