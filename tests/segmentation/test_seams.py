"""Seams: tiles against one tile around the whole image, which the test puts together by itself."""

import numpy as np
import pytest
from PIL import Image
from whole_image import probabilities, random_image, random_net, whole

import cunet
from cunet.errors import CunetError, DeviceError
from cunet.net.normalization import Normalization
from cunet.net.unet import UNet
from cunet.pictures.seams import amplified
from cunet.segmentation import seams as module
from cunet.segmentation import seams_part, tiling


@pytest.fixture(scope="module")
def found():
    net, image = random_net(3, dtype="float32"), random_image(90, 75)
    return net, image, cunet.seams(image, net, tile=108)


def by_hand(image, net, tile, step):
    """The image put together from tiles every `step` pixels, each computed alone."""
    lost, (height, width) = 44, image.shape
    padded = np.pad(image, ((lost, tile), (lost, tile)), mode="reflect")
    result = np.empty((height, width, 2))
    for top in range(0, height, step):
        for left in range(0, width, step):
            x = padded[top : top + tile, left : left + tile].astype(net.dtype)[None, ..., None]
            output = probabilities(net(x, remember=False))[0]
            rows, columns = min(step, height - top), min(step, width - left)
            result[top : top + rows, left : left + columns] = output[:rows, :columns]
    return result


