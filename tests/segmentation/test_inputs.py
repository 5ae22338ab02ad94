"""Which images are segmented, and what their products are called."""

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
    target_paths,
)
from cunet.segmentation.objects import Instances


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


def test_products_and_objects_as_the_options_have_them():
    assert parse_products("prob, mask,prob") == ["prob", "mask"]
    with pytest.raises(CunetError, match="--products: expected some of prob, .* found 'masks'"):
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
