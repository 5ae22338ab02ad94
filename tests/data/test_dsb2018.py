"""The Data Science Bowl's layout: what is read, what is reported about it, what is refused."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cunet.data import dsb2018
from cunet.data.load import load
from cunet.errors import CunetError, DataError
from cunet.threads import set_threads

BOXES = [(2, 3, 6, 9), (8, 10, 14, 20), (8, 20, 14, 28)]  # the last two touch


def picture(seed=0, height=20, width=30, mode="RGBA", grey=False):
    """An image as the files hold it; the alpha channel is not full, so that it shows."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 250, (height, width, 4)).astype(np.uint8)
    if grey:
        pixels[..., 1] = pixels[..., 2] = pixels[..., 0]
    return {"RGBA": pixels, "RGB": pixels[..., :3], "L": pixels[..., 0]}[mode]


def mask(box, height=20, width=30, value=255):
    page = np.zeros((height, width), np.uint8)
    page[box[0] : box[2], box[1] : box[3]] = value
    return page


def write(folder, name, image, masks):
    """One image of the layout; the masks are named m0.png, m1.png ... written backwards."""
    for part in ("images", "masks"):
        (folder / name / part).mkdir(parents=True)
    Image.fromarray(image).save(folder / name / "images" / f"{name}.png")
    for i, page in reversed(list(enumerate(masks))):
        Image.fromarray(page).save(folder / name / "masks" / f"m{i}.png")
    return folder / name


def training(folder):
    """Two images of different sizes, one grey and one stained."""
    write(folder, "b7", picture(1), [mask(box) for box in BOXES])
    write(folder, "a9", picture(2, 25, 16, grey=True), [mask((0, 0, 25, 8), 25, 16)])
    return folder


def test_images_nuclei_and_notes(tmp_path):
    data = load(training(tmp_path / "stage1_train"))
    assert (data.kind, data.name) == ("dsb2018", "stage1_train")
    assert data.slice_names == ("a9", "b7") and data.class_names == ("background", "nucleus")
    np.testing.assert_array_equal(data.images[0], picture(2, 25, 16, grey=True)[..., :3])
    np.testing.assert_array_equal(data.images[1], picture(1)[..., :3])
    cells = np.zeros((20, 30), int)
    for number, box in enumerate(BOXES, 1):
        cells[box[0] : box[2], box[1] : box[3]] = number
    np.testing.assert_array_equal(data.instances[1], cells)
    np.testing.assert_array_equal(data.labels[1], cells > 0)
    assert all(page.dtype == np.uint8 for page in (*data.images, *data.labels))
    notes = "\n".join(data.notes)
    for note in ("2 slices", "2 sizes", "20 x 30", "25 x 16", "1 images are grey, 1 coloured"):
        assert note in notes
    share = 100 * (25 * 8 + 24 + 60 + 48) / (25 * 16 + 20 * 30)
    assert f"4 nuclei, 1 to 3 in an image: {share:.1f} % of the pixels" in notes
    assert "several masks" not in notes


def test_the_folder_that_holds_stage1_train_serves_as_well(tmp_path):
    training(tmp_path / "stage1_train")
    (tmp_path / "stage1_test").mkdir()
    data = load(tmp_path)
    assert data.kind == "dsb2018" and data.slice_names == ("a9", "b7")


def test_a_hash_is_over_the_image_and_its_masks_by_name(tmp_path):
    data = load(training(tmp_path))
    assert set(data.hashes) == {"a9", "b7"}
    names = ("images/b7.png", "masks/m0.png", "masks/m1.png", "masks/m2.png")
    parts = b"".join((tmp_path / "b7" / name).read_bytes() for name in names)
    assert data.hashes["b7"] == hashlib.sha256(parts).hexdigest()
    Image.fromarray(mask((2, 3, 6, 8))).save(tmp_path / "b7" / "masks" / "m0.png")
    again = load(tmp_path)
    assert again.hashes["a9"] == data.hashes["a9"] and again.hashes["b7"] != data.hashes["b7"]


def test_grey_files_get_three_equal_channels(tmp_path):
    write(tmp_path, "grey", picture(3, mode="L"), [mask(BOXES[0])])
    write(tmp_path, "rgb", picture(4, mode="RGB"), [mask(BOXES[0])])
    data = load(tmp_path)
    np.testing.assert_array_equal(data.images[0], np.dstack([picture(3, mode="L")] * 3))
    np.testing.assert_array_equal(data.images[1], picture(4, mode="RGB"))
    assert any("1 images are grey, 1 coloured" in note for note in data.notes)


