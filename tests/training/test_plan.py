"""The plan of a training: settings resolved, speed, steps, memory; what may stand beside resume."""

import json
import os
import signal
import threading
from dataclasses import asdict, fields

import pytest
from run_folders import same_arrays
from small_trainings import settings

import cunet
from cunet.errors import CunetError
from cunet.training import cost, steps, stop
from cunet.training import plan as plans
from cunet.training.config import Config
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_settings

SMALL = {"width": 2, "depth": 1, "tile": 34, "steps": 6, "fold": "1/4", "validate_every": 3}
SMALL |= {"device": "cpu", "threads": 1, "seed": 3}

pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.fixture
def half_a_second(monkeypatch):
    monkeypatch.setattr(plans, "measure_speed", lambda config, prepared: 0.5)


def options(words):
    return [part for k, v in words.items() for part in (f"--{k.replace('_', '-')}", str(v))]


def test_it_is_what_the_dry_run_says(data, run, tmp_path, half_a_second):
    plan = plans.make(data, "cpu", out=str(tmp_path / "run"), **SMALL)
    more = ["--preset", "cpu", "--out", tmp_path / "run", "--dry-run", "--json"]
    code, text, err = run("train", "--data", data, *options(SMALL), *more)
    assert code == 0, err
    assert json.loads(text) == plan.summary()
    assert err.startswith("preset cpu: 6 steps at 0.50 s on 1 CPU thread, about 0:03")
    assert (plan.left, plan.expected_seconds, plan.threads) == (6, 3.0, 1)
    assert plan.why_no_tensor_cores == "the CPU has no tensor cores"
    assert not (tmp_path / "run").exists()


def test_its_training_is_that_of_its_settings(data, tmp_path):
    plan = plans.make(data, "cpu", out=str(tmp_path / "one"), **SMALL)
    assert 0 < plan.seconds < 10 and not (tmp_path / "one").exists()
    assert [record["step"] for record in plan.train()] == [1, 2, 3, 4, 5, 6]
    list(cunet.train(Config(**asdict(plan.config) | {"out": str(tmp_path / "two")})))
    same_arrays(tmp_path / "one" / "last.npz", tmp_path / "two" / "last.npz")
    assert Config(**read_settings(tmp_path / "one")) == plan.config


def test_defaults_preset_file_and_options_in_order(data, tmp_path, half_a_second):
    file = tmp_path / "c.toml"
    file.write_text("width = 3\ntile = 44\nlr = 1\ndepth = 2\n")
    plan = plans.make(data, "cpu", file, lr=0.25, depth=1, device="cpu", momentum=None)
    config = plan.config
    assert (config.width, config.tile, config.lr, config.depth) == (3, 44, 0.25, 1)
    assert (config.solver, config.batch, config.momentum) == ("adam", 1, None)
    assert plan.source == f"preset cpu, {file}"
    assert plans.start(data, device="cpu").source == "preset cpu (on the CPU)"
    assert config.data == str(data.resolve())


def test_steps_are_fitted_to_minutes(data, tmp_path, monkeypatch, half_a_second):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / f"{data.name}-7").mkdir(parents=True)
    timed = {name: value for name, value in SMALL.items() if name != "steps"}
    config = plans.make(data, minutes=2, **timed).config
    assert (config.steps, config.minutes) == (240, None)
    assert config.out == os.path.join("runs", f"{data.name}-8")
    assert plans.make(data, minutes=1e-9, **timed).config.steps == 1


def test_a_run_goes_on(data, tmp_path, half_a_second):
    out = str(tmp_path / "run")
    records = plans.make(data, "cpu", out=out, **SMALL).train()
    next(records), next(records)
    records.close()
    plan = plans.make(resume=out)
    assert (plan.done, plan.left, plan.resume, plan.source) == (2, 4, True, f"continuing {out}")
    assert plan.config.out == out and plan.config.seed == 3
    longer = plans.make(resume=out, minutes=0.1)
    assert (longer.config.steps, longer.left) == (14, 12)
    assert longer.source.endswith("the learning rate follows the new one")
    assert [record["step"] for record in plan.train()] == [3, 4, 5, 6]
    assert list(plans.make(resume=out).train()) == []


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ({"steps": 5, "minutes": 1}, "--steps and --minutes"),
        ({"resume": "r", "weight_decay": 0.1}, "found --weight-decay"),
        ({"resume": "r", "config": "c.toml"}, "found --config"),
        ({"resume": "r", "out": "o"}, "found --out"),
        ({"resume": "r"}, "'r' is not a run folder"),
        ({"preset": "finetune", "data": "d"}, "name it with --from"),
        ({"preset": "fast", "data": "d"}, "paper, cpu, ucsd, finetune, found 'fast'"),
        ({}, "--data"),
    ],
    ids=str,
)
def test_what_is_refused(words, reported):
    with pytest.raises(CunetError, match=reported):
        plans.start(**{"device": "cpu"} | words if "resume" not in words else words)


def test_a_folder_of_runs_is_answered_with_the_first_of_them(tmp_path):
    for name in ("2", "1", "0"):
        (tmp_path / name).mkdir()
    for name in ("2", "1"):
        (tmp_path / name / "run.toml").touch()
    with pytest.raises(CunetError, match="no run.toml; there is one in .*1'$"):
        plans.start(resume=str(tmp_path))


def test_a_folder_that_exists_is_refused_before_the_data_are_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CunetError, match="other files"):
        plans.start("no data", out=str(tmp_path), device="cpu")


def test_memory_is_that_of_step_or_validation_and_of_the_data_counted_once(data, monkeypatch):
    needed = {"training": 10**9, "inference": 7}
    monkeypatch.setattr(steps, "memory_bytes", lambda *given: needed)

    def arrays(prepared, *more):
        dataset, samples = prepared.dataset, prepared.samples
        lists = dataset.images, dataset.labels, samples.images, samples.weights, *more
        return sum(array.nbytes for arrays in lists for array in arrays)

    config = settings(data)
    prepared = prepare(config)  # the gaps between cells are opened in a copy of the labels
    own = arrays(prepared, prepared.samples.labels)
    assert cost.memory_needed(config, prepared) == 10**9 + own
    needed["inference"] = 2 * 10**9
    assert cost.memory_needed(config, prepared) == 2 * 10**9 + own
    config = settings(data, weight_map="none", fold=None)
    prepared = prepare(config)  # these labels are the data set's, and nothing is held out
    assert cost.memory_needed(config, prepared) == 10**9 + arrays(prepared)


def test_memory_of_a_gpu_is_that_of_the_slices_too_where_it_makes_the_samples(data, monkeypatch):
    needed = {"training": 10**9, "inference": 7}
    monkeypatch.setattr(steps, "memory_bytes", lambda *given: needed)
    config = settings(data, device="cuda:0", precision="tf32")
    prepared = prepare(config)
    slices = 3 * 48 * 40 * (4 + 4 + 1)  # grey value, weight and label of each pixel
    assert cost.memory_needed(config, prepared) == 10**9 + slices
    config = settings(data, device="cuda:0", precision="float32")
    assert cost.memory_needed(config, prepared) == 10**9


def test_stopping_in_another_thread_leaves_signals_alone():
    found = []

    def look():
        with stop.stop_on_signals() as stopped:
            found.append((stopped(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [(False, signal.getsignal(signal.SIGINT))]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_asked_once_it_stops_between_steps_asked_twice_at_once():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop.stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
        os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_may_change_is_a_setting():
    assert set(plans.WITH_RESUME) <= {field.name for field in fields(Config)}
