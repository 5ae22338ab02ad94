"""The training loop: reproducibility, what is learned and kept, numbers that go wrong, a device."""

import json
import math
import os
import sys
from dataclasses import replace

import cupy_double
import numpy as np
import pytest
from run_folders import arrays_of, header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.engines import definition
from cunet.engines.cpu import dropout
from cunet.errors import NumericError
from cunet.net import checkpoint, unet
from cunet.solvers.sgd import SGD
from cunet.training import loop as loop_
from cunet.training import prepared as training
from cunet.training import validation

pytestmark = pytest.mark.usefixtures("threads_as_before")


# Reproducibility


def test_threads_change_nothing(data, tmp_path):
    for threads in (1, 2):
        out = str(tmp_path / str(threads))
        config = settings(data, out=out, threads=threads, width=4, tile=50, steps=6, batch=2)
        list(cunet.train(config))
    same_arrays(tmp_path / "1" / "last.npz", tmp_path / "2" / "last.npz")
    assert log_without_time(tmp_path / "1") == log_without_time(tmp_path / "2")


def test_the_seed_decides(data):
    first, same, other = (
        [r["loss"] for r in cunet.train(settings(data, steps=3, seed=seed))] for seed in (1, 1, 2)
    )
    assert first == same and first != other


def test_dropout_keys_are_new_in_every_pass_and_follow_from_the_seed(data, monkeypatch):
    keys, original = [], dropout.mask

    def recording(x, rate, key):
        keys.append(key)
        return original(x, rate, key)

    monkeypatch.setattr(dropout, "mask", recording)
    runs = []
    for seed in (3, 3, 4):
        keys.clear()
        list(cunet.train(settings(data, steps=3, iter_size=2, seed=seed, fold=None)))
        runs.append(list(keys))
    assert len(runs[0]) == len(set(runs[0])) == 12  # two layers, three steps of two passes
    assert runs[0] == runs[1] and not set(runs[0]) & set(runs[2])


def test_it_prints_nothing_and_keeps_nothing_unasked(data, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    list(cunet.train(settings(data, steps=2, validate_every=1)))
    assert capfd.readouterr() == ("", "")
    assert not os.listdir(tmp_path)


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
    assert [row["val_loss"] for row in log_without_time(run)] == ["", "", ""]


def test_the_model_of_a_run_segments_as_the_trained_net(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=3)
    prepared = training.prepare(config)
    records = list(cunet.train(config, prepared))
    net = cunet.load(tmp_path / "run")
    assert net.normalization == prepared.normalization
    scores = validation.validate(cunet.load(tmp_path / "run" / "last.npz"), prepared)
    assert {name: records[-1][name] for name in scores} == scores


# Numbers that go wrong


def caught_net(monkeypatch):
    """A list that the network of the next training is put into."""
    nets, make_net = [], loop_.make_net

    def caught(config, prepared):
        nets.append(make_net(config, prepared))
        return nets[-1]

    monkeypatch.setattr(loop_, "make_net", caught)
    return nets


def test_a_poisoned_weight_is_named_with_step_and_layer(data, tmp_path, monkeypatch):
    """Not-a-number arises in one layer; the batch that met it is kept."""
    run, nets = tmp_path / "run", caught_net(monkeypatch)
    config = settings(data, out=str(run), fold=None)
    records = cunet.train(config)
    next(records)
    nets[0].layers()[4].b.value[0] = np.nan
    with pytest.raises(NumericError, match="step 2 .*expand0.up") as caught:
        next(records)
    assert caught.value.exit_code == 5
    kept = arrays_of(run / "nonfinite_batch.npz")
    for name, array in zip(
        ("x", "labels", "weights"), training.prepare(config).samples.stacked(1), strict=True
    ):
        np.testing.assert_array_equal(kept[name], array)
    assert str(run / "nonfinite_batch.npz") in str(caught.value)
    assert len(log_without_time(run)) == 1


@pytest.mark.parametrize("fold", [None, "0/2"])
@pytest.mark.parametrize("what", ["parameter", "velocity", "output"])
def test_an_update_that_spoils_the_network_replaces_no_file(
    data, tmp_path, monkeypatch, fold, what
):
    """The loss before the last update was a number: only looking at what it left tells."""
    run, nets, update = tmp_path / "run", caught_net(monkeypatch), SGD.step

    def spoiling(solver):
        rate = update(solver)
        if solver.done == 4:
            if what == "output":  # finite weights whose products are not
                for p in nets[0].parameters():
                    p.value *= np.float32(1e30) / np.abs(p.value).max()
            else:
                arrays = [p.value for p in nets[0].parameters()]
                (arrays if what == "parameter" else solver.velocity)[-1][...] = np.nan
        return rate

    monkeypatch.setattr(SGD, "step", spoiling)
    config = settings(data, out=str(run), fold=fold, steps=4, validate_every=2)
    seen, before = 0, {}
    with pytest.raises(NumericError, match="after step 4.*--lr") as caught:
        for record in cunet.train(config):
            seen = record["step"]
            before = {p.name: p.read_bytes() for p in run.glob("*.npz")}
    assert caught.value.exit_code == 5 and seen == 3
    assert {p.name: p.read_bytes() for p in run.glob("*.npz")} == before
    assert ("best.npz" in before) == (fold is not None)
    assert checkpoint.read_header(run / "last.npz")["progress"]["step"] == 2
    assert not (run / "metrics.json").exists() and len(log_without_time(run)) == 3
    monkeypatch.setattr(SGD, "step", update)
    assert [r["step"] for r in cunet.train(config, resume=True)] == [3, 4]  # and it goes on


def test_a_stop_after_such_an_update_keeps_the_last_good_network(data, tmp_path, monkeypatch):
    run, nets = tmp_path / "run", caught_net(monkeypatch)
    records = cunet.train(settings(data, out=str(run), fold=None))
    next(records)
    before = (run / "last.npz").read_bytes()
    nets[0].parameters()[0].value[...] = np.inf
    with pytest.raises(NumericError, match="last.npz' is not written: array 'contract0.conv1"):
        records.close()
    assert (run / "last.npz").read_bytes() == before


def test_images_far_out_are_not_told_as_a_learning_rate(data, tmp_path, monkeypatch):
    """A hot pixel among near-constant ones: what overflows is the image, not the solver."""
    config = settings(data, out=str(tmp_path / "run"), fold=None, augment=False)
    prepared = training.prepare(config)
    for image in prepared.samples.images:
        image[...] = np.float32(3.3e38)
    with pytest.raises(
        NumericError, match="step 1.*3.3e.38 deviations.*no learning rate"
    ) as caught:
        list(cunet.train(config, prepared))
    assert caught.value.exit_code == 5 and "--lr" not in str(caught.value)


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
        assert len(log_without_time(tmp_path / "run")) == len(losses)


# On a device


def test_the_loop_runs_on_a_device(data, tmp_path, monkeypatch):
    """The double's sums are NumPy's: losses and weights are the same bit for bit."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    monkeypatch.setattr(unet, "engine_of", lambda device, precision: definition)
    here, there = tmp_path / "here", tmp_path / "there"
    config = settings(data, out=str(here), steps=4, validate_every=2)
    list(cunet.train(config))
    config = replace(config, out=str(there), device="cuda")
    loop = cunet.train(config)
    next(loop)
    loop.close()
    list(loop_.train(config, resume=True))
    same_arrays(here / "last.npz", there / "last.npz")
    assert log_without_time(here) == log_without_time(there)
