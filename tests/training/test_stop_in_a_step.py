"""A signal in the middle of a step: the step is dropped, and made again by who resumes."""

import os
import signal
from dataclasses import replace

import pytest
from run_folders import header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.engines import definition
from cunet.training import loop as loop_
from cunet.training.stop import stop_on_signals

pytestmark = [
    pytest.mark.usefixtures("threads_as_before"),
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
]
REAL = definition.Step.accumulate


def interrupted_at(monkeypatch, call, number):
    """A Step whose accumulate, called this often, gets a signal when it has added its gradients."""
    calls = []

    def accumulate(self, *given):
        loss = REAL(self, *given)
        calls.append(loss)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return loss

    monkeypatch.setattr(definition.Step, "accumulate", accumulate)
    return calls


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd"},
        {"solver": "adam", "iter_size": 3},
        # running statistics have moved by then: they go back
        {"solver": "sgd", "batch_norm": True, "padding": "same", "tile": 32},
    ],
    ids=["sgd", "adam", "batch norm"],
)
def test_a_dropped_step_is_as_if_it_had_not_begun(data, tmp_path, monkeypatch, more, number):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    config = settings(data, out=str(straight), steps=8, validate_every=4, **more)
    records = list(cunet.train(config))
    call = 6 * config.iter_size  # the last of step 6
    calls = interrupted_at(monkeypatch, call, number)
    config, first = replace(config, out=str(stopped)), []
    with stop_on_signals() as asked:
        for record in (running := cunet.train(config)):
            first.append(record)
            if asked():
                break
        running.close()
        assert asked()
    assert len(calls) == call
    assert [record["step"] for record in first] == [1, 2, 3, 4, 5]
    assert header_of(stopped / "last.npz")["progress"]["step"] == 5
    second = list(loop_.train(config, resume=True))
    losses = [record["loss"] for record in first + second]
    assert losses == [record["loss"] for record in records]
    same_arrays(straight / "last.npz", stopped / "last.npz")
    same_arrays(straight / "best.npz", stopped / "best.npz")
    assert log_without_time(straight) == log_without_time(stopped)


def test_a_first_step_that_is_dropped(data, tmp_path, monkeypatch):
    """As `cunet train` does it: nothing was trained, so that the run is not finished."""
    calls = interrupted_at(monkeypatch, 1, signal.SIGINT)
    config = settings(data, out=str(tmp_path / "run"), steps=8)
    with stop_on_signals() as asked:
        assert list(cunet.train(config)) == [] and asked()
    assert len(calls) == 1
    assert header_of(tmp_path / "run" / "last.npz")["progress"]["step"] == 0
    assert not (tmp_path / "run" / "report.html").exists()
