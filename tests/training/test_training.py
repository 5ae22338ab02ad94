"""The training loop: resuming, reproducibility, samples, what is kept, and failures."""

import csv
import json
import math
import os
import sys
from dataclasses import replace

import cupy_double
import numpy as np
import pytest
import tifffile

import cunet
from cunet import engines
from cunet.data.labels import IGNORE
from cunet.data.synthetic import membranes
from cunet.data.weight_map import class_weights, components, paper_map
from cunet.engines import cpu
from cunet.errors import CunetError, NumericError
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint, layers
from cunet.ops import conv, up_conv
from cunet.threads import get_threads, set_threads
from cunet.training import loop as loop_
from cunet.training import prepared as training
from cunet.training import validation
from cunet.training.config import Config
from cunet.training.run_folder import RunFolder


def stack(folder, slices):
    images, labels = membranes(slices, 48, 40, seed=1)
    for name, pages in (("train-volume.tif", images), ("train-labels.tif", labels)):
        tifffile.imwrite(folder / name, pages, photometric="minisblack")
    return str(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set in the challenge's layout: four slices of 48 x 40 pixels."""
    return stack(tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = get_threads()
    yield
    set_threads(before)


def settings(data, **more):
    usual = {
        "data": data,
        "width": 2,
        "depth": 1,
        "tile": 34,
        "steps": 30,
        "lr": 1e-3,
        "fold": "1/4",
        "validate_every": 10,
        "device": "cpu",
        "seed": 3,
        "threads": 1,
    }
    return Config(**usual | more)


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "header"}


def header_of(path):
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["header"]))


def same_file(one, other):
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def log_of(run):
    """The lines of log.csv without the two columns that tell time."""
    with open(run / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row.pop("seconds")) > 0
        assert 0 <= float(row.pop("wait")) <= 1
    return rows


# Resuming


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd", "batch": 2, "lr_policy": "multistep", "step_values": (12, 22)},
        {"solver": "adam", "iter_size": 2, "lr_policy": "poly", "weight_decay": 0.01},
    ],
    ids=["sgd", "adam"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(data, tmp_path, more):
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    config = settings(data, out=str(straight), **more)
    records = list(cunet.train(config))
    assert [r["step"] for r in records] == list(range(1, 31))
    config = replace(config, out=str(halves))
    loop = cunet.train(config)
    first = [next(loop) for _ in range(15)]
    loop.close()
    assert header_of(halves / "last.npz")["progress"]["step"] == 15
    second = list(loop_.train(config, resume=True))
    assert [r["step"] for r in second] == list(range(16, 31))
    for a, b in zip(records, first + second, strict=True):
        for name in a.keys() - {"seconds", "wait"}:
            assert a[name] == b[name], (a["step"], name)
    same_file(straight / "last.npz", halves / "last.npz")
    same_file(straight / "best.npz", halves / "best.npz")
    rows = log_of(straight)
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 31)]
    assert rows == log_of(halves)
    assert [float(row["loss"]) for row in rows] == [r["loss"] for r in records]
    measured = [row["step"] for row in rows if row["val_pixel_error"]]
    assert measured == ["10", "20", "30"]
    seconds = [r["seconds"] for r in first + second]
    assert seconds == sorted(seconds)


