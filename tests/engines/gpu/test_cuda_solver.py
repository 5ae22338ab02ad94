"""The solvers of solver.cu against those of cunet.solvers on the host, without a GPU."""

import numpy as np
import pytest
from inputs import normal32 as normal

import cunet
from cunet.engines.gpu import cuda
from cunet.engines.gpu import fused as gpu
from cunet.net.layers import Parameter
from cunet.solvers import rates

SHAPES = [
    (3, 3, 8, 16),
    (16,),
    (2 * gpu.PIECE_VALUES + 7,),
    (3,),
    (gpu.PIECE_VALUES,),
    (1, 1, 8, 2),
]
SOLVERS = {  # how they are made, and what they keep of each parameter
    "SGD": (lambda *a, **k: cunet.SGD(*a, momentum=0.9, **k), ("velocity",)),
    "Adam": (lambda *a, **k: cunet.Adam(*a, momentum=0.8, momentum2=0.99, **k), ("m", "v")),
}


@pytest.fixture
def xp(emulated):
    return emulated


def on_host():
    """Parameters with all sorts of multipliers."""
    multipliers = [(1, 1), (2, 0), (1, 0.5), (0, 1), (0.5, 1), (2, 2)]
    return [
        Parameter(f"p{i}", normal(i, *shape), *some)
        for i, (shape, some) in enumerate(zip(SHAPES, multipliers, strict=True))
    ]


def moved(xp, a, first=0):
    """An array on the device that begins `first` values after a multiple of 16 bytes."""
    whole = xp.asarray(np.concatenate([np.zeros(first, np.float32), a.ravel()]))
    return whole[first:].reshape(a.shape)


def on_device(xp, parameters, first=0):
    """The same parameters there."""
    moved_all = []
    for p in parameters:
        moved_all.append(Parameter(p.name, moved(xp, p.value, first), p.lr_mult, p.decay_mult))
        moved_all[-1].grad = moved(xp, p.grad, first)
    return moved_all


class Device:
    """A solver whose updates the GPU does, as CapturedStep uses it."""

    def __init__(self, xp, solver, hosts, scaling=False, first=0, gradients=False, **options):
        self.parameters = on_device(xp, hosts, first)
        make, kept = SOLVERS[solver]
        self.solver = make(self.parameters, **options)
        for name in kept:
            arrays = [moved(xp, np.zeros_like(p.value), first) for p in hosts]
            setattr(self.solver, name, arrays)
        self.kept = [getattr(self.solver, name) for name in kept]
        grads = [p.grad for p in self.parameters]
        self.gradients = [xp.empty_like(g) for g in grads] if gradients else grads
        self.fused = gpu.fused(self.solver, scaling, self.gradients if gradients else None)

    def write(self, step, hosts, scale=1.0):
        """Gradients, here and there multiplied by the scale."""
        for i, (host, gradient) in enumerate(zip(hosts, self.gradients, strict=True)):
            host.grad[...] = normal(100 * step + i, *host.value.shape)
            gradient.set(host.grad * np.float32(scale))

    def step(self):
        self.fused.rate.fill(self.fused.next_rate())
        self.fused.step()
        self.solver.done += 1
        if self.fused.scaling:
            self.solver.scaling = [float(number) for number in self.fused.read_scale()]


def assert_same(solver, device):
    """Values and what the solver keeps, as on the host; gradients cleared."""
    kept = [getattr(solver, name) for name in SOLVERS[type(solver).__name__][1]]
    for p, q in zip(solver.parameters, device.parameters, strict=True):
        np.testing.assert_allclose(q.value.get(), p.value, rtol=0, atol=2e-6, err_msg=p.name)
        assert not q.grad.get().any()
    for here, there in zip(kept, device.kept, strict=True):
        for a, b in zip(here, there, strict=True):
            np.testing.assert_allclose(b.get(), a, rtol=0, atol=2e-6)


