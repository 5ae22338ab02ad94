"""What every lesson is: its parts on a terminal and as Markdown, lines as they stand in the source,
files that exist, an exercise with an answer."""

import base64
import importlib
import inspect
import io
import pkgutil
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from lesson_parts import parts
from PIL import Image

import cunet
from cunet import lessons
from cunet.errors import CheckError
from cunet.lessons import LESSONS
from cunet.lessons.lesson import Lesson
from cunet.lessons.markdown import markdown
from cunet.lessons.parts import (
    Arrays,
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Part,
    Picture,
    Table,
    Text,
    apart,
    measured,
)
from cunet.lessons.text import text

MODULES = {module.name for module in pkgutil.iter_modules(lessons.__path__)}
THERE = [name for name in LESSONS if name.replace("-", "_") in MODULES]

# A part of every kind: the part, what a terminal shows, what Markdown is.
SHOWN = {
    "Heading": (Heading("Why"), "Why\n---\n", "## Why\n"),
    "Text": (
        Text("2*3*4 < y[p, q] of `a*b_c`, $5"),
        "2*3*4 < y[p, q] of `a*b_c`, $5\n",
        "2&#42;3&#42;4 &#60; y[p, q] of `a*b_c`, &#36;5\n",
    ),
    "Formula": (
        Formula("y = sum of\n    x", r"y = \sum x"),
        "    y = sum of\n        x\n",
        "$$\ny = \\sum x\n$$\n",
    ),
    "Arrays": (
        Arrays({"x_<_y": np.array([[1, -20.5]]), "z": np.array([1e-12, 1.5, 0])}),
        "     x < y              z\n      1 -20.5       0   1.5     0\n",
        '<div class="arrays"><figure><figcaption>x &lt; y</figcaption><table class="numbers">'
        "<tr><td>1</td><td>-20.5</td></tr></table></figure><figure><figcaption>z</figcaption>"
        '<table class="numbers"><tr><td>0</td><td>1.5</td><td>0</td></tr></table></figure></div>\n',
    ),
    "Lines": (
        Lines("cunet.a.b:c", [("if x:\n    y = 1", "it is 1*1")]),
        "cunet/a/b.py, c:\n\n    if x:\n        y = 1\n      it is 1*1\n",
        "`cunet/a/b.py`, `c`:\n\n```python\nif x:\n    y = 1\n```\n\nit is 1&#42;1\n",
    ),
    "Table": (
        Table(("what", "n", "why"), [("a|b", "1,000", "so"), ("c", "-2 MB", "")]),
        "what      n  why\n----------------\na|b   1,000  so\nc     -2 MB\n",
        "| what | n | why |\n| :-- | --: | :-- |\n| a&#124;b | 1,000 | so |\n| c | -2 MB |  |\n",
    ),
    "Block": (Block("a  b\n c*"), "  a  b\n   c*\n", "```text\na  b\n c*\n```\n"),
    "Check": (
        Check("a_b and c", 2e-11, 1e-8),
        "a_b and c: largest difference 2e-11 (at most 1e-08): ok\n",
        "a&#95;b and c: largest difference 2e-11 (at most 1e-08): ok\n",
    ),
    "Picture": (
        Picture({"two_pixels": np.array([[0.0, 2.0]])}, low=0, high=2),
        "  two pixels\n     | @|\n",
        None,
    ),
}


def test_every_kind_of_part_is_tried_here():
    assert set(SHOWN) == {kind.__name__ for kind in Part.__args__}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_part_on_a_terminal_and_as_markdown(kind):
    part, plain, marked = SHOWN[kind]
    assert text([part]) == plain
    if marked is not None:
        assert markdown([part]) == marked


def test_a_picture_in_markdown_is_a_png_of_the_array():
    image = np.array([[0.0, 2.0, 1.0], [2.0, 3.0, -1.0]])
    marked = markdown([Picture({"a_b": image}, low=0, high=2)])
    source, width, height, alt = re.search(
        r'src="data:image/png;base64,([^"]+)" width="(\d+)" height="(\d+)" alt="([^"]+)"', marked
    ).groups()
    with Image.open(io.BytesIO(base64.b64decode(source))) as png:
        expected = 255 * (1 - np.clip(image / 2, 0, 1))  # high is black
        np.testing.assert_allclose(np.asarray(png), expected, atol=0.5)
    assert alt == "a b" and int(width) * 2 == int(height) * 3 and int(width) >= 240


def test_an_empty_line_stands_between_two_parts():
    two = [Text("a"), Block("b\n")]
    assert text(two) == "a\n\n  b\n" and markdown(two) == "a\n\n```text\nb\n```\n"


def test_lines_break_between_words_alone():
    words = "word " * 16 + "y[p, q, r, s] up-convolution `cunet lesson conv`, and on"
    shown = text([Text(words)])
    assert " ".join(shown.split("\n")).strip() == words
    assert max(map(len, shown.split("\n"))) <= 88 and shown.count("\n") == 2
    whole = {"y[p, q, r, s]", "up-convolution", "`cunet lesson conv`,"}
    assert all(any(one in line for line in shown.split("\n")) for one in whole)


