"""Augmentation against scipy's own interpolation, plain crops and reflections, and statistics."""

import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage

from cunet.cli.augment import command
from cunet.data.augment import OFF, Augmentation, displacement, draw
from cunet.errors import CunetError, DataError

ALL = Augmentation()
MORE = replace(ALL, zoom=0.5, shear=0.3, blur=1.5)


def scene(height=90, width=110, channels=1, seed=0):
    """A smooth image, labels that follow it, and weights; read-only."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.standard_normal((height, width, channels)), (4, 4, 0))
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    labels = (image[..., 0] > 0).astype(np.uint8)
    weights = (1 + rng.random((height, width))).astype(np.float32)
    for array in (image, labels, weights):
        array.flags.writeable = False
    return image, labels, weights


def coordinates(size):
    """An image (size, size, 2) whose channels are its own row and column numbers."""
    return np.stack(np.mgrid[:size, :size], -1).astype(np.float32)


def looked_up(seed, tile, how, size=400):
    """Where in a large image the tile's points come from: rows and columns (n, n)."""
    blank = np.zeros((size, size))
    x, _, _ = draw(np.random.default_rng(seed), coordinates(size), blank, blank, tile, tile, how)
    return x[..., 0], x[..., 1]


@pytest.mark.parametrize("shape", [(90, 110), (91, 111), (64, 64), (30, 200)])
def test_off_is_the_centred_crop(shape):
    image, labels, weights = scene(*shape, channels=3)
    x, y, w = draw(np.random.default_rng(0), image, labels, weights, 64, 24, OFF)
    top, left = (200 + (shape[0] - 64) // 2, 200 + (shape[1] - 64) // 2)
    tile, middle = np.s_[top : top + 64, left : left + 64], np.s_[20:44, 20:44]
    pad = [(200, 200)] * 2
    assert np.array_equal(x, np.pad(image, [*pad, (0, 0)], "reflect")[tile])
    assert np.array_equal(y, np.pad(labels, pad, "reflect")[tile][middle])
    assert np.array_equal(w, np.pad(weights, pad, "reflect")[tile][middle])
    assert (x.dtype, y.dtype, w.dtype) == (np.float32, np.uint8, np.float32)
    assert not np.shares_memory(x, image)


@pytest.mark.parametrize("shape", [(7, 9), (2, 3), (1, 5)])
def test_images_smaller_than_the_tile_are_mirrored_repeatedly(shape):
    image, labels, weights = scene(*shape)
    x, _, _ = draw(np.random.default_rng(0), image, labels, weights, 40, 40, OFF)
    pad = [(100, 100)] * 2
    top, left = 100 + (shape[0] - 40) // 2, 100 + (shape[1] - 40) // 2
    expected = np.pad(image[..., 0], pad, "reflect")[top : top + 40, left : left + 40]
    assert np.array_equal(x[..., 0], expected)


@pytest.mark.parametrize(("size", "nodes"), [(412, 3), (188, 3), (97, 5), (60, 2)])
def test_displacement_is_the_spline_through_the_nodes(size, nodes):
    vectors = np.random.default_rng(1).normal(0, 10, (nodes, nodes))
    where = np.stack(np.mgrid[:size, :size]) * (nodes - 1) / (size - 1)
    expected = ndimage.map_coordinates(vectors, where, order=3, mode="mirror")
    found = displacement(vectors, size)
    assert np.allclose(found, expected, atol=2e-5)
    assert np.allclose(found[:: size - 1, :: size - 1], vectors[:: nodes - 1, :: nodes - 1])


def test_grid_displacement_at_the_nodes_has_the_given_deviation():
    how = replace(OFF, elastic="grid", sigma=10.0)
    straight = np.stack(looked_up(0, 101, OFF))
    moves = [(np.stack(looked_up(seed, 101, how)) - straight)[:, ::50, ::50] for seed in range(300)]
    moves = np.array(moves).reshape(300, 18)
    # 5,400 independent numbers: the deviation is known to 1 %, each correlation to 0.06.
    assert abs(moves.std() - 10) < 0.5
    assert abs(moves.mean()) < 0.7
    correlation = np.corrcoef(moves.T) - np.eye(18)
    assert np.abs(correlation).max() < 0.3


def test_simard_field_has_the_deviation_that_theory_gives():
    how = replace(OFF, elastic="simard", alpha=34.0, smoothing=4.0)
    rows, columns = looked_up(5, 300, how)
    straight = looked_up(5, 300, OFF)
    inner = np.s_[20:-20, 20:-20]
    # Uniform noise of deviation 1/sqrt(3), thinned by a Gaussian of sigma 4: 1/(2 sqrt(pi) 4).
    expected = 34 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 4)
    for found, start in zip((rows, columns), straight, strict=True):
        assert abs((found - start)[inner].std() / expected - 1) < 0.1


