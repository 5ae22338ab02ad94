"""sample.cu against the samples of the CPU, and whole trainings whose samples the GPU makes."""

from dataclasses import replace

import numpy as np
import pytest
from isbi_data import isbi_folder
from run_folders import arrays_of, log_without_time
from small_trainings import settings

import cunet
from cunet.data import samples as data_samples
from cunet.data.augment import OFF, Augmentation, Parameters, apply
from cunet.data.samples import Record, Samples
from cunet.engines.gpu import sample
from cunet.engines.gpu.graphs import Place
from cunet.errors import DeviceError, NumericError
from cunet.philox import philox
from cunet.training import loop, steps
from cunet.training.prepared import prepare

pytestmark = pytest.mark.usefixtures("emulated", "threads_as_before")

QUIET = Augmentation(noise=0.0)
SHAPES = ((90, 110), (40, 33), (150, 64), (1, 30), (30, 1), (1, 1), (2, 3))


def some(how=QUIET, channels=1, tile=75, output=41, shapes=SHAPES, **more):
    """Samples of slices of several sizes, most of them smaller than the tile; any label is there,
    so that a pixel looked up beside the right one shows."""
    rng = np.random.default_rng(channels)
    return Samples(
        [rng.standard_normal((*shape, channels), np.float32) for shape in shapes],
        [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes],
        [rng.random(shape, np.float32) + 0.5 for shape in shapes],
        tile,
        output,
        how,
        **{"seed": 3} | more,
    )


def made(samples, records):
    """x, labels and weights that the GPU makes of these records, a batch of them."""
    maker, place = sample.DeviceSamples(replace(samples, batch=len(records))), Place()
    for array in maker.arrays:
        array.fill(77)
    maker.write(records)
    maker.send(place)
    place.stream.synchronize()
    maker.make()
    return [array.get() for array in maker.arrays]


def as_on_the_cpu(samples, records):
    """What apply() makes of them."""
    parts = [
        apply(
            r.drawn,
            samples.images[r.slice],
            samples.labels[r.slice],
            samples.weights[r.slice],
            samples.input_size,
            samples.output_size,
        )
        for r in records
    ]
    return [np.stack(arrays) for arrays in zip(*parts, strict=True)]


def check(samples, records):
    """The GPU's samples are those of apply(): labels exactly, numbers to what float32 can place."""
    found, expected = made(samples, records), as_on_the_cpu(samples, records)
    assert [a.dtype for a in found] == [np.float32, np.int32, np.float32]
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2] == 0, expected[1] == data_samples.IGNORE)
    for a, b in zip(found[::2], expected[::2], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4)


WAYS = {
    "all": QUIET,
    "all and more": replace(QUIET, zoom=0.5, shear=0.3),
    "shift": replace(OFF, shift=True),
    "rotation": replace(OFF, rotate=True),
    "mirror": replace(OFF, mirror=True),
    "zoom": replace(OFF, zoom=0.5),
    "shear": replace(OFF, shear=0.3),
    "contrast": replace(OFF, contrast=0.5),
    "curve": replace(OFF, curve=0.5),
    "brightness": replace(OFF, brightness=0.5),
    "no bend": replace(QUIET, elastic="none"),
    **{f"a grid of {g}": replace(OFF, elastic="grid", grid=g) for g in range(2, 9)},
    "the finest grid": replace(QUIET, grid=sample.MAX_NODES),
}


@pytest.mark.parametrize("way", WAYS)
def test_samples_are_those_of_the_cpu(way):
    samples = some(WAYS[way])
    records = [samples.record(i) for i in range(12)]
    assert len({r.slice for r in records}) > 3
    check(samples, records)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("tile,output", [(75, 41), (64, 64), (33, 1), (8, 4)])
def test_channels_and_tiles(channels, tile, output):
    samples = some(channels=channels, tile=tile, output=output)
    check(samples, samples.records(0) + tuple(samples.record(i) for i in range(1, 8)))


def test_with_all_variation_off_a_sample_is_the_centred_crop():
    samples = some(OFF, channels=3)
    records = [samples.record(i) for i in range(12)]
    for a, b in zip(made(samples, records), as_on_the_cpu(samples, records), strict=True):
        np.testing.assert_array_equal(a, b)


def by_hand(move, top=0, left=0):
    """A record of the first slice, without a bend; grey values stay as they are."""
    none = np.zeros(1, np.float32)
    move = np.array(move, np.float32)
    drawn = Parameters(top, left, move, None, None, 0.0, none, none, none, np.float32(0))
    return Record(0, drawn, 0)


def test_points_half_way_between_pixels_take_the_label_of_the_even_one():
    """As np.rint does; with both signs, and far beyond the image's border."""
    samples = some()
    for origin in ((0, 0), (7, 8), (-301, 250)):
        check(samples, [by_hand([[0.5, 0], [0, 0.5]], *origin)])
        check(samples, [by_hand([[0, -1.5], [0.5, 1]], *origin)])


