"""Numbers that are no intensities: what is refused, and in which words."""

import numpy as np
import pytest

from cunet.data.values import check_values, standing_apart
from cunet.errors import DataError


def image(dtype="f4", channels=1):
    return np.random.default_rng(0).random((30, 20, channels)).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("f4", np.finfo("f4").min, "-3.40282e.38 in 40 pixels.*no data"),
        ("f4", 9.96921e36, "9.96921e.36.*no data"),  # netCDF's
        ("f8", -1e30, "-1e.30.*no data"),
        ("f8", 1e39, "1e.39.*more than float32 can"),
        ("f8", -1e300, "-1e.300.*more than float32 can"),
        ("f8", np.inf, "NaN or infinity"),
        ("f4", np.nan, "NaN or infinity"),
        ("f2", np.inf, "NaN or infinity"),
    ],
)
def test_what_is_refused(dtype, value, words):
    bad = image(dtype, 3)
    bad[7:9, :, 1] = value
    with pytest.raises(DataError, match=rf"^page 3 of 'a.tif' holds {words}") as caught:
        check_values(bad, "page 3 of 'a.tif'", 100)
    assert "40 pixels (rows 107 to 108)" in str(caught.value) and caught.value.exit_code == 3


def test_one_pixel_is_one():
    bad = image("f8")
    bad[4, 5] = 1e39
    with pytest.raises(DataError, match=r"1e\+39 in 1 pixel \(row 4\)"):
        check_values(bad, "image")


@pytest.mark.parametrize("dtype", ["u1", "i8", "u8", "f2", "f4", "f8", bool])
def test_what_is_not(dtype):
    check_values(image(dtype), "image")
    largest = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    check_values(np.full((2, 2, 1), largest, dtype), "image")
    check_values(np.full((2, 2, 1), 60000 if dtype == "f2" else largest, dtype), "image")
    check_values(np.zeros((0, 2, 1), dtype), "image")


@pytest.mark.parametrize("dtype", ["i4", "f4", "f8"])
@pytest.mark.parametrize("value", [-9999, -32768, 10**7])
def test_a_value_apart_from_all_others(dtype, value):
    grey = (1000 * image(channels=2)).astype(dtype)
    assert standing_apart(grey) is None
    grey[:5, :, 1] = value
    found = standing_apart(grey)
    assert f"{value:g} in 100 pixels (rows 0 to 4)" in found and "all others" in found


def test_what_stands_apart_by_nature():
    grey = 1000 + 10 * image()
    grey[:10] = 0  # empty
    assert standing_apart(grey) is None
    drawing = np.zeros((20, 20, 1), np.float32)
    drawing[5:9] = -1
    assert standing_apart(drawing) is None
    saturated = np.clip(300 * image(), 0, 255).astype(np.uint8)
    assert standing_apart(saturated) is None
    assert standing_apart(np.full((3, 3, 1), 7.0)) is None
