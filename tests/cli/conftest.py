"""A small run that the tests of several commands use."""

import subprocess
import sys

import pytest
from isbi_data import isbi_folder


@pytest.fixture(scope="session")
def tiny():
    """Options of a network and a training that take a second."""
    options = "--width 2 --depth 2 --tile 76 --steps 6 --validate-every 3 --device cpu --threads 1"
    return options.split()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny):
    """A data set and a finished run on it, made through the installed command."""
    base = tmp_path_factory.mktemp("cli")
    data = isbi_folder(base / "data")
    command = [sys.executable, "-m", "cunet", "train", "--data", data, "--out", base / "run"]
    command += ["--fold", "0/2", *tiny]
    done = subprocess.run(command, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stderr
    return data, base / "run", done
