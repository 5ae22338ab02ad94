"""What editors and type checkers see of the package is what it offers."""

import ast
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import cunet
from cunet.threads import get_threads

ROOT = Path(__file__).parents[1]
STUB = ast.parse((ROOT / "cunet" / "__init__.pyi").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def program():
    """tests/typing/public_api.py, which mypy reads, as a module."""
    spec = spec_from_file_location("public_api", ROOT / "tests" / "typing" / "public_api.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stub_has_the_public_names_and_no_other():
    values = [node.value for node in STUB.body if isinstance(node, ast.Assign)]
    assert [ast.literal_eval(value) for value in values] == [cunet.__all__]


def test_the_stub_takes_every_name_from_its_home():
    homes = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == cunet._HOME


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "cunet" / "py.typed").is_file()


def test_the_program_that_is_checked_also_runs(program, tmp_path):
    threads = get_threads()
    try:
        net = program.a_step_by_hand()
        probability = program.a_file_and_an_image(net, tmp_path)
        assert probability.shape == (30, 40, 2) and np.isfinite(probability).all()
        assert "width" in program.an_error()
        assert "Answer" in program.a_lesson()
        found = program.arrays_of_ones_own(tmp_path)
        assert found["pixels"]["f1"] == 1 and found["isbi"]["pixel_error"] == 0
    finally:
        cunet.set_threads(threads)


def test_the_program_that_is_checked_uses_every_public_name(program):
    text = Path(program.__file__).read_text(encoding="utf-8")
    assert [name for name in cunet.__all__ if f"cunet.{name}" not in text] == []
