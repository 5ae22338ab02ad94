"""Pixel sizes: of files, and as they are given."""

import numpy as np
import pytest

from cunet.errors import CunetError
from cunet.files.calibration import Calibration
from cunet.measuring.scale import Scale, scale_from, scale_of


@pytest.mark.parametrize(
    ("calibration", "scale"),
    [
        (Calibration(), Scale()),
        (Calibration(4, 2, "um", imagej=True), Scale(0.25, 0.5, "um")),
        (Calibration(4, 4, ""), Scale()),  # ImageJ's pixel
        (Calibration(72, 72, "inch"), Scale()),  # of a print
        (Calibration(2, 2, "inch", imagej=True), Scale(0.5, 0.5, "inch")),
        (Calibration(20_000, 40_000, "cm"), Scale(0.5, 0.25, "um")),  # all that plain TIFF knows
        (Calibration(2, 2, "cm", imagej=True), Scale(0.5, 0.5, "cm")),
        (Calibration(2, 2, "sq, ells"), Scale(0.5, 0.5, "sq_ells")),
    ],
)
def test_of_a_file(calibration, scale):
    found = scale_of(calibration)
    assert (found.unit, found.square) == (scale.unit, scale.square)
    assert (found.width, found.height) == pytest.approx((scale.width, scale.height))


def test_rounded_sides_are_square_and_others_are_not():
    assert Scale(0.25, 0.250001, "um").square and not Scale(0.25, 0.2501, "um").square


def test_as_given():
    assert scale_from(None, "um") == Scale()
    assert scale_from(0.5, "micron") == Scale(0.5, 0.5, "um")
    assert scale_from(np.float32(0.5), "um") == Scale(0.5, 0.5, "um")
    assert scale_from((2, 1), "angstrom") == Scale(0.1, 0.2, "nm")
    for size, unit, words in (
        (0, "um", "pixel_size"),
        (float("nan"), "um", "pixel_size"),
        ((1.0, -1.0), "um", "pixel_size"),
        ("4 nm", "um", "pixel_size"),
        (1.0, "pixel", "unit: expected one of length"),
    ):
        with pytest.raises(CunetError, match=words):
            scale_from(size, unit)
