"""From a mask to objects: what is one, in which order, and where clumps are cut."""

import numpy as np
import pytest
from scipy import ndimage

from cunet.errors import CunetError
from cunet.pictures.colours import CLASSES, class_colours, object_colours
from cunet.pictures.outlines import outline
from cunet.segmentation.clumps import convexity, heights
from cunet.segmentation.how import numbers
from cunet.segmentation.instances import METHODS, Instances
from cunet.segmentation.objects import find
from cunet.threads import set_threads


def drawn(*rows):
    """A mask from rows of text; # is an object's pixel."""
    return np.array([[c == "#" for c in row] for row in rows])


def discs(*centres, radius=20.0, shape=(120, 200)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for v, u in centres:
        mask |= (y - v) ** 2 + (x - u) ** 2 <= radius**2
    return mask


def by_flooding(mask, connectivity):
    """The components by a walk from pixel to pixel, numbered as their first pixels come."""
    reach = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if connectivity == 8 or abs(y + x) == 1]
    found, count = np.zeros(mask.shape, int), 0
    for first in map(tuple, np.argwhere(mask)):
        if found[first]:
            continue
        count += 1
        found[first], stack = count, [first]
        while stack:
            y, x = stack.pop()
            for dy, dx in reach:
                v, u = y + dy, x + dx
                inside = 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1]
                if inside and mask[v, u] and not found[v, u]:
                    found[v, u] = count
                    stack.append((v, u))
    return found


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
def test_components_are_numbered_as_a_walk_over_the_pixels_finds_them(connectivity, share):
    mask = np.random.default_rng(1).random((50, 61)) < share
    found = find(mask, Instances(connectivity=connectivity))
    assert found.dtype == np.int32 and found.max() > 2
    assert np.array_equal(found, by_flooding(mask, connectivity))


def test_the_defaults_are_the_4_connected_components_of_each_class():
    classes = np.random.default_rng(2).integers(0, 4, (40, 50)).astype(np.uint8)
    expected, count = np.zeros(classes.shape, int), 0
    for k in (1, 2, 3):
        part = by_flooding(classes == k, 4)
        expected += np.where(part > 0, part + count, 0)
        count += part.max()
    assert np.array_equal(numbers(classes, Instances())[0], expected)


def test_objects_are_counted_by_area_exactly():
    mask = drawn(
        "##..###..",
        "##..###..",
        "......#..",
        "#........",
    )
    areas = {n: np.bincount(find(mask, Instances(min_area=n)).ravel())[1:].tolist() for n in (4, 5)}
    assert areas == {4: [4, 7], 5: [7]}
    for least in (0, 1):
        assert find(mask, Instances(min_area=least)).max() == 3
    assert find(mask, Instances(min_area=7)).max() == 1
    assert not find(mask, Instances(min_area=8)).any()
    assert find(mask, Instances(min_area=7))[0, 4] == 1  # numbered anew


def test_objects_without_a_pixel_inside_the_border_are_dropped():
    mask = drawn(
        "#.......",
        "........",
        ".#....##",
        "........",
        "..#...#.",
        "..##....",
        ".......#",
    )
    # of 7 x 8 pixels a border of 2 leaves rows 2 to 4 and columns 2 to 5
    assert find(mask, Instances(border=1)).max() == 4  # the corners go
    found = find(mask, Instances(border=2))
    assert np.array_equal(np.argwhere(found == 1), [(4, 2), (5, 2), (5, 3)]) and found.max() == 1
    assert find(mask, Instances(border=0)).max() == 6


def test_a_border_that_leaves_nothing_is_refused():
    assert find(np.ones((9, 20), bool), Instances(border=4)).all()
    with pytest.raises(CunetError, match="9 x 20 pixels, of which a border of 5 .* at most 4"):
        find(np.ones((9, 20), bool), Instances(border=5))


