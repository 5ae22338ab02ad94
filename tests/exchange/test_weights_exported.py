"""`cunet export` and `verify-export` for Caffe and PyTorch, the normalisation included."""

from pathlib import Path

import pytest
from foreign_files import normalised, small_net

import cunet


@pytest.mark.parametrize(
    ("name", "shape"),
    [("net.caffemodel", {}), ("net.safetensors", {"padding": "same", "batch_norm": True})],
)
def test_exported_verified_and_imported(run, tmp_path, monkeypatch, name, shape):
    monkeypatch.chdir(tmp_path)
    cunet.save("net.npz", normalised(small_net(**shape), 130.0, 40.0))
    code, out, err = run("export", "net.npz", name)
    assert (code, out) == (0, "") and "input: " in err
    assert err.splitlines()[-1].strip() == f"cunet verify-export {name} --model net.npz"
    assert run("verify-export", name, "--model", "net.npz", "--tiles", 1)[0] == 0
    cunet.save("other.npz", normalised(small_net(seed=6, **shape), 130.0, 40.0))
    assert run("verify-export", name, "--model", "other.npz", "--tiles", 1)[0] == 6
    cunet.save("other.npz", normalised(small_net(**shape), 100.0, 40.0))
    assert run("verify-export", name, "--model", "other.npz", "--tiles", 1)[0] == 6
    assert run("import", name, "again.npz", "-q")[0] == 0
    before = Path(name).read_bytes()
    code, _, err = run("export", "net.npz", name)
    assert code == 2 and "--overwrite" in err
    assert run("export", "net.npz", name, "--overwrite")[0] == 0
    assert Path(name).read_bytes() == before


def test_the_description_beside_it_is_not_overwritten_unasked(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cunet.save("net.npz", small_net())
    Path("net.prototxt").write_text("mine")
    code, _, err = run("export", "net.npz", "net.caffemodel")
    assert code == 2 and "'net.prototxt' exists" in err
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == [
        "net.npz", "net.prototxt",
    ]  # fmt: skip
    code, _, err = run("export", "net.npz", "net.caffemodel", "--size", 61, "--overwrite")
    assert code == 2 and "60 and 64" in err and Path("net.prototxt").read_text() == "mine"
