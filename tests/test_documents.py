"""What the documents say of the code is there: links, files, and the lines that README quotes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in (
        ROOT,
        ROOT / "examples",
        ROOT / "examples" / "paper",
        ROOT / "examples" / "benchmarks",
    )
    for path in folder.glob("*.md")
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_there(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http:", "https:")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


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
