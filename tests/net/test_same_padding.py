"""The net of later reproductions - same padding, batch normalization, one output - as a whole."""

import numpy as np
import oracle
import pytest
from run_folders import arrays_of, same_arrays

import cunet
from cunet.errors import CunetError
from cunet.net import receptive_field, sizes, tiles
from cunet.net.figure1 import rows as explained
from cunet.net.unet import UNet
from cunet.segmentation import tiling
from cunet.training import loop, validation
from cunet.training import prepared as training
from cunet.training.config import PRESETS, Config

UCSD = {"padding": "same", "batch_norm": True, "sigmoid": True, "dropout": 0.0}


def random_net(depth=2, width=3, dtype="float64", **more):
    """A net with statistics, gammas and betas that are not the ones it starts with."""
    net = UNet(width, depth, dtype=dtype, **UCSD | more)
    rng = np.random.default_rng(1)
    for p in net.parameters():
        if p.value.ndim == 1:  # positive shifts: few dead channels
            p.value += 0.3 * np.abs(rng.standard_normal(p.value.shape)).astype(dtype)
    for name, value in net.statistics().items():
        value += (0.2 if name.endswith("mean") else 1) * (rng.random(value.shape) - 0.5)
    return net


def image(*shape):
    return np.random.default_rng(7).standard_normal(shape)


def test_the_whole_net_against_loops():
    """Depth 1, from the oracle's convolutions and the definition of the norm."""
    net, x = random_net(1, 2, in_channels=2), image(2, 6, 8, 2)
    value = {p.name: p.value for p in net.parameters()}

    def normed(x, name):
        z = oracle.conv_forward(x, value[f"{name}.filters"], np.zeros(value[f"{name}.beta"].size),
                                "same")  # fmt: skip
        xhat = (z - z.mean((0, 1, 2))) / np.sqrt(z.var((0, 1, 2)) + 1e-5)
        return np.maximum(0, value[f"{name}.gamma"] * xhat + value[f"{name}.beta"])

    skip = normed(normed(x, "contract0.conv1"), "contract0.conv2")
    y = normed(normed(oracle.max_pool_forward(skip), "contract1.conv1"), "contract1.conv2")
    y = oracle.up_conv_forward(y, value["expand0.up.filters"], value["expand0.up.biases"])
    y = np.concatenate((y, skip), axis=3)
    y = normed(normed(y, "expand0.conv1"), "expand0.conv2")
    expected = oracle.conv_forward(y, value["head.filters"], value["head.biases"], "valid")
    logits, _ = net(x, train=True)
    assert logits.shape == (2, 6, 8, 1)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-10)


def test_parameters_of_a_normed_net():
    net = UNet(2, 1, **UCSD)
    names = [p.name for p in net.parameters()]
    assert names[:4] == [
        "contract0.conv1.filters",
        "contract0.conv1.gamma",
        "contract0.conv1.beta",
        "contract0.conv2.filters",
    ]
    assert names[-2:] == ["head.filters", "head.biases"] and len(net.statistics()) == 12
    assert all(p.decay_mult == (p.value.ndim == 4) for p in net.parameters())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_explain_knows_the_net(batch_norm, sigmoid):
    net = UNet(3, 2, 2, padding="same", batch_norm=batch_norm, sigmoid=sigmoid)
    table = explained(net.shape, 32)
    shapes = {}
    x = np.zeros((1, 32, 32, 2), np.float32)
    net(x, remember=False, watch=lambda name, y: shapes.update({name: y.shape[1:]}))
    assert {row.name: row.shape for row in table if row.name in shapes} == shapes
    assert sum(row.parameters for row in table) == sum(p.value.size for p in net.parameters())


