"""A training that is interrupted anywhere keeps the state of a whole step, and goes on from there
as if nothing had happened."""

import json
import linecache
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_folders import header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.data.samples import Batches
from cunet.engines import cpu
from cunet.files import atomic
from cunet.interrupts import uninterrupted
from cunet.net import checkpoint
from cunet.solvers import sgd
from cunet.training import loop as loop_
from cunet.training import plan, validation
from cunet.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("threads_as_before", "usual_ctrl_c")

SWEEPS = int(os.environ.get("CUNET_INTERRUPTIONS", 4))
USUAL = {"steps": 9, "validate_every": 3, "iter_size": 2}
NORMED = {"batch_norm": True, "padding": "same", "tile": 32, "batch": 2}


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """straight(**more): the folder of a run that nothing interrupted."""
    made = {}

    def folder(**more):
        key = tuple(more)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("straight") / "run"
            list(cunet.train(settings(data, out=str(made[key]), **USUAL | more)))
        return made[key]

    return folder


def at_call(monkeypatch, owner, name, number, action):
    """Call action() in the middle of call `number` of owner.name: before its result is used."""
    real, calls = getattr(owner, name), []

    def patched(*args, **more):
        calls.append(name)
        result = real(*args, **more)
        if len(calls) == number and threading.current_thread() is threading.main_thread():
            action()
        return result

    monkeypatch.setattr(owner, name, patched)


def interrupt():
    raise KeyboardInterrupt


def stop_button():
    signal.raise_signal(signal.SIGINT)


def run_until_interrupted(config):
    """The steps whose records were seen."""
    seen = []
    with pytest.raises(KeyboardInterrupt):
        for record in cunet.train(config):
            seen.append(record["step"])
    return seen


def goes_on_as(config, straight):
    """Resume, and compare all that a run folder holds with the run that was not interrupted."""
    run = Path(config.out)
    steps = [record["step"] for record in loop_.train(config, resume=True)]
    same_arrays(straight / "last.npz", run / "last.npz")
    same_arrays(straight / "best.npz", run / "best.npz")
    assert log_without_time(straight) == log_without_time(run)
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in (straight, run))
    assert one["last"] == other["last"]
    assert [one[k] for k in ("best", "best_step")] == [other[k] for k in ("best", "best_step")]
    assert header_of(run / "last.npz")["progress"].keys() == {"step", "seconds", *one} - {"last"}
    return steps


# In a step of 2 batches, a net of 7 convolutions that is called 4 times a step.
PLACES = {
    "forward": (cpu, "conv_forward", 50),
    "backward": (cpu, "conv_backward", 50),
    "the sample": (Batches, "take", 9),
    "the log": (RunFolder, "log", 5),
    "a validation": (validation, "segment", 2),
    "the last validation": (validation, "segment", 3),
    "after a validation": (loop_, "validate", 2),
    "writing a model": (checkpoint, "write_npz", 4),
    "renaming a file": (atomic.os, "replace", 8),
}


@pytest.mark.parametrize("action", [interrupt, stop_button])
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_anywhere_it_goes_on_bit_for_bit(
    data, tmp_path, monkeypatch, straight, place, action
):
    config = settings(data, out=str(tmp_path / "run"), **USUAL)
    with monkeypatch.context() as patches:
        at_call(patches, *PLACES[place], action)
        seen = run_until_interrupted(config)
    kept = header_of(tmp_path / "run" / "last.npz")["progress"]
    assert len(seen) < 9 and kept["step"] in (len(seen), len(seen) + 1)
    pending = kept["step"] % 3 == 0 and "validation" in place and action is interrupt
    assert ("pending" in kept) >= pending
    assert plan.start(resume=str(tmp_path / "run")).lost == ""  # the log is complete
    steps = goes_on_as(config, straight())
    first = kept["step"] + ("pending" not in kept)
    assert steps == list(range(first, 10))


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_the_statistics_of_batch_normalization_are_those_of_the_last_step(
    data, tmp_path, monkeypatch, straight, place
):
    """A forward pass changes them before the step is whole."""
    config = settings(data, out=str(tmp_path / "run"), **USUAL | NORMED)
    with monkeypatch.context() as patches:
        at_call(patches, *PLACES[place][:2], 41, interrupt)
        seen = run_until_interrupted(config)
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == len(seen) > 0
    goes_on_as(config, straight(**NORMED))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_an_update_is_done_whole_before_the_stop_is_heard(
    data, tmp_path, monkeypatch, straight, solver
):
    config = settings(data, out=str(tmp_path / "run"), solver=solver, **USUAL)
    module = sys.modules[f"cunet.solvers.{solver}"]
    with monkeypatch.context() as patches:
        halfway(patches, module, 5, stop_button)
        assert run_until_interrupted(config) == [1, 2, 3, 4]
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 5
    rest = {"solver": solver} if solver == "adam" else {}
    assert goes_on_as(config, straight(**rest)) == [6, 7, 8, 9]


