"""The doctor, with stand-ins for CuPy and the driver: no GPU is needed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cunet import doctor, doctor_gpu
from cunet.cli.doctor import command
from cunet.doctor import BROKEN, NOTE, OK, Finding
from cunet.doctor_gpu import gpu

ONE = {"cupy-cuda13x": "14.0.0"}
DRIVER = (13, 0)


def fake_cupy(devices=1, free=140e9, **changes):
    """What the doctor touches of CuPy; its kernel doubles, its matmul is NumPy's."""

    def device_count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    def kernel(code, name):
        def run(grid, block, arguments):
            arguments[0][: block[0]] *= 2

        return run

    properties = {"name": b"Test GPU", "major": 9, "minor": 0}
    runtime = SimpleNamespace(
        getDeviceCount=device_count,
        getDeviceProperties=lambda index: properties,
        memGetInfo=lambda: (int(free), int(150e9)),
        runtimeGetVersion=lambda: 13000,
    )

    class Device:
        def __init__(self, index):
            assert 0 <= index < devices

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    parts = {
        "__version__": "14.0.1",
        "cuda": SimpleNamespace(runtime=runtime, Device=Device),
        "arange": np.arange,
        "asarray": np.asarray,
        "asnumpy": np.asarray,
        "RawKernel": kernel,
    }
    return SimpleNamespace(**parts | changes)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CUPY_CACHE_IN_MEMORY", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def by_name(findings):
    return {finding.name: finding for finding in findings}


def absent():
    raise ModuleNotFoundError("No module named 'cupy'")


def raises(error):
    def function(*arguments, **named):
        raise error

    return function


def test_a_gpu_that_works():
    found = by_name(gpu(ONE, DRIVER, fake_cupy))
    assert {finding.state for finding in found.values()} == {OK}
    assert "Test GPU, compute capability 9.0, 140.0 of 150.0 GB free" in found["GPU 0"].found
    assert {"kernel (NVRTC)", "matmul (cuBLAS)", "kernel cache"} <= found.keys()


def test_every_gpu_is_listed():
    assert {"GPU 0", "GPU 1"} <= by_name(gpu(ONE, DRIVER, lambda: fake_cupy(2))).keys()


def test_no_driver_and_no_cupy_is_no_fault():
    findings = gpu({}, None, absent)
    assert {finding.state for finding in findings} == {NOTE}
    assert "running on the CPU" in by_name(findings)["CuPy"].found


def test_cupy_without_a_gpu_is_no_fault():
    findings = gpu(ONE, None, fake_cupy)
    assert doctor.healthy(findings)
    assert by_name(findings)["GPU"].found == "no usable NVIDIA GPU: running on the CPU"


@pytest.mark.parametrize(("driver", "extra"), [((13, 0), 13), ((12, 4), 12), ((14, 1), 13)])
def test_a_gpu_without_cupy_names_the_extra_the_driver_runs(driver, extra):
    found = by_name(gpu({}, driver, absent))["CuPy"]
    assert (found.state, found.mend) == (NOTE, f'pip install "cupy-cuda{extra}x[ctk]"')


def test_a_driver_too_old_for_any_extra_installs_nothing():
    findings = gpu({}, (11, 8), absent)
    assert all("pip" not in finding.mend for finding in findings)
    assert "install a newer driver" in by_name(findings)["NVIDIA driver"].found


def test_two_wheels_are_broken_and_both_must_go():
    both = {"cupy-cuda12x": "14.0.0", "cupy-cuda13x": "14.0.0"}
    found = by_name(gpu(both, (12, 9), fake_cupy))["CuPy"]
    assert found.state == BROKEN
    assert found.mend == (
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'
    )


def test_a_wheel_newer_than_the_driver_says_both_versions():
    found = by_name(gpu(ONE, (12, 4), fake_cupy))["CUDA version"]
    assert found.state == BROKEN
    assert "12.4" in found.found and "CUDA 13" in found.found
    assert found.mend == 'pip uninstall -y cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'


def test_a_wheel_that_cannot_be_imported_is_broken():
    found = by_name(gpu(ONE, DRIVER, raises(ImportError("libfoo.so: cannot open"))))["CuPy"]
    assert found.state == BROKEN and "libfoo.so" in found.found
    assert found.mend == 'pip install --force-reinstall "cupy-cuda13x[ctk]"'


def test_an_old_cupy_is_noted():
    found = by_name(gpu(ONE, DRIVER, lambda: fake_cupy(__version__="13.6.0")))["CuPy"]
    assert found.state == NOTE and found.mend == 'pip install --upgrade "cupy-cuda13x[ctk]"'


