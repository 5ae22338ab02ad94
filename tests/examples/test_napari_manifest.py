"""The package examples/napari, looked at without napari: its manifest, what it names, its floors,
and that everything it takes from cunet is there. Its own tests run it."""

import ast
import importlib
import re
import sys
import tomllib

import pytest
import yaml
from example_scripts import EXAMPLES

FOLDER = EXAMPLES / "napari"
SOURCE = FOLDER / "src" / "cunet_napari"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
ROOT = tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text())["project"]
MANIFEST = yaml.safe_load((SOURCE / "napari.yaml").read_text())
FILES = sorted(SOURCE.glob("*.py"))


def floors(dependencies):
    """{name: (major, minor, ...)}"""
    found = {}
    for text in dependencies:
        name, version = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", text).groups()
        found[name] = tuple(map(int, version.split(".")))
    return found


def commands_used(node):
    """Every value of a key "command" below the contributions."""
    if isinstance(node, list):
        return {name for part in node for name in commands_used(part)}
    if not isinstance(node, dict):
        return set()
    own = {node["command"]} if "command" in node else set()
    return own.union(*map(commands_used, node.values()))


def test_names_and_entry_point_agree():
    name = PROJECT["name"]
    assert MANIFEST["name"] == name
    assert PROJECT["entry-points"]["napari.manifest"] == {name: "cunet_napari:napari.yaml"}
    data = tomllib.loads((FOLDER / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert data["package-data"]["cunet_napari"] == ["napari.yaml"]
    assert (FOLDER / "LICENSE").read_text() == (EXAMPLES.parent / "LICENSE").read_text()


def test_every_command_is_there_and_used():
    commands = {c["id"]: c["python_name"] for c in MANIFEST["contributions"]["commands"]}
    rest = {k: v for k, v in MANIFEST["contributions"].items() if k != "commands"}
    assert commands_used(rest) == set(commands)
    for identifier, place in commands.items():
        assert re.fullmatch(r"cunet-napari\.\w+", identifier)
        module, name = place.split(":")
        file = SOURCE / (module.removeprefix("cunet_napari.") + ".py")
        defined = {getattr(node, "name", "") for node in ast.parse(file.read_text()).body}
        assert name in defined, place


def test_endings_are_those_of_the_products():
    from cunet.segmentation.how import ENDINGS

    product, model = MANIFEST["contributions"]["readers"]
    assert product["filename_patterns"] == [
        f"*_{kind}{ENDINGS[kind]}" for kind in ("prob", "mask", "labels")
    ]
    assert model["filename_patterns"] == ["*.npz", "run.toml"]


def test_versions_and_floors():
    (line,) = re.findall('__version__ = "(.*)"', (SOURCE / "__init__.py").read_text())
    assert line == PROJECT["version"]
    own, of_cunet = floors(PROJECT["dependencies"]), floors(ROOT["dependencies"])
    assert own["cunet"] <= tuple(map(int, ROOT["version"].split(".")))
    for name in own.keys() & of_cunet.keys():
        assert own[name] == of_cunet[name], name
    assert PROJECT["requires-python"] == ROOT["requires-python"]
    assert PROJECT["license"] == ROOT["license"]


def imported(file):
    """(module, name) of every import in a file; name is "" for a module as a whole."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_it_imports_is_there_or_declared(file):
    declared = set(floors(PROJECT["dependencies"]))
    for module, name in imported(file):
        top = module.partition(".")[0]
        if top == "cunet":
            found = importlib.import_module(module)
            assert not name or hasattr(found, name) or importlib.import_module(f"{module}.{name}")
        else:
            assert top in declared | set(sys.stdlib_module_names) | {"cunet_napari"}, module
