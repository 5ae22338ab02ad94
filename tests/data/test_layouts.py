"""Folders as people have them: which file is the image, which its labels."""

import numpy as np
import pytest
import tifffile
from label_images import discs
from PIL import Image

from cunet.data.load import load
from cunet.errors import CunetError, DataError

RNG = np.random.default_rng(0)
MASKS = {name: ((discs(6, i) > 0) * 255).astype("u1") for i, name in enumerate("abc")}
GREYS = {name: RNG.integers(0, 256, (64, 64)).astype("u1") for name in MASKS}


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".tif", ".tiff", ".lsm"):
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def made(folder, image, label):
    """Three pairs; image and label are patterns of names such as images/{}.tif."""
    for name in MASKS:
        write(folder / image.format(name), GREYS[name])
        write(folder / label.format(name), MASKS[name])
    return folder


def refused(error, *words):
    def check(folder, **options):
        with pytest.raises(error) as caught:
            load(folder, **options)
        for text in words:
            assert text in str(caught.value), str(caught.value)

    return check


LAYOUTS = [
    ("images/{}.tif", "labels/{}.tif"),
    ("images/{}.png", "masks/{}.png"),
    ("Images/{}.TIF", "Masks/{}.png"),
    ("imgs/{}.png", "masks/{}_mask.png"),
    ("images/{}.tif", "labels/{}_seg.tif"),
    ("{}.tif", "{}_mask.tif"),
    ("{}.png", "{}_masks.tif"),
    ("{}.tif", "{}_cp_masks.png"),
    ("{}.tif", "{}_labels.tif"),
    ("{}.bmp", "{}_seg.bmp"),
    ("{}.ome.tif", "{}_mask.ome.tif"),
    ("{}.tif", "{}_Mask.PNG"),
    ("images/{}.tif", "masks/{}_MASK.tif"),
    ("imagesTr/{}_0000.png", "labelsTr/{}.png"),
    ("imagesTr/{}.tif", "labelsTr/{}.tif"),
]


