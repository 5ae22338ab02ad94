"""Build the book: `python docs/build.py [FOLDER]` makes site/, or FOLDER, of it.

The pages in docs/pages/ are written by hand; so are some that stand beside the code which they are
about (BESIDE). The others are made here, of the package itself: the lessons, the pictures, the
commands and the public names. All of them go into a temporary folder, and Zensical makes HTML of
that; a link that leads nowhere ends the build. Needs `pip install ".[docs]"`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).parent))
import generated

from cunet.lessons import LESSONS

ROOT = Path(__file__).resolve().parent.parent
PAGES = "docs/pages/"
BESIDE = {
    "how-to/napari.md": "examples/napari/README.md",
    "how-to/fiji.md": "examples/fiji/README.md",
    "paper/reproducing.md": "examples/paper/README.md",
    "figures/gpu-nvidia-h200.md": "examples/benchmarks/gpu-nvidia-h200.md",
    "figures/gpu-nvidia-h100.md": "examples/benchmarks/gpu-nvidia-h100-80gb-hbm3.md",
}
PICTURES = {".png", ".svg"}


def sources() -> dict[str, str]:
    """Page of the book -> the file that it is made of, of all pages written by hand."""
    by_hand = {
        path.relative_to(ROOT / PAGES).as_posix(): path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / PAGES).rglob("*.md"))
    }
    return by_hand | BESIDE


class Links:
    """Where a link of a page leads in the book: to another page, to a picture, which is copied, or
    to a file of the source, which is shown by the project's host."""

    def __init__(self, folder: Path, made: set[str]):
        self.folder, self.made = folder, made
        self.page_of = {source: page for page, source in sources().items()}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.host = project["urls"]["Source"]

    def rewritten(self, text: str, page: str, source: str) -> str:
        """The page's text with its links changed; code between fences is left as it is."""
        parts = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)
        for i in range(0, len(parts), 2):
            parts[i] = re.sub(
                r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))",
                lambda m: m[1] + self.target(m[2], page, source) + m[3],
                parts[i],
            )
        return "".join(parts)

    def target(self, link: str, page: str, source: str) -> str:
        """The address for a link that stands in `source` and is shown on `page`."""
        if re.match(r"https?:|mailto:", link):
            return link
        here = PurePosixPath(page).parent
        file = os.path.normpath(PurePosixPath(source).parent / link).replace(os.sep, "/")
        if file.startswith(PAGES) and (name := file.removeprefix(PAGES)) in self.made:
            return os.path.relpath(name, here).replace(os.sep, "/")
        if file in self.page_of:
            return os.path.relpath(self.page_of[file], here).replace(os.sep, "/")
        if not (ROOT / file).exists():
            raise SystemExit(f"{source}: the link {link} leads nowhere")
        if PurePosixPath(file).suffix in PICTURES:
            copy = f"images/{PurePosixPath(file).name}"
            (self.folder / "images").mkdir(exist_ok=True)
            shutil.copyfile(ROOT / file, self.folder / copy)
            return os.path.relpath(copy, here).replace(os.sep, "/")
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"{self.host}/{kind}/main/{file}"


def write_pages(folder: Path) -> None:
    """All pages of the book as Markdown, and what they show, below `folder`."""
    made = generated.pages(folder)
    drawn = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    links = Links(folder, drawn | made.keys())
    texts = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in sources().items()}
    for page, text in (texts | made).items():
        source = sources().get(page, PAGES + page)
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(links.rewritten(text, page, source), encoding="utf-8")
    shutil.copyfile(ROOT / "docs" / "style.css", folder / "style.css")


def build(out: Path) -> None:
    """The book as HTML in the folder `out`, which is replaced."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "pages").mkdir()
        write_pages(place / "pages")
        settings = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")
        lessons = ", ".join(
            f'{{ "{number}. {name}" = "{generated.lesson_page(name)}" }}'
            for number, name in enumerate(LESSONS, 1)
        )
        text = settings.replace('"LESSONS"]', f"{lessons}]")
        (place / "zensical.toml").write_text(text, encoding="utf-8")
        zensical = [sys.executable, "-m", "zensical", "build", "--strict"]
        subprocess.run(zensical, cwd=place, check=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(place / "site", out)
    print(f"{out / 'index.html'} is the book; with search: python -m http.server -d {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    build(parser.parse_args().folder)
