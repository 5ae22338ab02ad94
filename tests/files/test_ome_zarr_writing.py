"""Writing OME-Zarr: two validators and zarr are the judges."""

import os

import numpy as np
import ome_zarr_models
import pytest
import yaozarrs
import zarr
from inputs import noise

from cunet.errors import CunetError, DataError
from cunet.files import open_image, read_description
from cunet.files.calibration import Calibration
from cunet.files.ome_zarr import open_ome_zarr, output
from cunet.files.ome_zarr.output import (
    add_label,
    create,
    create_level,
    label_names,
    open_output,
    set_levels,
)
from cunet.files.ome_zarr.pyramid import halve, halved_shape

KNOWN = Calibration(1 / 4, 1 / 5, "nm", 50.0)
VERSIONS = ["0.4", "0.5"]


def check(path, labels=True):
    """Two validators read a group and, of its own, each label image."""
    places = [path] if (labels != "alone") else []
    places += [path / "labels" / name for name in label_names(path)]
    for place in places:
        yaozarrs.validate_zarr_store(str(place))
        found = ome_zarr_models.open_ome_zarr(zarr.open_group(str(place), mode="r"))
        kind = "Image" if place == path else "ImageLabel"
        assert type(found).__name__ == kind


def with_levels(path, count, data):
    """Writes an image and its label images, and the levels of all of them."""
    arrays = open_output(path)
    for name in [*label_names(path), *(["image"] if "image" in arrays else [])]:
        values = data[name]
        arrays[name][:] = values
        for level in range(1, count):
            values = halve(values, name != "image")
            create_level(path, name, level)[:] = values
        set_levels(path, name, count)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("axes", ["yx", "zyx", "czyx", "tczyx"])
