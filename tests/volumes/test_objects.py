"""Objects found block by block are those of the whole mask, array for array."""

import os
from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from cunet.errors import CunetError, DataError
from cunet.segmentation.how import numbers
from cunet.segmentation.instances import Instances
from cunet.volumes.join import join
from cunet.volumes.objects import Block, Scan, check_by_blocks, relabel, scan

BLOCKS = [(2, 16, 16), (3, 13, 22), (5, 1, 64), (4, 64, 1), (1, 40, 9), (9, 99, 99)]
WAYS = list(product((4, 8), (False, True)))


def cut(whole, size):
    """The blocks of a volume of this shape, by their index in the grid."""
    blocks = {}
    for index in product(*(range(-(-n // b)) for n, b in zip(whole, size, strict=True))):
        start = tuple(i * b for i, b in zip(index, size, strict=True))
        shape = tuple(min(b, n - a) for a, b, n in zip(start, size, whole, strict=True))
        blocks[index] = Block(start, shape, whole)
    return blocks


def by_blocks(mask, size, connectivity=4, volume=False, min_area=0):
    """The objects of a mask, and the counts of all sections; in slabs within sections."""
    found, counts = np.full(mask.shape, 77, np.uint32), []
    blocks = cut(mask.shape, size)
    for _, together in groupby(blocks, lambda index: None if volume else index[0]):
        slab = list(together)
        windows = {i: mask[blocks[i].window(volume)] for i in slab}
        scans = {i: scan(windows[i], blocks[i], connectivity, volume) for i in slab}
        joined = join(scans, min_area)
        counts += joined.counts.sum(1).tolist()
        for i in slab:
            own = tuple(
                slice(a, a + n) for a, n in zip(blocks[i].start, blocks[i].shape, strict=True)
            )
            found[own] = relabel(windows[i], blocks[i], joined.numbers[i], connectivity, volume)
    return found, counts


def of_the_whole(mask, connectivity=4, volume=False, min_area=0):
    """The same by scikit-image, from a mask of one class."""
    if not volume:
        pages = [of_the_whole(page, connectivity, True, min_area) for page in mask]
        return np.stack([p for p, _ in pages]), [n for _, (n,) in pages]
    found = label(mask, connectivity=1 if connectivity == 4 else mask.ndim)
    small = np.flatnonzero(np.bincount(found.ravel()) < min_area)
    found[np.isin(found, small)] = 0
    found = relabel_sequential(found)[0]
    return found, [int(found.max())]


def check(mask, size, connectivity, volume, min_area=0):
    found, counts = by_blocks(mask, size, connectivity, volume, min_area)
    expected, expected_counts = of_the_whole(mask, connectivity, volume, min_area)
    assert found.dtype == np.uint32 and np.array_equal(found, expected)
    assert counts == expected_counts


def noise(share, shape=(5, 34, 47), seed=1):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("size", BLOCKS)
@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.31, 0.5, 0.6])
def test_noise(share, connectivity, volume, size):
    """Around these shares objects grow to the size of the volume: of every form and length."""
    check(noise(share), size, connectivity, volume)


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 1, 1), (2, 3, 1), (3, 2, 5)])
@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
def test_blocks_of_a_few_voxels(connectivity, volume, size):
    for seed in range(4):
        check(noise(0.35, (4, 7, 9), seed), size, connectivity, volume)


@pytest.mark.parametrize("size", BLOCKS[:3])
@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
@pytest.mark.parametrize("min_area", [1, 2, 7, 50, 10**6])
def test_small_objects_are_dropped_by_their_whole_area(min_area, connectivity, volume, size):
    check(noise(0.3), size, connectivity, volume, min_area)


def spiral(side=45):
    """One line that winds from the corner to the middle."""
    page = np.zeros((side, side), bool)
    y, x, (dy, dx) = 0, -1, (0, 1)
    lengths = [side] + [n for n in range(side - 1, 0, -2) for _ in (0, 1)]
    for length in lengths:
        for _ in range(length):
            y, x = y + dy, x + dx
            page[y, x] = True
        dy, dx = dx, -dy
    return page


def comb(shape=(40, 50)):
    """Teeth that only the last row joins: to the first row they are many objects."""
    page = np.zeros(shape, bool)
    page[:, ::2] = True
    page[-1] = True
    return page


