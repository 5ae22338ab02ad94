"""The weight maps against a brute force over all pairs of pixels, and their edge cases."""

import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import cunet
from cunet.cli.weights import command
from cunet.data import weight_map
from cunet.errors import CunetError, DataError
from cunet.training.config import CHOICES


def brute_distances(instances):
    """d1, d2 (H, W): for every pixel the distances to all pixels of every cell, two smallest."""
    here = np.stack(np.mgrid[: instances.shape[0], : instances.shape[1]], -1).reshape(-1, 1, 2)
    cells = []
    for cell in np.unique(instances[instances > 0]):
        pixels = np.argwhere(instances == cell)[None]
        cells.append(np.sqrt(((here - pixels) ** 2).sum(-1)).min(1))
    cells += [np.full(instances.size, np.inf)] * 2
    ordered = np.sort(np.array(cells), axis=0)
    return ordered[0].reshape(instances.shape), ordered[1].reshape(instances.shape)


def brute_cut(instances):
    cut = instances.copy()
    height, width = instances.shape
    for r in range(height):
        for c in range(width):
            for dr, dc in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
                if 0 <= r + dr and 0 <= c + dc < width:
                    other = instances[r + dr, c + dc]
                    if instances[r, c] and other and other != instances[r, c]:
                        cut[r, c] = 0
    return cut


@pytest.fixture
def blobs():
    """Instances (40, 46) of nine cells, some touching, and a far one, with background between."""
    rng = np.random.default_rng(3)
    seeds = rng.random((9, 2)) * (28, 46)
    grid = np.stack(np.mgrid[:40, :46], -1)
    distance = np.linalg.norm(grid[:, :, None] - seeds, axis=-1)
    instances = np.where(distance.min(-1) < 6.5, distance.argmin(-1) + 1, 0)
    instances[37:, 40:] = 77
    instances.flags.writeable = False
    return instances


def test_components_are_four_connected():
    mask = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]], bool)
    found = weight_map.components(mask)
    assert found.dtype == np.int32
    assert found.max() == 3
    assert found[0, 2] == found[1, 1] != found[0, 0]


def test_cut_is_the_one_sided_gap_of_one_pixel(blobs):
    assert np.array_equal(weight_map.cut_touching(blobs), brute_cut(blobs))
    two = np.array([[1, 1, 2, 2]] * 3)
    assert np.array_equal(weight_map.cut_touching(two), [[1, 1, 0, 2]] + [[1, 0, 0, 2]] * 2)


def test_cut_separates_all_cells(blobs):
    cut = weight_map.cut_touching(blobs)
    for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = cut[: 40 - dr, max(0, -dc) : 46 - max(0, dc)]
        b = cut[dr:, max(0, dc) : 46 + min(0, dc)]
        assert np.all((a == b) | (a == 0) | (b == 0))


def test_open_gaps_keeps_ignored_pixels():
    instances = np.array([[1, 2], [1, 2]])
    labels = np.array([[1, 1], [1, 255]], np.uint8)
    assert np.array_equal(weight_map.open_gaps(labels, instances), [[1, 0], [0, 255]])


def test_class_weights():
    labels = [np.array([[0, 0, 0], [1, 1, 255]], np.uint8), np.array([[0]], np.uint8)]
    assert np.allclose(weight_map.class_weights(labels, 2), [6 / (2 * 4), 6 / (2 * 2)])
    assert np.allclose(weight_map.class_weights(labels, 3), [6 / (3 * 4), 6 / (3 * 2), 0])
    assert np.array_equal(weight_map.class_weights([np.full((2, 2), 255)], 2), [0, 0])
    with pytest.raises(DataError, match="0 to 1"):
        weight_map.class_weights([np.array([[2]])], 2)


@pytest.mark.parametrize("reach", [5, 30, 200])
def test_distances_equal_all_pairs(blobs, reach):
    for found, expected in zip(
        weight_map.two_distances(blobs, reach), brute_distances(blobs), strict=True
    ):
        assert np.allclose(found, np.where(expected > reach, np.inf, expected))


def test_distances_take_any_integer_ids(blobs):
    high = np.where(blobs > 0, blobs.astype(np.int64) * 10**9 + 7, 0)
    for ids in (blobs.astype(np.uint16), high):
        found = weight_map.two_distances(ids, 30)
        assert np.array_equal(found, weight_map.two_distances(blobs, 30))


