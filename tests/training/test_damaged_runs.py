"""Run folders with damaged files: read without what is lost, or refused by the file's name."""

import json
import os
import shutil

import numpy as np
import pytest
from small_trainings import settings

import cunet
from cunet.errors import CunetError, DataError
from cunet.files.json_file import json_text, read_json
from cunet.net import checkpoint
from cunet.training import log_file
from cunet.training.log_file import missing_steps
from cunet.training.run_folder import read_environment, read_settings, steps_done

pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("damage") / "run"
    list(cunet.train(settings(data, out=str(run), steps=6, validate_every=2)))
    return run


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def change_log(run, change):
    path = run / "log.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def replaced(line, old, new):
    def change(lines):
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)

    return change


SPOILT = {
    "a byte": lambda lines: lines.__setitem__(3, lines[3][:5] + b"\xff" + lines[3][6:]),
    "NaN": replaced(3, b"3,", b"nan,"),
    "no number": replaced(3, b"0.", b"O."),
    "infinite": lambda lines: lines.__setitem__(3, b"3,1,1e-3,inf,0,,,,\n"),
    "too long": lambda lines: lines.__setitem__(3, b"3" * 5000 + lines[3]),
    "too few": lambda lines: lines.__setitem__(3, b"3,1.0\n"),
    "too many": lambda lines: lines.__setitem__(3, lines[3][:-1] + b",1\n"),
    "far away": lambda lines: lines.__setitem__(3, b"9" * 300 + lines[3]),
    "zero bytes": lambda lines: lines.__setitem__(3, bytes(len(lines[3]) - 1) + b"\n"),
    "lost": lambda lines: lines.pop(3),
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_line_of_the_log_is_a_missing_one(copy, data, change):
    whole = log_file.read(copy / "log.csv")
    change_log(copy, change)
    found = log_file.read(copy / "log.csv")
    assert found == whole[:2] + whole[3:]
    assert missing_steps(copy / "log.csv", 6) == "3"
    config = settings(data, out=str(copy), steps=8, validate_every=2)
    assert [r["step"] for r in cunet.train(config, resume=True)] == [7, 8]
    assert read_environment(copy)["resumed"][0]["log_lacks"] == "3"


@pytest.mark.parametrize(
    "change",
    [
        replaced(0, b"step", b"Step"),
        replaced(0, b"val_dice", b"val_mice"),
        lambda lines: lines.pop(0),
        lambda lines: lines.clear(),
        lambda lines: lines.__setitem__(0, b'"' + lines[0]),
        lambda lines: lines.__setitem__(0, bytes(100) + b"\n"),
    ],
    ids=range(6),
)
def test_a_log_without_its_first_line_is_none(copy, data, change):
    change_log(copy, change)
    with pytest.raises(DataError, match=r"log.csv' is damaged.*restore it") as caught:
        list(cunet.train(settings(data, out=str(copy), steps=8, validate_every=2), resume=True))
    assert caught.value.exit_code == 3


def test_missing_steps_cost_nothing(copy):
    assert missing_steps(copy / "log.csv", 6) == "" and missing_steps(copy / "log.csv", 5) == ""
    assert missing_steps(copy / "log.csv", 7) == "7"
    assert missing_steps(copy / "log.csv", 999_999_999) == "7-999999999"
    change_log(copy, lambda lines: [lines.pop(k) for k in (5, 2, 1)])
    assert missing_steps(copy / "log.csv", 6) == "1-2, 5"


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"data": []}', '{"data": {}, "resumed": 1}', DEEP, "\udcff",
     '{"data": ' + "1" * 5000 + "}"],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_env_json_is_named(copy, data, text):
    (copy / "env.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match="env.json' is damaged") as caught:
        list(cunet.train(settings(data, out=str(copy), steps=8), resume=True))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["run.toml", "env.json", "log.csv", "last.npz"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "nothing", "zeros", "loop"])
def test_what_is_no_file_is_named(copy, name, kind):
    path = copy / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    if name == "last.npz" and kind in ("nothing", "loop"):
        return  # then the run is one that starts again
    read = {
        "run.toml": read_settings,
        "env.json": read_environment,
        "log.csv": lambda run: log_file.read(run / "log.csv"),
        "last.npz": lambda run: checkpoint.read(run / "last.npz"),
    }[name]
    with pytest.raises(CunetError, match=name.replace(".", r"\.")) as caught:
        read(copy)
    assert caught.value.exit_code in (2, 3)


def test_a_model_that_no_training_wrote_has_no_step(copy):
    cunet.save(copy / "last.npz", cunet.load(copy))
    with pytest.raises(DataError, match="last.npz' was written by no training"):
        steps_done(copy)


def test_what_is_no_number_is_null(tmp_path):
    nan, inf = float("nan"), float("inf")
    text = json_text({"a": nan, "b": [1.5, -inf, {"c": (inf, np.float64("nan"))}], "d": "NaN"})
    expected = {"a": None, "b": [1.5, None, {"c": [None, None]}], "d": "NaN"}

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == expected
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") == expected