def test_a_run_that_was_killed_resumes_from_its_last_model(data, tmp_path):
    """The log is ahead of the model and its last line is torn."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    config = settings(data, out=str(straight), steps=16, validate_every=8)
    list(cunet.train(config))
    loop = cunet.train(replace(config, out=str(killed)))
    for _ in range(10):
        next(loop)
    loop.close()
    with open(killed / "log.csv", "a") as file:
        file.write("11,1.5,0.001,0.7,0.1,,,,\n12,1.6,0.001,0.")
    resumed = list(loop_.train(replace(config, out=str(killed)), resume=True))
    assert [r["step"] for r in resumed] == list(range(11, 17))
    assert log_of(straight) == log_of(killed)
    same_file(straight / "last.npz", killed / "last.npz")


def test_a_stop_keeps_the_lines_of_the_log(data, tmp_path):
    loop = cunet.train(settings(data, out=str(tmp_path / "run")))
    for _ in range(3):
        next(loop)
    loop.close()
    assert len(log_of(tmp_path / "run")) == 3
    assert not [name for name in os.listdir(tmp_path / "run") if name.endswith(".part")]


def test_a_finished_run_that_is_resumed_stays_as_it_is(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=4)
    list(cunet.train(config))
    before, log = arrays_of(tmp_path / "run" / "last.npz"), log_of(tmp_path / "run")
    assert list(loop_.train(config, resume=True)) == []
    for name, array in arrays_of(tmp_path / "run" / "last.npz").items():
        np.testing.assert_array_equal(array, before[name])
    assert log_of(tmp_path / "run") == log


def test_resuming_without_a_run_is_a_usage_error(data, tmp_path):
    with pytest.raises(CunetError, match="last.npz") as caught:
        next(loop_.train(settings(data, out=str(tmp_path / "none")), resume=True))
    assert caught.value.exit_code == 2


# Reproducibility


def test_threads_change_nothing(data, tmp_path):
    for threads in (1, 2):
        out = str(tmp_path / str(threads))
        config = settings(data, out=out, threads=threads, width=4, tile=50, steps=6, batch=2)
        list(cunet.train(config))
    same_file(tmp_path / "1" / "last.npz", tmp_path / "2" / "last.npz")
    assert log_of(tmp_path / "1") == log_of(tmp_path / "2")


def test_the_seed_decides(data):
    first, same, other = (
        [r["loss"] for r in cunet.train(settings(data, steps=3, seed=seed))] for seed in (1, 1, 2)
    )
    assert first == same and first != other


def test_dropout_keys_are_new_in_every_pass_and_follow_from_the_seed(data, monkeypatch):
    keys, original = [], layers.dropout.mask

    def recording(x, rate, key):
        keys.append(key)
        return original(x, rate, key)

    monkeypatch.setattr(layers.dropout, "mask", recording)
    runs = []
    for seed in (3, 3, 4):
        keys.clear()
        list(cunet.train(settings(data, steps=3, iter_size=2, seed=seed, fold=None)))
        runs.append(list(keys))
    assert len(runs[0]) == len(set(runs[0])) == 12  # two layers, three steps of two passes
    assert runs[0] == runs[1] and not set(runs[0]) & set(runs[2])


def test_dropout_is_off_in_validation(data, monkeypatch):
    config = settings(data, dropout=0.5)
    prepared = training.prepare(config)
    net = loop_.make_net(config, prepared)
    expected = validation.validate(net, prepared)
    monkeypatch.setattr(layers.dropout, "mask", lambda *a: pytest.fail("dropout was used"))
    assert validation.validate(net, prepared) == expected


def test_it_prints_nothing_and_keeps_nothing_unasked(data, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    list(cunet.train(settings(data, steps=2, validate_every=1)))
    assert capfd.readouterr() == ("", "")
    assert not os.listdir(tmp_path)


# Samples


def test_samples_follow_from_seed_and_index_alone(data):
    drawn = training.prepare(settings(data)).samples
    again = training.prepare(settings(data)).samples
    forwards = [drawn.sample(i) for i in range(6)]
    backwards = [again.sample(i) for i in reversed(range(6))][::-1]
    other = [replace(drawn, seed=4).sample(i) for i in range(6)]
    for a, b, c in zip(forwards, backwards, other, strict=True):
        for one, same in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, same)
        assert not np.array_equal(a[0], c[0])
    for i in range(1, 6):
        assert not np.array_equal(forwards[0][0], forwards[i][0])
    x, labels, weights = forwards[0]
    assert x.shape == (34, 34, 1) and labels.shape == weights.shape == (18, 18)
    assert x.dtype == weights.dtype == np.float32


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_stream_gives_the_same_from_any_number_of_workers(data, workers):
    drawn = training.prepare(settings(data, batch=2)).samples
    stream = drawn.stream(3, 9, workers)
    for number, (batch, wait) in enumerate(stream, start=3):
        singles = [drawn.sample(2 * number + i) for i in range(2)]
        for array, parts in zip(batch, zip(*singles, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.stack(parts))
        assert wait >= 0
    assert number == 8
    assert list(drawn.stream(5, 5)) == []


def test_a_stream_may_be_left_early(data):
    stream = training.prepare(settings(data)).samples.stream(0, 1000)
    next(stream)
    stream.close()


def test_held_out_slices_are_never_drawn_from_nor_measured(data):
    """Only the slices 0, 2 and 3 make the normalization, the class balance and the samples."""
    config = settings(data, weight_map="paper")
    prepared = training.prepare(config)
    assert (prepared.training, prepared.held_out) == ([0, 2, 3], [1])
    images, labels = tifffile.imread(os.path.join(data, "train-volume.tif")), []
    pixels = images[[0, 2, 3]].astype(np.float64)
    assert prepared.normalization.mean == pytest.approx((pixels.mean(),), rel=1e-12)
    assert prepared.normalization.deviation == pytest.approx((pixels.std(),), rel=1e-12)
    assert len(prepared.samples.images) == 3
    for i, image in zip((0, 2, 3), prepared.samples.images, strict=True):
        expected = (images[i] - pixels.mean()) / pixels.std()
        np.testing.assert_allclose(image[..., 0], expected, rtol=0, atol=1e-5)
    labels = (tifffile.imread(os.path.join(data, "train-labels.tif")) == 255).astype(np.uint8)
    balance = class_weights(list(labels[[0, 2, 3]]), 2)
    white = labels[[0, 2, 3]].mean()
    assert balance == pytest.approx([1 / (2 * (1 - white)), 1 / (2 * white)])
    for i, weights in zip((0, 2, 3), prepared.samples.weights, strict=True):
        expected = paper_map(labels[i], components(labels[i] > 0), balance, 10.0, 5.0)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    balanced = training.prepare(replace(config, weight_map="balance")).samples.weights[0]
    np.testing.assert_allclose(balanced, np.where(labels[0] > 0, balance[1], balance[0]), rtol=1e-6)
    plain = training.prepare(replace(config, weight_map="none")).samples.weights[0]
    np.testing.assert_array_equal(plain, np.ones(labels[0].shape))


@pytest.mark.parametrize("slices,fold", [(4, "4/5"), (1, "0/2")])
def test_a_fold_without_slices_is_refused(tmp_path, slices, fold):
    with pytest.raises(CunetError, match=f"fold {fold}") as caught:
        training.prepare(settings(stack(tmp_path, slices), fold=fold))
    assert caught.value.exit_code == 2


# What is learned and kept


def test_the_loss_goes_down_and_a_net_learns(data):
    config = settings(
        data, width=4, steps=120, solver="adam", lr=5e-3, dropout=0.0, weight_map="balance"
    )
    losses = [r["loss"] for r in cunet.train(config)]
    assert losses[0] == pytest.approx(math.log(2), abs=0.8)
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])


def test_the_loss_is_the_mean_over_iter_size(data):
    """One update of two passes logs the mean of the losses of the two."""
    config = settings(data, steps=1, iter_size=2, dropout=0.0, fold=None)
    prepared = training.prepare(config)
    net = loop_.make_net(config, prepared)
    expected = []
    for number in range(2):
        x, labels, weights = prepared.samples.stacked(number)
        logits = net(x, remember=False).astype(np.float64)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        picked = np.where(labels == 1, log_p[..., 1], log_p[..., 0])
        expected.append(-(weights * picked).sum() / weights.sum())
    (record,) = cunet.train(config, prepared)
    assert record["loss"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert record["lr"] == config.lr


def test_best_is_the_lowest_validation_error_and_ties_go_to_the_earlier(
    data, tmp_path, monkeypatch
):
    errors = iter([0.4, 0.2, 0.3, 0.2])
    kept = {}

    def scripted(net, prepared):
        error = next(errors)
        kept[len(kept) + 1] = [p.value.copy() for p in net.parameters()]
        return {"val_loss": 1.0, "val_dice": 0.5, "val_pixel_error": error, "val_threshold": 0.5}

    monkeypatch.setattr(loop_, "validate", scripted)
    run = tmp_path / "run"
    list(cunet.train(settings(data, out=str(run), steps=8, validate_every=2)))
    best, last = cunet.load(run / "best.npz"), cunet.load(run / "last.npz")
    for p, q, second, fourth in zip(
        best.parameters(), last.parameters(), kept[2], kept[4], strict=True
    ):
        np.testing.assert_array_equal(p.value, second)
        np.testing.assert_array_equal(q.value, fourth)
    assert header_of(run / "best.npz")["progress"]["best_step"] == 4
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["best"], metrics["best_step"], metrics["step"]) == (0.2, 4, 8)
    assert metrics["last"]["step"] == 8 and metrics["last"]["val_pixel_error"] == 0.2


def test_without_validation_best_equals_last(data, tmp_path):
    run = tmp_path / "run"
    list(cunet.train(settings(data, out=str(run), steps=3, fold=None)))
    best = arrays_of(run / "best.npz")
    last = {k: v for k, v in arrays_of(run / "last.npz").items() if not k.startswith("solver/")}
    assert best.keys() == last.keys()
    for name, array in best.items():
        np.testing.assert_array_equal(array, last[name])
    expected = {"best.npz", "env.json", "last.npz", "log.csv", "metrics.json", "run.toml"}
    assert set(os.listdir(run)) == expected
    assert [row["val_loss"] for row in log_of(run)] == ["", "", ""]


def test_the_model_of_a_run_segments_as_the_trained_net(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=3)
    prepared = training.prepare(config)
    records = list(cunet.train(config, prepared))
    net = cunet.load(tmp_path / "run")
    assert net.normalization == prepared.normalization
    scores = validation.validate(cunet.load(tmp_path / "run" / "last.npz"), prepared)
    assert {name: records[-1][name] for name in scores} == scores


def test_a_run_is_never_overwritten(data, tmp_path):
    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    before = (run / "last.npz").read_bytes()
    with pytest.raises(CunetError, match="exists") as caught:
        next(cunet.train(config))
    assert caught.value.exit_code == 2 and (run / "last.npz").read_bytes() == before


def test_the_run_folder_tells_settings_and_data(data, tmp_path):
    from cunet.training.config import make
    from cunet.training.run_folder import read_settings

    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    assert make(options=read_settings(run)) == replace(config, precision="float32")
    environment = json.loads((run / "env.json").read_text())
    assert set(environment["data"]) == {"train-volume.tif", "train-labels.tif"}


# Numbers that go wrong


def test_a_poisoned_weight_is_named_with_step_and_layer(data, tmp_path, monkeypatch):
    """Not-a-number arises in one layer; the batch that met it is kept."""
    run, make_net = tmp_path / "run", loop_.make_net

    def poisoned(config, prepared):
        net = make_net(config, prepared)
        net.layers()[4].b.value[0] = np.nan
        return net

    monkeypatch.setattr(loop_, "make_net", poisoned)
    config = settings(data, out=str(run), fold=None)
    with pytest.raises(NumericError, match="step 1 .*expand0.up") as caught:
        list(cunet.train(config))
    assert caught.value.exit_code == 5
    kept = arrays_of(run / "nonfinite_batch.npz")
    for name, array in zip(
        ("x", "labels", "weights"), training.prepare(config).samples.stacked(0), strict=True
    ):
        np.testing.assert_array_equal(kept[name], array)
    assert str(run / "nonfinite_batch.npz") in str(caught.value)


@pytest.mark.parametrize("out", [True, False])
def test_divergence_is_a_numeric_error(data, tmp_path, out):
    config = settings(
        data, lr=1e30, lr_policy="fixed", clip=0.0, out=str(tmp_path / "run") if out else None
    )
    losses = []
    with pytest.raises(NumericError, match="step .*lr") as caught:
        for record in cunet.train(config):
            losses.append(record["loss"])
    assert f"step {len(losses) + 1} " in str(caught.value)
    assert all(map(math.isfinite, losses)) and len(losses) < 5
    assert caught.value.exit_code == 5
    if out:
        assert len(log_of(tmp_path / "run")) == len(losses)


# On a device


def test_the_loop_runs_on_a_device(data, tmp_path, monkeypatch):
    """The double's sums are NumPy's: losses and weights are the same bit for bit."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    monkeypatch.setattr(engines, "choose", lambda w, precision="float32": conv)
    monkeypatch.setattr(cpu, "up_forward", up_conv.forward)
    monkeypatch.setattr(cpu, "up_backward", up_conv.backward)
    here, there = tmp_path / "here", tmp_path / "there"
    config = settings(data, out=str(here), steps=4, validate_every=2)
    list(cunet.train(config))
    config = replace(config, out=str(there), device="cuda")
    loop = cunet.train(config)
    next(loop)
    loop.close()
    list(loop_.train(config, resume=True))
    same_file(here / "last.npz", there / "last.npz")
    assert log_of(here) == log_of(there)


