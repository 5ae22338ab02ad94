"""The book, built as a maintainer does it, is whole: links, pictures, nothing from outside."""

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from documents import ROOT

import cunet
from cunet.cli.commands import COMMANDS
from cunet.lessons import LESSONS

# What a browser fetches to show a page, by element and attribute
FETCHED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
}
OUTSIDE = re.compile(r"(?:https?:)?//")


class Page(HTMLParser):
    """What a page fetches, where its links lead, its anchors and its formulas."""

    def __init__(self, path):
        super().__init__()
        self.fetched, self.links, self.anchors, self.formulas = set(), set(), set(), 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.formulas += tag == "math"
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        for key, value in attributes:
            if (tag, key) in FETCHED and given.get("rel") != "canonical":
                self.fetched.add(value)
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])


page_of = cache(Page)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the built book."""
    out = tmp_path_factory.mktemp("book") / "site"
    line = [sys.executable, ROOT / "docs" / "build.py", out]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    return out


def pages(book):
    return sorted(book.rglob("*.html"))


def test_every_page_is_there(book):
    for name in LESSONS:
        page = page_of(book / "mathematics" / f"{name}.html")
        assert "answer" not in page.anchors  # it is folded up
        assert "exercise" in page.anchors, name
    assert page_of(book / "mathematics" / "conv.html").formulas >= 2
    commands = page_of(book / "reference" / "commands.html").anchors
    assert {f"cunet-{name}" for name in COMMANDS} <= commands
    names = page_of(book / "reference" / "python.html").anchors
    for name in cunet.__all__:
        assert name.startswith("_") or f"cunet{name.lower()}" in names, name


def test_every_link_leads_to_a_page_and_a_place_on_it(book):
    for path in pages(book):
        for link in page_of(path).links:
            if OUTSIDE.match(link) or link.startswith(("mailto:", "data:", "javascript:")):
                continue
            file, _, anchor = unquote(link).partition("#")
            if path.name == "404.html" and file in ("", ".", "/"):
                continue
            target = path.parent / file if file else path
            if file.startswith("/"):
                target = book / file.lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(book)}: {link}"
            if anchor and target.suffix == ".html":
                assert anchor in page_of(target).anchors, f"{path.relative_to(book)}: {link}"


def test_links_to_the_source_lead_to_files_of_it(book):
    found = set()
    for path in pages(book):
        for link in page_of(path).links:
            match = re.match(r"https://github.com/cunet/cunet/(?:blob|tree)/main/([^#]*)", link)
            if match:
                found.add(match[1])
                assert (ROOT / match[1]).exists(), f"{path.relative_to(book)}: {link}"
    assert "cunet/ops/conv.py" in found


def test_nothing_is_fetched_from_another_host(book):
    for path in pages(book):
        for address in page_of(path).fetched:
            assert not OUTSIDE.match(address), f"{path.relative_to(book)}: {address}"
            if not address.startswith("data:"):
                assert (path.parent / address.partition("?")[0]).exists() or path.name == "404.html"
    for path in book.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text), path.name
    for path in Path(book).rglob("*.svg"):
        assert not re.search(r"(?:href|src)=\"(?:https?:)?//", path.read_text(encoding="utf-8"))


def test_formulas_are_whole(book):
    """What latex2mathml does not know it passes on as text, with its backslash."""
    for path in (book / "mathematics").glob("*.html"):
        for formula in re.findall(r"<math.*?</math>", path.read_text(encoding="utf-8"), re.S):
            assert "\\" not in formula and "<mi>&</mi>" not in formula, path.name
        assert "$$" not in path.read_text(encoding="utf-8"), path.name