# Sizes


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sizes_that_fit_are_those_that_the_net_takes(depth):
    net = UNet(1, depth, padding="same", dtype="float64")
    for side in range(1, 40):
        x = np.zeros((1, side, side, 1))
        if sizes.fits(side, depth, "same"):
            assert net(x, remember=False).shape[1] == sizes.output_size(side, depth, "same") == side
        else:
            with pytest.raises(CunetError, match="same padding"):
                net(x, remember=False)
    assert tiles.smallest_tile(depth, "same") == 2**depth
    assert tiles.valid_tiles(depth, 1, 40, "same") == list(range(2**depth, 41, 2**depth))
    assert tiles.usual_tile(depth, "same") == -(-572 // 2**depth) * 2**depth


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_context_is_as_far_as_a_pixel_sees(depth):
    """Change the input beyond it: no answer moves. Within, at the least one does."""
    net = random_net(depth, 2)
    seen, period = receptive_field.context(depth), 2**depth
    side = 4 * seen
    x = image(1, side, period, 1)
    before, reach = net(x, remember=False), 0
    for row in range(2 * seen, 2 * seen + period):
        other = x.copy()
        other[0, row] += 1
        moved = np.abs(net(other, remember=False) - before)[0].max((1, 2))
        moved = np.flatnonzero(moved > 1e-9 * moved.max())  # Winograd's tiles round a little beyond
        reach = max(reach, row - moved.min(), moved.max() - row)
    assert seen - period < reach <= seen


def test_the_papers_depth():
    assert receptive_field.context(4) == 112 and tiles.usual_tile(4, "same") == 576
    assert tiles.usual_tile(4) == 572


# Tiles


def whole(x, net):
    """One pass over the image, mirrored to the right and below up to the next sizes that fit."""
    period = 2**net.shape.depth
    grown = np.pad(x, [(0, -side % period) for side in x.shape[:2]] + [(0, 0)], mode="reflect")
    answer = net.probability(net(grown[None].astype(net.dtype), remember=False))[0]
    return answer[: x.shape[0], : x.shape[1]]


@pytest.mark.parametrize(
    "depth,tile,shape",
    [(1, 24, (70, 33)), (1, 22, (21, 90)), (2, 56, (57, 140)), (2, 64, (131, 64)), (2, 60, (7, 9)),
     (3, 120, (113, 230))],
)  # fmt: skip
@pytest.mark.parametrize("dtype,near", [("float64", 1e-12), ("float32", 2e-5)])
def test_tiles_equal_the_whole_image(depth, tile, shape, dtype, near):
    net, x = random_net(depth, dtype=dtype, in_channels=2), image(*shape, 2)
    found = cunet.segment(x, net, tile)
    assert found.shape == (*shape, 2) and found.dtype == dtype
    np.testing.assert_allclose(found, whole(x, net), rtol=0, atol=near)
    np.testing.assert_allclose(found.sum(2), 1, atol=near)
    assert np.ptp(found[..., 1]) > 0.01, "a flat answer compares nothing"


@pytest.mark.parametrize("pixels", range(1, 300, 7))
@pytest.mark.parametrize("tile", [52, 56, 96])
def test_every_pixel_is_decided_once_far_from_a_tiles_edge(pixels, tile):
    plan = tiling.plan(pixels, 2, tile, padding="same")
    grown = -(-pixels // 4) * 4
    decided = np.zeros(pixels, int)
    for first, start, end in plan.pieces(pixels):
        decided[start:end] += 1
        assert first % 4 == 0 and first >= 0 and first + plan.tile <= grown
        assert start - first >= receptive_field.context(2) or start == first == 0
        assert first + plan.tile - end >= receptive_field.context(2) or first + plan.tile == grown
    assert (decided == 1).all()


def test_a_tile_without_a_middle_is_refused():
    with pytest.raises(CunetError, match="use --tile 52 or larger"):
        cunet.segment(image(100, 100), random_net(2), 48)


def test_the_papers_stride_is_refused_and_the_usual_tile_has_a_middle():
    with pytest.raises(CunetError, match="stride paper: a net with same padding has none"):
        cunet.segment(image(30, 30), random_net(2), 56, stride="paper")
    for depth in range(1, 8):
        tile = tiles.usual_tile(depth, "same")
        assert tile >= 572 and len(tiling.plan(3 * tile, depth, tile, padding="same").starts) > 1


def test_averages_of_one_tile_are_those_of_its_views():
    net, x = random_net(2), image(24, 24)
    views = [whole(view(x)[..., None], net) for view in (lambda a: a, lambda a: a[::-1],
             lambda a: a[:, ::-1], lambda a: a[::-1, ::-1])]  # fmt: skip
    expected = (views[0] + views[1][::-1] + views[2][:, ::-1] + views[3][::-1, ::-1]) / 4
    np.testing.assert_allclose(cunet.segment(x, net, 56, "flips"), expected, atol=1e-12)


# Files, training, settings


def test_a_saved_net_is_the_same_net(tmp_path):
    net, x = random_net(2, dtype="float32"), image(30, 40)
    net.resize = None
    for half in (False, True):
        cunet.save(tmp_path / "net.npz", net, half=half)
        again = cunet.load(tmp_path / "net.npz")
        assert again.settings() == net.settings()
        for name, value in net.statistics().items():
            np.testing.assert_array_equal(again.statistics()[name], value)
        found, expected = cunet.segment(x, again), cunet.segment(x, net)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2 if half else 0)


def test_a_net_for_scaled_images_scales_and_scales_back(tmp_path):
    net = random_net(2, dtype="float32", resize=32)
    x = np.random.default_rng(0).integers(0, 255, (64, 128)).astype(np.uint8)
    cunet.save(tmp_path / "net.npz", net)
    again = cunet.load(tmp_path / "net.npz")
    assert again.resize == 32
    found = cunet.segment(x, again)
    assert found.shape == (64, 128, 2)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)
    flat = cunet.segment(np.full((64, 128), 3, np.uint8), again)
    unscaled = random_net(2, dtype="float32")
    expected = cunet.segment(np.full((32, 32), 3, np.uint8), unscaled)
    np.testing.assert_allclose(flat.mean((0, 1)), expected.mean((0, 1)), atol=1e-5)


