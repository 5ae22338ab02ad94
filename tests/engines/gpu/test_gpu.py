"""The whole net, its gradients, the solvers, segmentation and training on a GPU agree with the CPU.

Without a GPU the same tests run on the device double, with small shapes.
"""

import numpy as np
import pytest
from cuda_emulation import emulate

import cunet
from cunet.backend import cuda_problem, to_device, to_host
from cunet.data.dataset import Dataset
from cunet.data.samples import Samples
from cunet.data.synthetic import membranes
from cunet.engines import obstacle
from cunet.engines.gpu import cuda, recorded
from cunet.engines.gpu.record import record_of
from cunet.net.memory import explained
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape
from cunet.net.sizes import output_size
from cunet.training.prepared import Prepared

CARD = cuda_problem() is None
# of logits, relative to the largest: twice what PyTorch's own lay off on an H100 (1.9e-3, 1.5e-2)
LIMITS = {"tf32": 4e-3, "float16": 4e-3, "bfloat16": 3e-2}
# a net with tensor cores, the side of its tiles, and the image that is segmented in tiles
NET = {"width": 16, "depth": 3, "seed": 1} if CARD else {"width": 8, "depth": 1, "seed": 1}
SIDE = 92 if CARD else 20
IMAGE, TILE = ((300, 210), 252) if CARD else ((23, 19), 20)


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """The card; where there is none the double, whose kernels g++ has compiled."""
    if not CARD:
        emulate(monkeypatch)


@pytest.fixture
def tensor_cores():
    """Skips where the card has none."""
    why = obstacle("cuda", Shape(8))
    if why is not None:
        pytest.skip(why)


def step(device, dtype, solver):
    """Logits, loss, gradients and the parameters after three updates of a small net.

    Everything is copied: on the CPU to_host hands out the array itself, and a solver's step clears
    the gradients.
    """
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
        made = [logits, *(p.grad for p in net.parameters())]
        found += [np.array(loss), *(to_host(array).copy() for array in made)]
        solve.step()
    return found + [to_host(p.value).copy() for p in net.parameters()]


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("solver", [cunet.SGD, cunet.Adam])
def test_training_agrees_with_the_cpu(dtype, limit, solver):
    on_gpu, on_cpu = step("cuda", dtype, solver), step("cpu", dtype, solver)
    for a, b in zip(on_gpu, on_cpu, strict=True):
        assert np.abs(b).max() > 0
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


def batch(net, seed=0, side=SIDE):
    """x, labels and weights on the host, for the paper's network."""
    rng, out = np.random.default_rng(seed), output_size(side, net.shape.depth)
    x = rng.standard_normal((1, side, side, 1), np.float32)
    labels = rng.integers(0, 2, (1, out, out)).astype(np.uint8)
    return x, labels, rng.random((1, out, out), np.float32) + 0.5


@pytest.mark.parametrize(("precision", "limit"), [("float32", 1e-5), *LIMITS.items()])
def test_logits_of_the_whole_net(tensor_cores, precision, limit):
    settings = NET | ({"depth": 4} if CARD else {})
    on_gpu = cunet.UNet(**settings, device="cuda", precision=precision)
    on_cpu = cunet.UNet(**settings)
    x = batch(on_cpu, side=284 if CARD else SIDE)[0]
    a, b = to_host(on_gpu(to_device(x, "cuda"), remember=False)), on_cpu(x, remember=False)
    assert np.abs(a - b).max() <= limit * np.abs(b).max()


def trained(net, steps, forget=False, **options):
    """Losses of some steps, by the class that trainings use. forget: record every step again."""
    solver = cunet.SGD(net.parameters(), lr=0.01, momentum=0.9, clip=1.0, **options)
    work, losses = net.engine.step(net, solver, "weights", 255), []
    for number in range(steps):
        rng = np.random.default_rng(number)
        for _ in range(solver.iter_size):
            losses.append(work.accumulate(batch(net, number), rng))
        work.update()
        if forget:
            work.gradient._graph = None
    return np.array(losses)


