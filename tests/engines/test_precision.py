"""Which precision a network computes in: what is asked for, what the device has, and the errors."""

import numpy as np
import pytest
from cuda_emulation import emulate

import cunet
from cunet.engines import PRECISIONS, TENSOR_CORES, obstacle, resolve_precision
from cunet.errors import CunetError
from cunet.net.shape import Shape
from cunet.training.config import make

NET = {"width": 16, "in_channels": 1, "classes": 2}


@pytest.fixture
def gpu(emulated):
    return emulated


def test_the_usual_precision(gpu):
    assert resolve_precision(None, "float32", None) == "tf32"
    assert resolve_precision(None, "float64", None) == "float64"
    assert resolve_precision(None, "float32", "why not") == "float32"
    for name in TENSOR_CORES:
        assert resolve_precision(name, "float32", None) == name
        with pytest.raises(CunetError, match="needs tensor cores: why not"):
            resolve_precision(name, "float32", "why not")
        with pytest.raises(CunetError, match="kept in float32, found float64"):
            resolve_precision(name, "float64", None)
    with pytest.raises(CunetError, match=", ".join(PRECISIONS)):
        resolve_precision("half", "float32", None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"width": 12}, "multiple of 8"),
        ({"in_channels": 5}, "channels"),
        ({"classes": 100}, "classes"),
        ({"padding": "same"}, "same padding"),
        ({"batch_norm": True}, "batch normalization"),
        ({"sigmoid": True}, "sigmoid"),
    ],
    ids=str,
)
def test_what_the_kernels_do_not_know_runs_in_float32(gpu, changed, words):
    assert obstacle("cuda:0", Shape(**NET)) is None
    assert words in obstacle("cuda:0", Shape(**NET | changed))
    net = cunet.UNet(**NET | changed, depth=1, device="cuda")
    assert net.precision == "float32" and words in net.obstacle


@pytest.mark.parametrize(("capability", "has"), [(70, False), (75, False), (80, True), (120, True)])
def test_older_cards(monkeypatch, capability, has):
    emulate(monkeypatch, capability)
    found = obstacle("cuda:0", Shape(**NET))
    assert found is None if has else f"{capability / 10:.1f}" in found
    assert cunet.UNet(**NET, depth=1, device="cuda").precision == ("tf32" if has else "float32")


def test_the_cpu_has_none():
    assert cunet.UNet(width=8, depth=1).precision == "float32"
    assert cunet.UNet(width=8, depth=1, dtype="float64").precision == "float64"
    with pytest.raises(CunetError, match="CPU"):
        cunet.UNet(width=8, depth=1, precision="float16")


def test_settings():
    assert make(None, None, {}).precision is None and make(None, None, {}).dtype == "float32"
    assert make(None, None, {"precision": "float64"}).dtype == "float64"
    assert make(None, None, {"precision": "bfloat16"}).dtype == "float32"
    with pytest.raises(CunetError, match="precision: expected one of float32, float64, tf32"):
        make(None, None, {"precision": "float8"})


def test_the_command_line(run, save):
    image = save("x.tif", np.zeros((1, 20, 20), np.uint8))
    wrong = {"tf31": (2, "expected one of"), "tf32": (4, "needs tensor cores: the CPU")}
    for name, (expected, words) in wrong.items():
        code, _, err = run(
            "segment", image, "--model", "em", "--precision", name, "--device", "cpu"
        )
        assert code == expected and words in err
    code, _, err = run("train", "--data", image.parent, "--precision", "tf31")
    assert code == 2 and "'--precision': expected one of float32" in err
