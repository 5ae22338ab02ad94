"""A recorded step, which writes gradients and packs all filters at once, against a step by hand,
which adds gradients into .grad and packs each layer's filters itself: bit for bit, without a GPU.
"""

from collections import Counter
from functools import partial
from threading import Thread

import numpy as np
import pytest
from cuda_emulation import emulate

import cunet
from cunet.backend import to_device
from cunet.engines.gpu import cuda, fused, recorded, softmax_loss
from cunet.engines.gpu.record import record_of
from cunet.net.sizes import output_size
from cunet.solvers.rates import LearningRate

SOLVERS = {
    "SGD": partial(cunet.SGD, lr=0.01, momentum=0.9, weight_decay=0.01, clip=0.5),
    "Adam": partial(cunet.Adam, lr=1e-3, weight_decay=0.01, clip=0.5),
}


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    emulate(monkeypatch)


def make(solver, precision="tf32", depth=1, **options):
    net = cunet.UNet(width=8, depth=depth, seed=2, device="cuda", precision=precision)
    return net, SOLVERS[solver](net.parameters(), **options)


def batch(net, side, seed=0):
    rng, out = np.random.default_rng(seed), output_size(side, net.shape.depth)
    x = rng.standard_normal((1, side, side, 1), np.float32)
    labels = rng.integers(0, 2, (1, out, out)).astype(np.int32)
    return x, labels, rng.random((1, out, out), np.float32)


def backward_by_hand(net, arrays, rng, scale=None):
    """The loss; gradients are added into .grad."""
    x, labels, weights = (to_device(a, "cuda") for a in arrays)
    logits, backward = net(x, rng, remember="once")
    loss, dlogits = softmax_loss.loss(logits, labels, weights, 255, "weights", scale)
    backward(dlogits)
    return float(loss.get()[0])


class ByHand:
    """Steps as they are without fresh gradients and without packing at once."""

    def __init__(self, net, solver):
        self.net, self.solver = net, solver
        self.scaling = net.precision == "float16"
        self.fused = fused.fused(solver, self.scaling)

    def accumulate(self, arrays, rng):
        scale = self.fused.loss_scale if self.scaling else None
        return backward_by_hand(self.net, arrays, rng, scale)

    def update(self):
        self.fused.rate.fill(self.fused.next_rate())
        self.fused.step()
        self.solver.done += 1
        if self.scaling:
            self.solver.scaling = [float(a) for a in self.fused.read_scale()]


def ends(net, solver):
    """Parameters and all that the solver keeps."""
    arrays = [p.value for p in net.parameters()] + list(solver.state().values())
    return [a.get() for a in arrays]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("multiprocessors", [1, 132])  # one part of dw, and several
def test_a_recorded_step_is_the_step_by_hand(solver, precision, multiprocessors, monkeypatch):
    """Several steps with dropout, the first by hand; filters that were changed in between."""
    monkeypatch.setattr(cuda, "processors", lambda: multiprocessors)
    found = []
    for kind in (recorded.CapturedStep, ByHand):
        net, solve = make(solver, precision)
        work = kind(net, solve) if kind is ByHand else kind(net, solve, "weights", 255)
        losses = []
        for step in range(4):
            arrays = batch(net, 28, step)
            losses.append(work.accumulate(arrays, np.random.default_rng(step)))
            work.update()
            if step == 2:  # as an ordinary operation does it, which knows nothing of copies
                for p in net.parameters():
                    p.value *= 0.75
        found.append([losses, *ends(net, solve)])
        assert solve.done == 4 and len(set(losses)) == 4
    assert_equal(*found)


@pytest.mark.parametrize("solver", SOLVERS)
def test_updates_of_several_batches_are_those_by_hand(solver):
    found = []
    for kind in (recorded.CapturedStep, ByHand):
        net, solve = make(solver, iter_size=2)
        work = kind(net, solve) if kind is ByHand else kind(net, solve, "weights", 255)
        for step in range(3):
            for i in range(2):
                work.accumulate(batch(net, 28, 2 * step + i), np.random.default_rng(step))
            work.update()
            assert not any(p.grad.get().any() for p in net.parameters())
        found.append(ends(net, solve))
    assert_equal(*found)


