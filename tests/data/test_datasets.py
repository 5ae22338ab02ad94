"""Loading and checking data sets: every coding that is accepted, every mistake that is refused."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cunet.data.labels import IGNORE
from cunet.data.load import load
from cunet.errors import CunetError, DataError


def grey(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def halves(height=20, width=30, low=0, high=255, dtype=np.uint8):
    """A mask whose left third is low and the rest high."""
    mask = np.full((height, width), high, dtype)
    mask[:, : width // 3] = low
    return mask


def write(path, array):
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        colour = array.ndim > 2 and array.shape[-1] == 3
        tifffile.imwrite(path, array, photometric="rgb" if colour else "minisblack")


def pairs(folder, labels, images=None, suffix=".png"):
    """A folder data set of the given label arrays."""
    for i, label in enumerate(labels):
        image = grey(*label.shape[:2], seed=i) if images is None else images[i]
        write(folder / "images" / f"im{i}{suffix}", image)
        write(folder / "labels" / f"im{i}{suffix}", label)
    return folder


def isbi(folder, labels, volume=None):
    write(folder / "train-volume.tif", grey(*labels.shape) if volume is None else volume)
    write(folder / "train-labels.tif", labels)
    return folder


def refused(folder, *words):
    with pytest.raises(DataError) as caught:
        load(folder)
    for text in words:
        assert text in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "low,high,dtype",
    [(0, 255, "u1"), (0, 1, "u1"), (0, 1, "u2"), (0, 1, "f4"), (0, 255, "i8"), (0, 1, "bool")],
)
def test_masks_become_classes_0_and_1(tmp_path, low, high, dtype):
    mask = halves(low=low, high=high, dtype=dtype)
    data = load(isbi(tmp_path, np.stack([mask, mask[:, ::-1]])))
    assert data.kind == "isbi2012" and data.class_names == ("membrane", "cell")
    assert [x.shape for x in data.images] == [(20, 30, 1)] * 2
    np.testing.assert_array_equal(data.labels[0], halves(low=0, high=1))
    np.testing.assert_array_equal(data.labels[1], halves(low=0, high=1)[:, ::-1])
    assert all(page.dtype == np.uint8 for page in data.labels)
    assert any("66.7 % of the pixels are cell" in note for note in data.notes)
    assert data.instances is None and len(data.slice_names) == 2


def test_isbi_hashes_and_a_hint_at_inverted_labels(tmp_path):
    data = load(isbi(tmp_path, np.stack([halves(low=255, high=0)] * 2)))
    for name in ("train-volume.tif", "train-labels.tif"):
        assert data.hashes[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert any("inverted" in note for note in data.notes)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_class_ids_and_ignore(tmp_path, suffix):
    first = np.repeat(np.arange(3, dtype=np.uint8), 200).reshape(20, 30)
    second = first.copy()
    second[:, 0] = 255
    data = load(pairs(tmp_path, [first, second], suffix=suffix))
    assert data.kind == "folder" and len(data.class_names) == 3
    np.testing.assert_array_equal(data.labels[0], first)
    np.testing.assert_array_equal(data.labels[1] == IGNORE, second == 255)
    assert any("255 is ignore (1.7 %" in note for note in data.notes)
    assert set(data.hashes) == {f"{d}/im{i}{suffix}" for d in ("images", "labels") for i in (0, 1)}


def test_a_page_may_lack_classes_that_others_have(tmp_path):
    data = load(pairs(tmp_path, [halves(high=0), halves(high=2, low=1), halves(high=1)]))
    assert len(data.class_names) == 3
    assert data.labels[0].max() == 0


def test_pairs_of_several_pages_sizes_and_formats(tmp_path):
    write(tmp_path / "labels" / "a.png", halves())
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.ome.tif", grey(3, 20, 30), metadata={"axes": "ZYX"})
    refused(tmp_path, "a.png", "a.ome.tif", "1 against 3")
    os.remove(tmp_path / "labels" / "a.png")
    write(tmp_path / "labels" / "a.tif", np.stack([halves()] * 3))
    write(tmp_path / "images" / "b.png", grey(40, 25))
    write(tmp_path / "labels" / "b.tiff", halves(40, 25))
    (tmp_path / "labels" / "readme.txt").write_text("from the microscope")
    data = load(tmp_path)
    assert data.slice_names == ("a[0]", "a[1]", "a[2]", "b")
    assert data.images[3].shape == (40, 25, 1)
    assert any("readme.txt" in note for note in data.notes)
    np.testing.assert_array_equal(data.images[1][..., 0], grey(3, 20, 30)[1])


def test_colour_images_with_alpha_are_reported(tmp_path):
    rgba = grey(20, 30, 4)
    data = load(pairs(tmp_path, [halves()], [rgba]))
    np.testing.assert_array_equal(data.images[0], rgba[..., :3])
    assert any("alpha" in note for note in data.notes)


def test_labels_with_a_colour_table_are_its_indices(tmp_path):
    pairs(tmp_path, [halves(high=1)])
    table = Image.fromarray(halves(high=1))
    table.putpalette([0, 0, 0, 255, 0, 0])
    table.save(tmp_path / "labels" / "im0.png")
    np.testing.assert_array_equal(load(tmp_path).labels[0], halves(high=1))


def test_a_jpeg_made_mask_is_refused(tmp_path):
    yy, xx = np.mgrid[:64, :64]
    disc = (((yy - 32) ** 2 + (xx - 30) ** 2 < 300) * 255).astype(np.uint8)
    Image.fromarray(disc).save(tmp_path / "m.jpg", quality=70)
    lossy = np.asarray(Image.open(tmp_path / "m.jpg"))
    assert len(np.unique(lossy)) > 10
    pairs(tmp_path, [disc, lossy])
    refused(tmp_path, "im1.png", f"{len(np.unique(lossy))} values", "lossy")
    (tmp_path / "labels" / "im1.png").unlink()
    Image.fromarray(disc).save(tmp_path / "labels" / "im1.jpg")
    refused(tmp_path, "im1.jpg", "is a JPEG file, which changes the values of labels")


def test_an_interpolated_mask_is_refused(tmp_path):
    small = Image.fromarray(halves(17, 17)).resize((51, 51), Image.Resampling.BILINEAR)
    pairs(tmp_path, [np.asarray(small)])
    refused(tmp_path, "im0.png", "interpol")
    pairs(tmp_path, [np.where(halves() > 0, 0.25, 1).astype(np.float32)], suffix=".tif")
    os.remove(tmp_path / "images" / "im0.png")
    os.remove(tmp_path / "labels" / "im0.png")
    refused(tmp_path, "im0.tif", "0.25")


def test_wrong_values_are_refused_with_file_and_values(tmp_path):
    third = halves(high=1)
    third[3:9, 3:9] = 3
    cases = {
        "gap": ([halves(high=1), third], ["im1.png", "0, 1, 3", "no 2"]),
        "from two": ([halves(low=2, high=3)], ["im0.png", "2, 3", "no 0"]),
        "grey pair": ([halves(high=128)], ["im0.png", "0, 128"]),
        "one class": ([halves(high=0), halves(high=0)], ["im0.png", "one class", "is 0"]),
        "only 255": ([halves(low=255)], ["im0.png", "one class", "255"]),
        "mixed": ([halves(), halves(high=1)], ["im0.png", "0, 255", "im1.png", "0, 1"]),
        "rgb": ([np.stack([halves(), halves(), 0 * halves()], -1)], ["im0.png", "3 channels"]),
        "a photograph": ([grey(20, 30)], ["im0.png", "values (0, 1,"]),
    }
    for name, (labels, words) in cases.items():
        refused(pairs(tmp_path / name, labels), *words)


def test_cell_numbers_are_no_classes(tmp_path):
    numbers = np.repeat(np.arange(100, dtype=np.uint16), 6).reshape(20, 30)
    refused(pairs(tmp_path / "a", [numbers], suffix=".tif"), "im0.tif", "100 values", "instance")
    half = [numbers % 50, numbers % 50 + 40]
    refused(pairs(tmp_path / "b", half, suffix=".tif"), "im0.tif", "90 ids", "64 classes")
    below = numbers.astype(np.int16) - 1
    refused(pairs(tmp_path / "c", [below], suffix=".tif"), "im0.tif", "-1")


def test_pages_and_sizes_that_do_not_fit_are_refused(tmp_path):
    masks = np.stack([halves()] * 4)
    few = isbi(tmp_path / "a", masks[:3], grey(4, 20, 30))
    refused(few, "train-labels.tif", "3 against 4")
    refused(isbi(tmp_path / "b", masks, grey(4, 20, 31)), "train-labels.tif", "20 x 30", "20 x 31")
    three = np.stack([halves(low=1, high=2)] * 2)
    three[0, 0, 0] = 0
    refused(isbi(tmp_path / "c", three), "train-labels.tif", "3 classes")
    isbi(tmp_path / "d", masks)
    whole = (tmp_path / "d" / "train-labels.tif").read_bytes()
    for content, reason in [(b"", "empty"), (whole[: len(whole) // 2], "truncated")]:
        (tmp_path / "d" / "train-labels.tif").write_bytes(content)
        refused(tmp_path / "d", "train-labels.tif", reason)


def test_a_mark_for_no_data_is_named(tmp_path):
    two, images = [halves(), halves()], [grey(20, 30), grey(20, 30)]
    lost = images[1].astype(np.float32)
    lost[4:6, :10] = np.finfo("f4").min
    both = [images[0].astype(np.float32), lost]
    folder = pairs(tmp_path / "lowest", two, both, ".tif")
    refused(folder, "im1.tif", "-3.40282e+38", "20 pixels (rows 4 to 5)", "no data")
    far = [images[0].astype(np.int16), images[1].astype(np.int16)]
    assert not any(
        "warning" in note for note in load(pairs(tmp_path / "a", two, far, ".tif")).notes
    )
    far[1][4:6, :10] = -9999
    notes = load(pairs(tmp_path / "apart", two, far, ".tif")).notes
    (note,) = [note for note in notes if note.startswith("warning: ")]
    assert "im1.tif' holds -9999 in 20 pixels (rows 4 to 5), all others 0 to 199" in note


def test_images_must_agree_and_be_finite(tmp_path):
    two = [halves(), halves()]
    refused(pairs(tmp_path / "a", two, [grey(20, 30), grey(20, 30, 3)]), "im1.png", "3 channels")
    other = [grey(20, 30), grey(20, 30, dtype=np.uint16)]
    refused(pairs(tmp_path / "b", two, other), "im1.png", "uint16", "uint8")
    sick = np.ones((20, 30), np.float32)
    sick[2, 3] = np.nan
    refused(pairs(tmp_path / "c", [halves()], [sick], ".tif"), "im0.tif", "1 pixel", "NaN")


def test_grey_saved_as_colour_among_grey_images(tmp_path):
    images = [grey(20, 30), np.dstack([grey(20, 30, seed=1)] * 3)]
    data = load(pairs(tmp_path, [halves(), halves()], images))
    assert [image.shape for image in data.images] == [(20, 30, 1)] * 2
    np.testing.assert_array_equal(data.images[1][..., 0], grey(20, 30, seed=1))
    (note,) = [note for note in data.notes if "saved as colour" in note]
    assert "im1.png" in note and "im0.png" not in note
    colours = load(pairs(tmp_path / "all", [halves()], images[1:]))
    assert colours.images[0].shape == (20, 30, 3)


def test_folders_that_may_not_be_read(tmp_path, monkeypatch):
    """Whoever runs this may read everything, so the system's answer is given in its place."""
    pairs(tmp_path, [halves()])
    before = os.listdir

    def listdir(path):
        if Path(path).name == "labels":
            raise PermissionError(13, "Permission denied", str(path))
        return before(path)

    monkeypatch.setattr(os, "listdir", listdir)
    monkeypatch.setattr(os, "scandir", listdir)
    with pytest.raises(CunetError, match="labels' may not be read"):
        load(tmp_path, "folder")


