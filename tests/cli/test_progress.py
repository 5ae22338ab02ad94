"""The bar on a terminal, the lines elsewhere, and what is shown while nothing is reported."""

import re
import time
from types import SimpleNamespace

import pytest

from cunet.process import progress as module
from cunet.process import streams
from cunet.process.progress import Progress


class Terminal:
    """stderr as a list of what is written."""

    def __init__(self, live):
        self.live, self.text = live, ""

    def isatty(self):
        return self.live

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.fixture
def stderr(monkeypatch, request):
    terminal = Terminal(request.param)
    for place in (module, streams):  # pytest sets sys.stderr itself between fixture and test
        monkeypatch.setattr(place, "sys", SimpleNamespace(stderr=terminal))
    monkeypatch.setattr(module, "PERIOD", 0.01)
    return terminal


def until(condition):
    """Wait for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


live = pytest.mark.parametrize("stderr", [True], indirect=True)
piped = pytest.mark.parametrize("stderr", [False], indirect=True)


@live
def test_a_bar_is_drawn_though_nothing_is_reported(stderr):
    with Progress(8, text="slices scored") as bar:
        until(lambda: "0/8  slices scored" in stderr.text)
        assert "ETA ?" in stderr.text and "[....................]" in stderr.text
        time.sleep(0.2)
        bar.update(4, "slices scored")
        assert "[##########..........] 4/8" in stderr.text
        bar.update(8, "slices scored")
    assert re.search(r"8/8  slices scored  [\d.]+/s  ETA 0:00\x1b\[K\n$", stderr.text)
    shown = stderr.text
    time.sleep(0.05)
    assert stderr.text == shown, "nothing is drawn after the end"


@live
def test_what_takes_long_is_named_and_leaves_nothing_behind(stderr):
    with Progress(text="reading 'a\x1bb'"):
        until(lambda: stderr.text)
    assert stderr.text.startswith("\rreading 'a\\x1bb'  0:00\x1b[K")
    assert stderr.text.endswith("\r\x1b[K")


@live
def test_nothing_is_drawn_of_what_is_over_at_once(stderr, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 60)
    with Progress(text="reading"):
        pass
    with Progress(3, text="slices"):
        pass
    assert stderr.text == ""


@live
def test_the_seconds_left_are_those_told(stderr):
    with Progress(100, text="steps") as bar:
        time.sleep(0.15)
        bar.update(1, "steps", 754.0)
    assert "ETA 12:3" in stderr.text


@live
def test_an_error_is_not_drawn_over(stderr):
    with pytest.raises(KeyboardInterrupt), Progress(5, text="slices"):
        until(lambda: stderr.text)
        raise KeyboardInterrupt
    assert stderr.text.endswith("\n")


@piped
def test_plain_lines_elsewhere(stderr):
    with Progress(text="reading"):
        time.sleep(0.05)
    assert stderr.text == ""
    with Progress(2, every=0.05, text="slices") as bar:
        until(lambda: stderr.text.count("\n") >= 2)
        bar.update(2, "slices")
    lines = stderr.text.splitlines()
    assert lines[0].startswith("0/2  slices") and lines[-1].startswith("2/2  slices")
    assert "\r" not in stderr.text and "\x1b" not in stderr.text


@piped
def test_quiet(stderr):
    with Progress(2, quiet=True, every=0.01, text="slices") as bar:
        bar.update(2, "slices")
        bar.line("a line")
        time.sleep(0.05)
    assert stderr.text == ""


@pytest.mark.parametrize("stderr", [True, False], indirect=True)
def test_a_note_is_shown_at_once(stderr):
    asked = []
    with Progress(9, text="steps") as bar:
        bar.note = lambda: "  stopping" if asked else ""
        asked.append(1)
        until(lambda: "stopping" in stderr.text)