@pytest.mark.parametrize("precision", list(cuda.DTYPES))
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("clip", "decay", "iter_size", "scaling", "first"),
    [
        (None, 0.0, 1, False, 0),
        (None, 0.01, 3, False, 1),
        (20.0, 0.01, 1, False, 0),  # below the norm of these gradients, which is 220 or so
        (20.0, 0.01, 3, False, 3),
        (1000.0, 0.0, 2, False, 0),  # above it
        (None, 0.01, 1, True, 0),
        (20.0, 0.0, 3, True, 1),
    ],
)
def test_the_same_as_on_the_host(
    xp, precision, solver, clip, decay, iter_size, scaling, first, monkeypatch
):
    hosts = on_host()
    options = {
        "lr": rates.LearningRate(0.1 if solver == "SGD" else 0.003, "step", 0.5, stepsize=2),
        "weight_decay": decay, "clip": clip, "iter_size": iter_size,
    }  # fmt: skip
    monkeypatch.setitem(cuda.loaded, 0, precision)
    device = Device(xp, solver, hosts, scaling, first, **options)
    expected = SOLVERS[solver][0](hosts, **options)
    scale = gpu.FIRST_SCALE if scaling else 1.0
    for step in range(8):
        device.write(step, hosts, scale)
        expected.step()
        device.step()
    assert_same(expected, device)
    assert device.fused.read_scale()[0] == scale


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_scale_changes_and_updates_are_left_out_as_if_they_had_not_been_asked_for(
    xp, solver, monkeypatch
):
    """The host makes the other updates alone. Adam's correction counts only these."""
    monkeypatch.setattr(gpu, "UPDATES_BEFORE_DOUBLING", 3)
    hosts = on_host()
    device = Device(xp, solver, hosts, True, lr=0.003, weight_decay=0.01, clip=20.0)
    expected = SOLVERS[solver][0](hosts, lr=0.003, weight_decay=0.01, clip=20.0)
    wrong, scales = {0: np.inf, 1: np.nan, 5: -np.inf}, []
    for step in range(12):
        scale = float(device.fused.loss_scale.get()[0])
        device.write(step, hosts, scale)
        scales.append(np.log2(scale))
        if step in wrong:
            device.gradients[step % 3].ravel()[-1] = wrong[step]
            for p in hosts:
                p.grad.fill(0)
        else:
            expected.step()
        device.step()
    assert_same(expected, device)
    assert device.solver.done == 12 and device.solver.scaling[2] == 3
    assert scales == [16, 15, 14, 14, 14, 15, 14, 14, 14, 15, 15, 15]


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradients_of_their_own_arrays_stay_and_give_the_same_values(xp, solver):
    hosts, ends = on_host(), []
    for own in (False, True):
        device = Device(xp, solver, hosts, gradients=own, lr=0.01, weight_decay=0.01, clip=20.0)
        for step in range(3):
            device.write(step, hosts)
            device.step()
        kept = [a.get() for arrays in device.kept for a in arrays]
        ends.append([p.value.get() for p in device.parameters] + kept)
        for host, gradient in zip(hosts, device.gradients, strict=True):
            np.testing.assert_array_equal(gradient.get(), host.grad if own else 0)
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_what_is_not_finite_is_not_used_without_scaling_either(xp, solver, clip):
    hosts = on_host()[:2]
    device = Device(xp, solver, hosts, lr=0.1, clip=clip)
    device.gradients[0][0, 0, 0, 0] = np.inf
    device.step()
    for host, p in zip(hosts, device.parameters, strict=True):
        np.testing.assert_array_equal(p.value.get(), host.value)
        assert not p.grad.get().any()
    np.testing.assert_array_equal(device.fused.read_scale(), [1, 0, 1])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("wrong", [np.inf, np.nan])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_an_update_whose_gradient_is_not_finite_is_left_out(xp, solver, own, wrong, clip):
    hosts = on_host()
    device = Device(xp, solver, hosts, True, gradients=own, lr=0.1, weight_decay=0.1, clip=clip)
    fused, scale = device.fused, gpu.FIRST_SCALE
    for arrays in device.kept:
        for a in arrays:
            a.fill(0.5)
    fused.set_scale(scale, 7, 2)
    device.write(0, hosts)
    device.gradients[2][2 * gpu.PIECE_VALUES + 3] = wrong
    device.step()
    for i, (host, p) in enumerate(zip(hosts, device.parameters, strict=True)):
        np.testing.assert_array_equal(p.value.get(), host.value)
        assert all((arrays[i].get() == 0.5).all() for arrays in device.kept)
        assert not p.grad.get().any()
    np.testing.assert_array_equal(fused.read_scale(), [scale / 2, 0, 3])
    assert fused.loss_scale.get()[0] == scale / 2
    device.write(1, hosts)
    device.step()
    np.testing.assert_array_equal(fused.read_scale(), [scale / 2, 1, 3])
    assert (device.parameters[0].value.get() != hosts[0].value).any()


def test_the_scale_grows_and_shrinks_within_bounds(xp, monkeypatch):
    monkeypatch.setattr(gpu, "UPDATES_BEFORE_DOUBLING", 3)
    device = Device(xp, "SGD", on_host()[:2], True)
    fused = device.fused
    fused.set_scale(gpu.LARGEST_SCALE / 2)
    scales = []
    for _ in range(9):
        fused.step()
        scales.append(fused.read_scale()[0] / gpu.LARGEST_SCALE)
    assert scales == [0.5, 0.5, *7 * [1.0]]
    fused.set_scale(3)
    scales = []
    for _ in range(4):
        device.gradients[1][0] = np.nan
        fused.step()
        scales.append(float(fused.read_scale()[0]))
    assert scales == [1.5, 1, 1, 1]
    fused.step()
    np.testing.assert_array_equal(fused.read_scale(), [1, 1, 4])


@pytest.mark.parametrize("solver", SOLVERS)
def test_scaled_gradients_give_the_same_update(xp, solver):
    hosts, values = on_host(), []
    for scale in (1.0, 2.0**12):
        device = Device(
            xp, solver, hosts, True, lr=0.1, weight_decay=0.01, clip=20.0, iter_size=2
        )  # fmt: skip
        device.fused.set_scale(scale)
        device.write(0, hosts, scale)
        device.step()
        values.append([p.value.get() for p in device.parameters])
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_update_can_be_recorded(xp, solver):
    hosts = on_host()
    options = {"lr": 0.01, "weight_decay": 0.01, "clip": 20.0}
    device = Device(xp, solver, hosts, True, **options)
    expected, fused = SOLVERS[solver][0](hosts, **options), device.fused
    stream = xp.cuda.Stream()  # replays wait for what the default stream has written
    with stream:
        stream.begin_capture()
        fused.step()
        graph = stream.end_capture()
    for step in range(3):
        device.write(step, hosts, gpu.FIRST_SCALE)
        expected.step()
        fused.rate.fill(fused.next_rate())
        graph.launch(stream)
        device.solver.done += 1
    assert_same(expected, device)


def test_a_file_that_says_more_was_left_out_than_was_done_still_has_a_correction(xp):
    device = Device(xp, "Adam", on_host()[:1], True, lr=0.5)
    device.solver.done, device.solver.scaling = 3, [1.0, 0.0, 9.0]
    assert device.fused.next_rate() == pytest.approx(0.5 * 0.1 / 0.2)  # of the first update
