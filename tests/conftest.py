"""Fixtures that several test files use."""

import itertools

import numpy as np
import pytest
from inputs import TOLERANCE, Inputs


@pytest.fixture(
    params=list(itertools.product(TOLERANCE, (1, 3), ("writeable", "read-only", "strided"))),
    ids=lambda p: f"{p[0]}-{p[1]}-{p[2]}",
)
def inputs(request):
    inputs = Inputs(*request.param)
    yield inputs
    for now, before in inputs.given:
        np.testing.assert_array_equal(now, before)