def test_paper_map_equals_equation_2(blobs):
    labels = (blobs > 0).astype(np.uint8)
    labels[3:6, 10:20] = 255
    d1, d2 = brute_distances(blobs)
    balance, w0, sigma = np.array([2.0, 0.5]), 7.0, 2.5
    background = (labels == 0) | (brute_cut(blobs) == 0)
    border = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    expected = np.where(background, balance[0] + border, balance[1])
    expected[labels == 255] = 0
    found = weight_map.paper_map(labels, blobs, balance, w0, sigma)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)


def test_gap_pixel_has_the_full_border_term():
    instances = np.repeat([[1, 1, 1, 2, 2, 2]], 5, axis=0)
    weights = weight_map.paper_map(np.ones((5, 6), np.uint8), instances, np.array([1.5, 0.5]))
    assert np.allclose(weights[0, 3], 1.5 + 10 * np.exp(-1 / 50))  # d1 = 0, d2 = 1
    assert np.all(weights[:, :2] == 0.5)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_cells_leave_the_class_weights(count):
    instances = np.zeros((20, 20), np.int32)
    if count:
        instances[5:9, 5:9] = 1
    labels = (instances > 0).astype(np.uint8)
    weights = weight_map.paper_map(labels, instances, np.array([0.75, 3.0]))
    assert np.array_equal(weights, np.where(instances > 0, 3, 0.75).astype(np.float32))


def test_border_term_with_the_defaults_reaches_full_width():
    # Ten pixels apart: d1 + d2 = 11 all the way across the gap.
    instances = np.zeros((9, 30), np.int32)
    instances[:, :10], instances[:, 20:] = 1, 2
    weights = weight_map.paper_map(
        (instances > 0).astype(np.uint8), instances, np.array([1.0, 1.0])
    )
    assert np.allclose(weights[:, 10:20], 1 + 10 * np.exp(-(11**2) / 50))


def test_falk2019_map(blobs):
    labels = (blobs > 0).astype(np.uint8)
    labels[0, :4] = 255
    d1, d2 = brute_distances(blobs)
    background = (labels == 0) | (brute_cut(blobs) == 0)
    near, border = np.exp(-(d1**2) / 200), np.exp(-((d1 + d2) ** 2) / 72)
    expected = np.where(background, 0.1 + 0.9 * near + 50 * border, 1)
    expected[labels == 255] = 0
    found = weight_map.falk2019_map(labels, blobs)
    assert np.allclose(found, expected, atol=1e-4)
    empty = weight_map.falk2019_map(np.zeros((4, 4), np.uint8), np.zeros((4, 4), int))
    assert np.allclose(empty, 0.1)


def test_wrong_arrays_are_refused():
    labels = np.zeros((4, 4), np.uint8)
    with pytest.raises(DataError, match="one size"):
        weight_map.paper_map(labels, np.zeros((4, 5), int), np.ones(2))
    with pytest.raises(DataError, match="0 to 1"):
        weight_map.paper_map(labels + 3, np.zeros((4, 4), int), np.ones(2))


