"""`cunet lesson`: the list, one lesson by its name or number, its answer, and what it needs."""

import importlib
import os
import subprocess
import sys

import pytest
from lazy_imports import HEAVY, loaded_by

import cunet
from cunet.lessons import LESSONS


def test_without_a_name_all_lessons_are_listed_in_order(run):
    code, out, err = run("lesson")
    assert code == 0 and err == "Next:\n  cunet lesson conv\n"
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [str(number), name] for number, name in enumerate(LESSONS, 1)
    ]
    assert all(line.endswith(title) for line, title in zip(lines, LESSONS.values(), strict=True))


def test_a_name_and_a_number_show_the_same_lesson(run):
    code, out, err = run("lesson", "up-conv")
    assert code == 0 and err == "Next:\n  cunet lesson up-conv --answer\n"
    assert out == str(cunet.lesson("up-conv")) + "\n"
    assert run("lesson", "3") == (0, out, err)


def test_the_answer_leads_to_the_next_lesson(run):
    code, out, err = run("lesson", "conv", "--answer")
    assert code == 0 and err == "Next:\n  cunet lesson relu-and-max-pool\n"
    assert out.index("Exercise\n--------") < out.index("Answer\n------")
    assert "The formula" not in out
    assert "Answer\n" not in run("lesson", "conv")[1]


def test_quiet_keeps_the_lesson_and_leaves_out_what_is_next(run):
    assert run("lesson", "conv", "-q") == (0, run("lesson", "conv")[1], "")
    assert run("lesson", "-q")[2] == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("convv", "did you mean 'conv'?"),
        ("max-pool", "relu-and-max-pool"),
        ("0", "from 1 to 17, found 0"),
        ("18", "from 1 to 17, found 18"),
        ("1" * 5000, "found '111"),
        ("-1", "No such option"),
        ("", "expected one of conv"),
    ],
)
def test_a_lesson_that_there_is_not(run, name, said):
    code, out, err = run("lesson", name)
    assert code == 2 and out == "" and said in err and "Traceback" not in err


def test_a_lesson_whose_check_fails_ends_with_exit_code_6(run, monkeypatch):
    conv = importlib.import_module("cunet.lessons.conv")
    monkeypatch.setattr(conv, "backward", lambda dy, x, w: (0 * x, 0 * w, 0.0))
    code, out, err = run("lesson", "conv")
    assert code == 6 and out == ""
    assert "lesson: dw of backward and measured: expected a difference of at most 1e-08" in err


def test_a_shell_completes_names():
    context = {
        "_CUNET_COMPLETE": "bash_complete",
        "COMP_WORDS": "cunet lesson s",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv[0] = 'cunet'; from cunet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=os.environ | context, capture_output=True, text=True
    )
    assert done.stdout.split() == ["plain,skip", "plain,softmax-loss"] and done.stderr == ""


@pytest.mark.parametrize("arguments", [["lesson"], ["lesson", "--help"]], ids=" ".join)
def test_list_and_help_load_nothing_heavy(arguments):
    code = f"""
from cunet.cli import main
import sys
sys.argv = ["cunet", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
"""
    assert not loaded_by(code) & (HEAVY | {"numpy"})


def test_from_an_empty_folder_a_lesson_is_whole_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-m", "cunet", "lesson", "skip"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == str(cunet.lesson("skip")) + "\n"
    assert os.listdir(tmp_path) == []