def test_what_is_no_part_is_refused():
    for show in (text, markdown):
        with pytest.raises(TypeError, match="a lesson has no str"):
            show(["words"])


@pytest.mark.parametrize("error", [2e-8, float("nan"), float("inf")])
def test_a_check_that_fails_raises(error):
    with pytest.raises(CheckError, match="dx and measured: expected .* at most 1e-08, found"):
        Check("dx and measured", error, 1e-8)


def test_a_check_at_its_limit_passes():
    assert Check("a and b", 0.0, 0).error == 0 and Check("a and b", 1e-8, 1e-8).limit == 1e-8


def test_measured_is_the_derivative_and_puts_everything_back():
    x = np.array([[0.5, -2.0], [3.0, 0.0]])
    before = x.copy()
    np.testing.assert_allclose(measured(lambda: float((x**3).sum()), x), 3 * x * x, atol=1e-7)
    np.testing.assert_array_equal(x, before)


def test_apart_is_the_largest_difference_from_the_first():
    assert apart([1, 2], [1, 4], [0.5, 2]) == 2
    assert np.isnan(apart([1.0], [np.nan]))
    with pytest.raises(ValueError, match="broadcast"):
        apart(np.zeros(3), np.zeros(2))


# Every lesson


@pytest.fixture
def told_once(monkeypatch):
    """A lesson that is shown in several ways is computed once."""
    monkeypatch.setattr(Lesson, "parts", lambda lesson: parts(lesson.name, lesson.answer))


def test_lessons_and_their_modules_are_the_same():
    assert {name.replace("-", "_") for name in LESSONS} <= MODULES
    loaded = {name: importlib.import_module(f"cunet.lessons.{name}") for name in MODULES}
    told = {name for name, module in loaded.items() if hasattr(module, "READ")}
    assert told == {name.replace("-", "_") for name in LESSONS}


@pytest.mark.parametrize("name", THERE)
def test_a_lesson_has_a_title_and_files_to_read(name, told_once):
    lesson = cunet.lesson(name)
    assert lesson.title == LESSONS[name] and lesson.number == list(LESSONS).index(name) + 1
    assert cunet.lesson(lesson.number) == lesson
    root = Path(cunet.__file__).parent.parent
    assert lesson.read and all((root / file).is_file() for file in lesson.read)
    shown = str(lesson)
    assert shown.startswith(f"Lesson {lesson.number}: {lesson.title}\n")
    assert f"\nRead beside it: {', '.join(lesson.read)}\n" in shown
    assert lesson._repr_markdown_().startswith(f"# Lesson {lesson.number}: ")


@pytest.mark.parametrize("name", THERE)
def test_a_lesson_has_formulas_lines_checks_and_an_exercise(name):
    found = parts(name)
    kinds = [type(part) for part in found]
    assert {Formula, Lines, Check, Text} <= set(kinds)
    headings = [part.text for part in found if isinstance(part, Heading)]
    assert headings[-1] == "Exercise" and kinds[-1] is not Heading
    assert "Answer" not in headings and len(headings) == len(set(headings))


@pytest.mark.parametrize("name", THERE)
def test_the_answer_comes_with_its_exercise_and_only_when_asked(name):
    found, lesson = parts(name, answer=True), parts(name)
    headings = [part.text for part in found if isinstance(part, Heading)]
    assert headings == ["Exercise", "Answer"]
    at = found.index(Heading("Answer"))
    tail = lesson[-at:]
    assert text(tail) == text(found[:at])  # the exercise stands at the end of the lesson
    answer = [part.text for part in found[at:] if isinstance(part, Text)]
    assert answer and not any(one in text(lesson) for one in answer)


@pytest.mark.parametrize("name", THERE)
def test_lines_of_code_stand_in_the_source_as_they_are(name):
    for part in (*parts(name), *parts(name, answer=True)):
        if not isinstance(part, Lines):
            continue
        module, _, path = part.of.partition(":")
        found = importlib.import_module(module)
        for attribute in filter(None, path.split(".")):
            found = getattr(found, attribute)
        source = inspect.getsource(inspect.unwrap(found)).split("\n")
        lines = [re.sub(r"  # .*", "", line) for line in source]
        for code, why in part.steps:
            size = code.count("\n") + 1
            places = [
                i
                for i in range(len(lines) - size + 1)
                if textwrap.dedent("\n".join(lines[i : i + size])) == code
            ]
            assert places, f"{part.of} has no such line: {code}"
            assert why.strip()


@pytest.mark.parametrize("name", THERE)
def test_nothing_is_wider_than_a_terminal(name, told_once):
    for answer in (False, True):
        for line in str(cunet.lesson(name, answer)).split("\n"):
            assert len(line) <= 100, line


@pytest.mark.parametrize("name", THERE)
def test_lessons_that_are_named_exist(name):
    for part in (*parts(name), *parts(name, answer=True)):
        if isinstance(part, Text):
            for named in re.findall(r"lessons? `([\w-]+)`", part.text):
                assert named in LESSONS, named


def test_two_tellings_of_a_lesson_are_the_same():
    assert str(cunet.lesson("skip")) == str(cunet.lesson("skip"))