def test_holes_are_filled_by_object():
    mask = drawn(
        "#####..#..",
        "#...#.#.#.",
        "#.#.#..#..",
        "#...#.....",
        "#####...##",
        "........#.",
        "...#####.#",  # open to the border of the image
    )
    plain = find(mask, Instances(fill_holes=False))
    assert np.array_equal(plain > 0, mask)
    filled = find(mask, Instances(fill_holes=True))
    assert (filled[:5, :5] == 1).all()  # with what lay in the hole
    assert not filled[1, 7]  # four objects enclose it together, none alone
    assert not filled[5, 9]
    assert np.array_equal(filled[:, 5:] > 0, mask[:, 5:])
    by_corners = find(mask, Instances(fill_holes=True, connectivity=8))
    assert by_corners[1, 7] and by_corners[1, 7] == by_corners[0, 7]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_filling_equals_filling_one_object_after_the_other(connectivity):
    for seed in range(20):
        mask = np.random.default_rng(seed).random((24, 24)) < 0.5
        expected = mask.copy()
        parts = by_flooding(mask, connectivity)
        for n in range(1, parts.max() + 1):
            outside = by_flooding(np.pad(parts != n, 1, constant_values=True), 4)
            expected |= (outside != outside[0, 0])[1:-1, 1:-1]
        found = find(mask, Instances(connectivity=connectivity, fill_holes=True))
        assert np.array_equal(found, by_flooding(expected, connectivity))


def test_holes_filled_of_one_class_leave_the_objects_of_another():
    classes = np.zeros((9, 9), np.uint8)
    classes[1:8, 1:8] = 1
    classes[2:7, 2:7] = 0
    classes[4, 4] = 2
    found = numbers(classes, Instances(fill_holes=True))[0]
    assert found[4, 4] == 2 and found[3, 3] == 1 and (found == 1).sum() == 48
    classes[classes > 0] = 3 - classes[classes > 0]
    found = numbers(classes, Instances(fill_holes=True))[0]
    assert found[4, 4] == 1 and found[3, 3] == 2 and (found == 2).sum() == 48


# Clumps


@pytest.mark.parametrize("method", ["watershed", "kmeans"])
@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize(
    "centres",
    [
        [(60, 60)],
        [(60, 60), (60, 99)],
        [(50, 60), (78, 86)],
        [(60, 40), (60, 79), (60, 118)],
        [(40, 60), (40, 99), (73, 80)],
    ],
    ids=["one", "two", "two aslant", "three in a row", "three in a triangle"],
)
def test_discs_that_touch_come_apart_at_the_neck(method, connectivity, centres):
    mask = discs(*centres)
    assert find(mask, Instances(connectivity=connectivity)).max() == 1
    found = find(mask, Instances(method, connectivity))
    assert found.max() == len(centres) and np.array_equal(found > 0, mask)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    nearest = np.argmin([(y - v) ** 2 + (x - u) ** 2 for v, u in centres], axis=0)
    for i, (v, u) in enumerate(centres):
        whole = mask & (nearest == i)
        assert (whole & (found == found[v, u])).sum() > 0.97 * (
            whole | (found == found[v, u])
        ).sum()


def test_a_small_disc_is_cut_off_a_large_one_at_the_neck():
    large, small = discs((60, 60), radius=30), discs((60, 98), radius=10)
    found = find(large | small, Instances("watershed"))
    assert found.max() == 2
    assert ((found == found[60, 98]) & small).sum() > 0.9 * small.sum()
    assert ((found == found[60, 60]) & large).sum() > 0.98 * large.sum()


def shape(name):
    y, x = np.mgrid[:160, :200]
    if name == "disc":
        return (y - 80) ** 2 + (x - 100) ** 2 <= 70**2
    if name == "ellipse":
        return ((y - 80) / 20) ** 2 + ((x - 100) / 80) ** 2 <= 1
    if name == "rod aslant":
        return (np.abs((y - 80) - 0.37 * (x - 100)) < 6) & (np.abs(x - 100) < 85)
    if name == "line":
        return y == x
    if name == "rectangle":
        return (np.abs(y - 80) < 30) & (np.abs(x - 100) < 70)
    assert name == "ring"  # of even width: bent, not convex
    return np.abs(np.hypot(y - 80, x - 100) - 50) < 6


CONVEX_SHAPES = ["disc", "ellipse", "rod aslant", "rectangle"]