@pytest.mark.parametrize(("image", "label"), LAYOUTS, ids=[" ".join(pair) for pair in LAYOUTS])
def test_layouts_are_found_by_themselves(tmp_path, image, label):
    data = load(made(tmp_path / "data", image, label))
    assert data.kind == "folder" and data.slice_names == ("a", "b", "c")
    for name, x, y in zip(data.slice_names, data.images, data.labels, strict=True):
        np.testing.assert_array_equal(x[..., 0], GREYS[name])
        np.testing.assert_array_equal(y, MASKS[name] // 255)
    assert set(data.hashes) == {pattern.format(n) for n in MASKS for pattern in (image, label)}
    folders = image.partition("/")[0], label.partition("/")[0]
    said = any("with" in note or "side by side" in note for note in data.notes)
    assert said == (folders != ("images", "labels"))
    assert not any("not used" in note for note in data.notes)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG"])
def test_images_may_be_jpeg_and_labels_not(tmp_path, ending):
    folder = made(tmp_path, "images/{}" + ending, "labels/{}.png")
    data = load(folder)
    for name, x in zip(data.slice_names, data.images, strict=True):
        stored = np.asarray(Image.open(folder / f"images/{name}{ending}"))
        np.testing.assert_array_equal(x[..., 0], stored)
    (folder / "labels/b.png").unlink()
    Image.fromarray(MASKS["b"]).save(folder / f"labels/b{ending}")
    refused(DataError, f"b{ending}", "JPEG file, which changes the values of labels")(folder)


def test_channel_files_of_nnunet(tmp_path):
    for name in MASKS:
        for channel in range(2):
            write(tmp_path / f"imagesTr/{name}_{channel:04}.tif", GREYS[name] // (channel + 1))
        write(tmp_path / f"labelsTr/{name}.tif", MASKS[name])
    (tmp_path / "imagesTs").mkdir()
    data = load(tmp_path)
    np.testing.assert_array_equal(data.images[1], np.dstack([GREYS["b"], GREYS["b"] // 2]))
    assert any("2 channels an image" in note for note in data.notes) and len(data.hashes) == 9
    (tmp_path / "imagesTr/b_0001.tif").unlink()
    refused(DataError, "b_0000.tif", "1 channel", "others have 2")(tmp_path)
    write(tmp_path / "imagesTr/b_0002.tif", GREYS["b"])
    refused(DataError, "b_0002.tif", "channel 1 is missing")(tmp_path)
    (tmp_path / "imagesTr/b_0002.tif").unlink()
    write(tmp_path / "imagesTr/b_0001.tif", GREYS["b"][:9])
    refused(DataError, "b_0001.tif", "channels of one image but differ")(tmp_path)


def test_several_readings_are_named_with_the_option_for_each(tmp_path):
    folder = made(tmp_path, "images/{}.tif", "labels/{}.tif")
    for name in MASKS:
        write(folder / f"masks/{name}.tif", 255 - MASKS[name])
        write(folder / f"{name}.tif", GREYS[name])
        write(folder / f"{name}_seg.tif", MASKS[name][::-1])
    words = ("images/ with labels/: --dataset folder:labels", "--dataset folder:masks",
             "labels ending in _seg: --dataset folder:_seg")  # fmt: skip
    refused(CunetError, "several ways", *words)(folder)
    first = MASKS["a"] // 255
    for choice, expected in (("labels", first), ("masks", 1 - first), ("_seg", first[::-1])):
        data = load(folder, f"folder:{choice}")
        np.testing.assert_array_equal(data.labels[0], expected)
    refused(CunetError, "with labels in 'truth'")(folder, kind="folder:truth")
    refused(CunetError, "dataset: expected one of", "folder:LABELS", "isbi:labels")(
        folder, kind="isbi:labels"
    )


def test_a_folder_and_an_ending_of_one_s_own(tmp_path):
    made(tmp_path / "a", "images/{}.tif", "truth/{}.tif")
    made(tmp_path / "b", "{}.tif", "{}_gt.tif")
    made(tmp_path / "c", "images/{}.tif", "labels/{}_gt.tif")
    for folder in "abc":
        refused(CunetError, "expected")(tmp_path / folder) if folder < "c" else None
    for folder, choice in (("a", "truth"), ("b", "_gt")):
        data = load(tmp_path / folder, f"folder:{choice}")
        np.testing.assert_array_equal(data.labels[2], MASKS["c"] // 255)


def test_two_endings_of_labels_are_two_readings(tmp_path):
    folder = made(tmp_path, "{}.tif", "{}_mask.tif")
    write(folder / "a_cp_masks.tif", MASKS["a"])
    refused(CunetError, "folder:_mask", "folder:_cp_masks")(folder)
    assert load(folder, "folder:_mask").slice_names == ("a", "b", "c")
    assert any("a_cp_masks.tif" in note for note in load(folder, "folder:_mask").notes)


def test_pictures_that_cellpose_draws_are_no_images(tmp_path):
    folder = made(tmp_path, "{}.tif", "{}_cp_masks.tif")
    for name in MASKS:
        write(folder / f"{name}_cp_output.png", GREYS[name])
    assert load(folder).slice_names == ("a", "b", "c")


def test_images_are_not_their_own_labels(tmp_path):
    """Binary images would train a network that answers with its input."""
    made(tmp_path, "images/{}.tif", "labels/{}.tif")
    for name in MASKS:
        write(tmp_path / f"images/{name}.tif", MASKS[name])
    refused(CunetError, "with labels in 'images'")(tmp_path, kind="folder:images")


def test_two_spellings_of_an_ending_are_two_label_files(tmp_path):
    folder = made(tmp_path, "images/{}.tif", "masks/{}_mask.tif")
    write(folder / "masks/a_Mask.png", MASKS["a"])
    refused(DataError, "both labels of one image", "a_Mask.png")(folder)


def test_files_without_a_partner(tmp_path):
    folder = made(tmp_path, "{}.tif", "{}_mask.tif")
    write(folder / "d.tif", GREYS["a"])
    refused(DataError, "d.tif' has no labels", "d_mask.tif")(folder)
    (folder / "d.tif").unlink()
    (folder / "b.tif").unlink()
    refused(DataError, "b_mask.tif' has no image", "named b.tif")(folder)
    twice = made(tmp_path / "two", "images/{}.tif", "masks/{}.tif")
    write(twice / "masks/a_mask.tif", MASKS["a"])
    refused(DataError, "both labels of one image", "a_mask.tif")(twice)


def test_an_ending_in_the_name_of_an_image_is_its_own(tmp_path):
    for name in ("x_mask", "y_mask"):
        write(tmp_path / f"images/{name}.tif", GREYS["a"])
        write(tmp_path / f"labels/{name}.tif", MASKS["a"])
    assert load(tmp_path).slice_names == ("x_mask", "y_mask")


def test_what_cunet_segment_made_is_warned_of(tmp_path, run):
    folder = made(tmp_path / "data", "images/{}.tif", "labels/{}.tif")
    made(tmp_path / "side", "{}.tif", "{}_none.tif")
    for name in MASKS:
        (tmp_path / f"side/{name}_none.tif").unlink()
    options = "--width 2 --depth 1 --tile 34 --device cpu --steps 1 -q".split()
    assert run("train", "--data", folder, *options, "--out", tmp_path / "r")[0] == 0
    images = [tmp_path / f"side/{name}.tif" for name in MASKS]
    products = ["--products", "prob,mask,overlay"]
    done = run("segment", *images, "--model", tmp_path / "r", "--out", tmp_path / "side", *products)
    assert done[0] == 0
    for name in MASKS:  # both classes in each, whatever the net has found
        found = tifffile.imread(tmp_path / f"side/{name}_mask.tif")
        assert found.shape == (64, 64)
    code, _, err = run("train", "--data", tmp_path / "side", *options, "--dry-run")
    assert "warning: a_mask.tif, b_mask.tif, c_mask.tif: made by cunet segment" in err or (
        code == 3 and "one class only" in err
    )


def test_other_formats_are_named(tmp_path):
    folder = made(tmp_path, "images/{}.tif", "labels/{}.tif")
    (folder / "images/volume.nii.gz").write_bytes(b"\x1f\x8b")
    refused(DataError, "volume.nii.gz' is not TIFF, PNG, JPEG or BMP")(folder)
