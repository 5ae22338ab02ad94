"""The solver of solver.cu against cunet.solvers.sgd on the host, without a GPU."""

import numpy as np
import pytest
from inputs import normal32 as normal

from cunet.engines.gpu import cuda
from cunet.engines.gpu import sgd as fused_sgd
from cunet.engines.gpu.sgd import FusedSGD
from cunet.net.layers import Parameter
from cunet.solvers import rates, sgd

SHAPES = [
    (3, 3, 8, 16),
    (16,),
    (2 * fused_sgd.PIECE_VALUES + 7,),
    (3,),
    (fused_sgd.PIECE_VALUES,),
    (1, 1, 8, 2),
]


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


def on_device(xp, parameters, first=0):
    """The same there; first: how many values after a multiple of 16 bytes they begin."""

    def moved(a):
        whole = xp.asarray(np.concatenate([np.zeros(first, np.float32), a.ravel()]))
        return whole[first:].reshape(a.shape)

    moved_all = []
    for p in parameters:
        moved_all.append(Parameter(p.name, moved(p.value), p.lr_mult, p.decay_mult))
        moved_all[-1].grad = moved(p.grad)
    return moved_all, [moved(np.zeros_like(p.value)) for p in parameters]


def write_gradients(step, hosts, devices, scale=1.0):
    for i, (host, device) in enumerate(zip(hosts, devices, strict=True)):
        gradient = normal(100 * step + i, *host.value.shape)
        host.grad[...] = gradient
        device.grad.set(gradient * np.float32(scale))


def assert_same(hosts, velocity, devices, device_velocity):
    for host, v, device, device_v in zip(hosts, velocity, devices, device_velocity, strict=True):
        np.testing.assert_allclose(device.value.get(), host.value, rtol=0, atol=2e-6)
        np.testing.assert_allclose(device_v.get(), v, rtol=0, atol=2e-6)
        assert not device.grad.get().any()


@pytest.mark.parametrize("precision", list(cuda.DTYPES))
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
    xp, precision, clip, decay, iter_size, scaling, first, monkeypatch
):
    hosts = on_host()
    devices, velocity = on_device(xp, hosts, first)
    rate = rates.LearningRate(0.1, "step", 0.5, stepsize=2)
    expected = sgd.SGD(hosts, rate, 0.9, decay, clip, iter_size)
    monkeypatch.setitem(cuda.loaded, 0, precision)
    fused = FusedSGD(devices, velocity, 0.9, decay, clip, iter_size, scaling)
    scale = fused_sgd.FIRST_SCALE if scaling else 1.0
    for step in range(4):
        write_gradients(step, hosts, devices, scale)
        fused.rate.fill(rate(step))
        expected.step()
        fused.step()
    assert_same(hosts, expected.velocity, devices, velocity)
    assert fused.read_scale()[0] == scale


@pytest.mark.parametrize("clip", [None, 1.0])
def test_what_is_not_finite_is_not_used_without_scaling_either(xp, clip):
    hosts = on_host()[:2]
    devices, velocity = on_device(xp, hosts)
    devices[0].grad[0, 0, 0, 0] = np.inf
    fused = FusedSGD(devices, velocity, 0.9, 0, clip, 1, False)
    fused.rate.fill(0.1)
    fused.step()
    for host, device in zip(hosts, devices, strict=True):
        np.testing.assert_array_equal(device.value.get(), host.value)
        assert not device.grad.get().any()
    np.testing.assert_array_equal(fused.read_scale(), [1, 0, 1])


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_an_update_whose_gradient_is_not_finite_is_left_out(xp, wrong, clip):
    hosts = on_host()
    devices, velocity = on_device(xp, hosts)
    fused = FusedSGD(devices, velocity, 0.9, 0.1, clip, 1, True)
    fused.rate.fill(0.1)
    scale = fused_sgd.FIRST_SCALE
    for v in velocity:
        v.fill(0.5)
    fused.set_scale(scale, 7, 2)
    write_gradients(0, hosts, devices)
    devices[2].grad[2 * fused_sgd.PIECE_VALUES + 3] = wrong
    fused.step()
    for host, device, v in zip(hosts, devices, velocity, strict=True):
        np.testing.assert_array_equal(device.value.get(), host.value)
        assert (v.get() == 0.5).all() and not device.grad.get().any()
    np.testing.assert_array_equal(fused.read_scale(), [scale / 2, 0, 3])
    assert fused.loss_scale.get()[0] == scale / 2
    write_gradients(1, hosts, devices)
    fused.step()
    np.testing.assert_array_equal(fused.read_scale(), [scale / 2, 1, 3])
    assert (devices[0].value.get() != hosts[0].value).any()


def test_the_scale_grows_and_shrinks_within_bounds(xp, monkeypatch):
    monkeypatch.setattr(fused_sgd, "UPDATES_BEFORE_DOUBLING", 3)
    hosts = on_host()[:2]
    devices, velocity = on_device(xp, hosts)
    fused = FusedSGD(devices, velocity, 0.9, 0, None, 1, True)
    fused.set_scale(fused_sgd.LARGEST_SCALE / 2)
    scales = []
    for _ in range(9):
        fused.step()
        scales.append(fused.read_scale()[0] / fused_sgd.LARGEST_SCALE)
    assert scales == [0.5, 0.5, *7 * [1.0]]
    fused.set_scale(3)
    scales = []
    for _ in range(4):
        devices[1].grad[0] = np.nan
        fused.step()
        scales.append(float(fused.read_scale()[0]))
    assert scales == [1.5, 1, 1, 1]
    fused.step()
    np.testing.assert_array_equal(fused.read_scale(), [1, 1, 4])


def test_scaled_gradients_give_the_same_update(xp):
    hosts, values = on_host(), []
    for scale in (1.0, 2.0**12):
        devices, velocity = on_device(xp, hosts)
        fused = FusedSGD(devices, velocity, 0.9, 0.01, 20.0, 2, True)
        fused.set_scale(scale)
        fused.rate.fill(0.1)
        write_gradients(0, hosts, devices, scale)
        fused.step()
        values.append([p.value.get() for p in devices])
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_update_can_be_recorded(xp):
    hosts = on_host()
    devices, velocity = on_device(xp, hosts)
    expected = sgd.SGD(hosts, 0.1, 0.9, 0.01, 20.0)
    fused = FusedSGD(devices, velocity, 0.9, 0.01, 20.0, 1, True)
    stream = xp.cuda.Stream()  # replays wait for what the default stream has written
    with stream:
        stream.begin_capture()
        fused.step()
        graph = stream.end_capture()
    fused.rate.fill(0.1)
    for step in range(3):
        write_gradients(step, hosts, devices, fused_sgd.FIRST_SCALE)
        expected.step()
        graph.launch(stream)
    assert_same(hosts, expected.velocity, devices, velocity)