@pytest.mark.parametrize("levels", [1, 3])
def test_an_image_its_label_images_and_their_levels(tmp_path, version, axes, levels):
    shape = [{"t": 2, "c": 3, "z": 4, "y": 70, "x": 90}[axis] for axis in axes]
    plain = [n for axis, n in zip(axes, shape, strict=True) if axis != "c"]
    path = tmp_path / "a.ome.zarr"
    chunk = [16 if axis in "yx" else 1 for axis in axes]
    shard = [32 if axis in "yx" else 2 for axis in axes]
    create(
        path, shape, axes, "uint8", KNOWN, chunk=chunk, shard=shard, version=version,
        labels={"mask": "uint8"}, name="probability", description="how it was made",
    )  # fmt: skip
    check(path)
    add_label(path, "labels", "uint32")
    data = {
        "image": noise(shape, "uint8"),
        "mask": noise(plain, "uint8") // 128,
        "labels": noise(plain, "uint32"),
    }
    with_levels(path, levels, data)
    check(path)
    assert label_names(path) == ["mask", "labels"]
    for name, values in data.items():
        folder = path if name == "image" else path / "labels" / name
        for level in range(levels):
            array = zarr.open_array(str(folder / str(level)), mode="r")
            assert array.metadata.zarr_format == (2 if version == "0.4" else 3)
            np.testing.assert_array_equal(array[...], values)
            with open_ome_zarr(folder, level=level) as found:
                assert found.levels == levels and found.label == (name != "image")
                assert found.name == ("probability" if name == "image" else name)
                per = 2**level
                assert found.calibration.xres == pytest.approx(1 / 4 / per)
                assert found.calibration.yres == pytest.approx(1 / 5 / per)
                assert found.calibration.unit == "nm"
                assert found.calibration.spacing == (50.0 if "z" in axes else None)
                moved = 0 if name != "image" else (per - 1) / 2
                assert found.translation == pytest.approx((0, 5 * moved, 4 * moved))
            values = halve(values, name != "image")
    assert read_description(path) == "how it was made"
    assert read_description(path / "labels" / "mask") == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_label_images_without_an_image(tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    create(path, (2, 40, 50), "zyx", None, KNOWN, version=version, labels={"mask": "uint8"})
    add_label(path, "labels", "uint32")
    data = {"mask": noise((2, 40, 50), "uint8"), "labels": noise((2, 40, 50), "uint32")}
    with_levels(path, 2, data)
    check(path, "alone")
    assert set(open_output(path)) == {"mask", "labels"}
    with open_image(path / "labels" / "labels") as found:
        np.testing.assert_array_equal(found.read(1)[..., 0], data["labels"][1])
    with pytest.raises(DataError, match="Give one of '.*/labels/mask', '.*/labels/labels'"):
        open_image(path)


def test_a_label_image_that_comes_later_has_as_many_levels_as_its_image(tmp_path):
    path = tmp_path / "a.ome.zarr"
    create(path, (3, 40, 50), "cyx", "float32", KNOWN)
    with_levels(path, 3, {"image": noise((3, 40, 50), "float32")})
    add_label(path, "mask", "uint8")
    check(path)
    with open_ome_zarr(path / "labels" / "mask", level=2) as found:
        assert (found.height, found.width, found.levels, found.axes) == (10, 13, 3, "YX")
        assert not found.read(0).any()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "known",
    [
        Calibration(4.0, 5.0, "um", 0.3, interval=30.0),
        Calibration(1 / 4, 1 / 4, "nm", 40.0),
        Calibration(100.0, 100.0, "mm"),
        Calibration(25.4, 25.4, "inch", 1.0),
        Calibration(2.0, 2.0, "", 3.0),
        Calibration(),
    ],
)
def test_sizes_of_pixels_are_carried_over(tmp_path, known, version):
    path = tmp_path / "a.ome.zarr"
    axes = "tzyx" if known.interval else "zyx" if known.spacing else "yx"
    moved = tuple(range(10, 10 + len(axes)))
    create(path, (3,) * len(axes), axes, "uint8", known, translation=moved, version=version)
    yaozarrs.validate_zarr_store(str(path))
    with open_image(path) as found:
        for name in ("xres", "yres", "spacing", "interval"):
            expected = getattr(known, name)
            value = getattr(found.calibration, name)
            assert value is expected is None or value == pytest.approx(expected)
        assert found.calibration.unit == known.unit
        assert found.translation == ((0.0, *moved) if axes == "yx" else moved[-3:])


def test_the_layout_of_files(tmp_path):
    create(tmp_path / "a", (4, 70, 90), "zyx", "uint8", chunk=(1, 16, 16), shard=(2, 32, 64))
    image = open_output(tmp_path / "a")["image"]
    assert (image.shape, image.chunk, image.file) == ((4, 70, 90), (1, 16, 16), (2, 32, 64))
    image[0:2, 0:32, 64:90] = noise((2, 32, 26), "uint8")
    files = [p.relative_to(tmp_path) for p in (tmp_path / "a" / "0" / "c").rglob("*")]
    assert [str(p) for p in files if (tmp_path / p).is_file()] == ["a/0/c/0/0/1"]
    create(
        tmp_path / "b",
        (4, 70, 90),
        "zyx",
        "uint8",
        chunk=(1, 16, 16),
        shard=(2, 32, 64),
        version="0.4",
    )
    assert open_output(tmp_path / "b")["image"].file == (1, 16, 16)
    create(tmp_path / "c", (4, 700, 90), "zyx", "uint8")
    found = zarr.open_array(str(tmp_path / "c" / "0"), mode="r")
    assert found.chunks == (1, 512, 512) and found.shards is None


@pytest.mark.parametrize("fails", ["create_array", "write_group", "rename"])
def test_a_group_appears_whole_or_not_at_all(tmp_path, monkeypatch, fails):
    def full(*arguments, **options):
        raise OSError(28, os.strerror(28))

    target = {"create_array": output, "write_group": output, "rename": os}[fails]
    monkeypatch.setattr(target, fails, full)
    with pytest.raises(CunetError, match="no room for '.*/a.ome.zarr'"):
        create(tmp_path / "a.ome.zarr", (40, 50), "yx", "uint8", labels={"mask": "uint8"})
    assert list(tmp_path.iterdir()) == []