@pytest.fixture
def data(tmp_path):
    """Two images of bright squares on a dark ground."""
    from cunet.files import write_png

    rng = np.random.default_rng(0)
    for number in range(4):
        labels = np.zeros((40, 48), np.uint8)
        for row, column in rng.integers(0, 30, (3, 2)):
            labels[row : row + 9, column : column + 9] = 255
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        write_png(tmp_path / "labels" / f"{number}.png", labels)
        noise = rng.integers(0, 60, labels.shape)
        write_png(tmp_path / "images" / f"{number}.png", (labels // 2 + noise).astype(np.uint8))
    return tmp_path


def settings(data, **more):
    small = {"data": str(data), "width": 3, "depth": 2, "tile": 32, "batch": 2, "resize": None}
    small |= {"steps": 8, "validate_every": 4, "fold": "0/4", "device": "cpu"}
    return Config(**PRESETS["ucsd"] | small | more)


def test_it_learns(data):
    records = list(cunet.train(settings(data, steps=120, validate_every=120, lr=1e-2)))
    assert records[-1]["val_dice"] > 0.85 and records[-1]["val_one_class"] is None


def test_resize_0_is_off(data):
    config = settings(data, resize=0)
    prepared = training.prepare(config)
    assert prepared.dataset.images[0].shape == (40, 48, 1)
    assert loop.make_net(config, prepared).resize is None
    assert training.prepare(settings(data, resize=16)).dataset.images[0].shape == (16, 16, 1)


@pytest.mark.parametrize("resize", [None, 32])
def test_a_resumed_run_equals_an_uninterrupted_one(data, tmp_path, resize):
    whole_run = settings(data, out=str(tmp_path / "whole"), resize=resize)
    parted = settings(data, out=str(tmp_path / "parted"), resize=resize)
    list(loop.train(whole_run))
    records = loop.train(parted)
    while next(records)["step"] < 5:
        pass
    records.close()
    list(loop.train(parted, resume=True))
    whole = tmp_path / "whole/last.npz"
    same_arrays(whole, tmp_path / "parted/last.npz")
    assert any(name.endswith(".variance") for name in arrays_of(whole))


def test_a_batch_may_be_normalised_but_not_by_validation(data):
    """Validation uses the running statistics and leaves them."""
    config = settings(data)
    prepared = training.prepare(config)
    net = loop.make_net(config, prepared)
    before = {name: value.copy() for name, value in net.statistics().items()}
    validation.validate(net, prepared)
    for name, value in net.statistics().items():
        np.testing.assert_array_equal(value, before[name])


def test_training_images_are_normalised_one_by_one(data):
    for form in ("data", "image"):
        samples = training.prepare(settings(data, normalization=form)).samples
        means = [abs(float(x.mean())) for x in samples.images]
        assert (max(means) < 1e-5) == (form == "image")
        if form == "image":
            assert all(float(x.std()) == pytest.approx(1, rel=1e-5) for x in samples.images)