# The pixel error


def counted_directly(slices, threshold):
    tp = fp = fn = 0
    for probability, white, counted in slices:
        for p, truth, counts in zip(
            probability.ravel(), white.ravel(), counted.ravel(), strict=True
        ):
            if not counts:
                continue
            found = float(p) > threshold
            tp += bool(found and truth)
            fp += bool(found and not truth)
            fn += bool(truth and not found)
    return tp, fp, fn


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pixel_error_against_a_loop(dtype):
    rng, counts, slices = np.random.default_rng(0), PixelCounts(), []
    for _ in range(3):
        probability = rng.random((9, 11)).astype(dtype)
        probability[0, :] = np.arange(11) / 10  # just on the thresholds
        white = rng.random((9, 11)) < probability
        counted = rng.random((9, 11)) < 0.8
        slices.append((probability, white, counted))
        counts.add(*slices[-1])
    scores, threshold = [], 0.0
    for i in range(11):
        tp, fp, fn = counted_directly(slices, threshold)
        precision, recall = tp / (tp + fp) if fp else 1, tp / (tp + fn)
        both = precision + recall
        scores.append(2 * precision * recall / both if both and tp else 0)
        assert counts.f_scores()[i] == pytest.approx(scores[-1], abs=1e-12), threshold
        threshold += 0.1
    assert counts.pixel_error() == pytest.approx(1 - max(scores), abs=1e-12)
    assert counts.best_threshold() == pytest.approx(np.argmax(scores) / 10)
    assert counts.dice() == pytest.approx(scores[5], abs=1e-12)
    pixels = sum(int(c.sum()) for *_, c in slices)
    whites = sum(int(w[c].sum()) for _, w, c in slices)
    tp, fp, _ = counted_directly(slices, 0.5)
    assert counts.shares() == pytest.approx((whites / pixels, (tp + fp) / pixels))


