"""The data that the small trainings use."""

import pytest
from isbi_data import isbi_folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data set in the challenge's layout: four slices of 48 x 40 pixels."""
    return isbi_folder(tmp_path_factory.mktemp("data"), 4, 48, 40, seed=1)
