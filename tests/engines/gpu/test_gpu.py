"""On a GPU: the whole net, its gradients, the solvers and segmentation agree with the CPU."""

import numpy as np
import pytest

import cunet
from cunet.backend import cuda_problem, to_device, to_host
from cunet.engines import obstacle
from cunet.engines.gpu import cuda, recorded
from cunet.net.memory import explained
from cunet.net.sizes import output_size
from cunet.training import step as training

problem = cuda_problem()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(problem is not None, reason=str(problem))]
why = "no GPU" if problem is not None else obstacle("cuda", 8, 1, 2)
tensor_cores = pytest.mark.skipif(why is not None, reason=str(why))
LIMITS = {"tf32": 2e-3, "float16": 2e-3, "bfloat16": 2e-2}  # of logits, relative to the largest


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
        assert np.array_equal(to_host(b.value), to_host(a.value))


# On tensor cores


def batch(net, side, seed=0):
    """x, labels and weights on the host, for the paper's network."""
    rng, out = np.random.default_rng(seed), output_size(side, net.depth)
    x = rng.standard_normal((1, side, side, 1), np.float32)
    labels = rng.integers(0, 2, (1, out, out)).astype(np.uint8)
    return x, labels, rng.random((1, out, out), np.float32) + 0.5


@tensor_cores
@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-5), *LIMITS.items()])
def test_logits_of_the_whole_net(precision, limit):
    on_gpu = cunet.UNet(width=16, seed=1, device="cuda", precision=precision)
    on_cpu = cunet.UNet(width=16, seed=1)
    x = batch(on_cpu, 284)[0]
    a, b = to_host(on_gpu(to_device(x, "cuda"), remember=False)), on_cpu(x, remember=False)
    assert np.abs(a - b).max() <= limit * np.abs(b).max()


def trained(net, steps, forget=False, side=92, **options):
    """Losses of some steps, by the class that trainings use. forget: record every step anew."""
    solver = cunet.SGD(net.parameters(), lr=0.01, momentum=0.9, clip=1.0, **options)
    work, losses = training.stepper(net, solver, "weights"), []
    for number in range(steps):
        rng = np.random.default_rng(number)
        for _ in range(solver.iter_size):
            losses.append(work.accumulate(batch(net, side, number), rng))
        work.update()
        if forget:
            work.gradient._graph = None
    return np.array(losses)


@tensor_cores
@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("iter_size", [1, 2])
def test_recorded_steps_follow_those_of_the_cpu(precision, iter_size):
    settings = {"width": 16, "depth": 3, "seed": 1}
    on_gpu = cunet.UNet(**settings, device="cuda", precision=precision)
    on_cpu = cunet.UNet(**settings)
    there, here = (trained(net, 4, iter_size=iter_size) for net in (on_gpu, on_cpu))
    np.testing.assert_allclose(there, here, rtol=3 * LIMITS[precision])
    for p, q in zip(on_gpu.parameters(), on_cpu.parameters(), strict=True):
        if p.name.endswith("filters"):
            off = np.linalg.norm(to_host(p.value) - q.value)
            assert off <= 5 * LIMITS[precision] * np.linalg.norm(q.value), p.name


@tensor_cores
@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_a_replayed_step_is_the_step_by_hand(precision):
    ends = []
    for forget in (False, True):
        net = cunet.UNet(width=16, depth=3, seed=2, device="cuda", precision=precision)
        losses = trained(net, 5, forget)
        ends.append([losses, *(to_host(p.value) for p in net.parameters())])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@tensor_cores
@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_segmentation_on_tensor_cores(precision):
    """The tile is small, so that the image takes several; the last ones are replayed."""
    image = np.random.default_rng(0).integers(0, 255, (300, 210)).astype(np.uint8)
    on_gpu = cunet.UNet(width=16, seed=1, device="cuda", precision=precision)
    a, b = (cunet.segment(image, net, tile=252) for net in (on_gpu, cunet.UNet(width=16, seed=1)))
    assert type(a) is np.ndarray and len(on_gpu.predictions) == 1
    assert np.abs(a - b).max() <= 3 * LIMITS[precision]


@tensor_cores
def test_out_of_memory_says_what_fits_and_is_survived():
    net = cunet.UNet(width=16, depth=3, seed=1, device="cuda")
    work = recorded.CapturedStep(net, cunet.SGD(net.parameters()), "weights")
    arrays, rng = batch(net, 92), np.random.default_rng(0)
    net.place.pool.set_limit(size=1 << 20)
    expected = r"out of memory on .*cuda:0.*: a training step at tile 92, batch 1, width 16 needs"
    with pytest.raises(cunet.CunetError, match=expected), explained(net, 92):
        work.accumulate(arrays, rng)
    net.place.pool.set_limit(size=0)
    assert np.isfinite([work.accumulate(arrays, rng) for _ in range(3)]).all()


@tensor_cores
@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, precision):
    """Bit for bit: all sums on tensor cores have a fixed order."""
    tifffile = pytest.importorskip("tifffile", minversion="2000")
    from cunet.data.synthetic import membranes
    from cunet.training.config import Config

    pages = membranes(4, 96, 80, seed=1)
    for name, stack in zip(("train-volume.tif", "train-labels.tif"), pages, strict=True):
        tifffile.imwrite(tmp_path / name, stack, photometric="minisblack")
    usual = {
        "data": str(tmp_path), "width": 8, "depth": 2, "tile": 60, "steps": 12, "fold": "1/4",
        "validate_every": 6, "device": "cuda", "seed": 3, "precision": precision,
    }  # fmt: skip
    whole = Config(**usual, out=str(tmp_path / "whole"))
    parts = Config(**usual, out=str(tmp_path / "parts"))
    expected = [record["loss"] for record in cunet.train(whole)]
    steps = cunet.train(parts)
    found = [next(steps)["loss"] for _ in range(5)]
    steps.close()
    found += [record["loss"] for record in cunet.train(parts, resume=True)]
    assert found == expected
    ends = [cunet.load(tmp_path / run / "last.npz") for run in ("whole", "parts")]
    for p, q in zip(*(net.parameters() for net in ends), strict=True):
        np.testing.assert_array_equal(p.value, q.value)
