"""The solvers against trajectories in plain Python floats, and a training against a stored run."""

import json
import math

import make_golden_run as golden
import numpy as np
import pytest

import cunet
from cunet.errors import CunetError
from cunet.net.layers import Parameter
from cunet.net.unet import UNet
from cunet.solvers.rates import LearningRate


def parameter(value, lr_mult=1, decay_mult=1, name="p"):
    return Parameter(name, np.array(value, np.float64), lr_mult, decay_mult)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


# SGD


def test_momentum_by_hand():
    p = parameter([1.0])
    solver = cunet.SGD([p], lr=0.1, momentum=0.5)
    values = []
    for gradient in (1.0, 2.0, -4.0):
        p.grad[...] = gradient
        assert solver.step() == 0.1
        assert not p.grad.any(), "step() clears the gradients"
        values.append(float(p.value[0]))
    # V: 0.1, 0.05 + 0.2, 0.125 - 0.4; the first step is not damped
    close(values, [0.9, 0.9 - 0.25, 0.9 - 0.25 + 0.275])
    assert solver.done == 3


def test_a_drop_of_the_rate_does_not_shrink_the_velocity():
    p = parameter([0.0])
    solver = cunet.SGD([p], lr=LearningRate(1.0, "step", gamma=0.1, stepsize=1), momentum=0.9)
    values = []
    for _ in range(3):
        p.grad[...] = 1.0
        solver.step()
        values.append(float(p.value[0]))
    # V: 1, 0.9 + 0.1, 0.9 + 0.01. With the rate outside V it would be 1, 0.1 * 1.9, ...
    close(values, [-1.0, -2.0, -2.91])


@pytest.mark.parametrize("clip", [None, 2.0, 100.0])
@pytest.mark.parametrize("iter_size", [1, 4])
def test_multipliers_clip_iter_size_and_decay_in_caffes_order(clip, iter_size):
    start, gradients = [[1.5, -2.0], [0.5]], [[[3.0, -4.0], [12.0]], [[0.5, 0.25], [-1.0]]]
    mults = [(1, 1), (2, 0)]
    parameters = [parameter(v, *m) for v, m in zip(start, mults, strict=True)]
    solver = cunet.SGD(
        parameters, lr=0.1, momentum=0.9, weight_decay=0.05, clip=clip, iter_size=iter_size
    )
    w, v = [list(value) for value in start], [[0.0, 0.0], [0.0]]
    for given in gradients:
        for p, gradient in zip(parameters, given, strict=True):
            p.grad[...] = gradient
        solver.step()
        norm = math.sqrt(sum(g * g for gradient in given for g in gradient))  # of the raw sum
        scale = clip / norm if clip is not None and norm > clip else 1.0
        for i, (lr_mult, decay_mult) in enumerate(mults):
            for j in range(len(w[i])):
                g = given[i][j] * scale / iter_size + 0.05 * decay_mult * w[i][j]
                v[i][j] = 0.9 * v[i][j] + 0.1 * lr_mult * g
                w[i][j] -= v[i][j]
        for p, expected in zip(parameters, w, strict=True):
            close(p.value, expected)


def test_a_gradient_of_just_the_limit_is_not_clipped():
    p = parameter([0.0, 0.0])
    solver = cunet.SGD([p], lr=1, momentum=0, clip=5.0)
    p.grad[...] = 3, 4
    solver.step()
    np.testing.assert_array_equal(p.value, [-3, -4])


def test_the_contracts_defaults():
    net = UNet(width=1, depth=1)
    solver = cunet.SGD(net.parameters())
    assert (solver.rate(0), solver.momentum, solver.weight_decay) == (1e-3, 0.99, 0)
    assert [p.name for p in solver.parameters] == [p.name for p in net.parameters()]
    arrays = list(solver.state().values())
    assert [a.shape for a in arrays] == [p.value.shape for p in net.parameters()]
    assert not any(a.any() for a in arrays)


def test_the_state_is_what_a_second_solver_needs():
    """Two solvers in turn, the state copied over, end where one does."""
    for make in (cunet.SGD, cunet.Adam):
        whole, halves = parameter([1.0, -1.0]), parameter([1.0, -1.0])
        one, first, second = make([whole]), make([halves]), make([halves])
        for step in range(4):
            if step == 2:
                for name, array in second.state().items():
                    array[...] = first.state()[name]
                second.done = first.done
            whole.grad[...] = halves.grad[...] = np.sin([step, 3 * step])
            one.step()
            (first if step < 2 else second).step()
        np.testing.assert_array_equal(whole.value, halves.value)


# Learning-rate policies, as in Caffe's sgd_solver.cpp

