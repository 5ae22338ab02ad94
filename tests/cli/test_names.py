"""Names of files that are no text, or more than text: on the terminal, in commands to paste, in the
files of a run."""

import ast
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cunet import cli
from cunet.terminal import printable, shell_line

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
ODD = b'd\xe4t<b>\x1b[31m\n"\xe2\x80\xae'  # Latin-1, markup, a colour, a line's end, right to left


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cells 01 [µm] 細胞.tif", "cells 01 [µm] 細胞.tif"),
        ("a\x1b[31m\r\nb\x7f\x9b", r"a\x1b[31m\r\nb\x7f\x9b"),
        ("gpj.\u202efit", r"gpj.\u202efit"),
        (os.fsdecode(b"Zelle_\xfc") if os.name == "posix" else "Zelle_\udcfc", r"Zelle_\xfc"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_gets(name, text):
    assert printable(name) == text


@posix
def test_a_shell_takes_a_command_apart_into_the_same_words():
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    words = ["cunet", "it's", "a b", "$HOME", "vol[0]*", "\\", "''", "ü µ", "1'\\\x01" + "23", ""]
    words += [os.fsdecode(ODD), os.fsdecode(b"\xff\x00".rstrip(b"\0")), "-n\n"]
    line = shell_line(words)
    assert line == printable(line)
    found = subprocess.run([bash, "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert found.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


def test_everything_is_printed_by_the_functions_that_make_it_printable():
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("click.echo", "click.secho", "print"), path
            if called in ("streams.message", "sys.stderr.write", "sys.stdout.write"):
                assert path.name in ("__init__.py", "common.py", "streams.py", "limits.py"), path


def data_set(folder):
    """Four images and their labels below an odd folder; the images' names are no better."""
    rng, root = np.random.default_rng(0), os.path.join(os.fsencode(folder), ODD)
    for kind in (b"images", b"labels"):
        os.makedirs(os.path.join(root, kind))
    for number in range(4):
        cells = np.zeros((40, 40), np.uint8)
        cells[5 : 15 + number, 8:30] = 255
        for kind in (b"images", b"labels"):
            values = cells // 2 + rng.integers(0, 60, cells.shape) if kind == b"images" else cells
            tifffile.imwrite(folder / "new.tif", values.astype(np.uint8))
            name = b"<script>alert(%d)<!-- \xff&\x1b.tif" % number
            os.replace(folder / "new.tif", os.path.join(root, kind, name))
    return os.fsdecode(root)


class Elements(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_comment(self, text):
        raise AssertionError(f"a comment: {text}")

    def handle_data(self, text):
        self.text += text


@posix
def test_a_training_on_odd_names_is_kept_reported_and_resumed(run, tmp_path):
    data, out = data_set(tmp_path), tmp_path / "run"
    net = "--width 2 --depth 1 --tile 36 --weight-map balance --device cpu --threads 1".split()
    code, text, err = run("train", "--data", data, "--out", out, "--fold", "0/2", *net,
                          "--steps", 2, "--json")  # fmt: skip
    assert code == 0, err
    assert all(line == printable(line) for line in err.splitlines()), err
    assert json.loads(text)["step"] == 2

    page = Elements()
    page.feed((out / "report.html").read_bytes().decode("utf-8"))
    assert not page.tags & {"script", "b"}
    assert r"<script>alert(0)<!-- \xff&\x1b" in page.text
    assert r'd\xe4t<b>\x1b[31m\n"\u202e' in page.text
    assert ODD[:5] in (out / "run.toml").read_bytes()

    code, _, err = run("train", "--resume", out, "--steps", 3, "--quiet")
    assert code == 0, err
    again = json.loads((out / "env.json").read_text(encoding="utf-8"))["resumed"]
    assert [entry["step"] for entry in again] == [2]


@posix
def test_a_cross_validation_of_odd_names_is_continued(run, tmp_path):
    data, out = data_set(tmp_path), tmp_path / "cv"
    net = "--width 2 --depth 1 --tile 36 --weight-map balance --device cpu --threads 1".split()
    given = ["--folds", 2, "--steps", 1, "--average", "none", *net]
    code, _, err = run("crossval", "--data", data, "--out", out, *given)
    assert code == 0, err
    assert all(line == printable(line) for line in err.splitlines()), err
    shutil.rmtree(out / "fold1-seed0")
    code, _, err = run("crossval", "--resume", out, "--quiet")
    assert code == 0, err
    assert (out / "fold1-seed0" / "last.npz").is_file()


@posix
@pytest.mark.parametrize("arguments", [["segment", "{}"], ["--{}"], ["explain", "--width", "{}"]])
def test_errors_that_repeat_what_was_typed(run, arguments):
    typed = os.fsdecode(ODD)
    code, _, err = run(*(one.format(typed) for one in arguments))
    assert code == 2
    assert "\x1b" not in err and "\u202e" not in err and "\udce4" not in err
    assert len(err.splitlines()) <= 4 and "d" in err.splitlines()[-1]
