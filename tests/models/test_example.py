"""docs/pages/how-to/sharing.md: its package and its index do what it says."""

import json
import re
import tomllib
from pathlib import Path

import cunet
from cunet.models import index, places

PAGE = (Path(__file__).parents[2] / "docs/pages/how-to/sharing.md").read_text(encoding="utf-8")


def block(kind):
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)
    return found


def test_the_package_of_the_page(own, net, wheel):
    settings = tomllib.loads(block("toml"))
    (package,) = settings["tool"]["setuptools"]["packages"]
    points = settings["project"]["entry-points"][places.GROUP]
    folder = wheel(
        package, [f"{k} = {v}" for k, v in points.items()], settings["project"]["version"]
    )
    net(folder / "mito.npz", seed=3), net(folder / "er.npz", seed=4)
    for name, file in (("mito", "mito.npz"), ("er-4nm", "er.npz")):
        assert places.find(name) == folder / file
        assert cunet.load(name).shape.width == 2
    patterns = settings["tool"]["setuptools"]["package-data"][package]
    for file in ("mito.npz", "mito.md", "mito.json"):
        assert any(Path(file).match(pattern) for pattern in patterns)


def test_the_index_of_the_page():
    where = "https://lab.example.org/networks/index.json"
    assert where in PAGE
    entry = index.parse(block("json"), "index.json", where)["mito"]
    assert entry.urls == (
        "https://lab.example.org/networks/mito.npz", "https://mirror.example.org/mito.npz"
    )  # fmt: skip
    assert entry.card == "https://lab.example.org/networks/mito.md"
    assert json.loads(block("json"))["mito"].keys() == {
        "file", "bytes", "sha256", "urls", "license", "for", "card"
    }  # fmt: skip


def test_its_commands_are_there(run):
    lines = re.findall(r"^cunet ((?:models|segment).*?)(?:  +#.*)?$", PAGE, re.M)
    assert len(lines) == 8
    for line in lines:
        words = line.split()
        code, out, _ = run(*words[: 2 if words[0] == "models" else 1], "--help")
        assert code == 0
        for option in [word for word in words if word.startswith("--")]:
            assert option in out, line
