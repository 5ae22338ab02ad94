"""Numbers, times and sizes as the commands print them."""

import pytest

from cunet.cli import words


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (42.4, "0:42"), (725, "12:05"), (11045, "3:04:05")]
)
def test_duration(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (3, "3 bytes"),
        (6400, "6.4 kB"),
        (64_000, "64 kB"),
        (640e6, "640 MB"),
        (1.2e9, "1.2 GB"),
        (5e13, "50.0 TB"),
    ],
)
def test_size(count, text):
    assert words.size(count) == text


def test_number():
    assert words.number(0.06123) == "0.0612" and words.number(0.5, 2) == "0.50"
    assert words.number(float("nan")) == "undefined"