def test_a_grey_value_that_is_not_finite_stays_what_it_is_on_the_cpu():
    samples = some(shapes=((90, 110),))
    samples.images[0][40, 50] = np.nan
    samples.images[0][60, 70] = 3e38  # its square is infinite
    records = [by_hand([[1, 0], [0, 1]], 10, 20)]
    for a, b in zip(made(samples, records), as_on_the_cpu(samples, records), strict=True):
        np.testing.assert_array_equal(a, b)


# the noise


def noise_of(samples, record):
    """The noise of a sample in units of its deviation, (n, n, C)."""
    quiet = replace(record, drawn=replace(record.drawn, deviation=np.float32(0)))
    loud = replace(record, drawn=replace(record.drawn, deviation=np.float32(1)))
    noisy, still = made(samples, [loud])[0][0], made(samples, [quiet])[0][0]
    return noisy.astype(np.float64) - still


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_noise_is_philox_through_box_and_muller(channels):
    samples = some(replace(OFF, noise=0.5), channels)
    record = samples.record(5)
    n = samples.input_size
    words = philox(np, 0, n * n, record.key).astype(np.float64)
    radius = np.sqrt(-2 * np.log((words[:, 0::2] + 0.5) / 2**32))
    turn = 2 * np.pi * words[:, 1::2] / 2**32
    normal = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=2).reshape(n, n, 4)
    found = noise_of(samples, record)
    np.testing.assert_allclose(found, normal[..., :channels], rtol=0, atol=3e-5)


def test_moments_of_the_noise():
    samples = some(replace(OFF, noise=0.5), channels=4, tile=200, output=4, shapes=((200, 200),))
    first, second = (noise_of(samples, samples.record(i)) for i in range(2))
    count = first.size  # 160,000: the bounds are four deviations of each estimate
    for z in (first, second):
        assert abs(z.mean()) < 4 / count**0.5
        assert abs(z.var() - 1) < 4 * (2 / count) ** 0.5
        assert abs((z**3).mean()) < 4 * (15 / count) ** 0.5
        assert abs((z**4).mean() - 3) < 4 * (96 / count) ** 0.5
    pairs = {
        "rows": first[1:] * first[:-1],
        "columns": first[:, 1:] * first[:, :-1],
        "channels": first[..., 1:] * first[..., :-1],
        "squares of channels": (first[..., 1:] ** 2 - 1) * (first[..., :-1] ** 2 - 1) / 2,
        "samples": first * second,
    }
    for name, products in pairs.items():
        assert abs(products.mean()) < 4.5 / products.size**0.5, name


def test_the_noise_has_the_deviation_that_was_drawn():
    samples = some(replace(OFF, noise=0.5))
    for i in range(3):
        record = samples.record(i)
        still = replace(record, drawn=replace(record.drawn, deviation=np.float32(0)))
        found = made(samples, [record])[0] - made(samples, [still])[0]
        assert 0 < record.drawn.deviation < 0.5
        expected = record.drawn.deviation * noise_of(samples, record)
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


def test_a_sample_follows_from_its_record_alone():
    """Whatever its batch and its place in it, and in every run the same."""
    samples = some(Augmentation(zoom=0.2), channels=2)
    alone = [made(samples, [samples.record(i)]) for i in range(6)]
    together = made(samples, [samples.record(i) for i in range(6)])
    backwards = made(samples, [samples.record(i) for i in reversed(range(6))])
    for i in range(6):
        for a, b, c in zip(alone[i], together, backwards, strict=True):
            np.testing.assert_array_equal(a[0], b[i])
            np.testing.assert_array_equal(a[0], c[5 - i])
    assert not np.array_equal(alone[0][0], alone[1][0])


# which samples are made here


def test_what_is_not_made_on_the_gpu():
    samples = some()
    pixels = sum(h * w for h, w in SHAPES)
    assert sample.sample_bytes(samples) == 9 * pixels
    assert sample.sample_bytes(some(channels=4)) == 21 * pixels
    how = replace(QUIET, grid=sample.MAX_NODES)
    assert sample.sample_bytes(some(how)) == 9 * pixels
    for changed in (
        replace(QUIET, elastic="simard"),
        replace(QUIET, blur=1.0),
        replace(QUIET, grid=sample.MAX_NODES + 1),
    ):
        assert sample.sample_bytes(some(changed)) == 0
    assert sample.sample_bytes(some(replace(changed, elastic="none"))) == 9 * pixels
    assert sample.sample_bytes(some(channels=5)) == 0
    labels = [y.astype(np.int32) for y in samples.labels]
    assert sample.sample_bytes(replace(samples, labels=labels)) == 0


# trainings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four slices of 48 x 40 pixels."""
    return isbi_folder(tmp_path_factory.mktemp("data"), 4, 48, 40, seed=1)