@pytest.mark.parametrize("how", [ALL, MORE], ids=["paper", "zoom and shear"])
def test_tile_is_bent_then_sheared_scaled_mirrored_rotated_and_shifted(how):
    size, tile = 400, 61
    how = replace(how, contrast=0, brightness=0, curve=0, noise=0, blur=0)
    # The same draws in the order of the documentation, with complex numbers for the plane.
    rng = np.random.default_rng(8)
    top, left = (rng.integers(size) - tile // 2 for _ in range(2))
    turn = rng.uniform(0, 2 * np.pi)
    flip_rows, flip_columns = rng.choice((-1.0, 1.0), 2)
    scale = np.exp(rng.uniform(-np.log(1.5), np.log(1.5))) if how.zoom else 1
    down, right = rng.uniform(-0.3, 0.3, 2) if how.shear else (0, 0)
    vectors = rng.normal(0, 10, (2, 3, 3))
    where = np.stack(np.mgrid[:tile, :tile]) * 2 / (tile - 1)
    bend = [ndimage.map_coordinates(v, where, order=3, mode="mirror") for v in vectors]
    rows, columns = np.mgrid[:tile, :tile] - (tile - 1) / 2 + bend
    rows += down * columns
    columns += right * rows
    plane = scale * (flip_rows * rows + 1j * flip_columns * columns) * np.exp(1j * turn)
    plane += (tile - 1) / 2 * (1 + 1j) + top + 1j * left
    found = looked_up(8, tile, how, size)

    def folded(values):  # the coordinate image, mirrored
        distance = np.abs(values) % (2 * size - 2)
        return np.minimum(distance, 2 * size - 2 - distance)

    inside = (np.minimum(plane.real, plane.imag) > 1) & (
        np.maximum(plane.real, plane.imag) < size - 2
    )
    assert inside.mean() > 0.5
    assert np.allclose(found[0][inside], folded(plane.real)[inside], atol=1e-3)
    assert np.allclose(found[1][inside], folded(plane.imag)[inside], atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", [ALL, MORE], ids=["paper", "zoom and shear"])
def test_image_labels_and_weights_stay_aligned(seed, how):
    image, labels, _ = scene(seed=seed)
    how = replace(how, contrast=0, brightness=0, curve=0, noise=0, blur=0)
    rng = np.random.default_rng(seed)
    x, y, w = draw(rng, image, labels, image[..., 0], 80, 40, how)
    assert np.allclose(x[20:-20, 20:-20, 0], w, atol=1e-4)  # one field serves both
    clear = np.abs(w) > 0.25  # away from the edge nearest and linear agree
    assert clear.mean() > 0.5
    assert np.array_equal(y[clear], w[clear] > 0)


def test_interpolation_equals_scipy():
    image, labels, weights = scene(120, 130)
    how = replace(ALL, contrast=0, brightness=0, curve=0, noise=0)
    # Recover the points from a coordinate image; inside the image they are exact.
    size = 130
    square = np.pad(image, [(0, 10), (0, 0), (0, 0)], "wrap")
    for seed in range(3):
        rows, columns = looked_up(seed, 60, how, size)
        x, y, _ = draw(
            np.random.default_rng(seed), square, square[..., 0] > 0, square[..., 0], 60, 60, how
        )
        inside = (np.minimum(rows, columns) > 1) & (np.maximum(rows, columns) < size - 2)
        expected = ndimage.map_coordinates(square[..., 0], [rows, columns], order=1)
        assert np.allclose(x[..., 0][inside], expected[inside], atol=1e-3)
        near = ndimage.map_coordinates(square[..., 0], [rows, columns], order=0) > 0
        assert (y != near)[inside].mean() < 0.002  # points halfway between two pixels


class Zoomed(np.random.Generator):
    """A generator that chooses this zoom, where zoom alone is on."""

    def __init__(self, zoom):
        super().__init__(np.random.PCG64(0))
        self.zoom = zoom

    def uniform(self, low, high, *shape):
        return math.log(self.zoom) if high else super().uniform(low, high, *shape)


def test_a_point_just_before_a_pixel_may_be_rounded_to_it():
    """Counted from a first pixel far to the left, 429.99997 is 550 in float32, not 549.99997."""
    image = np.random.default_rng(0).random((500, 450, 1)).astype(np.float32)
    size, centre = 311, np.float32(155)
    before = np.nextafter(np.float32(430), np.float32(0))
    zoom = (before - centre) / centre
    last = zoom * centre + centre
    assert last == before and last - np.float32(-120) == 550  # else nothing is tested
    x, _, w = draw(
        Zoomed(zoom), image, image[..., 0], image[..., 0], size, size, replace(OFF, zoom=1.0)
    )
    points = float(zoom) * (np.arange(size) - 155.0) + 155
    top, left = (500 - size) // 2, (450 - size) // 2
    where = np.meshgrid(points + top, points + left, indexing="ij")
    expected = ndimage.map_coordinates(image[..., 0], where, order=1, mode="mirror")
    np.testing.assert_allclose(x[..., 0], expected, atol=1e-3)
    np.testing.assert_allclose(w, expected, atol=1e-3)


def test_mirroring_gives_the_four_reflections_and_no_other():
    image, labels, weights = scene(64, 64)
    tile, seen = image[12:52, 12:52], set()
    turned = {
        "none": tile, "rows": tile[::-1], "columns": tile[:, ::-1], "both": tile[::-1, ::-1]
    }  # fmt: skip
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y, _ = draw(rng, image, labels, weights, 40, 40, replace(OFF, mirror=True))
        (name,) = (name for name, view in turned.items() if np.array_equal(view, x))
        assert np.array_equal(y, turned[name][..., 0] > 0)
        seen.add(name)
    assert seen == set(turned)


def test_shift_puts_the_centre_anywhere_in_the_image():
    blank, how = np.zeros((50, 50)), replace(OFF, shift=True)
    centres = []
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        x, _, _ = draw(rng, coordinates(50), blank, blank, 2, 2, how)
        centres.append(x[1, 1])
    counts = np.array([np.bincount(axis, minlength=50) for axis in np.int64(centres).T])
    assert counts.min() > 0
    assert ((counts - 40) ** 2 / 40).sum(1).max() < 49 + 5 * np.sqrt(98)  # chi-squared
    padded = np.pad(coordinates(50), [(60, 60), (60, 60), (0, 0)], "reflect")
    x, _, _ = draw(np.random.default_rng(3), coordinates(50), blank, blank, 40, 40, how)
    top, left = (int(v) + 60 - 20 for v in np.random.default_rng(3).integers(50, size=2))
    assert np.array_equal(x, padded[top : top + 40, left : left + 40])


def test_rotation_takes_any_angle_and_keeps_lengths():
    angles = []
    for seed in range(200):
        rows, columns = looked_up(seed, 41, replace(OFF, rotate=True))
        across = rows[20, 40] - rows[20, 0], columns[20, 40] - columns[20, 0]
        down = rows[40, 20] - rows[0, 20], columns[40, 20] - columns[0, 20]
        assert abs(np.hypot(*across) - 40) < 1e-3 and abs(np.hypot(*down) - 40) < 1e-3
        assert abs(np.dot(across, down)) < 0.01
        assert across[1] * down[0] - across[0] * down[1] > 0  # no reflection
        assert abs(rows[20, 20] - 199.5) <= 0.5 and abs(columns[20, 20] - 199.5) <= 0.5
        angles.append(np.arctan2(*across))
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0].min() > 10


def matrix(seed, how):
    """What one step down and one step right in the tile are in the image: columns of (2, 2)."""
    rows, columns = looked_up(seed, 41, how, size=120)
    return np.array([(p[40, 20] - p[0, 20], p[20, 40] - p[20, 0]) for p in (rows, columns)]) / 40


def test_zoom_is_even_in_its_logarithm_and_the_same_in_all_directions():
    found = np.array([matrix(seed, replace(OFF, zoom=0.6)) for seed in range(400)])
    scales = found[:, 0, 0]
    assert np.allclose(found, scales[:, None, None] * np.eye(2), atol=1e-4)
    counts, _ = np.histogram(np.log(scales), 4, (-np.log(1.6), np.log(1.6)))
    assert counts.sum() == 400 and counts.min() > 70  # 100 expected, deviation 9
    assert scales.min() < 0.64 and scales.max() > 1.57


def test_shear_keeps_areas_and_pushes_rows_and_columns_on_their_own():
    found = np.array([matrix(seed, replace(OFF, shear=0.3)) for seed in range(400)])
    assert np.allclose(np.linalg.det(found), 1, atol=1e-4)
    assert np.allclose(found[:, 0, 0], 1, atol=1e-4)
    down, right = found[:, 0, 1], found[:, 1, 0]
    for part in (down, right):
        assert np.histogram(part, 4, (-0.3001, 0.3001))[0].min() > 70
        assert part.min() < -0.29 and part.max() > 0.29
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_a_gaussian_mirrored_at_the_tiles_edges(channels):
    image, labels, weights = scene(40, 40, channels)
    sharp = np.sign(image)
    x, y, w = draw(np.random.default_rng(0), sharp, labels, weights, 24, 24, replace(OFF, blur=2.0))
    deviation = np.random.default_rng(0).uniform(0, 2)
    assert deviation > 1
    reach = 12
    bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    bell /= bell.sum()
    tile = np.pad(sharp[8:32, 8:32], [(reach, reach), (reach, reach), (0, 0)], "reflect")
    expected = np.zeros((24, 24, channels))
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            expected += bell[i] * bell[j] * tile[i : i + 24, j : j + 24]
    assert x.dtype == np.float32
    # scipy cuts the Gaussian off at four deviations, where 6e-5 of it are left.
    assert np.allclose(x, expected, atol=1e-3)
    assert np.abs(x - sharp[8:32, 8:32]).max() > 0.1
    assert np.array_equal(y, labels[8:32, 8:32]) and np.array_equal(w, weights[8:32, 8:32])


def test_noise_is_not_blurred():
    blank = np.zeros((80, 80))
    how = replace(OFF, blur=5.0, noise=1.0)
    x, _, _ = draw(np.random.default_rng(0), blank[..., None], blank, blank, 80, 80, how)
    assert x.std() > 0.05
    assert abs(np.corrcoef(x[1:].ravel(), x[:-1].ravel())[0, 1]) < 0.05


def test_what_is_off_draws_no_random_number():
    image, labels, weights = scene(40, 40, 3)
    rng, counted = np.random.default_rng(1), np.random.default_rng(1)
    draw(rng, image, labels, weights, 24, 24, OFF)
    counted.random(3 * 3 + 1)  # contrast, curve and brightness of each channel; noise
    assert rng.bit_generator.state == counted.bit_generator.state


def test_gray_values_change_as_said():
    rng = np.random.default_rng(0)
    ramp = np.linspace(-3, 3, 64 * 64, dtype=np.float32).reshape(64, 64, 1)
    blank = np.zeros((64, 64))
    how = replace(OFF, contrast=0.25, brightness=0.2, curve=0.3)
    slopes, levels = [], []
    for _ in range(300):
        x, _, _ = draw(rng, ramp, blank, blank, 64, 64, how)
        line = x.ravel()
        assert np.all(np.diff(line) > 0)  # the order of gray values stays
        middle = (line[2300] - line[1796]) / (ramp.ravel()[2300] - ramp.ravel()[1796])
        slopes.append(middle)
        levels.append((line[2047] + line[2048]) / 2)
    assert 0.74 < min(slopes) < 0.8 and 1.2 < max(slopes) < 1.26
    assert -0.201 < min(levels) < -0.15 and 0.15 < max(levels) < 0.201
    noisy = [
        draw(rng, ramp, blank, blank, 64, 64, replace(OFF, noise=0.1))[0] - ramp for _ in range(100)
    ]
    deviations = [part.std() for part in noisy]
    assert 0 <= min(deviations) < 0.02 and 0.08 < max(deviations) < 0.104


def test_channels_vary_on_their_own_but_move_together():
    image = np.repeat(scene()[0], 2, axis=2)
    rng, blank = np.random.default_rng(2), np.zeros(image.shape[:2])
    x, _, _ = draw(rng, image, blank, blank, 40, 40, replace(ALL, noise=0))
    assert not np.allclose(x[..., 0], x[..., 1], atol=0.01)
    assert np.corrcoef(x[..., 0].ravel(), x[..., 1].ravel())[0, 1] > 0.98


def test_ignored_pixels_weigh_nothing():
    image, labels, weights = scene()
    labels = np.where(labels == 1, np.uint8(255), np.uint8(0))
    _, y, w = draw(np.random.default_rng(0), image, labels, weights, 60, 60, ALL)
    assert set(np.unique(y)) == {0, 255}
    assert np.all(w[y == 255] == 0) and np.all(w[y == 0] >= 1)


@pytest.mark.parametrize("more", [ALL, MORE], ids=["paper", "zoom, shear, blur"])
@pytest.mark.parametrize("elastic", ["grid", "simard", "none"])
def test_only_the_generator_decides(elastic, more):
    parts = scene()
    how = replace(more, elastic=elastic)
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    first = draw(np.random.default_rng(7), *parts, 60, 20, how)
    np.random.seed(2)  # noqa: NPY002
    again = draw(np.random.default_rng(7), *parts, 60, 20, how)
    other = draw(np.random.default_rng(8), *parts, 60, 20, how)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_views_of_larger_arrays_serve_as_well():
    image, labels, weights = scene()
    views = image.repeat(2, 1)[:, ::2], labels.repeat(2, 0)[::2], np.asfortranarray(weights)
    first = draw(np.random.default_rng(4), image, labels, weights, 60, 20, ALL)
    second = draw(np.random.default_rng(4), *views, 60, 20, ALL)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_wrong_settings_and_sizes_are_refused():
    for wrong in (
        {"elastic": "cubic"}, {"grid": 1}, {"contrast": 1.0}, {"curve": 1.5}, {"zoom": -0.1},
        {"zoom": np.inf}, {"shear": 1.0}, {"shear": -0.1}, {"blur": -1}, {"blur": np.nan},
    ):  # fmt: skip
        with pytest.raises(CunetError):
            Augmentation(**wrong)
    image, labels, weights = scene()
    with pytest.raises(DataError, match="one height and width"):
        draw(np.random.default_rng(0), image, labels[1:], weights, 60, 20, ALL)


def test_command_draws_a_sheet(tmp_path):
    from PIL import Image

    for folder, pixels in (("images", 128 + 40 * scene()[0][..., 0]), ("labels", scene()[1])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(tmp_path / folder / "a.png")
    out = tmp_path / "sheet.png"
    arguments = ["--data", str(tmp_path), "-o", str(out), "--tile", "188"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1].strip().startswith("cunet train --data ")
    with Image.open(out) as picture:
        assert min(picture.size) > 500
    before = out.read_bytes()
    assert isinstance(CliRunner().invoke(command, arguments).exception, CunetError)
    assert out.read_bytes() == before


def test_command_draws_what_training_with_these_settings_meets(tmp_path, monkeypatch):
    from PIL import Image

    from cunet.pictures import plots
    from cunet.training.config import Config
    from cunet.training.prepared import prepare

    for folder, pixels in (("images", 128 + 40 * scene()[0][..., 0]), ("labels", scene()[1])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(tmp_path / folder / "a.png")
    drawn = []
    monkeypatch.setattr(plots, "augmentation_sheet", lambda samples, path: drawn.extend(samples))
    data = str(tmp_path)
    options = "--tile 188 --seed 3 --weight-map none --zoom 0.5 --blur 2.0"
    arguments = ["--data", data, "-o", str(tmp_path / "s.png"), *options.split()]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1].strip() == f"cunet train --data {data} {options}"
    config = Config(data=data, tile=188, seed=3, weight_map="none", zoom=0.5, blur=2.0)
    expected = prepare(config).samples
    assert len(drawn) == 16
    for number, sample in enumerate(drawn):
        for found, wanted in zip(sample, expected.sample(number), strict=True):
            np.testing.assert_array_equal(found, wanted)
    plain = prepare(Config(data=data, tile=188, seed=3)).samples.sample(0)
    assert not np.array_equal(drawn[0][0], plain[0])