def test_masks_and_cell_ids_are_distinguished():
    mask = np.array([[255, 0, 255]], np.uint8)
    instances, masks = weight_map.instances_of([mask, mask * 0], "m.tif")
    assert masks and np.array_equal(instances[0], [[1, 0, 2]])
    instances, masks = weight_map.instances_of([mask, mask // 255 * 7], "m.tif")
    assert not masks and np.array_equal(instances[0], mask)
    with pytest.raises(DataError, match="'m.tif'.*-1"):
        weight_map.instances_of([np.array([[-1, 0]])], "m.tif")


def run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_command_writes_a_page_for_a_page(tmp_path, blobs):
    mask, out = tmp_path / "mask.tif", tmp_path / "w.tif"
    pages = np.stack([blobs > 0, np.zeros_like(blobs, bool)]).astype(np.uint8) * 255
    tifffile.imwrite(mask, pages, photometric="minisblack")
    result = run(mask, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    # no data set lies beside these labels
    assert result.stderr.splitlines()[-1].strip() == "cunet train --help"
    written = tifffile.imread(out)
    cells = weight_map.components(blobs > 0)
    labels = [weight_map.open_gaps(pages[0] // 255, cells), pages[1]]
    balance = weight_map.class_weights(labels, 2)
    assert written.dtype == np.float32 and written.shape == pages.shape
    assert np.array_equal(written[0], weight_map.paper_map(labels[0], cells, balance))
    assert np.allclose(written[1], balance[0])


def test_command_takes_cell_ids_and_constants(tmp_path, blobs):
    ids, out = tmp_path / "ids.tif", tmp_path / "w.tif"
    tifffile.imwrite(ids, blobs.astype(np.uint16))
    assert run(ids, "-o", out, "-q", "--form", "falk2019", "--w0", 20, "--sigma", 3).output == ""
    labels = (blobs > 0).astype(np.uint8)
    assert np.array_equal(tifffile.imread(out), weight_map.falk2019_map(labels, blobs, 20, 3))


def test_command_replaces_nothing_unasked(tmp_path, blobs):
    ids, out = tmp_path / "ids.tif", tmp_path / "w.tif"
    tifffile.imwrite(ids, blobs.astype(np.uint16))
    out.write_text("precious")
    assert isinstance(run(ids, "-o", out).exception, CunetError)
    assert isinstance(run(ids, "-o", ids, "--overwrite").exception, CunetError)
    assert out.read_text() == "precious"
    assert run(ids, "-o", out, "--overwrite").exit_code == 0


# From Python


@pytest.mark.parametrize("form", ["paper", "falk2019"])
@pytest.mark.parametrize("high", [1, 255, "ids"])
def test_arrays_get_what_the_command_writes(tmp_path, blobs, form, high):
    pages = np.stack([blobs, blobs[::-1]])
    pages = pages if high == "ids" else (pages > 0) * high
    tifffile.imwrite(tmp_path / "l.tif", pages.astype(np.uint16), photometric="minisblack")
    asked = ["--labels", "instances"] * (high == "ids")  # the same numbers in both pages
    found = run(tmp_path / "l.tif", "-o", tmp_path / "w.tif", "--form", form, "--json", *asked)
    weights = cunet.weight_map(pages, form)
    assert weights.dtype == np.float32 and weights.shape == pages.shape
    assert np.array_equal(weights, tifffile.imread(tmp_path / "w.tif"))
    document = json.loads(found.stdout)
    assert document["maximum"] == weights.max() and document["minimum"] == weights.min()
    assert (document["w0"], document["sigma"]) == weight_map.FORMS[form]
    if high == 1:
        assert np.array_equal(cunet.weight_map(pages > 0, form), weights)


def test_settings_of_the_border_term(blobs):
    labels = (blobs > 0).astype(np.uint8)
    balance = weight_map.class_weights([weight_map.open_gaps(labels, blobs)], 2)
    found = cunet.weight_map(blobs, w0=3, sigma=2)
    assert np.array_equal(found, weight_map.paper_map(labels, blobs, balance, 3, 2))
    found = cunet.weight_map(blobs, class_weights=(0.5, 2))
    assert np.array_equal(found, weight_map.paper_map(labels, blobs, np.array([0.5, 2])))
    assert np.array_equal(
        cunet.weight_map(blobs, "falk2019"), weight_map.falk2019_map(labels, blobs)
    )
    for wrong in ({"form": "border"}, {"w0": -1}, {"sigma": 0}, {"sigma": np.nan},
                  {"class_weights": (1, 2, 3)}):  # fmt: skip
        with pytest.raises(CunetError):
            cunet.weight_map(blobs, **wrong)
    for labels in (blobs / 2, blobs.ravel(), -blobs.astype(int), blobs[:0]):
        with pytest.raises(DataError, match="labels"):
            cunet.weight_map(labels)


def test_the_constants_have_one_home():
    """The command's help and the settings of a training say those of the table."""
    text = " ".join(run("--help").output.split())
    assert "--form" in text and "--sigma" in text
    for name in ("w0", "sigma"):
        values = ", ".join(
            f"{getattr(term, name):g} for {form}" for form, term in weight_map.FORMS.items()
        )
        assert f"(default: {values})" in text
    assert set(weight_map.FORMS) < set(CHOICES["weight_map"])
