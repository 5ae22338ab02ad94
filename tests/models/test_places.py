"""Where the network of a name is looked for, and what hides what."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.errors import CunetError, DataError
from cunet.models import names, places, record
from cunet.net import checkpoint


def test_what_is_a_name_and_what_is_not():
    for good in ("a", "mito-w32", "ISBI.2012_x", "9", "a" * 64, "net.v2"):
        assert names.is_name(good), good
    bad = ["", "a/b", "../x", "..", ".", ".a", "a.", "-a", "a-", "a b", "C:x", "C:\\x", "a\\b", "ä"]
    bad += ["a" * 65, "con", "NUL", "com1", "lpt9.txt", "aux.x", "a\n", "a\0", "x.npz", "x.NPZ"]
    bad += ["x.md", "x.json", "bundled", "Bundled", "index", "~", "$HOME", None, 3, Path("a")]
    for one in bad:
        assert not names.is_name(one), one
    assert names.is_file_name("a.npz") and not names.is_file_name("../a.npz")
    assert not names.is_file_name("a.npy") and not names.is_file_name(".npz")


def test_the_record_that_comes_with_cunet_is_of_its_network():
    known = record.read_record(places.BOX["em"])
    assert not record.differs(places.BOX["em"], known) and "non-commercial" in known.license
    entry = json.loads((places.HERE / "index.json").read_text())["em"]
    assert (entry["sha256"], entry["bytes"]) == (known.sha256, known.bytes)
    assert entry["license"] == known.license and entry["for"] == known.made_for
    assert (places.HERE / entry["card"]).is_file() and entry["urls"] == []


def test_the_order_of_places(monkeypatch, tmp_path, net, wheel, own):
    """Each place in turn, from the last to the first, has the name that a later one had."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("CUNET_MODELS", os.pathsep.join(map(str, (first, second))))
    assert places.find("mito") is None
    for folder in (own, second, first):
        expected = net(folder / "mito.npz")
        assert places.find("mito") == expected == checkpoint.model_file("mito")
    folder = wheel()
    with pytest.raises(CunetError, match="mito.*lab-nets 1.2.*is missing; reinstall"):
        places.find("mito")
    net(folder / "mito.npz")
    assert checkpoint.model_file("mito") == folder / "mito.npz"
    for name in ("em", "isbi2012", "bundled"):
        net(own / "em.npz"), net(own / "isbi2012.npz")
        assert checkpoint.model_file(name) == places.BOX["em"]
    here = [(one.name, one.place) for one in places.everything()]
    assert here == [
        ("em", "comes with cunet"), ("nuclei", "comes with cunet"),
        ("mito", "wheel lab-nets 1.2"), ("mito", "CUNET_MODELS"), ("mito", "CUNET_MODELS"),
        ("em", "your folder"), ("isbi2012", "your folder"), ("mito", "your folder"),
    ]  # fmt: skip


def test_a_wheel_is_found_without_being_run(wheel, net):
    folder = wheel(points=["mito = lab_nets", "er-4nm = lab_nets:er", "bad/name = lab_nets"])
    net(folder / "mito.npz"), net(folder / "er.npz", seed=8)
    assert cunet.load("er-4nm").shape.width == 2 and "lab_nets" not in sys.modules
    assert [one.name for one in places.everything()] == ["em", "nuclei", "mito", "er-4nm"]


def test_a_wheel_that_is_broken_is_told_and_breaks_nothing_else(wheel, run):
    wheel(package="gone_nets", points=["gone = no_such_package_1", "er = gone_nets.inner"])
    with pytest.raises(CunetError, match="model 'gone'.*no_such_package_1.*reinstall gone-nets 1"):
        cunet.load("gone")
    with pytest.raises(CunetError, match="model 'er'"):
        cunet.load("er")
    code, out, err = run("models", "list")
    assert code == 0 and "unusable" in out and "nuclei" in out and "reinstall" in err
    code, _, err = run("models", "verify")
    assert code == 6 and "gone" in err


