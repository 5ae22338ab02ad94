"""The command line on a GPU, the whole of it run by the CPU: train, go on, segment."""

import json
import tomllib

import numpy as np
import pytest
import tifffile
from cuda_emulation import emulate
from isbi_data import isbi_folder

from cunet.net import memory


@pytest.fixture
def data(tmp_path):
    return isbi_folder(tmp_path / "data", 3, 40, 40)


NET = ["--width", 8, "--depth", 1, "--tile", 28, "--fold", "0/3", "--device", "cuda", "--lr", 1e-3]


@pytest.mark.parametrize("precision", [None, "float16", "float32"])
def test_train_resume_and_segment(data, run, tmp_path, emulated, precision):
    out = tmp_path / "run"
    more = ["--precision", precision] if precision else []
    command = ["train", "--data", data, *NET, *more, "--out", out, "--steps", 6]
    code, _, err = run(*command, "--stop-after", 3)
    assert code == 130, err
    named = precision or "tf32"
    assert f"double (cuda:0), {named}" in err
    assert ("without tensor cores: as asked" in err) == (precision == "float32")
    assert tomllib.loads((out / "run.toml").read_text())["precision"] == named
    code, text, err = run("train", "--resume", out, "--json")
    assert code == 0, err
    assert json.loads(text)["step"] == 6
    losses = np.genfromtxt(out / "log.csv", delimiter=",", names=True)["loss"]
    assert len(losses) == 6 and np.isfinite(losses).all()
    image = data / "train-volume.tif"
    options = ["--device", "cuda", "--model", out, "--pages", "0", "--tile", 44]
    code, _, err = run("segment", image, "--out", tmp_path, *options, *more)
    assert code == 0, err
    assert named in err
    on_cpu = [*options[2:], "--device", "cpu", "--out", tmp_path / "cpu"]
    assert run("segment", image, *on_cpu)[0] == 0
    there, here = (
        tifffile.imread(p / "train-volume_prob.tif") for p in (tmp_path, tmp_path / "cpu")
    )
    np.testing.assert_allclose(there, here, atol=5e-3)


def test_the_run_goes_on_where_it_was_on_another_device(data, run, tmp_path, monkeypatch):
    emulate(monkeypatch)
    out = tmp_path / "run"
    code, _, err = run("train", "--data", data, *NET, "--out", out, "--steps", 4, "--stop-after", 2)
    assert code == 130, err
    code, _, err = run("train", "--resume", out, "--device", "cpu", "--stop-after", 3)
    assert code == 130, err
    emulate(monkeypatch, 70)
    code, _, err = run("train", "--resume", out, "--device", "auto")
    assert code == 0 and "float32" in err and "compute capability is 7.0" in err
    assert tomllib.loads((out / "run.toml").read_text())["precision"] == "tf32"


def test_out_of_memory_says_what_fits(data, run, tmp_path, monkeypatch, emulated):

    def full(*_):
        raise emulated.cuda.memory.OutOfMemoryError(2**33, 2**30, 0)

    monkeypatch.setattr(emulated, "empty", full)
    monkeypatch.setattr(memory, "room", lambda net: 2e8)
    code, _, err = run("train", "--data", data, *NET, "--out", tmp_path / "run", "--steps", 4)
    assert code == 4, err
    assert "out of memory" in err and "needs" in err and "free" in err
