"""Locks: one holder at a time, and no obstacle after a crash, with and without flock."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cunet.errors import CunetError
from cunet.files import lock as locks
from cunet.files.lock import held

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and flock")

HOLD = """
import fcntl, sys, time
from pathlib import Path
if sys.argv[2] == "none":
    def none(*given):
        raise OSError(95, "Operation not supported")
    fcntl.flock = none
from cunet.files.lock import held
with held(Path(sys.argv[1]), Path("x"), "folder"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["flock", "none"])
def kind(request, monkeypatch):
    """A file system with locks, and one without."""
    if request.param == "none":

        def none(*given):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(locks.fcntl, "flock", none)
    return request.param


def holder(path, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_one_at_a_time_and_killed_it_is_no_obstacle(tmp_path, kind):
    path = tmp_path / ".lock"
    with holder(path, kind) as process:
        with pytest.raises(CunetError, match="^folder 'x' is in use by another process") as caught:
            with held(path, Path("x"), "folder"):
                pass
        assert f"({process.pid} on {os.uname().nodename}, since " in str(caught.value)
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) != []
    with held(path, Path("x"), "folder"):
        pass
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith("owner")] == []


def test_it_is_gone_afterwards_and_can_be_held_again(tmp_path, kind):
    path = tmp_path / ".lock"
    for _ in range(3):
        with held(path, Path("it")):
            assert path.exists()
            with pytest.raises(CunetError, match="'it' is in use"), held(path, Path("it")):
                pass
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), held(path, Path("it")):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"began": "long ago"}, False),  # the number went to another process
        ({"process": 2**22 + 1}, False),  # more than Linux counts to
        ({"host": "elsewhere", "process": 2**22 + 1}, True),  # nobody here can know
        ({"process": "7"}, True),
    ],
)
@pytest.mark.parametrize("links", [True, False])
def test_without_locks_the_owner_decides(tmp_path, monkeypatch, change, taken, links):
    def none(*given):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", none)
    if not links:
        monkeypatch.setattr(os, "symlink", none)
    owner = tmp_path / ".lock-owner"
    assert locks._put(owner, json.dumps(json.loads(locks._myself()) | change))
    assert owner.is_symlink() == links and not locks._put(owner, "mine")
    if taken:
        with pytest.raises(CunetError, match=f"if it has ended, remove '{owner}'"):
            with held(tmp_path / ".lock", Path("it")):
                pass
        assert owner.name in os.listdir(tmp_path)
    else:
        with held(tmp_path / ".lock", Path("it")):
            assert locks._owner(owner)["process"] == os.getpid()
        assert list(tmp_path.iterdir()) == []


def test_many_processes_are_never_inside_at_once(tmp_path, kind):
    """Each adds one to a number in a file, slowly, as soon as it gets the lock."""
    count = """
import sys, time
from pathlib import Path
from cunet.errors import CunetError
from cunet.files.lock import held
if sys.argv[2] == "none":
    import fcntl
    def none(*given):
        raise OSError(95, "Operation not supported")
    fcntl.flock = none
done, number = 0, Path(sys.argv[1]).with_name("number")
while done < 10:
    try:
        with held(Path(sys.argv[1]), Path("it")):
            now = int(number.read_text())
            time.sleep(0.001)
            number.write_text(str(now + 1))
            done += 1
    except CunetError:
        time.sleep(0.001)
"""
    (tmp_path / "number").write_text("0")
    line = [sys.executable, "-c", count, str(tmp_path / ".lock"), kind]
    begun = time.monotonic()
    jobs = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for job in jobs:
        assert job.communicate(timeout=60)[1] == ""
    assert (tmp_path / "number").read_text() == "40", time.monotonic() - begun
