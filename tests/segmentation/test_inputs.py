"""Which images are segmented, what their products are called, and what is left to be made."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.data.dataset import sha256
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.net.tiles import usual_tile
from cunet.segmentation.inputs import (
    find_images,
    fitting_tile,
    frame_number,
    parse_instances,
    parse_products,
    prepared,
    target_paths,
)
from cunet.segmentation.objects import Instances
from cunet.segmentation.products import How
from cunet.segmentation.segment_file import segment_file


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
        ([f"{folder}/*.png"], "no TIFF or PNG file found"),
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


def test_what_is_made_already_is_left_out(folder):
    net = cunet.UNet(width=2, depth=1)
    model = folder / "net.npz"
    cunet.save(model, net)
    how = How(tile=fitting_tile(60, net))
    file = folder / "b.tif"
    jobs = [(file, target_paths(file, folder / "out", ["prob", "mask"], 1))]
    (folder / "out").mkdir()
    (job,) = prepared(jobs, net, model, how, "1")
    assert job.pages == [1] and job.left == job.targets and job.how.tile == 60
    made_by = "cunet segment b.tif, pages 1, model " + sha256(model)[:16]
    assert job.how.description.startswith(made_by)
    with open_image(file) as image:
        segment_file(image, net, {"prob": job.targets["prob"]}, job.how, job.pages)
    assert list(prepared(jobs, net, model, how, "1")[0].left) == ["mask"]
    assert list(prepared(jobs, net, model, how, "1", overwrite=True)[0].left) == ["prob", "mask"]
    with pytest.raises(CunetError, match="was not made by this command with these settings"):
        prepared(jobs, net, model, how, "0")
    with pytest.raises(CunetError, match="the image itself"):
        prepared([(file, {"mask": file})], net, model, how)
    with pytest.raises(CunetError, match="has pages 0 to 1"):
        prepared(jobs, net, model, how, "2")
    with pytest.raises(CunetError, match="a frame of a sequence has one"):
        prepared([(file, {"ctc": folder / "mask000.tif"})], net, model, how)
    with pytest.raises(DataError, match="made for 3"):
        prepared(jobs, cunet.UNet(width=1, depth=1, in_channels=3), model, how)
    for wrong in (-0.1, 1.5, np.nan):
        with pytest.raises(CunetError, match="--threshold"):
            How(threshold=wrong)
    with pytest.raises(CunetError, match="tile"):
        fitting_tile(61, net)
    assert fitting_tile(None, net) == usual_tile(1) == 404
