"""`cunet objects`: probabilities of any program become labels, tables and ROIs."""

import csv
import json

import numpy as np
import pytest
import roifile
import tifffile
from bright_net import bright
from PIL import Image

import cunet
from cunet.segmentation.instances import Instances
from cunet.segmentation.objects import find


def probability(pages=1, seed=0):
    """Pages (n, 44, 52) float32 of blocks, in steps that 8 and 16 bits hold exactly."""
    steps = np.random.default_rng(seed).integers(0, 6, (pages, 11, 13)) * 51 / 255
    return steps.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def stored(folder, kind, pages):
    """The pages in a file of this kind, as other programs save them."""
    path = folder / ("p_prob.png" if "png" in kind else "p_prob.tif")
    whole = {"8": np.uint8(255), "16": np.uint16(65535), "32": np.uint32(2**32 - 1)}
    bits = kind.split()[0]
    dtype = whole[bits].dtype if bits in whole else np.dtype(bits)
    values = np.rint(pages * whole[bits].astype(float)) if bits in whole else pages
    values = values.astype(dtype)
    if "png" in kind:
        page = np.dstack([values[0]] * 3) if "colour" in kind else values[0]
        Image.fromarray(page).save(path)
    elif "channels" in kind:
        tifffile.imwrite(
            path, np.stack([1 - values, values], 1), imagej=True, metadata={"axes": "ZCYX"}
        )
    else:
        tifffile.imwrite(path, values, photometric="minisblack")
    return path


def rows_of(path):
    with open(path, newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("f4", ", float32\n"),
        ("f8", ", float64\n"),
        ("f2", ", float16\n"),
        ("8", "uint8, divided by 255\n"),
        ("16", "uint16, divided by 65535\n"),
        ("32", "uint32, divided by 4294967295\n"),
        ("8 png", "uint8, divided by 255\n"),
        ("16 png", "uint16, divided by 65535\n"),
        ("8 colour png", "uint8, divided by 255\n"),
        ("f4 channels", "two channels: the second is class 1"),
    ],
)
def test_every_kind_is_read_as_the_evaluation_reads_it(run, tmp_path, kind, said):
    pages = probability(1 if "png" in kind else 2)
    path = stored(tmp_path, kind, pages)
    code, text, err = run("objects", path, "--out", tmp_path, "--threshold", 0.5, "--json")
    assert code == 0, err
    assert said in err, err
    labels = tifffile.imread(tmp_path / "p_labels.tif").reshape(pages.shape)
    expected = np.stack([find(page > 0.5) for page in pages])
    np.testing.assert_array_equal(labels, expected)
    (entry,) = json.loads(text)["probabilities"]
    assert entry["objects"] == sum(page.max() for page in expected)
    assert entry["outputs"]["table"] == str(tmp_path / "p_table.csv")
    assert len(rows_of(tmp_path / "p_table.csv")) == entry["objects"]


def test_classes_of_a_network_are_told_apart(run, tmp_path):
    chosen = np.random.default_rng(0).integers(0, 3, (10, 12)).repeat(4, axis=0).repeat(4, axis=1)
    values = np.stack([(chosen == k) * 0.8 + 0.2 / 3 for k in range(3)]).astype(np.float32)
    tifffile.imwrite(tmp_path / "p.tif", values[None], imagej=True, metadata={"axes": "ZCYX"})
    code, _, err = run("objects", tmp_path / "p.tif", "--out", tmp_path)
    assert code == 0, err
    labels = tifffile.imread(tmp_path / "p_labels.tif")
    for row in rows_of(tmp_path / "p_table.csv"):
        assert np.unique(chosen[labels == int(row["label"])]).tolist() == [int(row["class"])]
    np.testing.assert_array_equal(labels > 0, chosen > 0)


