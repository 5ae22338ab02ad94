"""The process around a command: its streams, its signals, its limits."""

import errno
import os
import subprocess
import sys

import pytest

from cunet.errors import CunetError, DeviceError, machine_failed, of_system, visible_name
from cunet.training import stop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams and signals of POSIX")


def shell(command, program="", **more):
    """Run a line of sh in which $PYTHON is Python and $PROGRAM a program for it."""
    environment = os.environ | {"PYTHON": sys.executable, "PROGRAM": program}
    return subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, **more
    )


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path):
    program = """
from cunet.process import streams
streams.prepare()
with open("image.tif", "wb") as file:
    streams.message("a message")
    file.write(b"pixels")
try:
    streams.answer("an answer")
except streams.DeviceError as error:
    open("error", "w").write(str(error))
"""
    done = shell('"$PYTHON" -c "$PROGRAM" <&- >&- 2>&-', program, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "image.tif").read_bytes() == b"pixels"
    assert "stdout: it is closed" in (tmp_path / "error").read_text()


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ('"$PYTHON" -P -m cunet explain --json > /dev/full', 4, "No space left on device"),
        ('"$PYTHON" -P -m cunet --help > /dev/full', 4, "No space left on device"),
        ('"$PYTHON" -P -m cunet --help 2> /dev/full', 0, ""),
        ('PYTHONIOENCODING=ascii "$PYTHON" -P -m cunet "µ"', 2, r"\xb5"),
        ('ulimit -v 150000; "$PYTHON" -P -m cunet explain', 4, "ulimit -v): raise the limit"),
        ('ulimit -v 150000; "$PYTHON" -P -m cunet --help', 0, ""),
    ],
)
def test_what_cannot_be_written_or_loaded_is_said(command, code, words):
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr


def test_the_work_goes_on_when_its_reader_has_left(tmp_path, tiny):
    from isbi_data import isbi_folder

    command = [
        sys.executable,
        "-P",
        "-m",
        "cunet",
        "train",
        "--data",
        isbi_folder(tmp_path / "data"),
    ]
    command += ["--out", tmp_path / "run", "--fold", "0/2", *tiny]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody_reads:
        assert subprocess.run(command, stderr=nobody_reads).returncode == 0
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 1 + 6
    assert (tmp_path / "run" / "report.html").is_file()


def test_an_answer_without_its_reader():
    program = """
import os, sys
from cunet.process import streams
streams.prepare()
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
streams.answer("a table")  # whoever left has read enough
os.dup2(writer, 1)
try:
    streams.answer("{}", needed=True)
except streams.DeviceError as error:
    sys.exit(str(error))
"""
    done = shell('"$PYTHON" -c "$PROGRAM"', program)
    assert done.returncode == 1 and "Broken pipe" in done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU"])
def test_a_signal_interrupts_once_and_a_later_ctrl_c_ends(name):
    program = f"""
import os, signal, time
from cunet.process import signals
signals.install()
try:
    os.kill(os.getpid(), signal.{name})
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)  # the cleaning up is not disturbed
    os.kill(os.getpid(), signal.{name})
    now = time.monotonic()
    time.monotonic = lambda: now + 2
    print("cleaned up", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached")
"""
    done = shell('"$PYTHON" -c "$PROGRAM"', program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "cleaned up\n", "")


def test_nohup_is_respected():
    program = """
import os, signal
from cunet.process import signals
from cunet.training.stop import stop_on_signals
signals.install()
os.kill(os.getpid(), signal.SIGHUP)
with stop_on_signals() as stopped:
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stopped()
    os.kill(os.getpid(), signal.SIGXCPU)
    assert stopped()
print("done")
"""
    done = shell("""trap '' HUP; "$PYTHON" -c "$PROGRAM" """, program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_two_signals_at_once_are_one(monkeypatch):
    now = 100.0
    monkeypatch.setattr(stop.time, "monotonic", lambda: now)
    interrupt, terminate = stop.signal.SIGINT, stop.signal.SIGTERM
    repeated = stop.Repeated()
    assert not repeated(interrupt) and not repeated(interrupt)
    now += 1.5
    assert repeated(interrupt) and not repeated(terminate)
    repeated = stop.Repeated()
    assert not repeated(terminate) and repeated(interrupt)


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("os.abort()", 4, "ended by signal 6; memory is limited to"),
        ("os._exit(1)", 4, "given up by a library; memory is limited to"),
        ("limits.finished(3); os.abort()", 3, ""),
        ("limits.finished(0)", 0, ""),
    ],
)
def test_where_memory_is_limited_it_is_told_how_a_library_ended_the_process(end, code, words):
    program = f"""
import os, resource
from cunet.process import limits
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))
parent = os.getpid()
limits.work_in_child()
assert os.getpid() != parent
{end}
"""
    done = shell('"$PYTHON" -c "$PROGRAM"', program)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and bool(words) == bool(done.stderr)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.EIO, "Input/output error", "a/b.tif"), 4, "'a/b.tif': Input/output error"),
        (OSError(errno.ENOSPC, "No space", "a/.b.tif.77.part"), 4, "'a/b.tif': No space"),
        (OSError(errno.EACCES, "Denied", ".b.npz.x_7f.part", None, "b.npz"), 2, "'b.npz': Denied"),
        (OSError(errno.EMFILE, "Too many open files"), 4, "ulimit -n"),
    ],
)
def test_errors_of_the_system_name_the_file_and_the_side_at_fault(error, code, words):
    found = of_system(error)
    assert found.exit_code == code and words in str(found) and ".part" not in str(found)
    assert machine_failed(error) == (code == 4)


def test_errors_of_the_system_say_what_was_being_done():
    error = OSError(errno.EROFS, "Read-only file system")
    found = of_system(error, "cannot write 'x.tif'")
    assert isinstance(found, DeviceError)
    assert str(found).startswith("cannot write 'x.tif': Read-only file system; write to another")
    assert not machine_failed(CunetError("wrong"))
    assert visible_name(b"a/.hidden") == "a/.hidden"


def test_memory_that_is_short_is_told_with_the_command(run, monkeypatch):
    def fail(*given, **more):
        raise MemoryError

    monkeypatch.setattr("cunet.net.figure1.memory_bytes", fail)
    code, _, err = run("explain", "--width", "7")
    assert code == 4 and "out of memory in cunet explain --width 7; use a smaller --tile" in err