DONE = (0, 1, 2, 5, 9, 10, 11, 19, 20, 57, 99, 100)
POLICIES = {
    "fixed": ({}, lambda i: 0.3),
    "step": ({"gamma": 0.5, "stepsize": 10}, lambda i: 0.3 * 0.5 ** math.floor(i / 10)),
    "exp": ({"gamma": 0.97}, lambda i: 0.3 * 0.97**i),
    "inv": ({"gamma": 1e-2, "power": 0.75}, lambda i: 0.3 * (1 + 1e-2 * i) ** (-0.75)),
    "poly": ({"power": 2.0, "max_iter": 100}, lambda i: 0.3 * (1 - i / 100) ** 2),
    "sigmoid": (
        {"gamma": -0.1, "stepsize": 20},
        lambda i: 0.3 * (1 / (1 + math.exp(0.1 * (i - 20)))),
    ),
    "multistep": (
        {"gamma": 0.1, "stepvalues": (2, 10, 50)},
        lambda i: 0.3 * 0.1 ** sum(i >= v for v in (2, 10, 50)),
    ),
    "cosine": ({"max_iter": 100}, lambda i: 0.3 * 0.5 * (1 + math.cos(math.pi * i / 100))),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_policies(policy):
    options, formula = POLICIES[policy]
    rate = LearningRate(0.3, policy, **options)
    for done in DONE:
        assert rate(done) == pytest.approx(formula(done), rel=1e-12, abs=1e-18), done


def test_cosine_stays_at_zero_beyond_its_end():
    assert LearningRate(1.0, "cosine", max_iter=10)(15) == 0


@pytest.mark.parametrize("values", [(3, 7), (3, 3), (2, 2, 2, 5), (0, 0), (1, 2, 3), (4, 2), ()])
def test_multistep_rises_by_one_at_most_in_a_call(values):
    """Caffe's loop with its state, called once for every iteration."""
    rate, current = LearningRate(1.0, "multistep", gamma=0.1, stepvalues=values), 0
    for done in range(12):
        if current < len(values) and done >= values[current]:
            current += 1
        assert rate(done) == pytest.approx(0.1**current, rel=1e-12), (done, current)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_solver_counts_completed_updates(policy):
    options, formula = POLICIES[policy]
    p = parameter([0.0])
    for make in (cunet.SGD, cunet.Adam):
        solver = make([p], lr=LearningRate(0.3, policy, **options))
        rates = [solver.step() for _ in range(4)]
        close(rates, [formula(i) for i in range(4)])


def test_an_unknown_policy_names_the_known_ones():
    with pytest.raises(CunetError, match="cosine.*found 'stairs'"):
        LearningRate(1.0, "stairs")


# Adam


@pytest.mark.parametrize("clip", [None, 2.0])
def test_adam_in_caffes_form(clip):
    start, gradients = [[1.5, -2.0], [0.5]], [[[3.0, -4.0], [12.0]], [[0.5, 0.0], [-1e-6]]]
    mults, b1, b2, delta = [(1, 1), (2, 0)], 0.8, 0.95, 1e-3
    parameters = [parameter(v, *m) for v, m in zip(start, mults, strict=True)]
    solver = cunet.Adam(parameters, 0.1, b1, b2, delta, weight_decay=0.05, clip=clip, iter_size=2)
    w = [list(value) for value in start]
    m, v = [[0.0, 0.0], [0.0]], [[0.0, 0.0], [0.0]]
    for t, given in enumerate(gradients, start=1):
        for p, gradient in zip(parameters, given, strict=True):
            p.grad[...] = gradient
        solver.step()
        norm = math.sqrt(sum(g * g for gradient in given for g in gradient))
        scale = clip / norm if clip is not None and norm > clip else 1.0
        for i, (lr_mult, decay_mult) in enumerate(mults):
            for j in range(len(w[i])):
                g = given[i][j] * scale / 2 + 0.05 * decay_mult * w[i][j]
                m[i][j] = b1 * m[i][j] + (1 - b1) * g
                v[i][j] = b2 * v[i][j] + (1 - b2) * g * g
                lr = 0.1 * lr_mult * math.sqrt(1 - b2**t) / (1 - b1**t)
                w[i][j] -= lr * m[i][j] / (math.sqrt(v[i][j]) + delta)
        for p, expected in zip(parameters, w, strict=True):
            close(p.value, expected)
            assert not p.grad.any()


def test_adams_defaults_are_caffes_and_the_papers():
    solver = cunet.Adam([parameter([0.0])])
    assert (solver.momentum, solver.momentum2, solver.delta) == (0.9, 0.999, 1e-8)


# A whole training


def test_a_training_reproduces_the_stored_run():
    stored = json.loads(golden.FILE.read_text())
    net = UNet(golden.WIDTH, golden.DEPTH, dropout=golden.DROPOUT, dtype="float64")
    values = [array for pair in golden.initial().values() for array in pair]
    for p, value in zip(net.parameters(), values, strict=True):
        p.value[...] = value
    solver = cunet.SGD(
        net.parameters(),
        LearningRate(golden.BASE, "multistep", golden.GAMMA, stepvalues=golden.STEP_VALUES),
        golden.MOMENTUM,
        golden.DECAY,
        golden.CLIP,
        golden.ITER_SIZE,
    )
    losses = []
    for step in range(golden.STEPS):
        rng, loss = np.random.default_rng(100 + step), 0.0
        for part in range(golden.ITER_SIZE):
            x, labels, weights = golden.batch(golden.ITER_SIZE * step + part)
            logits, backward = net(x, rng=rng)
            one, dlogits = cunet.softmax_loss(logits, labels, weights, golden.IGNORE)
            backward(dlogits)
            loss += one / golden.ITER_SIZE
        solver.step()
        losses.append(loss)
    np.testing.assert_allclose(losses, stored["losses"], rtol=1e-10, atol=0)
    square = sum(float((p.value**2).sum()) for p in net.parameters())
    assert square == pytest.approx(stored["sum_of_squares"], rel=1e-10)


def test_the_stored_run_is_what_its_script_makes():
    stored = json.loads(golden.FILE.read_text())
    losses, square = golden.run()
    np.testing.assert_allclose(losses, stored["losses"], rtol=1e-10, atol=0)
    assert square == pytest.approx(stored["sum_of_squares"], rel=1e-10)
    assert len(set(losses)) == golden.STEPS
