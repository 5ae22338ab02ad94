"""`cunet import`, and what follows it: the model segments, and a training starts from it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from foreign_files import caffe_weights, caffemodel, small_net
from isbi_data import isbi_folder

import cunet
from cunet.exchange import caffe

HERE = Path(__file__).parent / "torch_files"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.caffemodel").write_bytes(caffemodel(caffe_weights(small_net())))
    return tmp_path


def test_a_caffe_model_segments_and_begins_a_training(run, folder):
    code, out, err = run("import", "net.caffemodel", "net.npz")
    assert (code, out) == (0, "")
    assert "Caffe model, paper network of width 2, depth 2, channels 1, classes 2" in err
    assert "divided by 255" in err
    assert err.splitlines()[-1].strip() == "cunet segment IMAGE --model net.npz"
    grey = np.random.default_rng(0).integers(0, 256, (50, 61), dtype=np.uint8)
    tifffile.imwrite("a.tif", grey, photometric="minisblack")
    code, _, err = run("segment", "a.tif", "--model", "net.npz", "--tile", 60)
    assert code == 0 and "warning" not in err
    expected = small_net()
    y = cunet.segment(grey / np.float32(255), expected, tile=60)[..., 1]
    np.testing.assert_allclose(tifffile.imread("a_prob.tif"), y, atol=1e-5)
    data = isbi_folder(folder / "data")
    code, _, err = run("train", "--data", data, "--from", "net.npz", "--tile", 60, "--dry-run")
    assert code == 0 and "weights of" in err and "images from 0 to 1" in err
    config = cunet.Config(
        data=str(data), from_model="net.npz", out="r", tile=60, steps=1, device="cpu", fold="0/2"
    )
    assert np.isfinite([record["loss"] for record in cunet.train(config)]).all()


@pytest.mark.parametrize(("dtype", "white"), [("uint16", 65535), ("float32", 1)])
def test_images_of_another_range_are_said(run, folder, dtype, white):
    grey = np.random.default_rng(0).integers(0, 256, (50, 61)) / 255 * white
    tifffile.imwrite("a.tif", grey.astype(dtype), photometric="minisblack")
    assert run("import", "net.caffemodel", "net.npz", "-q") == (0, "", "")
    code, _, err = run("segment", "a.tif", "--model", "net.npz", "--tile", 60)
    assert code == 0 and "warning: a.tif: intensities" in err
    run("import", "net.caffemodel", "net.npz", "--white", white, "--overwrite")
    code, _, err = run("segment", "a.tif", "--model", "net.npz", "--tile", 60, "--overwrite")
    assert code == 0 and "warning" not in err


def test_a_model_that_must_be_imported_first_is_said(run, folder):
    tifffile.imwrite("a.tif", np.zeros((50, 50), np.uint8), photometric="minisblack")
    code, _, err = run("segment", "a.tif", "--model", "net.caffemodel")
    assert code == 2 and "cunet import net.caffemodel net.npz" in err


def test_one_document_says_what_was_found(run, folder):
    code, out, err = run("import", HERE / "old.pt", "old.npz", "--json")
    found = json.loads(out)
    assert code == 0 and found["width"] == 1 and found["sigmoid"] and found["classes"] == 2
    assert found["format"].startswith("PyTorch") and found["parameters"] == 7784
    assert found["normalization"] == {"mean": [0.0], "deviation": [255.0]}
    assert found["model"] == "old.npz" and len(found["notes"]) == 3
    assert "cunet segment IMAGE --model old.npz" in err
    assert cunet.load("old.npz").shape.batch_norm


def test_what_is_no_such_file(run, folder):
    names = {
        "a.h5": b"\x89HDF\r\n\x1a\n", "a.npz": b"PK\x03\x04", "a.onnx": b"\x08\x08",
        "a.prototxt": b"name: 'x'", "a.bin": b"\x00\x01\x02", "a.pt": b"no", "a.caffemodel": b"",
        "a.safetensors": b"1", "a.zip": b"PK\x03\x04" + bytes(26) + b"rdf.yaml{}",
    }  # fmt: skip
    for name, data in names.items():
        Path(name).write_bytes(data)
        code, out, err = run("import", name, "new.npz")
        assert (code, out) == (3, "") and f"network '{name}'" in err, (name, err)
        assert len(err.splitlines()) <= 2 and ("bioimage.io" in err) == (name == "a.zip")
    assert not Path("new.npz").exists()
    for arguments, words in (
        (("none.pt", "new.npz"), "found nothing"),
        ((".", "new.npz"), "found a folder"),
        (("net.caffemodel", "new.tif"), "ending in .npz"),
        (("net.caffemodel", "a.npz"), "--overwrite"),
        (("net.caffemodel", "new.npz", "--white", "0"), "white: expected"),
        (("net.caffemodel", "new.npz", "--white", "nan"), "white: expected"),
        (("net.caffemodel", "new.npz", "--white", "1e-300"), "white: expected"),
    ):
        code, _, err = run("import", *arguments)
        assert code == 2 and words in err, err


def test_the_ending_matters_little(folder):
    caffe.write(small_net(), "n.caffemodel")
    for file, name in (("n.caffemodel", "weights"), (HERE / "new.pt", "renamed.safetensors")):
        Path(name).write_bytes(Path(file).read_bytes())
        assert cunet.import_network(name).shape == cunet.import_network(file).shape
    with pytest.raises(cunet.CunetError, match="white: expected a number"):
        cunet.import_network("weights", white="255")