def shapes():
    z, y, x = np.mgrid[:5, :37, :50]
    rising = np.zeros((5, 45, 45), bool)
    rising[0], rising[2], rising[4] = spiral(), spiral().T, spiral()
    rising[1, 22, 22] = rising[3, 0, 0] = True
    yield "a spiral through sections", rising
    yield "combs", np.stack([comb(), comb()[::-1], comb()[:, ::-1]])
    yield "a comb in z", np.stack([comb((50, 7)) for _ in range(3)], axis=1)
    yield "boards of corners", (y + x) % 2 == 0
    yield "boards of corners in depth", (z + y + x) % 2 == 0
    yield "voxels that touch by no corner", (z % 2 + y % 2 + x % 2) == 0
    yield "diagonals", (y + x) % 8 == 0
    yield "diagonals the other way", (y - x) % 8 == 0
    yield "diagonals through sections", (z + y - x) % 6 == 0
    yield "planes on the edges of blocks", (y % 16 == 15) | (x % 16 == 0) | (z % 2 == 1)
    yield "nothing", np.zeros((5, 37, 50), bool)
    yield "everything", np.ones((5, 37, 50), bool)
    yield "one voxel", np.ones((1, 1, 1), bool)


SHAPES = dict(shapes())


@pytest.mark.parametrize("size", BLOCKS[:4])
@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_cross_blocks(name, connectivity, volume, size):
    check(SHAPES[name], size, connectivity, volume)


def test_the_shapes_are_what_their_names_say():
    assert spiral().sum() > 800 and label(spiral(), connectivity=1).max() == 1
    assert label(comb()[:-1], connectivity=2).max() == 25 and label(comb()).max() == 1


@pytest.mark.parametrize("size", BLOCKS[:3])
@pytest.mark.parametrize("min_area", [0, 4])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_several_classes_on_sections_are_numbered_as_a_page_is(connectivity, min_area, size):
    classes = np.random.default_rng(3).integers(0, 4, (5, 41, 63)).astype(np.uint8)
    classes[1][classes[1] == 3] = 0
    classes[2] = np.where(classes[2] == 1, 0, classes[2])
    found, counts = by_blocks(classes, size, connectivity, False, min_area)
    how = Instances(connectivity=connectivity, min_area=min_area)
    for page, labels, count in zip(classes, found, counts, strict=True):
        expected, ends = numbers(page, how)
        assert np.array_equal(labels, expected) and count == ends[-1]


@pytest.mark.parametrize("size", BLOCKS[:3])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_several_classes_in_a_volume_are_numbered_class_by_class(connectivity, size):
    classes = np.random.default_rng(4).integers(0, 4, (5, 41, 63)).astype(np.uint8)
    expected, total = np.zeros(classes.shape, int), 0
    for k in (1, 2, 3):
        part, (count,) = of_the_whole(classes == k, connectivity, True)
        expected += np.where(part > 0, part + total, 0)
        total += count
    found, counts = by_blocks(classes, size, connectivity, True)
    assert np.array_equal(found, expected) and counts == [total]


def scanned(mask, size, connectivity=4, volume=False):
    blocks = cut(mask.shape, size)
    return {i: scan(mask[b.window(volume)], b, connectivity, volume) for i, b in blocks.items()}


def test_objects_are_counted_by_section_and_class():
    classes = np.zeros((3, 4, 8), np.uint8)
    classes[0, 0, 1:7], classes[0, 2, ::2], classes[2, 1, 1] = 1, 2, 2
    assert join(scanned(classes, (3, 2, 3))).counts.tolist() == [[1, 4], [0, 0], [0, 1]]
    assert join(scanned(classes, (3, 2, 3), volume=True)).counts.tolist() == [[1, 5]]


def test_several_slabs_at_a_time_are_numbered_as_one_at_a_time():
    mask = noise(0.4)
    every = scanned(mask, (2, 16, 16))
    together = join(every)
    for z in range(3):
        alone = join({i: s for i, s in every.items() if i[0] == z})
        for i in alone.numbers:
            assert np.array_equal(alone.numbers[i], together.numbers[i])
        assert np.array_equal(alone.counts, together.counts[2 * z : 2 * z + 2])


class OnDisk(dict):
    """Scans in files, read when they are asked for."""

    def __init__(self, paths):
        super().__init__(paths)
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return Scan.load(super().__getitem__(index))


