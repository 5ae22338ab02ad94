"""What the documents say of the code is there: links, files, and the lines that README quotes.

The command lines in them, and the book that is made of them, are tried in tests/docs/.
"""

import re
from pathlib import Path

import pytest

from cunet.lessons import LESSONS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
)
# Pages of the book that are made when it is built
MADE = {f"mathematics/{name}.md" for name in LESSONS}
MADE |= {"reference/commands.md", "reference/settings.md", "reference/python.md"}
MADE |= {"mathematics/fig1.svg", "mathematics/trace.html", "mathematics/seams.png"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(path):
    """Headings as GitHub names them; a page that is made has none yet."""
    text = without_code(path)
    pages = (ROOT / "docs" / "pages").resolve()
    for link, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)]*))?\)", text):
        if link.startswith(("http:", "https:")):
            continue
        target = (path.parent / link).resolve() if link else path
        if target.is_relative_to(pages) and target.relative_to(pages).as_posix() in MADE:
            continue
        assert target.exists(), f"{path.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path.name}: {link}#{anchor}"


def without_code(path):
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path):
    """The names of a document's headings, as links have them."""
    headings = re.findall(r"^#+ (.*)$", without_code(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_quotes_the_convolution_as_it_stands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = (ROOT / "cunet" / "ops" / "conv.py").read_text(encoding="utf-8")
    lines = [line.strip() for line in code.splitlines()]
    section = readme.partition("## Reading the code")[2].partition("## ")[0]
    quoted = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(quoted) == 2
    for block in quoted:
        wanted = [line.strip() for line in block.splitlines()]
        found = any(lines[i : i + len(wanted)] == wanted for i in range(len(lines)))
        assert found, f"not in conv.py as it stands:\n{block}"


def test_the_files_of_the_reading_order_are_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Reading the code")[2].partition("\n## ")[0]
    entries = re.split(r"^\d+\. ", section, flags=re.M)[1:]
    assert len(entries) == 9
    known = {path.name for folder in ("cunet", "tests") for path in (ROOT / folder).rglob("*.*")}
    for name in re.findall(r"`([\w/]+\.(?:py|cu))`", section):
        assert name.rpartition("/")[2] in known, name
    for folder in re.findall(r"`(?:cunet/)?(\w+)/`", section):
        assert (
            folder in ("cunet", "cli")
            or (ROOT / "cunet" / folder).is_dir()
            or any((ROOT / "cunet" / "engines" / folder).glob("*.py"))
        ), folder
