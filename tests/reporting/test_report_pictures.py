"""The pictures of a report: wrong pixels, merges and splits, where they are and how they look."""

import numpy as np
import pytest
from report_pages import picture_of

from cunet.reporting.examples import pictures
from cunet.reporting.pictures import (
    CUT,
    INVENTED,
    MERGED,
    MISSED,
    OUTLINE,
    Example,
    data_uri,
    error_picture,
    places,
    topology_errors,
    topology_picture,
)


def test_the_errors_are_coloured():
    truth, found = np.zeros((2, 12, 12), bool)
    truth[2:9, 2:9] = True
    found[2:9, 4:11] = True
    example = Example(
        "a", np.full((12, 12, 1), 7), truth.astype(np.uint8), truth, found * 0.9, 0.5
    )  # fmt: skip
    example.labels[0, 0] = 255
    picture = error_picture(example)
    assert picture[5, 4].tolist() == list(OUTLINE)
    assert picture[5, 2].tolist() == np.rint(0.7 * np.array(MISSED)).tolist()
    assert picture[5, 9].tolist() == np.rint(0.7 * np.array(INVENTED)).tolist()
    assert picture[0, 0].tolist() == picture[5, 6].tolist() == [0, 0, 0]


@pytest.fixture
def joined_and_cut():
    """Two cells that one pixel joins, (5, 20), and below a cell that one pixel cuts, (30, 20)."""
    truth = np.zeros((40, 41), bool)
    truth[2:12, 3:20] = truth[2:12, 21:38] = truth[30, 3:38] = True
    probability = np.where(truth, 0.9, 0.1).astype(np.float32)
    probability[5, 20], probability[30, 20] = 0.8, 0.2
    return probability, truth


def test_a_merge_and_a_split_are_where_they_were_made(joined_and_cut):
    probability, truth = joined_and_cut
    merges, splits = topology_errors(probability, truth, 0.5)
    assert np.argwhere(merges).tolist() == [[5, 20]] and np.argwhere(splits).tolist() == [[30, 20]]
    assert not np.any(topology_errors(probability, truth, 0.85)[0])
    image = np.full((40, 41, 1), 7)
    picture = topology_picture(image, merges, splits)
    for place, colour in (((5, 20), MERGED), ((30, 20), CUT)):
        distance = np.hypot(*(np.indices(truth.shape) - np.reshape(place, (2, 1, 1))))
        marked = (picture == colour).all(axis=2)
        assert np.array_equal(marked, (distance == 0) | ((distance > 1) & (distance <= 2)))
    assert not topology_picture(image, truth & False, truth & False).any()


def test_the_pictures_of_a_scored_slice(joined_and_cut):
    probability, truth = joined_and_cut
    example = Example(
        "a", np.full((40, 41, 1), 7), truth.astype(np.uint8), truth, probability, 0.5
    )  # fmt: skip
    shown = pictures(example, 2, {"warping_error": 0.5, "pixel_error": 0.8})
    captions = [caption for caption, _ in shown]
    assert captions[1] == "1 merge (1 pixel) and 1 split (1 pixel) at threshold 0.5"
    assert captions[6] == "probability above 0.8, best for the pixel error"
    assert np.array_equal(picture_of(shown[6][1]) == 255, probability.astype(np.float64) > 0.8)
    assert [caption for caption, _ in pictures(example, 2)] == [captions[0], *captions[2:6]]


def test_one_wrong_pixel_is_seen_in_a_large_image():
    merges = np.zeros((2000, 1500), bool)
    merges[1000, 700] = True
    uri = data_uri(topology_picture(np.zeros((2000, 1500, 1)), merges, merges & False))
    shown = picture_of(uri)
    assert shown.shape == (640, 480, 3)
    assert (shown == MERGED).all(axis=2).sum() > 20


def test_places_touch_at_corners():
    where = np.zeros((6, 6), bool)
    assert places(where, "merge") == "no merge"
    where[0, 0] = where[1, 1] = True
    assert places(where, "merge") == "1 merge (2 pixels)"
    where[4, 4] = True
    assert places(where, "merge") == "2 merges (3 pixels)"