def test_of_overlapping_masks_the_last_by_name_has_the_pixels(tmp_path):
    write(tmp_path, "one", picture(), [mask((0, 0, 10, 10)), mask((5, 5, 15, 15), value=1)])
    data = load(tmp_path)
    assert np.all(data.instances[0][5:10, 5:10] == 2)
    assert (data.instances[0] == 1).sum() == 75 and (data.instances[0] == 2).sum() == 100
    assert any(note.startswith("one: 25 pixels lie in several masks") for note in data.notes)


def test_an_image_without_any_nucleus(tmp_path):
    write(training(tmp_path), "c0", picture(5), [])
    data = load(tmp_path)
    assert data.slice_names[2] == "c0" and not data.labels[2].any()
    assert any("0 to 3 in an image" in note for note in data.notes)


@pytest.mark.parametrize("count", [1, 3])
def test_threads_change_nothing(tmp_path, count, threads_as_before):
    for i in range(6):
        write(tmp_path, f"n{i}", picture(i), [mask(box) for box in BOXES[: 1 + i % 3]])
    data, filters = load(tmp_path), list(warnings.filters)
    set_threads(count)
    again = load(tmp_path)
    assert (again.notes, again.hashes) == (data.notes, data.hashes)
    assert warnings.filters == filters
    assert list(again.hashes) == [f"n{i}" for i in range(6)]
    for first, second in zip(
        (*data.images, *data.instances), (*again.images, *again.instances), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def refused(folder, kind, *words):
    with pytest.raises(kind) as caught:
        load(folder, "dsb2018")
    for text in words:
        assert text in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_test_set_is_refused(tmp_path):
    for name in ("c1", "c2"):
        (tmp_path / name / "images").mkdir(parents=True)
        Image.fromarray(picture()).save(tmp_path / name / "images" / f"{name}.png")
    assert dsb2018.matches(tmp_path)
    refused(tmp_path, CunetError, "has no masks", "expected the training set")


def test_missing_and_surplus_images_are_refused(tmp_path):
    os.remove(training(tmp_path / "a") / "b7" / "images" / "b7.png")
    refused(tmp_path / "a", CunetError, "b7/images/b7.png", "no file")
    folder = training(tmp_path / "b") / "b7" / "images"
    folder.joinpath("other.png").write_bytes(folder.joinpath("b7.png").read_bytes())
    refused(tmp_path / "b", DataError, "holds 2 images", "b7.png", "other.png")
    folder = training(tmp_path / "c") / "a9" / "images"
    folder.joinpath("a9.png").unlink()
    folder.rmdir()
    refused(tmp_path / "c", CunetError, "a9/images/a9.png")


def test_masks_that_do_not_fit_are_refused(tmp_path):
    path = write(tmp_path / "a", "one", picture(), [mask(BOXES[0]), mask(BOXES[0], 21, 30)])
    refused(tmp_path / "a", DataError, f"{path.name}/masks/m1.png", "21 x 30", "20 x 30")
    both = mask(BOXES[0]) // 255 + mask(BOXES[1])
    write(tmp_path / "b", "one", picture(), [both])
    refused(tmp_path / "b", DataError, "m0.png", "0 and 255")
    write(tmp_path / "c", "one", picture(), [picture(mode="RGB")])
    refused(tmp_path / "c", DataError, "m0.png", "3 channels")
    write(tmp_path / "d", "one", picture(), [])
    refused(tmp_path / "d", DataError, "one class only")


def resaved(path, suffix, **options):
    """The file in another format or spelling; the old one goes."""
    with Image.open(path) as image:
        array = np.asarray(image)
    path.unlink()
    new = path.with_suffix(suffix)
    if suffix.lower() == ".png":
        Image.fromarray(array).save(new, format="PNG")
    else:
        tifffile.imwrite(new, array, **options)
    return new


@pytest.mark.parametrize("suffix", [".PNG", ".tif", ".TIF", ".tiff", ".Png"])
def test_names_in_any_spelling(tmp_path, suffix):
    expected = load(training(tmp_path))
    resaved(tmp_path / "b7" / "masks" / "m0.png", suffix)
    resaved(tmp_path / "a9" / "images" / "a9.png", suffix)
    data = load(tmp_path)
    assert data.kind == "dsb2018" and data.slice_names == expected.slice_names
    for part in ("images", "labels", "instances"):
        for found, usual in zip(getattr(data, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(found, usual)
    assert any(note.endswith("that do not end in .png are read too: a9, b7") for note in data.notes)
    assert not any("do not end" in note for note in expected.notes)
    assert load(tmp_path / "a9").slice_names == ("a9",)


def test_an_image_without_masks_is_named(tmp_path):
    write(training(tmp_path), "c0", picture(5), [])
    assert "no mask at all, trained as background alone: c0" in load(tmp_path).notes
    Image.fromarray(mask(BOXES[0], value=0)).save(tmp_path / "c0" / "masks" / "none.png")
    notes = load(tmp_path).notes
    assert not any("no mask at all" in note for note in notes)
    assert "c0: 1 masks are empty" in notes


def test_what_lies_beside_the_masks(tmp_path):
    masks = training(tmp_path) / "b7" / "masks"
    for name in ("._m0.png", ".DS_Store", "Thumbs.db"):
        (masks / name).write_bytes(b"left behind")
    assert (
        load(tmp_path).notes == load(tmp_path).notes and len(dsb2018.mask_files(masks.parent)) == 3
    )
    (masks / "readme.txt").write_text("from a friend")
    assert "b7: masks/: not used: readme.txt" in load(tmp_path).notes
    (masks / "gone.png").symlink_to("nowhere.png")
    refused(tmp_path, CunetError, "no file", "masks/gone.png")
    (masks / "gone.png").unlink()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(masks / "m9.jpg")
    refused(tmp_path, DataError, "m9.jpg", "is a JPEG file, which changes the values of labels")
    (masks / "m9.jpg").unlink()
    (masks / "m9.gif").write_bytes(b"GIF89a")
    refused(tmp_path, DataError, "m9.gif", "is not TIFF, PNG, JPEG or BMP")


def test_masks_saved_in_colours_and_masks_coded_the_other_way_round(tmp_path):
    expected = load(training(tmp_path))
    path = tmp_path / "b7" / "masks" / "m1.png"
    grey = np.asarray(Image.open(path))
    Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])).save(path)
    data = load(tmp_path)
    np.testing.assert_array_equal(data.instances[1], expected.instances[1])
    assert any(note.startswith("b7: m1.png: alpha") and "equal" in note for note in data.notes)
    Image.fromarray(grey).save(path)
    inverted = resaved(path, ".tif", photometric="miniswhite")
    refused(tmp_path, DataError, f"masks '{inverted}'", "white-is-zero", "a9")
    tifffile.imwrite(inverted, np.stack([grey, grey]), photometric="minisblack")
    refused(tmp_path, DataError, "m1.tif' has 2 pages")