@pytest.mark.parametrize("precision", cuda.DTYPES)
@pytest.mark.parametrize("iter_size", [1, 2])
def test_recorded_steps_follow_those_of_the_cpu(tensor_cores, precision, iter_size):
    on_gpu = cunet.UNet(**NET, device="cuda", precision=precision)
    on_cpu = cunet.UNet(**NET)
    there, here = (trained(net, 4, iter_size=iter_size) for net in (on_gpu, on_cpu))
    np.testing.assert_allclose(there, here, rtol=3 * LIMITS[precision])
    for p, q in zip(on_gpu.parameters(), on_cpu.parameters(), strict=True):
        if p.name.endswith("filters"):
            off = np.linalg.norm(to_host(p.value) - q.value)
            assert off <= 5 * LIMITS[precision] * np.linalg.norm(q.value), p.name


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_a_replayed_step_is_the_step_by_hand(tensor_cores, precision):
    ends = []
    for forget in (False, True):
        net = cunet.UNet(**NET, device="cuda", precision=precision)
        losses = trained(net, 5, forget)
        ends.append([losses, *(to_host(p.value).copy() for p in net.parameters())])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", cuda.DTYPES)
def test_segmentation_on_tensor_cores(tensor_cores, precision):
    """The tile is small, so that the image takes several; the last ones are replayed."""
    image = np.random.default_rng(0).standard_normal(IMAGE, np.float32)
    settings = NET | ({"depth": 4} if CARD else {})
    on_gpu = cunet.UNet(**settings, device="cuda", precision=precision)
    a, b = (cunet.segment(image, net, tile=TILE) for net in (on_gpu, cunet.UNet(**settings)))
    assert type(a) is np.ndarray and len(record_of(on_gpu).predictions) == 1
    assert np.abs(a - b).max() <= 3 * LIMITS[precision]


def test_out_of_memory_says_what_fits_and_is_survived(tensor_cores):
    net = cunet.UNet(**NET, device="cuda")
    work = recorded.CapturedStep(net, cunet.SGD(net.parameters()), "weights")
    arrays, rng = batch(net), np.random.default_rng(0)
    record_of(net).place.pool.set_limit(size=1 << (20 if CARD else 14))
    width = NET["width"]
    expected = (
        f"out of memory on .*cuda:0.*: a training step at tile {SIDE}, batch 1, width {width}"
    )
    with pytest.raises(cunet.CunetError, match=expected), explained(net, SIDE):
        work.accumulate(arrays, rng)
    record_of(net).place.pool.set_limit(size=0)
    assert np.isfinite([work.accumulate(arrays, rng) for _ in range(3)]).all()


def prepared(config):
    """Four synthetic slices, the first one held out, as training takes them; no file is read."""
    pages, truth = membranes(4, 48, 40, seed=1)
    images = [page[..., None] for page in pages]
    labels = [(page > 0).astype(np.uint8) for page in truth]
    names = tuple("0123")
    dataset = Dataset("synthetic", "memory", images, labels, ("membrane", "cell"), names)
    normalization = Normalization.of(images)
    samples = Samples(
        [normalization.fitted(lambda a, b, x=x: x[a:b], len(x)).apply(x) for x in images[1:]],
        labels[1:], [np.ones(y.shape, np.float32) for y in labels[1:]],
        config.tile, output_size(config.tile, config.depth), config.augmentation(), config.seed,
    )  # fmt: skip
    return Prepared(dataset, [1, 2, 3], [0], normalization, samples)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_a_resumed_run_equals_an_uninterrupted_one(tensor_cores, tmp_path, precision, solver):
    """Bit for bit: all sums on tensor cores have a fixed order."""
    depth, tile, steps = (2, 60, 12) if CARD else (1, 20, 6)
    usual = {
        "width": 8, "depth": depth, "tile": tile, "steps": steps, "validate_every": steps // 2,
        "device": "cuda", "seed": 3, "precision": precision, "solver": solver,
    }  # fmt: skip
    whole = cunet.Config(**usual, out=str(tmp_path / "whole"))
    parts = cunet.Config(**usual, out=str(tmp_path / "parts"))
    data = prepared(whole)
    expected = [record["loss"] for record in cunet.train(whole, data)]
    records = cunet.train(parts, data)
    found = [next(records)["loss"] for _ in range(steps // 2 - 1)]
    records.close()
    found += [record["loss"] for record in cunet.train(parts, data, resume=True)]
    assert found == expected
    ends = [cunet.load(tmp_path / run / "last.npz") for run in ("whole", "parts")]
    for p, q in zip(*(net.parameters() for net in ends), strict=True):
        np.testing.assert_array_equal(p.value, q.value)
