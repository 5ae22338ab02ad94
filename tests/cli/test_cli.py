"""The command line as a whole: help, the demo, and what is installed."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tifffile
from isbi_data import isbi_folder

import cunet
from cunet import cli


def test_demo_end_to_end_with_few_steps(run, tmp_path):
    out = tmp_path / "demo"
    code, text, err = run("demo", "--out", out, "--steps", 3, "--json", "--threads", 1)
    assert code == 0, err
    document = json.loads(text)
    assert set(document["pixel_error"]) == {"U-Net", "blurred image", "all white"}
    assert (out / "run" / "report.html").stat().st_size > 10_000
    assert tifffile.imread(out / "held_out_prob.tif").shape == (4, 256, 256)
    assert run("demo", "--out", out, "--steps", 3)[0] == 2  # not overwritten


def test_version_and_help(run):
    assert run("--version")[1].strip() == f"cunet {cunet.__version__}"
    code, text, _ = run("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert name in text
        code, help_text, _ = run(name, "--help")
        assert code == 0 and "Example" in help_text
    assert run("sgment")[0] == 2


def test_the_wheel_holds_the_command_line_and_nothing_beside_cunet(tmp_path):
    root = Path(__file__).parents[2]
    if not (root / "pyproject.toml").exists():
        pytest.skip("no checkout to build a wheel from")
    copy = tmp_path / "copy"
    ignore = shutil.ignore_patterns(".git", "*.egg-info", "build", "runs", "__pycache__", ".venv")
    shutil.copytree(root, copy, ignore=ignore)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, copy], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "cunet/cli/train.py" in names and "cunet/ops/conv.py" in names
    assert {name.split("/")[0] for name in names} == {
        "cunet",
        f"cunet-{cunet.__version__}.dist-info",
    }


def test_the_demo_spares_files_that_are_there(run, tmp_path):
    data = isbi_folder(tmp_path / "data")
    before = (data / "train-volume.tif").read_bytes()
    code, _, err = run("demo", "--out", tmp_path, "--steps", 1)
    assert code == 2 and "--overwrite" in err
    assert (data / "train-volume.tif").read_bytes() == before
