"""The lessons from the gradient check to tensor cores say what is true."""

import functools
import inspect
from importlib import import_module

import numpy as np
import pytest
from lesson_parts import parts, trained
from scipy import interpolate, ndimage, signal

from cunet.errors import CheckError
from cunet.lessons import (
    batch_norm,
    elastic,
    learning,
    schemes,
    tensor_cores,
    tiling,
    weight_map,
)
from cunet.lessons.lesson import lesson
from cunet.lessons.markdown import markdown
from cunet.lessons.parts import Arrays, Block, Check, Heading, Lines, Picture, Table, Text
from cunet.lessons.text import text

NAMES = "gradcheck weight-map elastic tiling learning batch-norm winograd tensor-cores".split()


def of(kind, name, answer=False):
    return [part for part in parts(name, answer) if isinstance(part, kind)]


def arrays(name, answer=False):
    """All small arrays of a lesson by their names; the last one where a name comes twice."""
    return {key: a for part in of(Arrays, name, answer) for key, a in part.arrays.items()}


def words(name, answer=False):
    return "\n".join(part.text for part in of(Text, name, answer))


def failing(block):
    return [line.split()[0] for line in block.text.splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_has_a_formula_numbers_a_check_and_an_exercise_with_its_answer(name):
    kinds = {type(part).__name__ for part in parts(name)}
    assert {"Heading", "Text", "Formula", "Lines", "Check"} <= kinds
    assert kinds & {"Arrays", "Table"}
    assert parts(name)[-2] == Heading("Exercise")
    assert any("y hand" in part.text for part in parts(name) if hasattr(part, "text"))
    answered = parts(name, True)
    assert parts(name)[-1] in answered
    after = answered[answered.index(Heading("Answer")) + 1 :]
    assert {type(part) for part in after} & {Arrays, Table, Block}
    for shown in (parts(name), answered):
        assert text(shown) and "$$" in markdown(parts(name))


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_code_stand_in_the_source_as_they_are_shown(name):
    for part in of(Lines, name):
        module, _, path = part.of.partition(":")
        source = inspect.getsource(
            functools.reduce(getattr, path.split("."), import_module(module))
        )
        lines = [line.strip() for line in source.splitlines()]
        for code, _ in part.steps:
            assert code in lines, f"{part.of}: {code}"


def test_a_lesson_whose_check_fails_says_so(monkeypatch):
    right = batch_norm.batch_norm.backward

    def wrong(*given, **named):  # the way through v is forgotten
        dx, dgamma, dbeta = right(*given, **named)
        return dx + 0.1, dgamma, dbeta

    monkeypatch.setattr(batch_norm.batch_norm, "backward", wrong)
    with pytest.raises(CheckError, match="dx of backward and measured"):
        lesson("batch-norm").parts()


def test_gradcheck_finds_the_forgotten_skip_and_nothing_else():
    everything, wrong = of(Block, "gradcheck")
    layers = 2 * 3 + 3 * 2 + 1  # at depth 2: pairs down, up-convolution and pair up, head
    assert len(failing(everything)) == 2 * layers + 1
    # only what lies before a skip is wrong: not the bottom, not the way up
    before = [f"contract{i}.conv{j}" for i in (0, 1) for j in (1, 2)]
    assert failing(wrong) == [*(f"{c}.{a}" for c in before for a in ("filters", "biases")), "input"]
    assert "before contract1.conv2 is right" in words("gradcheck")


def test_gradcheck_tells_two_mistakes_of_one_function_apart():
    only, spread = of(Block, "gradcheck", True)
    assert failing(only) == ["expand1.up.filters", "expand0.up.filters"]
    everything = failing(of(Block, "gradcheck")[0])
    assert failing(spread) == [a for a in everything if not a.startswith(("expand0", "head"))]


def test_gradcheck_step_is_a_balance_of_two_errors():
    table = of(Table, "gradcheck")[0]
    double = [float(row[3]) for row in table.rows]
    assert table.rows[0][3] == "1e-02" and double[4] < 1e-9  # h^2, and the package's step
    assert double[-1] > 1e-6 and min(float(row[4]) for row in table.rows) > 1e-6
    kinks = arrays("gradcheck")
    np.testing.assert_allclose(kinks["measured,_h_=_1e-05"], [0, 0.5, 0.7, 1], atol=1e-9)
    np.testing.assert_allclose(kinks["h_=_2.5e-06"], [0, 0.5, 1, 1], atol=1e-9)


def test_weight_map_is_equation_2_by_distance_transforms():
    cells = weight_map.disks()
    labels, balance, weights = weight_map.weights_of(cells)
    d1, d2 = np.sort([ndimage.distance_transform_edt(cells != k) for k in (1, 2)], axis=0)
    count = np.bincount(labels.ravel())
    np.testing.assert_allclose(balance, labels.size / (2 * count))
    border = 10 * np.exp(-((d1 + d2) ** 2) / 50)
    expected = np.where(labels == 0, balance[0] + border, balance[1])
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(weight_map.by_definition(cells), expected, atol=1e-9)
    # the heaviest pixels are those of the gap; far away the class weight stands alone
    gap = (cells > 0) & (labels == 0)
    assert gap.sum() == 13 and weights[gap].min() > weights[~gap].max()
    picture = of(Picture, "weight-map")[0]
    np.testing.assert_allclose(picture.images["weights"], weights[6:43:2, 4:68:2])


def test_weight_map_by_hand_and_down_the_gap():
    w = arrays("weight-map")["w"]
    assert w[0, 2] == pytest.approx(0.75 + 10 * np.exp(-0.18), abs=1e-5) and w[0, 0] == 1.5
    rows = of(Table, "weight-map")[0].rows
    numbers = [float(row[3]) for row in rows]
    assert len(rows) > 5 and numbers == sorted(numbers, reverse=True)
    assert all(row[3] == row[4] for row in rows)
    gaps = {int(row[0]): float(row[1]) for row in of(Table, "weight-map", True)[0].rows}
    assert gaps[4] > 5 > gaps[5]


def test_elastic_basis_is_the_clamped_cubic_spline():
    for node, unit in enumerate(np.eye(3)):
        spline = interpolate.CubicSpline([0, 1, 2], unit, bc_type="clamped")
        np.testing.assert_allclose(elastic.BASIS[node], spline(np.arange(5) / 2), atol=1e-12)
    u = arrays("elastic")["u"]
    assert u.shape == (5, 5)
    shown = of(Arrays, "elastic")[1].arrays
    np.testing.assert_allclose(shown["u"], elastic.BASIS.T @ shown["V"] @ elastic.BASIS, atol=1e-5)


def test_elastic_fields_have_their_deviation_at_the_nodes_and_less_between():
    rms = arrays("elastic")["rms,_every_eighth_of_the_tile"]
    assert rms.shape == (9, 9)
    np.testing.assert_allclose(rms[::4, ::4], 10, rtol=0.05)
    assert (rms[2::4, 2::4] < 8).all() and rms.mean() < 9
    np.testing.assert_allclose(rms[2::4, 2::4], 10 * 626 / 1024, rtol=0.06)
    before, after = of(Picture, "elastic")[0].images.values()
    assert before.shape == after.shape == (36, 36) and 0.1 < (before != after).mean() < 0.6


def test_tiling_draws_the_grid_where_the_network_pools():
    whole, exact, paper = of(Block, "tiling")[0].text.splitlines()[2:]
    assert whole[14:] == exact[14:] and paper.split()[3:] != exact.split()[3:]
    first = [tiling.SHOWN[line[14:].index("|")] for line in (exact, paper)]
    assert first == [386, 390] and first[1] - first[0] == 388 % 16
    assert [tiling.block_of(395, start) for start in (384, 388)] == [(386, 401), (390, 405)]
    # the bottom of a tile has 32 pixels (Fig. 1), each the maximum of its own block
    for start in (0, 384, 388):
        assert len(tiling.lasts(start)) == 32
    assert "386 ... 401" in words("tiling") and "390 ... 405" in words("tiling")


def test_tiling_by_hand():
    pairs = [3, 3, 4, 4, 9, 9, 6, 6]
    shown = of(Arrays, "tiling")
    assert shown[0].arrays["whole"].tolist() == pairs
    assert shown[1].arrays["tile_at_2"].tolist() == pairs[2:]
    assert shown[2].arrays["tile_at_3"].tolist() == [5, 5, 9, 9]
    assert "4 3 2 1 0 1 2 3 4 3 2 1 0." in words("tiling")
    poolings = of(Table, "tiling")[0].rows
    assert [int(row[3]) for row in poolings] == [388 % p for p in (2, 4, 8, 16)]


def test_tiling_has_a_seam_with_the_papers_stride_alone():
    exact, paper = of(Table, "tiling")[1].rows
    assert (exact[1], paper[1]) == ("[0, 0]", "[0, 4]")
    assert max(float(v) for v in exact[2:]) < 1e-5
    assert float(paper[2]) < 1e-5 < 1e-2 < float(paper[3])
    difference = of(Picture, "tiling")[0].images["difference"]
    assert difference[:, :64].max() < 1e-5 < difference[:, 65:].mean()
    assert [row[-1] for row in of(Table, "tiling", True)[0].rows] == ["480", "532"]


def test_learning_learns_the_image_by_heart_and_others_less():
    losses = trained().losses
    assert 0.4 < losses[0] < 1.4 and losses[-1] < 0.15
    assert len(of(Block, "learning")[0].text.splitlines()) == 9
    for row in of(Table, "learning")[1].rows:
        assert float(row[1]) < float(row[2]) / 4
    own, *others = (float(row[-1]) for row in of(Table, "learning", True)[0].rows)
    assert own < 0.25 and all(own < other < 1 for other in others)


def test_learning_shows_adam_as_bias_corrected_means():
    w, found = 1.0, []
    for t in (1, 2, 3):  # weighted means of all gradients so far, in closed form
        g = np.array(learning.GRADIENTS[:t])
        means = []
        for beta, values in ((0.9, g), (0.999, g * g)):
            weights = beta ** np.arange(t)[::-1]
            means.append(weights @ values / weights.sum())
        w -= 0.1 * means[0] / means[1] ** 0.5
        found.append(f"{w:.5f}")
    rows = of(Table, "learning")[0].rows
    assert [f"{float(row[2]):.5f}" for row in rows] == found
    np.testing.assert_allclose(
        [float(row[3]) for row in rows], [float(v) for v in found], atol=2e-6
    )


def test_batch_norm_gradient_is_the_jacobian_written_out():
    x, sigma = np.array([1.0, 2.0, 4.0, 9.0]), np.sqrt(9.5)
    xhat = (x - 4) / sigma
    jacobian = 2 / sigma * (np.eye(4) - 1 / 4 - np.outer(xhat, xhat) / 4)
    found = arrays("batch-norm")
    for name in ("dx", "dx_measured"):
        np.testing.assert_allclose(found[name], jacobian[0], atol=2e-5)
    np.testing.assert_allclose(found["y"], 2 * xhat + 0.5, atol=1e-5)
    answered = arrays("batch-norm", True)
    np.testing.assert_allclose(answered["dx"], answered["dy"] @ jacobian, atol=2e-5)


def test_batch_norm_running_statistics_come_near_those_of_the_data():
    table = [[float(v) for v in row] for row in of(Table, "batch-norm")[0].rows]
    assert [row[0] for row in table] == [0, 1, 5, 20, 60]
    assert table[0][1:3] == [0, 1] and table[-1][3] < table[0][3] / 20
    assert table[-1][1:3] == pytest.approx([1, 4], abs=0.3)


def test_winograd_by_hand_is_lesson_conv():
    x = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]])
    w = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    found = arrays("winograd")
    np.testing.assert_allclose(found["y"], signal.correlate2d(x, w, "valid"))
    np.testing.assert_allclose(found["dw"], signal.correlate2d(x, [[1, 2], [0, -1]], "valid"))
    assert np.array_equal(found["M_=_U_*_V"], found["V_=_BT_d_B"] * found["U_=_G_g_G^T"])
    one = [part.arrays for part in of(Arrays, "winograd")][1]
    assert one["BT_d"].tolist() == [1, 2, -2, 1] and one["G_g"].tolist() == [1, 3, -1, 1]