def test_one_file_with_all_nuclei_is_said(tmp_path):
    write(training(tmp_path), "d1", picture(5), [mask(BOXES[0]) + mask(BOXES[1])])
    (warning,) = [note for note in load(tmp_path).notes if note.startswith("warning")]
    assert "each mask is several pieces: d1." in warning


def test_other_layouts_are_not_taken_for_this_one(tmp_path):
    pairs = tmp_path / "first"
    for part in ("images", "labels"):
        (pairs / part).mkdir(parents=True)
        Image.fromarray(mask(BOXES[0])).save(pairs / part / "x.png")
    assert not dsb2018.matches(tmp_path) and not dsb2018.matches(pairs)
    assert load(pairs).kind == "folder"
    with pytest.raises(CunetError, match="<id>/images/<id>.png"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", CunetError, "stage1_train", "an empty folder")


def test_the_real_images():
    root = os.environ.get("CUNET_DATA")
    if not root:
        pytest.skip("CUNET_DATA is not set: no folder with real data")
    stage = Path(root) / "dsb2018" / "stage1_train"
    if not stage.is_dir():
        pytest.skip("no dsb2018/stage1_train below CUNET_DATA")
    folders = dsb2018.image_folders(stage.parent)
    assert len(folders) > 100 and dsb2018.matches(stage.parent) and dsb2018.matches(stage)
    small = next(p for p in folders.values() if len(dsb2018.mask_files(p)) == 20)
    data = load(small)
    (image,), (cells,), (labels,) = data.images, data.instances, data.labels
    assert data.slice_names == (small.name,) and image.shape[2] == 3 and image.dtype == np.uint8
    with Image.open(small / "images" / f"{small.name}.png") as file:
        np.testing.assert_array_equal(image, np.asarray(file)[..., :3])
    total = 0
    for number, path in enumerate(sorted((small / "masks").iterdir()), 1):
        with Image.open(path) as file:
            inside = np.asarray(file) > 0
        assert np.all(cells[inside] == number)
        total += inside.sum()
    assert number == 20 and total == (cells > 0).sum() == labels.sum()