def halfway(monkeypatch, module, number, action):
    """Call action() between two parameters of update `number`."""
    calls = []

    def for_each(update, *lists):
        calls.append(None)
        for i, one in enumerate(zip(*lists, strict=True)):
            if len(calls) == number and i == len(lists[0]) // 2:
                action()
            update(*one)

    monkeypatch.setattr(module, "for_each", for_each)


def test_an_update_that_is_torn_all_the_same_is_not_kept(data, tmp_path, monkeypatch, straight):
    """An exception from the solver itself, which no signal causes: the run goes on from what was
    saved before, and the torn weights are in no file."""
    config = settings(data, out=str(tmp_path / "run"), **USUAL)
    with monkeypatch.context() as patches:
        halfway(patches, sgd, 5, interrupt)
        run_until_interrupted(config)
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 3
    assert goes_on_as(config, straight()) == [4, 5, 6, 7, 8, 9]


def test_break_and_an_error_in_the_loop_save(data, tmp_path, straight):
    config = settings(data, out=str(tmp_path / "run"), **USUAL)
    for record in cunet.train(config):
        if record["step"] == 2:
            break
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 2
    with pytest.raises(KeyboardInterrupt):
        for record in loop_.train(config, resume=True):
            if record["step"] == 7:
                stop_button()
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 7
    assert goes_on_as(config, straight()) == [8, 9]


def of_with(frame):
    """Whether a frame is at a line that enters or leaves a `with`."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return line.lstrip().startswith("with ")


def stopped_at_line(config, number, resume=False):
    """Train with Ctrl-C at line `number` of cunet that is executed, or the next that is no `with`;
    whether it came so far.

    Python hears a signal after a call, never while a `with` lets go of its lock: a tracer sees that
    as a line too, and an exception there would leave the lock closed.
    """
    lines, package = 0, str(Path(cunet.__file__).parent)

    def trace(frame, event, argument):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            lines += 1
            if lines >= number and not of_with(frame):
                lines = -(10**9)
                stop_button()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in loop_.train(config, resume=resume):
            pass
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("seed", range(SWEEPS))
def test_interrupted_again_and_again_at_any_line(data, tmp_path, straight, seed):
    rng, run, times = np.random.default_rng(seed), tmp_path / "run", 0
    config = settings(data, out=str(run), **USUAL | {"iter_size": 1})
    for number in rng.integers(1, 60_000, 25):
        if not stopped_at_line(config, int(number), (run / "run.toml").exists()):
            break
        times += 1
    assert times > 0
    goes_on_as(config, straight(iter_size=1))


def test_a_generator_with_a_name_is_saved_at_the_end_of_the_program(data, tmp_path):
    """After an interruption in the loop's body it still waits for its next step."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import cunet, signal\n"
        "from small_trainings import settings\n"
        "records = cunet.train(settings(sys.argv[2], out=sys.argv[3]))\n"
        "for record in records:\n"
        "    if record['step'] == 4:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
    )
    helpers = os.path.dirname(sys.modules["small_trainings"].__file__)
    ended = subprocess.run(
        [sys.executable, "-c", program, helpers, str(data), str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert ended.returncode in (130, -signal.SIGINT), ended.stderr
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 4


def test_what_must_be_whole_hears_a_signal_afterwards():
    order = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            stop_button()
            order.append("inside")
            with uninterrupted():
                stop_button()
            order.append("still inside")
        order.append("after")
    assert order == ["inside", "still inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ZeroDivisionError), uninterrupted():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_no_signal_handler_is_touched(data, tmp_path, straight):
    config, failed = settings(data, out=str(tmp_path / "run"), **USUAL), []

    def work():
        try:
            list(cunet.train(config))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        time.sleep(0.01)
    assert not failed
    same_arrays(straight() / "last.npz", tmp_path / "run" / "last.npz")


def test_what_is_pending_is_checked_like_the_rest_of_a_header(data, tmp_path, monkeypatch):
    config = settings(data, out=str(tmp_path / "run"), **USUAL)
    with monkeypatch.context() as patches:
        at_call(patches, validation, "segment", 1, interrupt)
        run_until_interrupted(config)
    last = tmp_path / "run" / "last.npz"
    header, arrays = checkpoint.read(last)
    for wrong in ({"step": 3}, 7, header["progress"]["pending"] | {"step": 2}):
        spoilt = {**header, "progress": header["progress"] | {"pending": wrong}}
        np.savez(last, header=np.array(json.dumps(spoilt)), **arrays)
        with pytest.raises(cunet.CunetError, match="damaged.*pending"):
            list(loop_.train(replace(config), resume=True))