def test_the_exact_stride_gives_the_whole_and_the_papers_does_not(found):
    net, image, result = found
    reference = whole(image, net)
    for way, step in ((result.exact, 16), (result.paper, 20)):
        difference = np.abs(by_hand(image, net, 108, step) - reference).max(axis=2)
        assert way.stride == step and way.tiles == (-(-90 // step), -(-75 // step))
        np.testing.assert_allclose(way.difference, difference, atol=1e-6)
        assert way.largest == way.difference.max() == way.difference[way.row, way.column]
        assert way.mean == pytest.approx(difference.mean(), abs=1e-6)
    assert result.exact.largest < 1e-5 and result.passed and result.limit == 1e-4
    assert result.paper.largest > 1e-2
    inner = result.paper.difference[:20, :20]  # the first tile is on the grid
    assert inner.max() < 1e-5


def test_jumps_across_edges(found):
    net, image, result = found
    tiled, reference = by_hand(image, net, 108, 20), whole(image, net)
    edges = result.paper.edges
    assert [(e.axis, e.at) for e in edges] == [
        *(("row", at) for at in (20, 40, 60, 80)), *(("column", at) for at in (20, 40, 60)),
    ]  # fmt: skip
    for edge in edges:
        for p, value in ((tiled, edge.jump), (reference, edge.whole)):
            p = p if edge.axis == "row" else p.swapaxes(0, 1)
            jump = np.mean([
                max(abs(p[edge.at, k] - p[edge.at - 1, k])) for k in range(p.shape[1])
            ])  # fmt: skip
            assert value == pytest.approx(jump, abs=1e-5)
    across = [
        max(abs(tiled[i, k] - tiled[i - 1, k])) for i in range(1, 90) if i % 20 for k in range(75)
    ]
    assert edges[0].usual == pytest.approx(np.mean(across), abs=1e-5)


def test_a_plan_that_leaves_the_grid_fails_the_check(found, monkeypatch):
    net, image, _ = found
    monkeypatch.setattr(tiling, "lattice", lambda depth: 1)  # "exact" then takes the paper's stride
    result = cunet.seams(image, net, tile=108)
    assert result.exact.stride == 20 and result.exact.largest > 1e-2 and not result.passed
    assert cunet.seams(image, net, tile=108, limit=1.0).passed


def test_a_tile_is_chosen_with_which_the_image_needs_several():
    net = random_net(3, width=1, dtype="float32")
    result = cunet.seams(random_image(60, 50), net)
    assert min(result.exact.tiles) >= 2 and "the largest with which 60 x 50" in result.notes[0]
    larger = result.tile + 8
    starts = [tiling.plan(side, 3, larger).starts[1:2] for side in (60, 50)]
    assert any(not s or s[0] / side > 0.75 for s, side in zip(starts, (60, 50), strict=True))
    again = cunet.seams(random_image(60, 50), net, tile=result.tile)
    assert "as asked" in again.notes[0] and again.exact.largest == result.exact.largest
    instead = cunet.seams(random_image(60, 50), net, tile=572 - 8)
    assert instead.tile == result.tile and "with tile 564 there would be one" in instead.notes[0]
    narrow = cunet.seams(random_image(60, 5), net)
    assert narrow.exact.tiles[0] >= 2 and narrow.exact.tiles[1] == 1
    with pytest.raises(CunetError, match="8 x 8 pixels.*nothing to compare"):
        cunet.seams(random_image(8, 8), net)


def test_same_padding_has_no_stride_of_the_paper():
    net = random_net(2, padding="same", dtype="float32")
    image = random_image(150, 70)
    result = cunet.seams(image, net)
    assert result.paper is None and "same padding" in result.no_paper
    assert result.passed and result.exact.tiles[0] >= 2 and result.exact.edges
    assert result.exact.largest < 1e-5


def test_on_two_levels_the_papers_stride_is_exact():
    result = cunet.seams(random_image(60, 50), random_net(2, dtype="float32"))
    assert result.paper is None and "multiple of 4 at depth 2" in result.no_paper and result.passed


def test_a_large_image_is_compared_in_its_middle(monkeypatch):
    monkeypatch.setattr(seams_part, "MAX_SIDE", 60)
    net, image = random_net(3, dtype="float32"), random_image(100, 50)
    net.normalization = Normalization((0.0,), (1.0,), (0.0,), (1.0,), per_image=True)
    result = cunet.seams(image, net, tile=108)
    assert (result.top, result.left, result.image.shape) == (20, 0, (60, 50, 1))
    assert "the middle 60 x 50 of 100 x 50 pixels" in result.notes[0]
    assert 20 <= result.paper.row < 80
    assert result.exact.edges[0].at == 20 + 16
    scaled = (image - image.mean()) / image.std()  # of all of the image, as segment does
    difference = by_hand(scaled[20:80], net, 108, 20) - whole(scaled[20:80], net)
    np.testing.assert_allclose(result.paper.difference, np.abs(difference).max(2), atol=1e-5)


def test_what_has_no_room_in_memory_is_cut_or_refused(monkeypatch):
    net, image = random_net(3, dtype="float32"), random_image(200, 200)
    task = module.cover_of.__globals__["task_of"](net, 188, 1, training=False)
    monkeypatch.setattr(seams_part, "room", lambda net: int(task.needed() / 0.8) + 1)
    result = cunet.seams(image, net)
    assert result.image.shape == (100, 100, 1) and result.passed
    monkeypatch.setattr(seams_part, "room", lambda net: 1000)
    with pytest.raises(DeviceError, match="out of memory.*needs about"):
        cunet.seams(image, net)


def test_a_network_that_scales_images_is_refused():
    with pytest.raises(CunetError, match="scales every image to 64 x 64.*one tile"):
        cunet.seams(random_image(90, 75), UNet(1, 1, resize=64))


def test_several_channels_and_classes():
    net = random_net(3, in_channels=3, classes=4, dtype="float32")
    image = np.random.default_rng(0).integers(0, 255, (60, 70, 3)).astype(np.uint8)
    net.normalization = Normalization((100.0,) * 3, (50.0,) * 3, (0.0,) * 3, (1.0,) * 3)
    result = cunet.seams(image, net)
    assert result.passed and result.paper.largest > 1e-3


def test_the_picture_and_the_document(found, tmp_path):
    result = found[2]
    result.save(tmp_path / "seams.png")
    with Image.open(tmp_path / "seams.png") as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height
    document = result.document()
    assert document["exact"]["largest"] == result.exact.largest and document["passed"] is True
    assert document["paper"]["edges"][0].keys() == {"axis", "at", "jump", "whole", "usual"}
    assert "difference" not in document["exact"]


@pytest.mark.parametrize(
    ("largest", "factor"), [(3e-7, 2e6), (0.04, 20), (0.28, 2), (0.9, 1), (0.0, 1), (1.0, 1)]
)
def test_differences_are_amplified_so_that_most_can_be_seen(largest, factor):
    assert amplified(np.full((9, 9), largest)) == pytest.approx(factor)
    spike = np.full((100, 100), largest)
    spike[5, 5] = 1
    assert amplified(spike) == pytest.approx(factor)


def test_rounding_of_large_logits_is_no_seam_and_tiles_off_the_grid_are_one(monkeypatch):
    image = np.random.default_rng(7).integers(0, 60_000, (120, 110)).astype(np.uint16)
    net = UNet(4, 3, dropout=0)  # its logits are thousands on such numbers
    net.head.w.value[...] /= 10
    found = cunet.seams(image, net)
    assert found.exact.largest > 1e-4 and found.passed
    assert found.float64 < 1e-6 * found.exact.largest and "in float64" in found.notes[-1]
    strict = cunet.seams(image, net, limit=1e-4)
    assert not strict.passed and strict.is_rounding and strict.limit == 1e-4
    monkeypatch.setattr(tiling, "lattice", lambda depth: 1)
    wrong = cunet.seams(image, net, tile=108)
    assert not wrong.passed and wrong.float64 > 0.1 * wrong.exact.largest


def test_a_limit_is_as_usual_where_nothing_is_above_it():
    image = np.random.default_rng(7).standard_normal((60, 70)).astype(np.float32)
    found = cunet.seams(image, UNet(2, 2, dropout=0))
    assert found.passed and found.limit == 1e-4 and found.float64 is None
