"""Zero mean and unit deviation, of images whose numbers are hard on a float32."""

import numpy as np
import pytest

from cunet.net.normalization import Normalization

NOISE = np.random.default_rng(3).normal(size=(300, 40, 2))


def per_image(image):
    many = Normalization.identity(image.shape[2])
    one = Normalization(*(getattr(many, n) for n in ("mean", "deviation", "low", "high")), True)
    return one.fitted(lambda r0, r1: image[r0:r1], len(image))


@pytest.mark.parametrize("make", [lambda image: Normalization.of([image]), per_image])
@pytest.mark.parametrize(
    "image",
    [
        1e9 + NOISE,
        -3e12 + 10 * NOISE,
        (2e9 + 100 * NOISE).astype(np.uint32),
        (-(2**40) + 100 * NOISE).astype(np.int64),
        1e-12 * NOISE,
        (6e4 + NOISE).astype(np.float32),
    ],
    ids=["1e9", "-3e12", "uint32", "int64", "tiny", "float32"],
)
def test_contrast_survives_a_large_level(make, image):
    made = make(image)
    found = made.apply(image)
    assert found.dtype == np.float32 and not np.array_equal(found, np.zeros_like(found))
    exact = image.astype(np.longdouble)
    mean, deviation = (
        ((exact - exact[0, 0]).mean(axis=(0, 1))) + exact[0, 0],
        exact.std(axis=(0, 1)),
    )
    np.testing.assert_allclose(made.mean, mean.astype(float), rtol=1e-14)
    np.testing.assert_allclose(made.deviation, deviation.astype(float), rtol=1e-5)
    # float32 has 24 binary digits, also for the mean of a float32 image
    slack = 0.005 if image.dtype == np.float32 else 1e-4
    np.testing.assert_allclose(found, ((exact - mean) / deviation).astype(float), atol=slack)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_images_of_few_digits_are_normalised_as_ever(dtype):
    """Bit for bit: cast, take the mean off, divide, all in float32."""
    image = (120 + 30 * NOISE).astype(dtype)
    for made in (Normalization.of([image]), per_image(image)):
        expected = image.astype(np.float32)
        expected -= np.asarray(made.mean, np.float32)
        expected /= np.asarray(made.deviation, np.float32)
        assert made.apply(image).tobytes() == expected.tobytes()
    pixels = image.reshape(-1, 2).astype(np.float64)
    variance = np.square(pixels).mean(axis=0) - pixels.mean(axis=0) ** 2
    np.testing.assert_allclose(per_image(image).deviation, np.sqrt(variance), rtol=1e-12)


@pytest.mark.parametrize("make", [lambda image: Normalization.of([image]), per_image])
@pytest.mark.parametrize("value", [0.1, 1e9 + 1 / 3, -7, 2.0**52 + 1])
def test_a_constant_image_stays_constant(make, value):
    """Though its mean is not found to the last digit."""
    image = np.full((333, 17, 1), value)
    made = make(image)
    assert made.deviation == (1.0,)
    assert np.abs(made.apply(image)).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x, False),
        (lambda x: 20 + 0.85 * x, False),  # as slices of one stack differ
        (lambda x: x / 2, True),
        (lambda x: np.minimum(x + 100, 255), True),
        (lambda x: x - 128, True),
        (lambda x: x / 255, True),
        (lambda x: 257 * x, True),
        (lambda x: 0.3 * x + 85, True),  # at its place, but flat
    ],
)
def test_another_range_of_grey_values_is_far_from_training(change, said):
    image = np.random.default_rng(0).uniform(10, 240, (64, 64, 2))
    made = Normalization.of([image])
    other = image.copy()
    other[..., 1] = change(other[..., 1])
    low, high = np.percentile(other.reshape(-1, 2), (0.1, 99.9), axis=0)
    found = made.far_from_training(low, high)
    assert (found is not None) == said
    assert not said or ("channel 1" in found and "expect a poor result" in found)
    assert Normalization.identity(2).far_from_training(low, high) is None