def test_where_the_users_folder_is(monkeypatch, tmp_path):
    assert places.own_folder() == tmp_path / "cache" / "models"
    monkeypatch.delenv("CUNET_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert places.own_folder() == tmp_path / "home" / ".cache" / "cunet" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, as its specification says
    assert places.own_folder() == tmp_path / "home" / ".cache" / "cunet" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert places.own_folder() == tmp_path / "xdg" / "cunet" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(sys, "platform", "win32")
    assert places.own_folder() == tmp_path / "local" / "cunet" / "models"


def test_without_a_home_the_networks_of_the_box_are_there(monkeypatch, run):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CUNET_CACHE")
    monkeypatch.setattr(Path, "home", no_home)
    assert checkpoint.model_file("isbi2012") == places.BOX["em"]
    code, _, err = run("models", "add", "bundled", "--name", "x")
    assert code == 2 and "CUNET_CACHE" in err


def test_a_file_and_a_run_come_before_a_name_and_other_folders_do_not(own, net, run):
    named = net(own / "mito.npz")
    Path("mito").mkdir()
    tifffile.imwrite("mito/image.tif", np.zeros((30, 30), np.uint8))
    assert checkpoint.model_file("mito") == named
    code, _, err = run("segment", "mito", "--model", "mito")
    assert code == 0 and str(named) in err and "warning: 'mito'" not in err
    net(Path("mito/best.npz"), seed=9)
    assert checkpoint.model_file("mito") == Path("mito/best.npz")
    code, _, err = run("segment", "mito", "--model", "mito", "--out", "again")
    assert code == 0 and "warning: 'mito' is taken for 'mito/best.npz'" in err
    Path("mito/best.npz").unlink()
    Path("mito/run.toml").write_text("")  # a run that saved nothing is no reason to take another
    with pytest.raises(CunetError, match="run folder 'mito' holds no best.npz"):
        checkpoint.model_file("mito")
    Path("plain").mkdir()
    with pytest.raises(CunetError, match="run folder 'plain' holds no best.npz"):
        checkpoint.model_file("plain")
    net(Path("file"))
    net(own / "file.npz", seed=4)
    assert checkpoint.model_file("file") == Path("file")
    assert checkpoint.model_file("./mito.npz") == Path("mito.npz")  # no name: a path


def test_unknown_names(monkeypatch, own, net, tmp_path):
    net(own / "mitochondria.npz")
    with pytest.raises(
        CunetError, match="no model 'mitochondri'.*models list.*'mitochondria'"
    ) as e:
        cunet.load("mitochondri")
    assert e.value.exit_code == 2
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path / "share"))
    with pytest.raises(CunetError, match=f"of CUNET_MODELS, {tmp_path / 'share'} is not there"):
        cunet.load("other")
    with pytest.raises(CunetError, match="'x.npz' does not exist; expected .*models list"):
        cunet.load("x.npz")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_may_not_be_read_is_not_passed_over(monkeypatch, own, net, tmp_path):
    net(own / "mito.npz")
    (tmp_path / "share").mkdir(mode=0o000)
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path / "share"))
    with pytest.raises(CunetError, match="share"):
        cunet.load("mito")


def write_record(path, **more):
    document = {"sha256": record.digest(path), "bytes": path.stat().st_size, "license": "CC0"}
    path.with_suffix(".json").write_text(json.dumps(document | more))
    return path


def test_a_changed_file_is_refused_wherever_it_is_used(own, net, run, tmp_path):
    path = write_record(net(own / "mito.npz"))
    assert cunet.load("mito").shape.depth == 1
    changed = net(tmp_path / "other.npz", seed=4).read_bytes()
    assert len(changed) == path.stat().st_size  # so that the hash alone tells it
    path.write_bytes(changed)
    words = r"mito.npz' is damaged or was replaced \(SHA-256 .*expected .*--overwrite.*mito.json"
    for model in ("mito", path, str(path)):
        with pytest.raises(DataError, match=words):
            cunet.load(model)
    tifffile.imwrite("image.tif", np.zeros((30, 30), np.uint8))
    for line in (
        "segment image.tif --model mito",
        "segment image.tif --model mito --out v.ome.zarr",
        "plan image.tif --model mito",
        f"segment image.tif --model {path}",
    ):
        code, _, err = run(*line.split())
        assert code == 3 and "damaged or was replaced" in err, (line, err)
    assert not Path("v.ome.zarr").exists()
    with pytest.raises(DataError, match="damaged or was replaced"):
        cunet.Config(from_model="mito")
    code, _, err = run("models", "verify", "mito")
    assert code == 6 and "damaged or was replaced" in err
    path.with_suffix(".json").unlink()
    assert cunet.load("mito").shape.depth == 1  # as the error says


def test_a_damaged_record_is_told_by_name_and_a_strangers_json_is_left_alone(own, net, tmp_path):
    path = write_record(net(own / "mito.npz"), sha256="?")
    with pytest.raises(DataError, match="mito.json' is no record of model.*sha256"):
        cunet.load("mito")
    for text in ("", "[", "[1]", '{"sha256": 3}', "[" * 100_000, "{}"):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(DataError, match="mito.json' is no record"):
            cunet.load("mito")
        assert cunet.load(path).shape.depth == 1  # no record: somebody else's file