@pytest.mark.parametrize("solver", SOLVERS)
def test_updates_that_were_left_out_do_not_count(solver):
    """A scale that is too large is halved until the gradients are finite. From there on the net is
    as if the first scale had been the right one."""
    net, solve = make(solver, "float16")
    x, labels, weights = batch(net, 28)
    heavy = x, labels, 1000 * weights
    work = recorded.CapturedStep(net, solve, "none", 255)
    before = ends(net, solve)
    while solve.scaling is None or solve.scaling[1] < 3:  # good updates
        work.accumulate(heavy, np.random.default_rng(0))
        work.update()
        if solve.scaling[1] == 0:
            assert_equal(ends(net, solve), before)
    assert solve.scaling[2] >= 2 and solve.done == solve.scaling[2] + 3
    again, solve_again = make(solver, "float16")
    solve_again.scaling = [solve.scaling[0], 0.0, 0.0]
    work = recorded.CapturedStep(again, solve_again, "none", 255)
    for _ in range(3):
        work.accumulate(heavy, np.random.default_rng(0))
        work.update()
    assert solve_again.scaling[2] == 0
    assert_equal(ends(again, solve_again), ends(net, solve))


def test_gradients_of_the_net_are_not_touched():
    """What a recorded step leaves behind gets into no sum; what the user has summed up stays."""
    net, solve = make("SGD")
    arrays = batch(net, 28)
    work = recorded.CapturedStep(net, solve, "weights", 255)
    for step in range(2):
        work.accumulate(arrays, np.random.default_rng(step))
        work.update()
    assert not any("grad" in vars(p) for p in net.parameters())  # nobody has asked for them
    twin, _ = make("SGD")
    for p, q in zip(twin.parameters(), net.parameters(), strict=True):
        p.value[...] = q.value
    for one in (net, twin):
        backward_by_hand(one, arrays, np.random.default_rng(9))
    expected = [p.grad.get() for p in twin.parameters()]
    assert_equal([p.grad.get() for p in net.parameters()], expected)
    assert all(a.any() for a in expected)
    work.accumulate(arrays, np.random.default_rng(3))
    work.update()
    assert_equal([p.grad.get() for p in net.parameters()], expected)


@pytest.mark.parametrize("first", [1, 2])
def test_batches_of_another_size_are_refused(first):
    """One image would be repeated for two, and two would not fit."""
    net, solve = make("SGD")
    one = batch(net, 28)
    two = tuple(np.concatenate((a, a)) for a in one)
    work = recorded.CapturedStep(net, solve, "weights", 255)
    work.accumulate(one if first == 1 else two, np.random.default_rng(0))
    expected = f"batches of one shape, .{first}, 28, 28, 1., found .{3 - first}, 28, 28, 1."
    with pytest.raises(cunet.CunetError, match=expected):
        work.accumulate(two if first == 1 else one, np.random.default_rng(1))


def test_a_prediction_makes_no_gradients():
    net, _ = make("SGD")
    for _ in range(2):
        recorded.predict(net, np.ones((1, 20, 20, 1), np.float32))
    assert not any("grad" in vars(p) for p in net.parameters())


def test_threads_that_share_a_net_get_their_own_predictions():
    """The second thread comes while the first waits for the GPU."""
    net, _ = make("SGD")
    images = [np.full((1, 20, 20, 1), value, np.float32) for value in (1, -2)]
    expected = [recorded.predict(net, x) for x in images]
    assert not np.array_equal(*expected)
    found, stream = {}, record_of(net).place.stream

    def other():
        found["other"] = recorded.predict(net, images[1])

    thread = Thread(target=other)

    def wait():
        del stream.synchronize  # the second thread's is that of the class
        thread.start()
        thread.join(0.5)

    stream.synchronize = wait
    found["mine"] = recorded.predict(net, images[0])
    thread.join()
    np.testing.assert_array_equal(found["mine"], expected[0])
    np.testing.assert_array_equal(found["other"], expected[1])


@pytest.mark.parametrize("kind", ["filters", "biases"])
def test_a_prediction_knows_of_arrays_that_were_replaced(kind):
    """As p.value = 2 * p.value does it; what was recorded holds the addresses of the others."""
    x = np.random.default_rng(0).standard_normal((1, 20, 20, 1), np.float32)
    net, twin = make("SGD")[0], make("SGD")[0]
    before = recorded.predict(net, x)
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        if p.name.endswith(kind):
            p.value, q.value[...] = 2 * p.value + 0.5, 2 * q.value + 0.5
    for _ in range(2):
        found = recorded.predict(net, x)
        np.testing.assert_array_equal(found, recorded.predict(twin, x))
        assert not np.array_equal(found, before)


