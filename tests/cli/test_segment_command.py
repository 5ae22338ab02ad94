"""`cunet segment`: its products, what is finished already, and what happens to bad input."""

import errno
import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from run_folders import arrays_of, header_of

import cunet
from cunet.net.tiles import tile_for_output
from cunet.segmentation.segment import segment


def test_segment_writes_products_that_equal_the_python_call(trained, run, tmp_path):
    data, folder, _ = trained
    code, _, err = run(
        "segment",
        data / "train-volume.tif",
        "--model",
        folder,
        "--out",
        tmp_path,
        "--pages",
        "1,3",
        "--products",
        "prob,mask,labels,overlay",
        "--device",
        "cpu",
    )
    assert code == 0, err
    net = cunet.load(folder / "best.npz")
    pages = tifffile.imread(data / "train-volume.tif")[[1, 3]]
    expected = np.stack([segment(page, net, tile=net_tile(net))[..., 1] for page in pages])
    prob = tifffile.imread(tmp_path / "train-volume_prob.tif")
    mask = tifffile.imread(tmp_path / "train-volume_mask.tif")
    labels = tifffile.imread(tmp_path / "train-volume_labels.tif")
    assert prob.dtype == np.float32 and np.allclose(prob, expected, atol=1e-5)
    assert mask.dtype == np.uint8 and np.array_equal(mask, np.where(prob > 0.5, 255, 0))
    assert labels.dtype == np.uint16 and np.array_equal(labels > 0, mask > 0)
    for page, numbered in zip(mask, labels, strict=True):
        check_components(page > 0, numbered)
    for number in (1, 3):
        picture = np.asarray(Image.open(tmp_path / f"train-volume_overlay_{number:04}.png"))
        assert picture.shape == (64, 64, 3)


def net_tile(net):
    return tile_for_output(64, net.shape.depth)


def check_components(mask, numbered):
    """Neighbours above or beside share a number; the numbers run from 1 without a gap."""
    for a, b, la, lb in (
        (mask[1:], mask[:-1], numbered[1:], numbered[:-1]),
        (mask[:, 1:], mask[:, :-1], numbered[:, 1:], numbered[:, :-1]),
    ):
        assert (la[a & b] == lb[a & b]).all()
    assert set(np.unique(numbered)) <= set(range(numbered.max() + 1))
    assert len(np.unique(numbered[mask])) == numbered.max()