@pytest.mark.parametrize("points", [(0.0, 1.0, -1.0), schemes.USUAL, schemes.LARGER], ids=len)
def test_winograd_of_any_points_is_the_convolution(points):
    rng = np.random.default_rng(3)
    tile = len(points) - 1
    x, w = rng.standard_normal((2 * tile + 2, tile + 2, 2)), rng.standard_normal((3, 3, 2, 1))
    expected = sum(signal.correlate2d(x[..., c], w[..., c, 0], "valid") for c in (0, 1))
    np.testing.assert_allclose(
        schemes.by_tiles(x, w, schemes.scheme(points))[..., 0], expected, atol=1e-11
    )


def test_winograd_counts_and_its_rounding():
    counts, rounding = of(Table, "winograd")
    assert [(int(row[2]), int(row[3])) for row in counts.rows] == [(6, 4), (36, 16), (144, 36)]
    single = {row[0]: float(row[1]) for row in rounding.rows}
    plain, small, usual, own = single.values()
    assert plain < small < own < usual < 1e-4
    assert max(float(row[2]) for row in rounding.rows) < 1e-13


def test_tensor_cores_matrix_and_tiles_are_the_convolution():
    x = np.arange(20.0).reshape(4, 5)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3)).reshape(6, 9)
    assert np.array_equal(tensor_cores.matrix(x), windows)
    x, w = tensor_cores.random_layer()
    y = tensor_cores.tiled(x, w, 128, 16, 32)[0, :, :, 7]
    expected = sum(signal.correlate2d(x[0, :, :, c], w[:, :, c, 7], "valid") for c in range(40))
    np.testing.assert_allclose(y, expected, atol=1e-11)


def test_tensor_cores_rounding_is_that_of_the_formats():
    a = np.random.default_rng(0).standard_normal(1000)
    np.testing.assert_array_equal(tensor_cores.rounded(a, "float16"), np.float16(a))
    bits = a.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000  # to the nearest, ties to even
    single = a.astype(np.float32).astype(float)
    np.testing.assert_array_equal(tensor_cores.rounded(single, "bfloat16"), bits.view(np.float32))
    table = {row[0]: row[1:] for row in of(Table, "tensor-cores")[0].rows}
    assert float(table["float16"][1]) == pytest.approx(float(np.float16(1 / 3)), abs=1e-7)
    tf32, bfloat16 = float(table["tf32"][2]), float(table["bfloat16"][2])
    assert 1e-5 < tf32 < 1e-3 < bfloat16 < 1e-2
    assert tensor_cores.scaled_product() == pytest.approx(1e-8, rel=1e-3)
    assert [float(row[-1]) for row in of(Table, "tensor-cores", True)[0].rows] == [8, 14.2, 64]


def test_every_check_of_these_lessons_has_some_room():
    for name in NAMES:
        for check in of(Check, name):
            assert check.error <= 0.6 * check.limit or check.limit == 0 == check.error, check
