"""The documents of the project: which they are, and the command lines in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
SHELL = ("", "sh", "console", "bash")
BESIDE = ("napari", "fiji", "paper")  # READMEs in examples/ that are pages of the book too

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
    *(ROOT / "examples" / name / "README.md" for name in BESIDE),
]


def name(path):
    """A page as it is named in the output of the tests."""
    return path.relative_to(ROOT).as_posix()


def commands(path):
    """The commands of a page in its order, each a list of words: what a reader may paste."""
    found = []
    for language, block in FENCE.findall(path.read_text(encoding="utf-8")):
        if language not in SHELL:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                found.append(words[: words.index("&&")])
                words = words[words.index("&&") + 1 :]
            if words:
                found.append(words)
    return [[program(words[0]), *words[1:]] for words in found]


def program(word):
    """.venv/bin/cunet -> cunet, python3 -> python."""
    last = word.rpartition("/")[2]
    return "python" if last == "python3" else last


def inline(path):
    """What stands between backticks in the text of a page and begins with `cunet `."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(found.split()) for found in re.findall(r"`(cunet [^`]+)`", text)]
