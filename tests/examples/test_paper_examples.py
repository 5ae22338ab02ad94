"""The folder examples/paper as a whole: help with examples, and its index."""

import re

import pytest
from example_scripts import EXAMPLES, example

PAPER = EXAMPLES / "paper"
sliding_window = example("paper/sliding_window.py")
skip_by_sum = example("paper/skip_by_sum.py")
student_report = example("paper/student_report.py")


@pytest.mark.parametrize(
    "example, command",
    [(sliding_window, []), (sliding_window, ["train"]), (skip_by_sum, []), (student_report, [])],
    ids=["sliding_window", "sliding_window train", "skip_by_sum", "student_report"],
)
def test_help_shows_worked_examples(example, command, capsys):
    with pytest.raises(SystemExit) as end:
        example.main([*command, "--help"])
    printed = capsys.readouterr().out
    assert end.value.code == 0 and "examples:" in printed
    assert f"python examples/paper/{example.__name__}.py" in printed


def test_the_index_names_every_file():
    index = (PAPER / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", index)
    assert {path.name for path in PAPER.glob("*.py")} <= set(links)
    for link in links:
        assert (PAPER / link).exists(), link
    for path in PAPER.glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 250, path.name
