"""`cunet export` and `cunet verify-export` as they are typed: files, options, errors, JSON."""

import json
import re
import subprocess
import sys

import onnx
import pytest
from random_nets import random_net

import cunet
from cunet.errors import CunetError
from cunet.exchange import export, onnx_run


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model file in the working folder."""
    monkeypatch.chdir(tmp_path)
    cunet.save("net.npz", random_net())
    return "net.npz"


def test_export_and_verify(run, model, tmp_path):
    code, out, err = run("export", model, "net.onnx", "--mirror")
    assert (code, out) == (0, "") and "whole images (N, 1, H, W)" in err and "H and W 24, 28" in err
    assert err.splitlines()[-1] == "  cunet verify-export net.onnx --model net.npz"
    code, out, err = run("verify-export", "net.onnx", "--model", model, "--tiles", 2)
    assert code == 0 and out.count("  ok  membranes") == 2 and "largest difference" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.npz", "net.onnx"]


def test_a_run_folder_and_the_bundled_network(run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    cunet.save(folder / "best.npz", random_net())
    for name in (folder, "bundled"):
        out = tmp_path / "net.onnx"
        code, _, err = run("export", name, out, "--overwrite", "-q")
        assert (code, err) == (0, "")
        assert run("verify-export", out, "--model", name, "--tiles", 1, "-q") == (0, "", "")


def test_json(run, model):
    code, out, _ = run("export", model, "net.onnx", "--size", 44, "--mirror", "--float16", "--json")
    found = json.loads(out)
    assert code == 0 and found["format"] == "ONNX" and found["fixed"] == 44
    assert found["model"] == "net.npz" and found["file"] == "net.onnx"
    code, out, _ = run("verify-export", "net.onnx", "--model", model, "--json")
    found = json.loads(out)
    assert code == 0 and found["passed"] and found["float16"] and len(found["tiles"]) == 4


def test_a_difference_exits_with_6(run, model):
    run("export", model, "net.onnx")
    cunet.save("net.npz", random_net(seed=9))
    code, out, err = run("verify-export", "net.onnx", "--model", model, "--tiles", 1, "--json")
    assert code == 6 and json.loads(out)["passed"] is False
    assert "was exported from another file" in err
    assert "differs from net.npz by up to" in err.splitlines()[-1]
    code, out, _ = run("verify-export", "net.onnx", "--model", model, "--tiles", 1, "-q")
    assert (code, out) == (6, "")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("export net.npz net.onxn", 2, "expected one of .onnx.*did you mean '.onnx'"),
        ("export net.npz net", 2, "'net': the ending chooses the format, expected one of .onnx"),
        ("export net.npz .onnx", 2, "the ending chooses"),
        ("export no.npz net.onnx", 2, "no.npz"),
        ("export net.npz no/net.onnx", 2, "no"),
        ("export net.npz net.onnx --size 51", 2, "tile 51 does not fit"),
        ("export net.npz net.onnx --mirror --size 50", 2, "multiple of 4"),
        ("export net.npz net.onnx --size 0", 2, "--size"),
        ("verify-export net.onnx", 2, "--model"),
        ("verify-export net.onnx --model net.npz", 2, "'net.onnx' does not exist"),
        ("verify-export net.npz --model net.npz", 2, "expected one of .onnx"),
        ("verify-export net.onnx --model net.npz --limit 2", 2, "--limit"),
        ("verify-export bad.onnx --model net.npz", 3, "'bad.onnx' is damaged, or no ONNX file"),
        ("export bad.npz net.onnx", 3, "bad.npz"),
    ],
)
def test_wrong_lines(run, model, tmp_path, line, code, said):
    for name in ("bad.onnx", "bad.npz"):
        (tmp_path / name).write_bytes(b"PK\3\4 damaged")
    found, out, err = run(*line.split())
    assert (found, out) == (code, "")
    last = err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert re.search(said, last), last
    assert not (tmp_path / "net.onnx").exists()


def test_a_file_that_is_there_is_kept(run, model, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"mine")
    code, _, err = run("export", model, "net.onnx")
    assert code == 2 and "'net.onnx' exists; give --overwrite" in err
    assert (tmp_path / "net.onnx").read_bytes() == b"mine"
    assert run("export", model, "net.onnx", "--overwrite")[0] == 0
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"))
    (tmp_path / "folder.onnx").mkdir()
    code, _, err = run("export", model, "folder.onnx", "--overwrite")
    assert code == 2 and "is a folder" in err


def test_an_option_that_a_format_does_not_have(run, model, monkeypatch):
    other = export.Format("Other", "cunet.exchange.onnx_file:write", ("float16",))
    monkeypatch.setitem(export.FORMATS, ".other.zip", other)
    with pytest.raises(CunetError, match="mirror: .other.zip has no such option, .onnx has"):
        cunet.export(model, "net.other.zip", mirror=True)
    code, _, err = run("export", model, "net.other.zip", "--size", 52)
    assert code == 2 and "size: .other.zip has no such option" in err
    found = cunet.export(model, "net.other.zip", float16=True)
    assert (found["format"], found["notes"]) == ("Other", [])
    with pytest.raises(CunetError, match="expected one of .onnx, .*, .other.zip"):
        cunet.export(model, "net.zip")


def test_caffe_is_an_ending(run, model, tmp_path):
    for out in ("net", "other.caffemodel"):
        assert run("export", model, out, "--caffe", "-q")[0] == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"net.caffemodel", "net.prototxt", "other.caffemodel", "other.prototxt"} <= names
    code, _, err = run("export", model, "net.onnx", "--caffe")
    assert code == 2 and "OUT ends in .onnx" in err


def test_without_onnxruntime(run, model, monkeypatch):
    run("export", model, "net.onnx")
    monkeypatch.setattr(onnx_run, "find_spec", lambda name: None)
    code, _, err = run("verify-export", "net.onnx", "--model", model)
    assert code == 2 and "pip install onnxruntime" in err


def test_export_needs_neither_onnx_nor_onnxruntime(model):
    code = "import sys\nfrom cunet.__main__ import main\nsys.modules |= {'onnx': None, "
    code += "'onnxruntime': None}\nsys.argv = ['cunet', 'export', 'net.npz', 'net.onnx', '-q']\n"
    done = subprocess.run([sys.executable, "-P", "-c", code + "main()"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