def on_the_gpu(data, **more):
    usual = {"device": "cuda", "width": 8, "tile": 28, "steps": 6}
    usual |= {"validate_every": 3, "fold": None}
    return settings(data, **usual | more)


def refused(*given):
    raise AssertionError("this sample is made elsewhere")


@pytest.mark.parametrize(
    "more",
    [{}, {"iter_size": 2}, {"batch": 3, "fold": "1/4"}, {"solver": "adam", "lr": 1e-4}],
    ids=str,
)
def test_a_training_follows_that_of_the_cpu(data, monkeypatch, more):
    config = on_the_gpu(data, noise=0.0, zoom=0.2, weight_map="balance", **more)
    expected = [r["loss"] for r in cunet.train(replace(config, device="cpu"))]
    monkeypatch.setattr(Samples, "sample", refused)
    records = list(cunet.train(config))
    np.testing.assert_allclose([r["loss"] for r in records], expected, rtol=3e-3)
    assert [r["wait"] for r in records] == [0.0] * 6
    assert len({r["loss"] for r in records}) == 6


@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_resumed_training_is_the_uninterrupted_one(data, tmp_path, iter_size):
    """Bit for bit, with noise and dropout; and so are two runs."""
    for name, stops in (("whole", ()), ("again", ()), ("resumed", (2, 3))):
        config = on_the_gpu(data, out=str(tmp_path / name), steps=4, iter_size=iter_size)
        resume = False
        for stop in (*stops, 4):
            records = cunet.train(config, resume=resume)
            for record in records:
                if record["step"] == stop:
                    break
            assert record["wait"] == 0
            list(records) if stop == 4 else records.close()
            resume = True
    losses = [log_without_time(tmp_path / name) for name in ("whole", "again", "resumed")]
    assert losses[0] == losses[1] == losses[2] and len(losses[0]) == 4
    whole = arrays_of(tmp_path / "whole" / "last.npz")
    for name in ("again", "resumed"):
        arrays = arrays_of(tmp_path / name / "last.npz")
        assert arrays.keys() == whole.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, whole[key])


def test_a_batch_that_fails_is_read_back_from_the_gpu(data, tmp_path, monkeypatch):
    """That of the step that failed, though the records of the next one were written already."""
    nets, make_net = [], loop.make_net
    monkeypatch.setattr(loop, "make_net", lambda *given: nets.append(make_net(*given)) or nets[-1])
    config = on_the_gpu(data, out=str(tmp_path / "run"), noise=0.0, batch=2)
    records = cunet.train(config)
    next(records)
    nets[0].layers()[4].b.value[...] = np.nan
    with pytest.raises(NumericError, match="step 2 .*expand0.up"):
        next(records)
    kept = arrays_of(tmp_path / "run" / "nonfinite_batch.npz")
    expected = prepare(config).samples.stacked(1)
    for name, array in zip(("x", "labels", "weights"), expected, strict=True):
        assert kept[name].shape == array.shape
        atol = 0 if name == "labels" else 2e-4 * max(1, np.abs(array).max())
        np.testing.assert_allclose(kept[name], array, rtol=0, atol=atol)


def test_an_error_of_memory_counts_the_slices_on_the_gpu(data):
    config = on_the_gpu(data)
    net = loop.make_net(config, prepare(config))
    with pytest.raises(DeviceError, match="needs about 77[0-9].[0-9] GB, [0-9.]+ GB are free"):
        with steps.told_of_memory(config, net, 77 * 10**10):
            raise MemoryError


FALL_BACKS = {
    "noise bends the tile": {"elastic": "simard"},
    "blur": {"blur": 1.0},
    "without tensor cores": {"precision": "float32"},
}


@pytest.mark.parametrize("case", [*FALL_BACKS, "no room"])
def test_otherwise_threads_make_the_samples(data, monkeypatch, case):
    config = on_the_gpu(data, steps=2, **FALL_BACKS.get(case, {}))
    prepared = prepare(config)
    if case == "no room":  # a byte too little
        net = loop.make_net(config, prepared)
        need = steps.network_bytes(config, prepared, net.shape, net.precision)
        enough = need / steps.CERTAIN + net.engine.sample_bytes(prepared.samples)
        for size, made_there in ((enough + 1, True), (enough - 1, False), (0, False)):
            monkeypatch.setattr(steps, "gpu_memory", lambda device, size=size: size / steps.USABLE)
            work = steps.make_step(config, prepared, net, config.make_solver(net.parameters()))
            assert (work.sample_bytes > 0) == made_there
            work.close()
    monkeypatch.setattr(Samples, "record", refused)
    expected = [r["loss"] for r in cunet.train(replace(config, device="cpu", precision=None))]
    found = [r["loss"] for r in cunet.train(config, prepared)]
    np.testing.assert_allclose(found, expected, rtol=3e-3)
