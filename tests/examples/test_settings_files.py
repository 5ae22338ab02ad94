"""The settings files are the presets, fully explained; the index of examples lists the lessons."""

import re
import tomllib
from dataclasses import fields

import pytest
from example_scripts import EXAMPLES

from cunet.errors import CunetError
from cunet.lessons import LESSONS
from cunet.lessons.lesson import lesson
from cunet.training.config import PRESETS, Config, make
from cunet.training.from_model import SHAPE, USUAL

FOLDER = EXAMPLES.parent / "cunet" / "lessons"
WRITTEN = [name for name in LESSONS if (FOLDER / f"{name.replace('-', '_')}.py").is_file()]


def test_the_index_lists_the_lessons_in_order_and_the_files_to_read_beside():
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| `cunet lesson ([\w-]+)` \| (.*?) \| (.*) \|$", index, re.M)
    assert [(name, title) for name, title, _ in rows] == [*LESSONS.items()]
    for _, _, read in rows:
        for link in re.findall(r"\]\(([^)]+)\)", read):
            assert (EXAMPLES / link).is_file(), link


@pytest.mark.parametrize("name", WRITTEN)
def test_the_index_and_the_lesson_name_the_same_files(name):
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| \d+ \| `cunet lesson {name}` .*$", index, re.M)[0]
    assert tuple(re.findall(r"\]\(\.\./([^)]+)\)", row)) == lesson(name).read


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_file_is_the_preset(preset, tmp_path):
    file = EXAMPLES / f"{preset}.toml"
    assert make(file=file) == make(preset)
    lines = file.read_text(encoding="utf-8").splitlines()
    keys = [m[1] for m in (re.match(r"(?:# )?(\w+) = ", line) for line in lines) if m]
    assert sorted(keys) == sorted(field.name for field in fields(Config))
    # what is commented out is what has no value, and its example is of the right kind
    given = tomllib.loads("\n".join(lines))
    none = {f.name for f in fields(Config) if getattr(make(preset), f.name) in (None, "")}
    if preset == "finetune":  # these are the trained network's
        none |= {*SHAPE, *USUAL}
    assert {key for key in keys if key not in given} == none
    for number, line in enumerate(lines):
        if re.match(r"# \w+ = ", line):
            one = tmp_path / "one.toml"
            one.write_text("\n".join([*lines[:number], line[2:], *lines[number + 1 :]]))
            if "from_model" in line and preset in ("paper", "ucsd"):  # of another shape
                with pytest.raises(CunetError, match="keeps its shape"):
                    make(file=one)
                continue
            if "pixel_size" in line and make(preset).resize:
                with pytest.raises(CunetError, match="leave one of the two out"):
                    make(file=one)
                continue
            more = {"tile": 400} if line == '# padding = "same"' else {}  # 412 is for valid
            assert make(file=one, options=more) != make(preset), line


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_says_what_the_paper_says(preset):
    text = (EXAMPLES / f"{preset}.toml").read_text(encoding="utf-8")
    blocks = [b for b in re.split(r"\n\n+", text) if re.search(r"^(# )?\w+ = ", b, re.M)]
    assert len(blocks) == len(fields(Config))
    for block in blocks:
        words = " ".join(line.lstrip("# ") for line in block.splitlines())
        assert re.search(r"Paper: stated in section \d|Paper silent", words), block