def test_segment_skips_what_is_finished_and_overwrites_on_request(trained, run, tmp_path):
    data, folder, _ = trained
    command = ("segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path)
    assert run(*command, "--pages", 0)[0] == 0
    target = tmp_path / "train-volume_prob.tif"
    before = target.stat().st_mtime_ns
    code, text, err = run(*command, "--pages", 0, "--json")
    assert code == 0 and json.loads(text)["images"][0]["skipped"] and "skipped" in err
    assert target.stat().st_mtime_ns == before
    for product, different in (
        ("prob", ["--pages", "0-1"]),
        ("mask", ["--pages", "0", "--threshold", "0.1"]),  # prob does not depend on it
    ):
        code, _, err = run(*command, *different)
        assert code == 2 and f"train-volume_{product}.tif' exists" in err and "--overwrite" in err
    assert target.stat().st_mtime_ns == before
    assert run(*command, "--pages", "0-1", "--overwrite")[0] == 0
    assert tifffile.imread(target).shape == (2, 64, 64)


def test_segment_png_in_and_out(trained, run, tmp_path):
    data, folder, _ = trained
    page = tifffile.imread(data / "train-volume.tif")[0]
    Image.fromarray(page).save(tmp_path / "one.png")
    out = tmp_path / "mask.png"
    code, _, err = run(
        "segment", tmp_path / "one.png", "--model", folder, "--products", "mask", "--out", out
    )
    assert code == 0, err
    assert set(np.unique(np.asarray(Image.open(out)))) <= {0, 255}


def test_segment_carries_the_calibration_over(trained, run, tmp_path):
    data, folder, _ = trained
    page = tifffile.imread(data / "train-volume.tif")[:1]
    tifffile.imwrite(
        tmp_path / "nm.tif",
        page,
        imagej=True,
        resolution=(0.25, 0.25),
        metadata={"unit": "nm", "spacing": 50.0, "axes": "ZYX"},
    )
    assert run("segment", tmp_path / "nm.tif", "--model", folder, "--out", tmp_path)[0] == 0
    with tifffile.TiffFile(tmp_path / "nm_prob.tif") as file:
        assert file.imagej_metadata["unit"] == "nm"
        assert file.pages[0].tags["XResolution"].value == (1, 4)


def test_far_intensities_and_one_class_are_said(trained, run, tmp_path):
    _, folder, _ = trained
    tifffile.imwrite(tmp_path / "far.tif", np.full((64, 64), 60000, np.uint16))
    code, text, err = run(
        "segment", tmp_path / "far.tif", "--model", folder, "--out", tmp_path, "--json"
    )
    assert code == 0 and "lie far from the training images'" in err
    warnings = json.loads(text)["images"][0]["warnings"]
    assert any("far.tif" in w for w in warnings)


def bad_files(folder):
    """Files that are no good, by name."""
    (folder / "text.tif").write_text("not an image")
    whole = folder / "whole.tif"
    tifffile.imwrite(whole, np.zeros((3, 64, 64), np.uint8), photometric="minisblack")
    (folder / "cut.tif").write_bytes(whole.read_bytes()[:9000])
    (folder / "empty.tif").write_bytes(b"")
    tifffile.imwrite(folder / "two.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 nothing behind it")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["text.tif", "--model", "RUN"], 3, ["text.tif"]),
        (["cut.tif", "--model", "RUN"], 3, ["cut.tif"]),
        (["empty.tif", "--model", "RUN"], 3, ["empty.tif", "empty"]),
        (["two.tif", "--model", "RUN"], 3, ["two.tif", "3 channel", "made for 1"]),
        (["missing.tif", "--model", "RUN"], 2, ["missing.tif"]),
        (["whole.tif", "--model", "nothing.npz"], 2, ["nothing.npz"]),
        (["whole.tif", "--model", "damaged.npz"], 3, ["damaged.npz", "damaged"]),
        (["whole.tif", "--model", "RUN", "--tile", "77"], 2, ["tile 77", "76 and 80"]),
        (["whole.tif", "--model", "RUN", "--pages", "3"], 2, ["pages 0 to 2"]),
        (["whole.tif", "--model", "RUN", "--products", "masks"], 2, ["masks", "prob, mask"]),
        (["whole.tif", "--model", "RUN", "--out", "one.tif"], 2, ["one product"]),
        (["whole.tif", "--model", "RUN", "--device", "tpu"], 2, ["tpu", "auto, cpu, cuda"]),
    ],
)
def test_bad_input_to_segment(trained, run, tmp_path, monkeypatch, arguments, code, words):
    bad_files(tmp_path)
    before = set(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    given = [str(trained[1]) if a == "RUN" else a for a in arguments]
    found, out, err = run("segment", *given)
    assert found == code, err
    assert out == "" and "Traceback" not in err
    assert all(word in err for word in words), err
    assert set(tmp_path.iterdir()) == before  # nothing half-written


def test_two_inputs_of_one_name_are_refused(trained, run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "x.tif", np.zeros((8, 8), np.uint8))
    code, _, err = run("segment", tmp_path / "a", tmp_path / "b", "--model", trained[1])
    assert code == 2 and "one name" in err


def test_a_full_disk_leaves_nothing_behind(trained, run, tmp_path, monkeypatch):
    data, folder, _ = trained

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run(
        "segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path / "o"
    )
    assert code == 4 and "no room" in err
    assert list((tmp_path / "o").iterdir()) == []


def test_a_model_whose_header_tells_another_width_is_damaged(trained, run, tmp_path):
    _, folder, _ = trained
    header = header_of(folder / "best.npz")
    header["net"]["width"] = 4
    arrays = arrays_of(folder / "best.npz")
    np.savez(tmp_path / "wide.npz", header=np.array(json.dumps(header)), **arrays)
    code, _, err = run("segment", trained[0] / "train-volume.tif", "--model", tmp_path / "wide.npz")
    assert code == 3 and "shape (3, 3, 1, 2)" in err and "wide.npz' is damaged" in err


def test_an_interrupted_overlay_is_completed(trained, run, tmp_path):
    data, folder, _ = trained
    command = ("segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path)
    assert run(*command, "--products", "overlay,mask")[0] == 0
    missing = tmp_path / "train-volume_overlay_0002.png"
    mask = (tmp_path / "train-volume_mask.tif").stat().st_mtime_ns
    missing.unlink()
    assert run(*command, "--products", "overlay,mask")[0] == 0
    assert missing.exists()
    assert (tmp_path / "train-volume_mask.tif").stat().st_mtime_ns == mask  # was done already


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_pixel_that_is_no_number_is_named_by_page(trained, run, tmp_path, value):
    stack = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    stack[1, 33, 7] = value
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    out = tmp_path / "out"
    code, _, err = run("segment", tmp_path / "x.tif", "--model", trained[1], "--out", out)
    assert code == 3 and "x.tif' page 1 holds NaN or infinity" in err
    assert list(out.iterdir()) == []


def test_products_in_the_folder_are_not_segmented_again(trained, run, tmp_path):
    image = tifffile.imread(trained[0] / "train-volume.tif")[0]
    tifffile.imwrite(tmp_path / "a.tif", image)
    tifffile.imwrite(tmp_path / "b_mask.tif", image)  # an image of that name, not of "b"
    for _ in range(2):
        code, text, err = run(
            "segment", tmp_path, "--model", trained[1], "--out", tmp_path, "--json"
        )
        assert code == 0, err
        names = [os.path.basename(i["image"]) for i in json.loads(text)["images"]]
        assert names == ["a.tif", "b_mask.tif"]
