"""A data set, a cross-validation of it, and light scores for all tests of the folder."""

import pytest
import small_crossval
from isbi_data import isbi_folder
from small_crossval import light


@pytest.fixture(autouse=True)
def _light(monkeypatch, threads_as_before):
    light(lambda *a: monkeypatch.setattr(*a, raising=False))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Five slices of 48 x 40 pixels in the ISBI 2012 layout."""
    return isbi_folder(tmp_path_factory.mktemp("data") / "isbi", 5, 48, 40)


@pytest.fixture(scope="session")
def straight(data, tmp_path_factory):
    """A cross-validation made without a stop: its folder."""
    return small_crossval.straight(data, tmp_path_factory.mktemp("straight") / "whole")
