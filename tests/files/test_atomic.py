"""Files appear whole or not at all, and nothing is left of what a killed process wrote."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from cunet.errors import CunetError, DeviceError
from cunet.files import atomic
from cunet.files.atomic import Part, remove_abandoned, write_text

WRITE = """
import sys, time
from cunet.files.atomic import Part
part = Part(sys.argv[1])
part.file.write(b"half")
part.file.flush()
print("writing", flush=True)
time.sleep(60)
"""


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with Part(path) as part:
        part.file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), Part(path) as part:
            part.file.write(b"newer")
            raise error
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_hidden_names_are_new_each_time_and_short_enough(tmp_path):
    path = tmp_path / ("n" * 255)
    parts = [Part(path) for _ in range(20)]
    hidden = {part.hidden.name for part in parts}
    assert len(hidden) == 20 and all(name.startswith(".nnn") for name in hidden)
    for part in parts:
        part.publish()
    assert names(tmp_path) == [path.name]


def test_what_lies_under_a_hidden_name_is_not_written_into(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "0" * 16)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".a.txt.{'0' * 16}.part").symlink_to(victim)
    with pytest.raises(CunetError, match="cannot write '.*a.txt': File exists"):
        Part(tmp_path / "a.txt")
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="needs signals and flock")
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    line = [sys.executable, "-c", WRITE, str(path)]
    killed, alive = (subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in "12")
    for process in (killed, alive):
        assert process.stdout.readline() == "writing\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (tmp_path / ".hidden.part").touch()  # no name of ours
    assert len(names(tmp_path)) == 3
    monkeypatch.setattr(atomic, "_swept", set())
    write_text(tmp_path / "b.txt", "text")
    assert len(names(tmp_path)) == 3 and ".hidden.part" in names(tmp_path)
    remove_abandoned(tmp_path)
    assert len(names(tmp_path)) == 3  # the other still writes
    alive.send_signal(signal.SIGKILL)
    alive.communicate()
    remove_abandoned(tmp_path)
    assert names(tmp_path) == [".hidden.part", "b.txt"]


@pytest.mark.parametrize("number", ["EINVAL", "ENOTSUP", "EBADF", "EIO"])
def test_a_folder_that_knows_no_fsync_is_no_error(tmp_path, monkeypatch, number):
    number, real = getattr(errno, number), os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if number == errno.EIO:  # that is no answer of a file system but of a broken disk
        with pytest.raises(DeviceError, match="cannot write"):
            write_text(tmp_path / "a.txt", "text")
    else:
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "text"


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        ("ENOSPC", 4, "no room for '{}': it needs 4 bytes, [0-9,]* are free on that disk"),
        ("EFBIG", 4, "no room for '{}'"),
        ("EIO", 4, "cannot write '{}': Input/output error"),
        ("EACCES", 2, "cannot write '{}': Permission denied"),
    ],
)
def test_what_goes_wrong_names_the_file_and_leaves_nothing(
    tmp_path, monkeypatch, number, kind, words
):
    path = tmp_path / "a.txt"

    def fails(*given):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(CunetError, match=words.format(path)) as caught:
                write_text(path, "text")
        assert caught.value.exit_code == kind and names(tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(CunetError) as caught, Part(path):  # of unknown size
            pass
    assert "needs" not in str(caught.value)


def test_names_that_are_not_utf_8_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.toml", 'data = "d\udce4ten \u00b5"\n')
    assert (tmp_path / "a.toml").read_bytes() == b'data = "d\xe4ten \xc2\xb5"\n'


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(CunetError, match="cannot write '.*none/a.txt': No such file"):
        write_text(tmp_path / "none" / "a.txt", "text")