def test_options_calibration_pages_and_brightness(run, tmp_path):
    pages = probability(3)
    image = np.random.default_rng(1).integers(0, 4000, pages.shape).astype(np.uint16)
    size = {"imagej": True, "resolution": (2, 2), "metadata": {"axes": "ZYX", "unit": "um"}}
    tifffile.imwrite(tmp_path / "p_prob.tif", pages, photometric="minisblack")
    tifffile.imwrite(tmp_path / "i.tif", image, **size)
    code, _, err = run(
        "objects", tmp_path / "p_prob.tif", "--image", tmp_path / "i.tif", "--out", tmp_path,
        "--products", "labels,table,rois", "--threshold", 0.3, "--instances", "watershed",
        "--connectivity", 8, "--min-area", 20, "--fill-holes", "--border", 1, "--pages", "2,0",
    )  # fmt: skip
    assert code == 0, err
    labels = tifffile.imread(tmp_path / "p_labels.tif")
    how = Instances("watershed", 8, 20, True, 1)
    np.testing.assert_array_equal(labels, [find(pages[k] > 0.3, how) for k in (2, 0)])
    rows = rows_of(tmp_path / "p_table.csv")
    assert [row["page"] for row in rows] == ["2"] * labels[0].max() + ["0"] * labels[1].max()
    for row in rows:
        own = labels[0 if row["page"] == "2" else 1] == int(row["label"])
        bright = image[int(row["page"])][own]
        assert float(row["mean_intensity"]) == pytest.approx(bright.mean())
        assert float(row["area_um2"]) == own.sum() / 4  # the image's, as prob has none
    with tifffile.TiffFile(tmp_path / "p_labels.tif") as file:
        assert file.imagej_metadata["unit"] == "um"
    assert len(roifile.roiread(tmp_path / "p_rois.zip")) == len(rows)


def test_a_folder_again_and_other_settings(run, tmp_path):
    for name in ("a_prob.tif", "b_prob.tif"):
        tifffile.imwrite(tmp_path / name, probability(seed=len(name))[0])
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.uint8))
    command = ("objects", tmp_path, "--out", tmp_path)
    code, _, err = run(*command)
    assert code == 0 and err.splitlines()[-1].endswith("--products rois"), err
    names = {f"{s}_{p}" for s in "ab" for p in ("prob.tif", "labels.tif", "table.csv")} | {"a.tif"}
    assert {p.name for p in tmp_path.iterdir()} == names
    code, text, err = run(*command, "--json")
    assert code == 0 and [f["skipped"] for f in json.loads(text)["probabilities"]] == [True] * 2
    for products in ("labels", "table"):
        code, _, err = run(*command, "--threshold", 0.7, "--products", products)
        assert code == 2 and f"a_{products}" in err and "--overwrite" in err
    # only the table tells brightness, so only the table is another
    (tmp_path / "a_table.csv").unlink()
    image = tmp_path / "i.tif"
    tifffile.imwrite(image, np.ones((44, 52), np.uint8))
    assert run("objects", tmp_path / "a_prob.tif", "--image", image, "--out", tmp_path)[0] == 0
    assert rows_of(tmp_path / "a_table.csv")[0]["max_intensity"] == "1"