@pytest.mark.parametrize(
    "probability,white,error",
    [(0.9, 1, 0), (0.9, 0, 0), (0.05, 1, 0), (0.0, 1, 1), (1.0, 1, 0), (0.0, 0, 0)],
)
def test_the_pixel_error_of_flat_slices(probability, white, error):
    counts = PixelCounts()
    counts.add(np.full((3, 4), probability), np.full((3, 4), bool(white)))
    assert counts.pixel_error() == error


def test_validation_against_a_loop(data):
    config = settings(data, fold="0/2")
    prepared = training.prepare(config)
    prepared.dataset.labels[0][3:9, 5:12] = IGNORE
    net = loop_.make_net(config, prepared)
    found = validation.validate(net, prepared)
    slices, losses = [], []
    for i in prepared.held_out:
        image = prepared.dataset.images[i]
        p, y = cunet.segment(image, net, 572), prepared.dataset.labels[i]
        slices.append((p[..., 1], y == 1, y != IGNORE))
        losses += [-math.log(p[r, c, y[r, c]]) for r, c in np.ndindex(y.shape) if y[r, c] != IGNORE]
    assert found["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    tp, fp, fn = counted_directly(slices, 0.5)
    assert found["val_dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-3)
    f = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in
         (counted_directly(slices, t / 10) for t in range(10))]  # fmt: skip
    assert found["val_pixel_error"] == pytest.approx(1 - max(f), abs=1e-3)


def test_one_class_is_said(data):
    config = settings(data)
    prepared = training.prepare(config)
    net = loop_.make_net(config, prepared)
    head = net.parameters()[-1]
    for bias, expected in ((-50, 0), (50, 1)):
        head.value[...] = -bias, bias
        assert validation.validate(net, prepared)["val_one_class"] == expected


def test_the_log_is_written_in_pieces(tmp_path):
    """Twenty lines at a time, and the rest with flush()."""
    run = RunFolder.create(tmp_path / "run", Config(), {})
    for step in range(1, 24):
        run.log({"step": step, "seconds": 1, "lr": 0.1, "loss": 0.5, "wait": 0.5})
    assert len(log_of(tmp_path / "run")) == 20
    run.flush()
    assert [row["step"] for row in log_of(tmp_path / "run")] == [str(i) for i in range(1, 24)]
    reopened = RunFolder.reopen(tmp_path / "run", Config(), {}, 21)
    assert len(log_of(reopened.path)) == 21


def test_a_checkpoint_without_solver_cannot_be_resumed(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=2)
    list(cunet.train(config))
    checkpoint.save(tmp_path / "run" / "last.npz", cunet.load(tmp_path / "run"))
    with pytest.raises(CunetError, match="last.npz"):
        list(loop_.train(replace(config, steps=4), resume=True))
