"""Data and devices for the examples that train."""

import sys

import pytest
from inputs import DEVICES
from isbi_data import isbi_folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Three slices of 40 x 48 pixels in the challenge's layout."""
    return isbi_folder(tmp_path_factory.mktemp("data"), 3, 40, 48, seed=2)


@pytest.fixture(params=DEVICES, ids=lambda module: module.__name__)
def device(request, monkeypatch):
    """Each device in turn in the place of CuPy: the double, and a GPU where there is one."""
    monkeypatch.setitem(sys.modules, "cupy", request.param)
    return "cuda"