def test_levels_that_are_there_are_kept_and_named_only_when_they_are(tmp_path):
    path = tmp_path / "a.ome.zarr"
    create(path, (40, 50), "yx", "uint8")
    with pytest.raises(CunetError, match="has no level 1: it must be made before it is named"):
        set_levels(path, "image", 2)
    values = noise((20, 25), "uint8")
    create_level(path, "image", 1)[:] = values
    check(path)
    with open_image(path) as found:
        assert found.levels == 1
    np.testing.assert_array_equal(create_level(path, "image", 1)[:], values)
    set_levels(path, "image", 2)
    set_levels(path, "image", 1)
    check(path)


WRONG = {
    "is there already": {"path": "there"},
    "expected one of 0.4, 0.5, found '0.3'": {"version": "0.3"},
    "expected axes from t, c, z, y, x in this order, found 'xyz'": {"axes": "xyz"},
    "found 'zy'": {"axes": "zy", "shape": (4, 5)},
    "shape: expected 3 whole numbers from 1, found ": {"shape": (4, 5)},
    r"shape: expected 3 whole numbers from 1, found \(4, 0, 5\)": {"shape": (4, 0, 5)},
    "chunk: expected 3 whole numbers": {"chunk": (4, 5)},
    "a shard is a whole number of chunks": {"chunk": (1, 2, 2), "shard": (1, 3, 2)},
    "label image 'mask': expected an integer dtype, found bool": {"labels": {"mask": "bool"}},
    "needs a name that a folder can have, not 'a/b'": {"labels": {"a/b": "uint8"}},
    "needs a name that a folder can have, not 'image'": {"labels": {"image": "uint8"}},
}


@pytest.mark.parametrize("said", WRONG)
def test_what_cannot_be_made(tmp_path, said):
    (tmp_path / "there").mkdir()
    options = {"path": "a", "shape": (4, 5, 6), "axes": "zyx", "dtype": "uint8"} | WRONG[said]
    options["path"] = tmp_path / options["path"]
    with pytest.raises(CunetError, match=said):
        create(**options)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_label_images_that_cannot_be_added(tmp_path):
    create(tmp_path / "a", (4, 5), "yx", "uint8", labels={"mask": "uint8"})
    with pytest.raises(CunetError, match="has a label image 'mask' already"):
        add_label(tmp_path / "a", "mask", "uint8")
    create(tmp_path / "b", (4, 5), "yx", None)
    with pytest.raises(DataError, match="holds neither an image nor a label image"):
        add_label(tmp_path / "b", "mask", "uint8")


@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (1, 1), (3, 5, 4), (2, 2, 3, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_half_the_resolution(shape, dtype):
    block = noise(shape, dtype)
    found, first = halve(block, False), halve(block, True)
    assert found.dtype == first.dtype == block.dtype
    assert found.shape == first.shape == halved_shape(shape)
    for place in np.ndindex(found.shape):
        *outer, row, column = place
        four = block[(*outer, slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))]
        rows = [four[0], four[-1]]  # what is over is taken twice
        mean = np.mean([[row[0], row[-1]] for row in rows], dtype=np.float64)
        expected = mean if dtype == "float32" else np.rint(mean)
        assert found[place] == pytest.approx(expected, rel=1e-6)
        assert first[place] == four[0, 0]


def test_blocks_at_even_places_are_halved_one_by_one():
    image = noise((2, 37, 50), "uint8")
    whole, parts = halve(image, False), np.zeros((2, 19, 25), "uint8")
    for y in range(0, 37, 16):
        for x in range(0, 50, 10):
            part = halve(image[:, y : y + 16, x : x + 10], False)
            parts[:, y // 2 : y // 2 + part.shape[1], x // 2 : x // 2 + part.shape[2]] = part
    np.testing.assert_array_equal(parts, whole)