def test_a_hidden_gpu_is_no_fault(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    error = RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    found = by_name(gpu(ONE, DRIVER, lambda: fake_cupy(error)))["GPU"]
    assert (found.state, found.mend) == (NOTE, "unset CUDA_VISIBLE_DEVICES")


def test_a_driver_that_fails_is_broken():
    error = RuntimeError("cudaErrorUnknown: unknown error")
    found = by_name(gpu(ONE, DRIVER, lambda: fake_cupy(error)))["GPU"]
    assert found.state == BROKEN and "cudaErrorUnknown" in found.found


def test_nvrtc_that_cannot_be_loaded():
    cupy = fake_cupy(RawKernel=raises(RuntimeError("CuPy failed to load libnvrtc.so.13")))
    found = by_name(gpu(ONE, DRIVER, lambda: cupy))
    assert found["kernel (NVRTC)"].state == BROKEN
    assert "libnvrtc.so.13" in found["kernel (NVRTC)"].found
    assert found["kernel (NVRTC)"].mend == 'pip install "cupy-cuda13x[ctk]"'
    assert found["matmul (cuBLAS)"].state == OK


def test_a_kernel_that_writes_nonsense_is_broken():
    cupy = fake_cupy(RawKernel=lambda code, name: lambda *arguments: None)
    found = by_name(gpu(ONE, DRIVER, lambda: cupy))["kernel (NVRTC)"]
    assert found.state == BROKEN and "[0.0, 1.0, 2.0, 3.0]" in found.found


def test_cublas_that_cannot_be_loaded():
    class Array(np.ndarray):
        __matmul__ = raises(ImportError("libcublas.so.13: cannot open shared object file"))

    cupy = fake_cupy(asarray=lambda a: np.asarray(a).view(Array))
    found = by_name(gpu(ONE, DRIVER, lambda: cupy))["matmul (cuBLAS)"]
    assert found.state == BROKEN and found.mend == 'pip install "cupy-cuda13x[ctk]"'


def test_a_small_gpu_is_told_a_tile_that_fits():
    from cunet.explain import memory_bytes

    free = memory_bytes(64, 4, 316)["training"]
    found = by_name(gpu(ONE, DRIVER, lambda: fake_cupy(free=free)))["GPU 0"]
    assert found.state == OK and found.found.endswith("--tile 316 fits")


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("CUPY_CACHE_DIR", str(file / "below"))
    found = by_name(gpu(ONE, DRIVER, fake_cupy))["kernel cache"]
    assert found.state == BROKEN and found.mend.startswith("export CUPY_CACHE_DIR=")


def test_cuda_version_numbers():
    assert [doctor_gpu.split(n) for n in (12040, 13000, 11080)] == [(12, 4), (13, 0), (11, 8)]


def test_a_pinned_core_type_is_noted():
    pool = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Haswell"}
    found = by_name(doctor.blas([pool], {"OPENBLAS_CORETYPE": "Haswell"}))
    assert found["BLAS"].found == "openblas 0.3.30 Haswell"
    assert found["BLAS core type"].mend == "unset OPENBLAS_CORETYPE"
    assert list(by_name(doctor.blas([pool], {}))) == ["BLAS"]


def test_an_unknown_processor_and_no_blas_are_noted():
    pool = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Prescott"}
    assert by_name(doctor.blas([pool], {}))["BLAS core type"].state == NOTE
    assert [finding.state for finding in doctor.blas([], {})] == [NOTE]


def test_missing_packages_are_named():
    found = doctor.packages(lambda name: None if name in ("PIL", "tifffile") else object())
    assert (found.state, found.mend) == (BROKEN, "pip install tifffile pillow")


def test_a_wrong_convolution_is_found(monkeypatch):
    from cunet import kernels

    right = kernels.choose

    def wrong(w):
        algorithm = right(w)
        return SimpleNamespace(forward=lambda x, w, b: algorithm.forward(x, w, b) * 1.001)

    assert "agrees" in doctor.try_convolution()
    monkeypatch.setattr(kernels, "choose", wrong)
    found = doctor.attempt("convolution", doctor.try_convolution, "line")
    assert (found.state, found.mend) == (BROKEN, "line")


def run(monkeypatch, findings, *options):
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    return CliRunner().invoke(command, options, standalone_mode=False)


def test_the_command_on_this_machine():
    answer = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    document = json.loads(answer.stdout)
    states = {one["name"]: one["state"] for one in document["findings"]}
    assert states["Python"] == states["convolution"] == states["packages"] == OK
    assert document["healthy"] == (BROKEN not in states.values())
    assert answer.return_value == (0 if document["healthy"] else 4)


def test_broken_is_exit_code_4_and_the_last_line_mends(monkeypatch):
    findings = [Finding("a", OK, "fine", "x"), Finding("b", BROKEN, "torn", "sew it")]
    answer = run(monkeypatch, findings)
    assert answer.return_value == 4
    assert answer.stderr.splitlines()[-1].strip() == "sew it"
    assert "torn" in answer.stdout and "mend:  sew it" in answer.stdout
    assert "mend:  x" not in answer.stdout


def test_quiet_prints_what_is_broken_only(monkeypatch):
    findings = [Finding("a", OK, "fine"), Finding("b", NOTE, "slow", "y")]
    answer = run(monkeypatch, findings, "-q")
    assert (answer.return_value, answer.output) == (0, "")