def test_a_step_refuses_arrays_that_were_replaced():
    net, solve = make("SGD")
    work = recorded.CapturedStep(net, solve, "weights", 255)
    for step in range(2):
        work.accumulate(batch(net, 28), np.random.default_rng(step))
        work.update()
    p = net.parameters()[3]
    p.value[...] = 0.5
    work.accumulate(batch(net, 28), np.random.default_rng(2))
    p.value = p.value.copy()
    with pytest.raises(cunet.CunetError, match=f"the array of parameter '{p.name}' is another"):
        work.accumulate(batch(net, 28), np.random.default_rng(3))


CHANGES = {
    "clip": lambda solver: vars(solver).update(clip=None),
    "momentum": lambda solver: vars(solver).update(momentum=0.5),
    "weight_decay": lambda solver: vars(solver).update(weight_decay=0.5),
    "multiplier": lambda solver: vars(solver.parameters[4]).update(lr_mult=0),
}


@pytest.mark.parametrize("iter_size", [1, 2])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_refuses_settings_that_were_changed(solver, change, iter_size):
    """A recorded update has them as they were. The learning rate may change."""
    net, solve = make(solver, iter_size=iter_size)
    work = recorded.CapturedStep(net, solve, "weights", 255)
    for step in range(2):
        solve.rate = LearningRate(0.1 / (1 + step))
        for _ in range(iter_size):
            work.accumulate(batch(net, 28), np.random.default_rng(step))
        assert work.update() == 0.1 / (1 + step)
    change(solve)
    with pytest.raises(cunet.CunetError, match="was changed since the step was made"):
        work.accumulate(batch(net, 28), np.random.default_rng(3))


def test_a_parameter_of_two_layers_is_refused():
    net, _ = make("SGD")
    first, second = net.levels[0].contract[1], net.levels[0].expand[1]
    second.w, second.b = first.w, first.b
    solver = cunet.SGD(list(dict.fromkeys(net.parameters())))
    work = recorded.CapturedStep(net, solver, "weights", 255)
    with pytest.raises(cunet.CunetError, match="got 2 gradients from one batch, expected 1"):
        work.accumulate(batch(net, 28), np.random.default_rng(0))


def test_a_parameter_that_no_layer_has_is_refused():
    net, _ = make("SGD")
    other, _ = make("SGD")
    solver = cunet.SGD([*net.parameters(), other.parameters()[0]])
    work = recorded.CapturedStep(net, solver, "weights", 255)
    with pytest.raises(cunet.CunetError, match="got 0 gradients"):
        work.accumulate(batch(net, 28), np.random.default_rng(0))


def test_a_parameter_that_is_not_learned_stays():
    net, _ = make("SGD")
    fixed, *learned = net.parameters()
    before = fixed.value.get()
    work = recorded.CapturedStep(net, SOLVERS["SGD"](learned), "weights", 255)
    losses = []
    for _ in range(3):
        losses.append(work.accumulate(batch(net, 28), np.random.default_rng(0)))
        work.update()
    np.testing.assert_array_equal(fixed.value.get(), before)
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_launches_of_a_step(solver, monkeypatch):
    """One to pack, three to update; one or two for the gradient of a layer's filters or biases."""
    net, solve = make(solver, depth=2)
    counts = Counter()
    run = cuda.function

    def counting(precision, index, name):
        counts[name] += 1
        return run(precision, index, name)

    monkeypatch.setattr(cuda, "function", counting)
    work = recorded.CapturedStep(net, solve, "weights", 255)
    work.accumulate(batch(net, 60), np.random.default_rng(0))
    times = {name: number / 2 for name, number in counts.items()}  # by hand, and recorded
    assert times["pack_filters"] == times["clip_factor"] == times[f"{solver.lower()}_update"] == 1
    assert not {"add_floats", "pack_transposed"} & times.keys()
    assert times["to_elements"] == 1  # the image
    layers, concatenated = len(net.layers()), net.shape.depth  # of two images, one by one
    by_weights = sum(n for name, n in times.items() if "by_weights" in name)
    assert by_weights == layers - 2 + concatenated  # first layer and head have kernels of their own
    summed = sum(n for name, n in times.items() if name.startswith("sum_partials"))
    assert layers <= summed <= 2 * layers
    counts.clear()
    work.accumulate(batch(net, 60), np.random.default_rng(1))
    assert not counts  # a replay
