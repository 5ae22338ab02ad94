"""The notebook runs from its first cell to its last, and is stored without outputs."""

import json
import re
import subprocess
import sys

import pytest
from example_scripts import EXAMPLES

NOTEBOOKS = sorted(EXAMPLES.glob("**/*.ipynb"))
SHORT = {"STEPS": 4, "SIDE": 64}


def cells(path, kind="code"):
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    return [cell for cell in document["cells"] if cell["cell_type"] == kind]


def test_there_is_one_and_the_index_lists_it():
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS] == ["own_arrays.ipynb"]
    assert all(f"]({path.name})" in index for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_without_outputs(path):
    for cell in cells(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_runs_from_the_first_cell_to_the_last(path, tmp_path):
    """In one namespace, as a notebook does, with the parameters of its first cell made small."""
    code = ["import matplotlib", "matplotlib.use('agg')"]
    for cell in cells(path):
        text = "".join(cell["source"])
        if "parameters" in cell["metadata"].get("tags", ()):
            for name, value in SHORT.items():
                text, found = re.subn(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.M)
                assert found == 1
        code.append(text)
    program = tmp_path / "cells.py"
    program.write_text("\n\n".join(code), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "objects, mean area" in done.stdout
    assert "found at an IoU of 0.5" in done.stdout
    assert (tmp_path / "discs.npz").is_file()