@pytest.mark.parametrize("name", [*CONVEX_SHAPES, "ring"])
@pytest.mark.parametrize("outline", ["smooth", "rough"])
def test_a_single_object_is_not_shattered(name, outline):
    mask = shape(name)
    if outline == "rough":  # a pixel of the outline more or less
        noise = np.random.default_rng(3).random(mask.shape) < 0.5
        mask |= ndimage.binary_dilation(mask) & noise
        mask = ndimage.binary_opening(mask)
    assert by_flooding(mask, 4).max() == 1
    assert find(mask, Instances("watershed")).max() == 1
    if name in CONVEX_SHAPES and outline == "smooth":
        assert find(mask, Instances("kmeans")).max() == 1


def test_small_and_thin_masks_go_through_every_method():
    for method in METHODS:
        for connectivity in (4, 8):
            how = Instances(method, connectivity, fill_holes=True)
            assert not find(np.zeros((7, 9), bool), how).any()
            assert (find(np.ones((7, 9), bool), how) == 1).all()
            assert find(np.ones((1, 1), bool), how).tolist() == [[1]]
            assert (find(np.ones((1, 70), bool), how) == 1).all()
        assert find(shape("line"), Instances(method, 8)).max() == 1
        assert find(shape("line"), Instances(method, 4)).max() == 160
        assert (find(np.ones((130, 140), bool), Instances(method)) == 1).all()


@pytest.mark.parametrize("method", ["watershed", "kmeans"])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_pieces_are_connected_and_lie_in_one_component(method, connectivity):
    noise = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((150, 160)), 3)
    mask = noise > 0
    found = find(mask, Instances(method, connectivity))
    whole = by_flooding(mask, connectivity)
    assert np.array_equal(found > 0, mask) and found.max() > whole.max() > 10
    first = [np.argmax(found.ravel() == n) for n in range(1, found.max() + 1)]
    assert first == sorted(first)  # numbered as their first pixels come
    for n in range(1, found.max() + 1):
        assert by_flooding(found == n, connectivity).max() == 1
        assert len(np.unique(whole[found == n])) == 1


@pytest.mark.parametrize("method", ["watershed", "kmeans"])
def test_the_result_is_the_same_on_every_call_and_for_any_number_of_threads(method):
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((150, 160)), 4)
    first = find(noise > 0, Instances(method))
    try:
        for threads in (1, 3):
            set_threads(threads)
            np.random.default_rng(threads).random(7)
            assert np.array_equal(find(noise > 0, Instances(method)), first)
    finally:
        set_threads(1)


def test_pieces_are_sifted_after_the_cut():
    mask = discs((60, 60), radius=30) | discs((60, 98), radius=10)
    area = np.bincount(find(mask, Instances("watershed")).ravel())[1:]
    least = int(area.min())
    assert find(mask, Instances("watershed", min_area=least)).max() == 2
    found = find(mask, Instances("watershed", min_area=least + 1))
    assert found.max() == 1 and (found > 0).sum() == area.max()
    assert find(mask, Instances(min_area=least + 1)).astype(bool).sum() == mask.sum()


def test_heights_are_distances_to_what_is_no_object_or_lies_beyond_the_image():
    tall = heights(np.ones((41, 61), np.int32))
    assert tall[20, 5] == 8 * 6 and tall[37, 30] == 8 * 4
    assert 8 * 20 < tall[20, 30] < 8 * 21  # the ridge is smoothed
    assert (heights(np.eye(5, dtype=np.int32)) > 0).sum() == 5


def test_convexity_of_known_shapes():
    square = np.argwhere(np.ones((7, 9)))
    corner = np.argwhere(np.triu(np.ones((10, 10))))
    assert convexity(square) == convexity(corner) == 1
    assert convexity(np.argwhere(np.eye(9))) == 1  # in one line
    frame = np.ones((7, 9))
    frame[1:-1, 1:-1] = 0
    assert convexity(np.argwhere(frame)) == pytest.approx(28 / 63)


# Settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "voronoi"}, "instances.*components.*voronoi"),
        ({"connectivity": 6}, "connectivity: expected 4 or 8, found 6"),
        ({"min_area": -1}, "min_area: .* from 0 up, found -1"),
        ({"min_area": 2.5}, "min_area: .* found 2.5"),
        ({"border": True}, "border: .* found True"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(CunetError, match=words):
        Instances(**settings)


def test_find_takes_masks_only():
    for wrong in (np.zeros((3, 3), np.uint8), np.zeros((2, 3, 3), bool)):
        with pytest.raises(ValueError, match="mask"):
            find(wrong)


# The authors' own for PhC-C2DH-U373, from the scripts of their 2015 release: components of more
# than 500 pixels with a pixel in the field of interest, which ends 50 pixels from the border.
AUTHORS_U373 = Instances(connectivity=8, min_area=501, border=50)


def test_the_authors_settings_keep_more_than_500_pixels():
    for last, kept in ((558, 0), (559, 1)):
        mask = np.zeros((520, 696), bool)
        mask[60, 60:last] = mask[61:63, last] = True  # 498 or 499, and 2 across a corner
        assert mask.sum() == 500 + kept
        assert find(mask, AUTHORS_U373).max() == kept
    outside = np.zeros((520, 696), bool)
    outside[:50, :] = True
    assert not find(outside, AUTHORS_U373).any()
    outside[50, 50] = True
    assert find(outside, AUTHORS_U373).max() == 1


def test_text_says_what_differs_from_the_defaults():
    assert Instances().text() == Instances(min_area=1).text() == ""
    how = Instances("watershed", 8, 20, True, 5)
    assert how.text() == "watershed, connectivity 8, min area 20, holes filled, border 5"


# Colours


def test_objects_have_bright_colours_that_differ_from_their_neighbours():
    table = object_colours(1000)
    assert table.shape == (1001, 3) and table.dtype == np.uint8
    assert not table[0].any() and (table[1:].max(axis=1) >= 210).all()
    step = np.abs(np.diff(table[1:].astype(int), axis=0)).max(axis=1)
    assert step.min() > 90
    assert len(np.unique(table[1:201], axis=0)) == 200
    assert np.array_equal(object_colours(3), table[:4]) and object_colours(0).tolist() == [[0] * 3]


def test_classes_have_the_palettes_colours():
    table = class_colours(9)
    assert not table[0].any() and [tuple(c) for c in table[1:7].tolist()] == CLASSES
    assert table[7].tolist() == list(CLASSES[0])


def test_outlines_part_objects_that_touch():
    numbered = np.array([[1, 1, 1, 2, 2, 2]] * 5)
    assert np.array_equal(outline(numbered), np.array([[0, 0, 1, 1, 0, 0]] * 5, bool))


def test_kmeans_takes_thin_objects_of_any_place():
    mask = np.zeros((3000, 3000), bool)
    mask[2999], mask[:, 2999] = True, True  # in rows and columns that a grid would miss
    found = find(mask, Instances(method="kmeans"))
    assert np.array_equal(found > 0, mask)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("apart", [24, 30, 36])
def test_two_discs_are_cut_where_their_neck_is_narrower_than_asked(connectivity, apart):
    y, x = np.mgrid[:61, :121]
    radius = 20.25
    discs = [(y - 30) ** 2 + (x - centre) ** 2 <= radius**2 for centre in (35, 35 + apart)]
    half = np.sqrt(radius**2 - (apart / 2) ** 2) / radius  # of the chord that both discs share
    for neck, count in ((half - 0.1, 1), (half + 0.1, 2), (0, 1)):
        how = Instances("watershed", connectivity, neck=float(neck))
        assert find(discs[0] | discs[1], how).max() == count, (half, neck)


def test_a_neck_that_is_not_given_is_nine_tenths():
    noise = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((150, 160)), 3) > 0
    usual = find(noise, Instances("watershed"))
    assert np.array_equal(usual, find(noise, Instances("watershed", neck=0.9)))
    counts = [find(noise, Instances("watershed", neck=n)).max() for n in (0.0, 0.5, 0.9)]
    assert counts[0] == find(noise).max() < counts[1] < counts[2] == usual.max()


@pytest.mark.parametrize(
    ("method", "neck", "words"),
    [
        ("watershed", 1.1, "neck: expected a number from 0 to 1, found 1.1"),
        ("watershed", float("nan"), "neck: expected a number from 0 to 1"),
        ("components", 0.9, "neck 0.9: the way to objects is components"),
        ("kmeans", 0.5, "give instances watershed"),
    ],
)
def test_a_neck_that_says_nothing_is_refused(method, neck, words):
    with pytest.raises(CunetError, match=words):
        Instances(method, neck=neck)