def test_accents_that_a_system_takes_apart(tmp_path):
    """macOS stores "é" as "e" and an accent; the two names are the same to a reader."""
    pairs(tmp_path, [halves(), halves()])
    for part, name in (("images", "cafe\u0301"), ("labels", "caf\u00e9")):
        (tmp_path / part / "im1.png").rename(tmp_path / part / f"{name}.png")
    assert load(tmp_path).slice_names == ("caf\u00e9", "im0")


@pytest.mark.parametrize(
    "volume,labels",
    [("train-volume.TIF", "train-labels.tif"), ("Train-Volume.tiff", "TRAIN-LABELS.TIFF")],
)
def test_the_isbi_layout_in_any_spelling(tmp_path, volume, labels):
    from cunet.segmentation.next_command import segment_command

    usual = load(isbi(tmp_path / "a", np.stack([halves(), halves()[:, ::-1]])))
    folder = isbi(tmp_path / "b", np.stack([halves(), halves()[:, ::-1]]))
    (folder / "train-volume.tif").rename(folder / volume)
    (folder / "train-labels.tif").rename(folder / labels)
    data = load(folder)
    assert data.kind == "isbi2012" and set(data.hashes) == {volume, labels}
    assert sorted(data.hashes.values()) == sorted(usual.hashes.values())
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(usual.labels))
    assert str(folder / volume) in segment_command(str(folder), "r")