@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
def test_scans_on_disk_join_like_those_in_memory_and_are_read_once(connectivity, volume, tmp_path):
    scans = scanned(noise(0.3), (2, 16, 30), connectivity, volume)
    for index, one in scans.items():
        one.save(tmp_path / f"{index}.npz")
    stored = OnDisk({index: tmp_path / f"{index}.npz" for index in scans})
    joined, expected = join(stored), join(scans)
    assert stored.read == sorted(scans) and joined.numbers.keys() == expected.numbers.keys()
    assert all(np.array_equal(joined.numbers[i], expected.numbers[i]) for i in scans)
    assert all(n.dtype == np.uint32 for n in joined.numbers.values())
    assert np.array_equal(joined.counts, expected.counts)


def test_a_scan_keeps_only_faces_that_touch_blocks_in_small_numbers():
    scans = scanned(noise(0.3), (2, 16, 16))
    assert scans[0, 0, 0].near == {} and sorted(scans[0, 0, 0].far) == [1, 2]
    assert sorted(scans[1, 1, 1].near) == [1, 2] and scans[2, 2, 2].far == {}
    few, many = noise(0.01, (1, 40, 40)), np.ones((1, 40, 80), np.uint8)
    many[:, ::2], many[:, :, ::2] = 0, 0
    assert scanned(few, (1, 40, 20))[0, 0, 0].far[2].dtype == np.uint8
    assert scanned(many, (1, 40, 60))[0, 0, 0].far[2].dtype == np.uint16


def test_a_missing_block_is_named():
    scans = scanned(noise(0.3), (2, 16, 16), volume=True)
    with pytest.raises(CunetError, match="every block"):
        join({})
    for index in scans:
        with pytest.raises(CunetError, match="missing; scan it first"):
            join({i: s for i, s in scans.items() if i != index})
    with pytest.raises(CunetError, match=r"block \(2, 2, 2\) is missing"):
        join({i: s for i, s in scans.items() if i != (2, 2, 2)})


def test_a_mask_that_changes_between_two_steps_is_noticed():
    mask = noise(0.3)
    scans, joined = scanned(mask, (2, 16, 16)), join(scanned(mask, (2, 16, 16)))
    block = scans[0, 1, 1].block
    window = np.zeros_like(mask[block.window(False)])
    window[:, 5, 5] = True
    scans[0, 1, 1] = scan(window, block)
    with pytest.raises(DataError, match="different masks"):
        join(scans)
    with pytest.raises(DataError, match="scan and join again"):
        relabel(window, block, joined.numbers[0, 1, 1], 4, False)


def test_a_window_of_another_size_or_type_is_refused():
    block = cut((2, 40, 40), (1, 20, 20))[0, 0, 1]
    assert block.window(False) == (slice(0, 1), slice(0, 21), slice(20, 40))
    assert block.window(True) == (slice(0, 2), slice(0, 21), slice(20, 40))
    for wrong in (np.zeros((1, 20, 20), bool), np.zeros((1, 21, 20), np.int32)):
        with pytest.raises(ValueError, match=r"expected a mask \(1, 21, 20\) bool or uint8"):
            scan(wrong, block)


def test_a_damaged_scan_is_named(tmp_path):
    path = tmp_path / "scan.npz"
    with pytest.raises(CunetError, match="scan.npz"):
        Scan.load(path)
    scanned(noise(0.3), (2, 16, 16))[0, 0, 0].save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", some=np.zeros(3))
    other = (tmp_path / "other.npz").read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", b"text", whole[:-40], whole[:middle] + b"####" + whole[middle:], other):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="scan.npz' is damaged .*scan its block again"):
            Scan.load(path)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (Instances("watershed"), "instances watershed"),
        (Instances("kmeans", border=3), "instances kmeans and border 3"),
        (Instances(fill_holes=True), "fill_holes"),
    ],
)
def test_what_needs_the_whole_page_is_refused(how, named):
    with pytest.raises(CunetError, match=f"^{named}: .*whole page.*cunet objects"):
        check_by_blocks(how)
    check_by_blocks(Instances(connectivity=8, min_area=20))


@pytest.mark.skipif("CUNET_DATA" not in os.environ, reason="CUNET_DATA is not set")
@pytest.mark.parametrize(("connectivity", "volume"), WAYS)
def test_cells_of_real_tissue(connectivity, volume):
    path = Path(os.environ["CUNET_DATA"]) / "isbi2012" / "train-labels.tif"
    mask = tifffile.imread(path)[:7] > 0
    check(mask, (3, 150, 200), connectivity, volume, min_area=20)
