"""A small cross-validation, made once; tests that change its folder take a copy."""

import shutil

import pytest
import small_crossval
from isbi_data import isbi_folder


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Two folds and two seeds of five synthetic slices: its folder."""
    data = isbi_folder(tmp_path_factory.mktemp("data") / "isbi", 5, 48, 40)
    return small_crossval.straight(data, tmp_path_factory.mktemp("straight") / "whole")


@pytest.fixture
def folder(straight, tmp_path):
    """A copy of it."""
    return shutil.copytree(straight, tmp_path / "cv")
