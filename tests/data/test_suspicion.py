"""Labels that are not what they seem: masks in which 255 would be ignored."""

import numpy as np
import pytest
import tifffile
from label_images import discs
from scipy import ndimage

from cunet.data.load import load
from cunet.data.suspicion import ignoring, pieces, renumbered
from cunet.errors import DataError
from cunet.evaluation.objects import evaluate_objects

CELLS = [discs(n, seed) for seed, n in enumerate((7, 10, 5))]
MASKS = [((cells > 0) * 255).astype(np.uint8) for cells in CELLS]


def pairs(folder, labels):
    for i, page in enumerate(labels):
        for name, array in (("images", (page > 0).astype(np.uint8) * 90 + i), ("labels", page)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / name / f"im{i}.tif", array)
    return folder


def refused(folder, *words):
    with pytest.raises(DataError) as caught:
        load(folder)
    for text in words:
        assert text in str(caught.value), str(caught.value)


def warned(data):
    return [note for note in data.notes if note.startswith("warning: ")]


def stray(mask, count=3, value=1):
    changed = mask.copy()
    changed[0, :count] = value
    return changed


def test_pieces_are_8_connected_and_of_any_numbers():
    page = np.zeros((6, 7), np.int64)
    page[0, 0] = page[1, 1] = page[2, 2] = 5
    page[4, 0] = page[4, 2] = page[4, 4] = 2**40
    page[5, 6] = 255
    assert [*pieces(page)] == [1, 3] and [*pieces(page, ())][1:] == [1, 1, 3]
    assert [*pieces(np.where(page > 5, 9, page).astype(np.uint8))] == [1, 4]


@pytest.mark.parametrize("highest", [3, 250, 2**23, 2**30, 2**62])
def test_renumbering_is_that_of_numpy(highest):
    rng = np.random.default_rng(highest)
    page = rng.choice(rng.integers(-2 if highest == 250 else 0, highest, 9), (5, 8))
    numbers, place = renumbered(page)
    known, inverse = np.unique(page, return_inverse=True)
    np.testing.assert_array_equal(numbers, known)
    np.testing.assert_array_equal(place, inverse.reshape(page.shape))
    assert place.dtype == np.int32


# 255: a class, or ignore?


@pytest.mark.parametrize("which", [(0, 1, 2), (1,)])
def test_a_few_stray_pixels_do_not_make_255_ignore(tmp_path, which):
    pairs(tmp_path, [stray(m) if i in which else m for i, m in enumerate(MASKS)])
    share = f"{100 * (MASKS[which[0]] == 255).mean():.1f} %"
    words = [f"im{which[0]}.tif", share, "3 pixels", f"{3 * len(which)} in all, on"]
    refused(tmp_path, *words, "mask of 0 and 255", "--labels classes")
    data = load(tmp_path, meaning="classes")
    assert [(page == 255).sum() for page in data.labels] == [(m == 255).sum() for m in MASKS]


def test_stray_pixels_of_two_values(tmp_path):
    page = stray(stray(MASKS[0], 4, 2), 2)
    refused(pairs(tmp_path, [page, MASKS[1]]), "im0.tif", "4 pixels have a class above 0")


def test_one_mask_with_stray_pixels_among_class_ids(tmp_path):
    data = load(pairs(tmp_path, [stray(MASKS[0]), MASKS[1] // 255, MASKS[2] // 255]))
    (warning,) = warned(data)
    assert "im0.tif" in warning and "3 pixels" in warning and "mask of 0 and 255" in warning


def test_masks_beside_a_page_with_ignored_pixels(tmp_path):
    brush = stray(MASKS[0], 60)
    (warning,) = warned(load(pairs(tmp_path, [brush, *MASKS[1:]])))
    assert "im1.tif" in warning and "im2.tif" in warning and "im0.tif" not in warning


def test_real_ignored_pixels_pass(tmp_path):
    labels = []
    for cells in CELLS:
        rim = ndimage.binary_dilation(cells > 0, iterations=2) & (cells == 0)
        labels.append(np.where(rim, 255, cells > 0).astype(np.uint8))
    few = np.random.default_rng(0).random(CELLS[0].shape) < 0.02  # drawn at a few pixels only
    labels.append(np.where(few, CELLS[0] > 0, 255).astype(np.uint8))
    data = load(pairs(tmp_path, labels))
    assert not warned(data) and len(data.class_names) == 2
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(labels))


def test_255_for_ignore_among_numbered_objects():
    cells = CELLS[0].astype(np.uint8)
    framed, corner, above = cells.copy(), cells.copy(), cells.astype(np.uint16)
    framed[:2] = framed[-2:] = above[:2] = above[-2:] = 255
    corner[:3, :3] = 255
    assert ignoring([cells, framed]) == [1] and ignoring([cells]) == []
    assert ignoring([corner]) == []  # one piece, perhaps an object
    assert ignoring([MASKS[0]]) == []  # a mask
    assert ignoring([framed, np.full((4, 4), 254, np.uint8)]) == []  # counted up to it
    assert ignoring([above, np.full((4, 4), 300, np.uint16)]) == []


def test_ignored_pixels_in_a_truth_of_objects_are_warned_of():
    """A training ignores them; scores of objects count one more."""
    cells = CELLS[0].astype(np.uint8)
    framed = cells.copy()
    framed[:2] = framed[-2:] = 255
    with pytest.warns(UserWarning, match="255 is several pieces.*counts as an object here"):
        evaluate_objects([cells], [framed])
    evaluate_objects([framed], [cells])  # no warning: an error in the tests
