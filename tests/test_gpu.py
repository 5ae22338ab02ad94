"""On a GPU: the whole net, its gradients, the solvers and segmentation agree with the CPU."""

import numpy as np
import pytest

import cunet
from cunet.backend import cuda_problem, to_device, to_host

problem = cuda_problem()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(problem is not None, reason=str(problem))]


def step(device, dtype, solver):
    """Logits, loss, gradients and the parameters after three updates of a small net."""
    net = cunet.UNet(width=4, depth=2, dropout=0.5, dtype=dtype, seed=1, device=device)
    rng = np.random.default_rng(0)
    x = to_device(rng.standard_normal((2, 76, 76, 1)).astype(dtype), device)
    labels = to_device(rng.integers(0, 2, (2, 36, 36)), device)
    weights = to_device(rng.random((2, 36, 36)).astype(dtype), device)
    solve = solver(net.parameters(), lr=1e-3, clip=1.0)
    found = []
    for number in range(3):
        logits, backward = net(x, np.random.default_rng(number))
        loss, dlogits = cunet.softmax_loss(logits, labels, weights)
        backward(dlogits)
        found += [to_host(logits), np.array(loss), *(to_host(p.grad) for p in net.parameters())]
        solve.step()
    return found + [to_host(p.value) for p in net.parameters()]


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("solver", [cunet.SGD, cunet.Adam])
def test_training_agrees_with_the_cpu(dtype, limit, solver):
    on_gpu, on_cpu = step("cuda", dtype, solver), step("cpu", dtype, solver)
    for a, b in zip(on_gpu, on_cpu, strict=True):
        assert np.abs(a - b).max() <= limit * np.abs(b).max()


def test_segmentation_agrees_with_the_cpu():
    image = np.random.default_rng(0).standard_normal((300, 210))
    nets = [cunet.UNet(width=4, depth=4, seed=1, device=device) for device in ("cuda", "cpu")]
    a, b = (cunet.segment(image, net, tile=252) for net in nets)
    assert isinstance(a, np.ndarray) and np.abs(a - b).max() <= 1e-5


def test_a_model_trained_on_the_gpu_is_read_on_the_cpu(tmp_path):
    net = cunet.UNet(width=2, depth=1, seed=3, device="cuda")
    cunet.save(tmp_path / "net.npz", net)
    loaded = cunet.load(tmp_path / "net.npz")
    for a, b in zip(net.parameters(), loaded.parameters(), strict=True):
        assert np.array_equal(to_host(a.value), b.value)