def test_partners_are_required(tmp_path):
    pairs(tmp_path, [halves(), halves()])
    os.remove(tmp_path / "labels" / "im1.png")
    refused(tmp_path, "im1.png", "no partner in labels/")
    write(tmp_path / "labels" / "im1.png", halves())
    write(tmp_path / "labels" / "im1.tif", halves())
    refused(tmp_path, "im1.tif", "im1.png", "same stem")


@pytest.mark.parametrize("suffix", [".TIF", ".Tiff", ".PNG"])
def test_endings_in_any_spelling(tmp_path, suffix):
    pairs(tmp_path, [halves(), halves()[:, ::-1]], suffix=suffix.lower())
    for path in [*tmp_path.glob("*/*")]:
        path.rename(path.with_suffix(suffix))
    assert load(tmp_path).slice_names == ("im0", "im1")


def test_links_to_nothing_are_not_left_out(tmp_path):
    pairs(tmp_path, [halves(), halves()])
    for part in ("images", "labels"):
        (tmp_path / part / "im1.png").unlink()
        (tmp_path / part / "im1.png").symlink_to("gone.png")
    with pytest.raises(CunetError, match="no file '.*images/im1.png'"):
        load(tmp_path)


def test_a_data_folder_that_is_none(run, tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    write(tmp_path / "scan.tif", grey(9, 9))
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped" / "train.zip").write_bytes(b"PK")
    for name, found in (
        ("circle", "nothing there. Check the path"),
        ("none", "nothing there"),
        ("scan.tif", "a file. Check the path"),
        ("zipped/train.zip", "a file. Unzip it"),
    ):
        code, _, err = run("train", "--data", tmp_path / name, "--dry-run")
        assert code == 2 and f"{name}': expected a folder, found {found}" in err
    code, _, err = run("train", "--data", tmp_path / "zipped", "--dry-run")
    assert code == 2 and "found train.zip. Unzip what is zipped" in err


def test_what_is_not_used_is_counted(tmp_path):
    pairs(tmp_path, [halves()])
    for i in range(8):
        (tmp_path / "labels" / f"note{i}.txt").write_text("")
    (tmp_path / "labels" / "._im0.png").write_bytes(b"left behind")
    (note,) = [note for note in load(tmp_path).notes if "not used" in note]
    assert note.endswith("note3.txt, note4.txt and 3 more") and "._" not in note


def test_a_folder_of_no_known_layout(tmp_path):
    with pytest.raises(CunetError, match="nothing there"):
        load(tmp_path / "none")
    write(tmp_path / "scan.tif", grey(9, 9))
    for kind in (None, "folder"):
        with pytest.raises(CunetError, match="scan.tif") as caught:
            load(tmp_path, kind)
        assert caught.value.exit_code == 2
        for part in ("train-volume.tif", "train-labels.tif", "images/", "labels/"):
            assert part in str(caught.value)
    write(tmp_path / "train-volume.tif", grey(2, 9, 9))
    with pytest.raises(CunetError, match="no file '.*train-labels.tif'"):
        load(tmp_path)
    with pytest.raises(CunetError, match="dataset: expected one of .*, found 'nifti'"):
        load(tmp_path, "nifti")


def real(name):
    root = os.environ.get("CUNET_DATA")
    if not root:
        pytest.skip("CUNET_DATA is not set: no folder with real data")
    if not (Path(root) / name).exists():
        pytest.skip(f"no {name} below CUNET_DATA")
    return Path(root) / name


def test_the_real_isbi_stack():
    folder = real("isbi2012")
    data = load(folder)
    assert len(data.images) == len(data.labels) == 30
    assert all(x.shape == (512, 512, 1) and x.dtype == np.uint8 for x in data.images)
    truth = tifffile.imread(folder / "train-labels.tif")
    np.testing.assert_array_equal(np.stack(data.labels), truth // 255)
    np.testing.assert_array_equal(
        np.stack(data.images)[..., 0], tifffile.imread(folder / "train-volume.tif")
    )
    share = [page.mean() for page in data.labels]
    assert 0.72 < min(share) and max(share) < 0.84


def test_a_real_lzw_image_is_read_by_rows():
    from cunet.files import open_image

    path = real("DIC-C2DH-HeLa") / "01" / "t000.tif"
    expected = tifffile.imread(path)
    with open_image(path) as image:
        assert image.streamed
        np.testing.assert_array_equal(image.read_rows(0, 100, 207)[..., 0], expected[100:207])
