"""Which images are segmented, and what their products are called."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cunet.errors import CunetError
from cunet.segmentation.inputs import (
    find_images,
    frame_number,
    parse_instances,
    parse_products,
    probabilities_of,
    target_paths,
)
from cunet.segmentation.instances import Instances


@pytest.fixture
def folder(tmp_path):
    """Two images, one of two pages, and products of one of them."""
    page = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
    for name, pages in (("a.tif", page), ("b.tif", np.stack([page, page])), ("a_mask.tif", page)):
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_of_folders_and_patterns_without_their_products(folder):
    images = [folder / "a.tif", folder / "b.tif"]
    assert find_images([str(folder)]) == find_images([f"{folder}/*"]) == images
    assert find_images([str(folder / "a_mask.tif")]) == [folder / "a_mask.tif"]
    for arguments, words in (
        ([f"{folder}/*.png"], "no image found there"),
        ([str(folder / "c.tif")], "no file"),
        ([str(folder / "a.tif"), str(folder / "x" / "a.tif")], "no file"),
    ):
        with pytest.raises(CunetError, match=words):
            find_images(arguments)


def test_a_folder_of_folders_is_answered_with_the_one_that_holds_images(folder):
    data = folder / "data"
    for name in ("empty", "images", "extra"):
        (data / name).mkdir(parents=True)
    with pytest.raises(CunetError, match="no image found there .*; check the name"):
        find_images([str(data)])
    for name in ("extra", "images"):  # images/ is named first, whatever the alphabet says
        (data / name / "a.tif").write_bytes((folder / "a.tif").read_bytes())
        words = re.escape(f"there are some in '{data / name}'")
        with pytest.raises(CunetError, match=words):
            find_images([str(data)])


def test_products_and_objects_as_the_options_have_them():
    assert parse_products("prob, mask,prob") == ["prob", "mask"]
    with pytest.raises(CunetError, match="--products: expected one of prob, .* found 'masks'"):
        parse_products("prob,masks")
    given = {"instances": "watershed", "connectivity": "8", "min_area": 5, "border": None}
    assert parse_instances(["labels"], given) == Instances("watershed", 8, 5)
    assert parse_instances(["prob"], dict.fromkeys(given)) == Instances()
    with pytest.raises(CunetError, match="--min-area makes objects"):
        parse_instances(["prob", "mask"], {"min_area": 5})


def test_names_of_products():
    file, frame = Path("x/a.tif"), Path("x/t007.tif")
    targets = target_paths(file, "out", ["prob", "overlay"], 3)
    assert targets == {"prob": Path("out/a_prob.tif"), "overlay": Path("out/a_overlay.png")}
    assert target_paths(frame, "out", ["ctc"], 2) == {"ctc": Path("out/mask007.tif")}
    assert target_paths(file, "m.png", ["mask"], 1) == {"mask": Path("m.png")}
    for arguments, words in (
        ((file, "m.tif", ["mask"], 2), "one image and one product .found 2 and 1"),
        ((file, "m.tif", ["overlay"], 1), "an overlay is a PNG"),
        ((frame, "m.tif", ["ctc"], 1), "ctc names its files itself, here mask007.tif"),
    ):
        with pytest.raises(CunetError, match=words):
            target_paths(*arguments)
    with pytest.raises(CunetError, match="frames named t000.tif"):
        frame_number(file)


def test_an_existing_name_is_no_pattern(tmp_path):
    names = ["img [1].tif", "img 1.tif", "vol[0].tif"]
    for number, name in enumerate(names):
        tifffile.imwrite(tmp_path / name, np.full((9, 9), number, np.uint8))
    for name in names:
        assert find_images([str(tmp_path / name)]) == [tmp_path / name]
    assert find_images([f"{tmp_path}/img [[]*.tif"]) == [tmp_path / "img [1].tif"]


def test_what_systems_leave_behind_is_no_image(tmp_path):
    page = np.zeros((9, 9), np.uint8)
    for name in ("a.tif", "B.TIF"):
        tifffile.imwrite(tmp_path / name, page)
    for name in ("._a.tif", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "export.tif").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert find_images([str(tmp_path)]) == [tmp_path / "B.TIF", tmp_path / "a.tif"]
    assert find_images([f"{tmp_path}/*"]) == [tmp_path / "B.TIF", tmp_path / "a.tif"]


def test_a_product_needs_a_name_that_file_systems_take():
    file = Path("x" * 240 + ".tif")
    assert target_paths(file, "out", ["prob"], 1)["prob"].name == "x" * 240 + "_prob.tif"
    with pytest.raises(CunetError, match="name of 258 bytes, file systems take 255"):
        target_paths(Path("x" * 246 + ".tif"), "out", ["overlay"], 1)
    with pytest.raises(CunetError, match="name of 259 bytes"):
        target_paths(Path("é" * 125 + ".tif"), "out", ["prob"], 1)


def product(path, text="cunet segment x.tif, image 0123456789abcdef, pages all"):
    tifffile.imwrite(path, np.zeros((9, 9), np.uint8), description=text, metadata=None)
    return path


def test_products_of_images_elsewhere_are_no_images(folder):
    """Known by name and description: neither alone is enough."""
    for name in ("x_prob.tif", "x_labels.tif", "mask007.tif", "y_overlay_0003.tif"):
        product(folder / name)
    for name in ("x_table.csv", "x_rois.zip"):
        (folder / name).write_bytes(b"no image")
    other = product(folder / "z_prob.tif", "made by somebody else")
    named = product(folder / "z.tif")
    images = [folder / "a.tif", folder / "b.tif", named]
    assert find_images([str(folder)]) == find_images([f"{folder}/*"]) == images
    named.unlink()
    assert find_images([str(folder)]) == [*images[:2], other]
    assert find_images([str(folder / "x_prob.tif")]) == [folder / "x_prob.tif"]
    with pytest.raises(CunetError, match="no image found there"):
        find_images([f"{folder}/x_*.tif"])


def test_a_shell_that_replaces_patterns_names_products_too(folder):
    made = product(folder / "b_prob.tif")
    names = ["a.tif", "a_mask.tif", "b.tif", "b_prob.tif"]
    assert [p.name for p in find_images([str(folder / n) for n in names])] == names[:3]
    for name in ("t001.tif", "mask001.tif"):
        made = product(folder / name)
    assert find_images([str(folder / "t001.tif"), str(made)]) == [folder / "t001.tif"]


def test_probabilities_in_a_folder(folder):
    assert probabilities_of(sorted(folder.glob("*.tif"))) == [folder / "a.tif", folder / "b.tif"]
    product(folder / "b_prob.tif")
    assert find_images([str(folder)], probabilities_of) == [folder / "b_prob.tif"]