def files_of(folder):
    """Files to be refused, beside a good one, by name."""
    tifffile.imwrite(folder / "good_prob.tif", probability()[0])
    blocks = np.arange(120, dtype=np.uint16).reshape(10, 12).repeat(5, axis=0).repeat(5, axis=1)
    apart = (blocks * (np.indices(blocks.shape) % 5 < 4).all(axis=0)).astype(np.uint16)
    tifffile.imwrite(folder / "labels.tif", apart)
    tifffile.imwrite(folder / "logits.tif", probability()[0] * 9 - 3)
    tifffile.imwrite(folder / "nan.tif", np.full((9, 9), np.nan, np.float32))
    rgb = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "rgb.tif", rgb, photometric="rgb")
    tifffile.imwrite(folder / "small.tif", np.zeros((9, 9), np.uint8))
    (folder / "text.tif").write_text("no image")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["labels.tif"], 3, ["labels.tif' page 0 numbers objects", "cunet.objects(labels, image)"]),
        (["logits.tif"], 3, ["logits.tif' page 0 holds", "probabilities from 0 to 1"]),
        (["nan.tif"], 3, ["nan.tif' page 0 holds nan at row 0, column 0"]),
        (["rgb.tif"], 3, ["rgb.tif' page 0 has 3 channels", "expected 1"]),
        (["text.tif"], 3, ["text.tif"]),
        (["missing.tif"], 2, ["missing.tif"]),
        (["good_prob.tif", "--image", "small.tif"], 3, ["small.tif' has 1 page of 9 x 9", "44"]),
        (["good_prob.tif", "--image", "missing.tif"], 2, ["missing.tif"]),
        (["good_prob.tif", "--products", "mask"], 2, ["labels, table, rois", "'mask'"]),
        (["good_prob.tif", "--pages", "1"], 2, ["pages 0 to 0"]),
        (["good_prob.tif", "--out", "t.png"], 2, ["t.png", "2"]),
        (["good_prob.tif", "--out", "t.png", "--products", "table"], 2, ["ending in .csv"]),
        (["good_prob.tif", "--products", "labels", "--out", "good_prob.tif"], 2, ["image itself"]),
        (["good_prob.tif", "--border", "22"], 2, ["border of 22", "at most 21"]),
        (["good_prob.tif", "small.tif", "--image", "small.tif"], 2, ["found 2", "one at a time"]),
    ],
)
def test_what_does_not_fit_is_refused(run, tmp_path, monkeypatch, arguments, code, words):
    files_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    found, out, err = run("objects", *arguments)
    assert found == code and out == "" and "Traceback" not in err, err
    assert all(word in err for word in words), err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_mask_of_ones_is_warned_of(run, tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", (probability()[0] > 0.5).astype(np.uint8))
    code, _, err = run("objects", tmp_path / "m.tif", "--out", tmp_path, "-q")
    assert code == 0 and "hardly anything is found. A mask is saved as 0 and 255" in err
    assert not rows_of(tmp_path / "m_table.csv")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((9, 9), 0.25, np.float32), "highest value is 0.25, which is not above the thresh"),
        (np.full((9, 9), 51, np.uint8), "highest value is 0.2 of the largest of its type, which"),
    ],
)
def test_a_threshold_that_nothing_reaches_is_said(run, tmp_path, values, words):
    tifffile.imwrite(tmp_path / "p.tif", values)
    code, _, err = run("objects", tmp_path / "p.tif", "--out", tmp_path, "-q")
    assert code == 0 and f"p.tif: nothing is found: its {words}" in err
    below = ("--threshold", "0.1", "--overwrite", "--out", tmp_path)
    code, _, err = run("objects", tmp_path / "p.tif", *below)
    assert code == 0 and "nothing is found" not in err and "  1 object  ->" in err


def test_labels_of_the_other_command_are_not_replaced(run, tmp_path):
    net, image = bright(), np.zeros((40, 44), np.uint8)
    cunet.save(tmp_path / "net.npz", net)
    image[5:20, 6:30] = 100
    tifffile.imwrite(tmp_path / "a.tif", image)
    segment = ("segment", tmp_path / "a.tif", "--model", tmp_path / "net.npz", "--out", tmp_path)
    assert run(*segment)[0] == 0
    assert run("objects", tmp_path / "a_prob.tif", "--out", tmp_path)[0] == 0
    code, _, err = run(*segment, "--products", "labels")
    assert code == 2 and "a_labels.tif' exists and was made by cunet objects; give --over" in err
    assert run(*segment, "--products", "labels", "--overwrite")[0] == 0
    code, _, err = run("objects", tmp_path / "a_prob.tif", "--out", tmp_path)
    assert code == 2 and "a_labels.tif' exists and was made by cunet segment; give --over" in err
