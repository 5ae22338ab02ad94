"""The doctor, with stand-ins for CuPy and the driver: no GPU is needed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from cuda_emulation import emulate

from cunet import doctor
from cunet.cli.doctor import command
from cunet.doctor import cpu, gpu, installation, tensor_cores
from cunet.doctor import finding as finding_
from cunet.doctor.finding import BROKEN, NOTE, OK, Finding
from cunet.engines import cpu as engine
from cunet.engines.gpu import box_check, cuda, tensor_map
from cunet.engines.gpu.cuda import DTYPES
from cunet.errors import DeviceError
from cunet.ops import conv

ONE = {"cupy-cuda13x": "14.0.0"}
DRIVER = (13, 0)
CTK = 'pip install "cupy-cuda13x[ctk]"'


def own_kernels(forward=conv.forward, problem=lambda precision, index: None):
    """What the doctor touches of cunet's kernels, in float32."""
    images = SimpleNamespace(to_elements=lambda x, precision: x, to_floats=lambda y: y)
    return SimpleNamespace(conv_forward=forward), images, SimpleNamespace(problem=problem)


def look(wheels, driver, load, own=own_kernels):
    return gpu.gpu(wheels, driver, load, own)


def fake_cupy(devices=1, free=140e9, capabilities=((9, 0), (9, 0)), nvrtc=(13, 0), **changes):
    """What the doctor touches of CuPy; its kernel doubles, its matmul is NumPy's."""

    def device_count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    def kernel(code, name):
        def run(grid, block, arguments):
            arguments[0][: block[0]] *= 2

        return run

    def properties(index):
        major, minor = capabilities[index]
        return {"name": b"Test GPU", "major": major, "minor": minor}

    def nvrtc_version():
        if isinstance(nvrtc, Exception):
            raise nvrtc
        return nvrtc

    runtime = SimpleNamespace(
        getDeviceCount=device_count,
        getDeviceProperties=properties,
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
        "cuda": SimpleNamespace(
            runtime=runtime, Device=Device, nvrtc=SimpleNamespace(getVersion=nvrtc_version)
        ),
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
    found = by_name(look(ONE, DRIVER, fake_cupy))
    assert {finding.state for finding in found.values()} == {OK}
    assert "Test GPU, compute capability 9.0, 140.0 of 150.0 GB free" in found["GPU 0"].found
    assert "tf32, float16, bfloat16 on tensor cores" in found["GPU 0"].found
    assert {"NVRTC", "kernel (NVRTC)", "matmul (cuBLAS)", "kernel cache"} <= found.keys()
    assert found["tensor cores"].found == (
        "a convolution in tf32, float16, bfloat16 equals its definition"
    )


def test_every_gpu_is_listed():
    assert {"GPU 0", "GPU 1"} <= by_name(look(ONE, DRIVER, lambda: fake_cupy(2))).keys()


def test_no_driver_and_no_cupy_is_no_fault():
    findings = look({}, None, absent)
    assert {finding.state for finding in findings} == {NOTE}
    assert "running on the CPU" in by_name(findings)["CuPy"].found


def test_cupy_without_a_gpu_is_no_fault():
    findings = look(ONE, None, fake_cupy)
    assert doctor.healthy(findings)
    assert by_name(findings)["GPU"].found == "no usable NVIDIA GPU: running on the CPU"


@pytest.mark.parametrize(("driver", "extra"), [((13, 0), 13), ((12, 4), 12), ((14, 1), 13)])
def test_a_gpu_without_cupy_names_the_extra_the_driver_runs(driver, extra):
    found = by_name(look({}, driver, absent))["CuPy"]
    assert (found.state, found.fix) == (NOTE, f'pip install "cupy-cuda{extra}x[ctk]"')


def test_a_driver_too_old_for_any_extra_installs_nothing():
    findings = look({}, (11, 8), absent)
    assert all("pip" not in finding.fix for finding in findings)
    assert "install a newer driver" in by_name(findings)["NVIDIA driver"].found


def test_two_wheels_are_broken_and_both_must_go():
    both = {"cupy-cuda12x": "14.0.0", "cupy-cuda13x": "14.0.0"}
    found = by_name(look(both, (12, 9), fake_cupy))["CuPy"]
    assert found.state == BROKEN
    assert found.fix == (
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'
    )


def test_a_wheel_newer_than_the_driver_says_both_versions():
    found = by_name(look(ONE, (12, 4), fake_cupy))["CUDA version"]
    assert found.state == BROKEN
    assert "12.4" in found.found and "CUDA 13" in found.found
    assert found.fix == 'pip uninstall -y cupy-cuda13x && pip install "cupy-cuda12x[ctk]"'


def test_a_wheel_that_cannot_be_imported_is_broken():
    found = by_name(look(ONE, DRIVER, raises(ImportError("libfoo.so: cannot open"))))["CuPy"]
    assert found.state == BROKEN and "libfoo.so" in found.found
    assert found.fix == 'pip install --force-reinstall "cupy-cuda13x[ctk]"'


def test_a_driver_that_is_too_old_for_the_runtime():
    """A build of CuPy that does not name what it was made for: the driver reports it itself."""
    error = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
    cupy = fake_cupy(error)
    cupy.cuda.runtime.runtimeGetVersion = raises(RuntimeError("no library"))
    found = by_name(look({"cupy": "14.0.0"}, (12, 4), lambda: cupy))["CUDA version"]
    assert found.state == BROKEN and "12.4" in found.found and "Insufficient" in found.found
    assert found.fix == 'pip uninstall -y cupy && pip install "cupy-cuda12x[ctk]"'
    found = by_name(look(ONE, DRIVER, lambda: cupy))["CUDA version"]
    assert (found.state, found.fix) == (BROKEN, "")  # the wheel is the right one already
    assert "install a newer driver" in found.found


def test_a_driver_too_old_for_any_wheel_says_both_versions():
    found = by_name(look(ONE, (11, 8), fake_cupy))["CUDA version"]
    assert (found.state, found.fix) == (BROKEN, "")
    for part in ("11.8", "CUDA 13", "install a newer driver, or use --device cpu"):
        assert part in found.found


def test_an_old_cupy_is_noted():
    found = by_name(look(ONE, DRIVER, lambda: fake_cupy(__version__="13.6.0")))["CuPy"]
    assert found.state == NOTE and found.fix == 'pip install --upgrade "cupy-cuda13x[ctk]"'


def test_a_hidden_gpu_is_no_fault(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    error = RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    found = by_name(look(ONE, DRIVER, lambda: fake_cupy(error)))["GPU"]
    assert (found.state, found.fix) == (NOTE, "unset CUDA_VISIBLE_DEVICES")


def test_a_driver_that_fails_is_broken():
    error = RuntimeError("cudaErrorUnknown: unknown error")
    found = by_name(look(ONE, DRIVER, lambda: fake_cupy(error)))["GPU"]
    assert found.state == BROKEN and "cudaErrorUnknown" in found.found


def test_nvrtc_that_cannot_be_loaded():
    cupy = fake_cupy(nvrtc=RuntimeError("CuPy failed to load libnvrtc.so.13"))
    found = by_name(look(ONE, DRIVER, lambda: cupy))
    assert (found["NVRTC"].state, found["NVRTC"].fix) == (BROKEN, CTK)
    assert "libnvrtc.so.13" in found["NVRTC"].found
    assert "kernel (NVRTC)" not in found and "tensor cores" not in found
    assert found["matmul (cuBLAS)"].state == OK


def test_nvrtc_of_a_newer_cuda_than_the_driver():
    cupy = fake_cupy(nvrtc=(13, 1))
    found = by_name(look({"cupy-cuda12x": "14.0.0"}, (12, 9), lambda: cupy))["NVRTC"]
    assert found.state == BROKEN and "13.1" in found.found and "12.9" in found.found
    assert found.fix == ('pip uninstall -y nvidia-cuda-nvrtc && pip install "cupy-cuda12x[ctk]"')
    later = by_name(look(ONE, DRIVER, lambda: fake_cupy(nvrtc=(13, 5))))["NVRTC"]
    assert (later.state, later.found) == (OK, "13.5")  # a later minor version is no obstacle


def test_a_kernel_that_does_not_compile():
    cupy = fake_cupy(RawKernel=raises(RuntimeError("NVRTC_ERROR_BUILTIN_OPERATION_FAILURE")))
    found = by_name(look(ONE, DRIVER, lambda: cupy))["kernel (NVRTC)"]
    assert (found.state, found.fix) == (BROKEN, CTK) and "BUILTIN" in found.found


def test_a_build_without_a_wheel_is_fixed_by_the_wheel_for_the_driver():
    cupy = fake_cupy(nvrtc=ImportError("libnvrtc.so.13"))
    found = by_name(look({"cupy": "14.0.0"}, DRIVER, lambda: cupy))["NVRTC"]
    assert found.fix == f"pip uninstall -y cupy && {CTK}"


def test_an_older_gpu_has_the_plain_path_only():
    found = by_name(look(ONE, DRIVER, lambda: fake_cupy(capabilities=[(7, 5)]), raises(KeyError)))
    assert "compute capability 7.5" in found["GPU 0"].found
    assert "float32 only (plain path)" in found["GPU 0"].found
    assert found["tensor cores"].state == NOTE


def test_every_gpu_with_tensor_cores_is_tried_in_every_precision():
    tried, kernels = [], own_kernels()
    kernels[1].to_elements = lambda x, precision: tried.append(precision) or x
    cupy = fake_cupy(3, capabilities=[(8, 0), (7, 5), (9, 0)])
    assert by_name(look(ONE, DRIVER, lambda: cupy, lambda: kernels))["tensor cores"].state == OK
    assert tried == 2 * list(DTYPES)


def test_a_convolution_that_is_wrong_in_one_precision():
    def forward(x, w, b):
        y = conv.forward(x, w, b)
        y[0, -1, -1, -1] += len(tried) == 2
        return y

    tried, kernels = [], own_kernels(forward)
    kernels[1].to_elements = lambda x, precision: tried.append(precision) or x
    found = by_name(look(ONE, DRIVER, fake_cupy, lambda: kernels))["tensor cores"]
    assert (found.state, found.fix) == (BROKEN, "use --precision float32")
    assert f"GPU 0: a {tried[1]} convolution is wrong" in found.found and len(tried) == 2


def test_what_is_convolved_is_exact_in_every_precision():
    """Whole numbers below 2^8, of both signs, and few of them zero."""
    results = []

    def forward(x, w, b):
        results.append(conv.forward(x, w, b))
        return results[0]

    assert tensor_cores.convolves(fake_cupy(), *own_kernels(forward)[:2], "bfloat16")
    y = results[0]
    assert (y == np.rint(y)).all() and 30 < abs(y).max() < 256
    assert min((y > 0).mean(), (y < 0).mean()) > 0.4


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("precision", DTYPES)
def test_the_kernels_themselves_pass(monkeypatch, precision, capability):
    xp = emulate(monkeypatch, capability)
    assert tensor_cores.convolves(xp, *tensor_cores.load_kernels()[:2], precision)


def test_whether_convolutions_go_by_the_copy_engine():
    """On the GPUs that have it alone."""
    tried = []

    def problem(precision, index):
        tried.append((index, precision))
        return "no tensor maps" if (index, precision) == (2, "float16") else None

    def found(*capabilities):
        cupy = fake_cupy(len(capabilities), capabilities=capabilities)
        kernels = own_kernels(problem=problem)
        return by_name(look(ONE, DRIVER, lambda: cupy, lambda: kernels)).get("copy engine")

    assert found((8, 0), (10, 0)) is None and not tried
    assert found((8, 0), (9, 0)).state == OK
    assert tried == [(1, precision) for precision in DTYPES]
    slower = found((9, 0), (8, 0), (9, 0))
    assert slower.state == NOTE
    text = "GPU 2: not used in float16: no tensor maps: convolutions are slower"
    assert slower.found == text


def test_a_copy_engine_that_stops_the_gpu():
    """Even if all that is wrong before is slower alone."""

    def problem(precision, index):
        if precision == "tf32":
            return "no tensor maps"
        raise RuntimeError("unspecified launch failure")

    kernels = own_kernels(problem=problem)
    found = by_name(look(ONE, DRIVER, fake_cupy, lambda: kernels))["copy engine"]
    assert found.state == BROKEN and "unspecified launch failure" in found.found


def test_what_the_doctor_says_of_the_copy_engine_here(monkeypatch):
    """By the kernels themselves; the driver's function is missing in the end."""
    xp = emulate(monkeypatch, 90)
    engine = tensor_cores.copy_engine(xp, [0], tensor_cores.load_kernels)
    assert [finding.state for finding in engine] == [OK]
    box_check.problem.cache_clear()
    monkeypatch.setattr(cuda, "announce", lambda text: None)
    monkeypatch.setattr(tensor_map, "driver", raises(DeviceError("too old")))
    engine = tensor_cores.copy_engine(xp, [0], tensor_cores.load_kernels)
    assert [finding.state for finding in engine] == [NOTE]
    assert all(f"not used in {precision}: too old" in engine[0].found for precision in DTYPES)


def test_kernels_that_cannot_be_compiled():
    error = DeviceError("the kernels cannot be compiled for sm_90a: " + 500 * "spills\n")
    own = raises(error)
    found = by_name(look(ONE, DRIVER, fake_cupy, own))["tensor cores"]
    assert (found.state, found.fix) == (BROKEN, CTK)
    assert "sm_90a" in found.found and len(found.found) <= 240 and "\n" not in found.found


def test_a_gpu_without_free_memory_is_not_fixed_by_an_installation():
    class OutOfMemoryError(MemoryError):
        __module__ = "cupy.cuda.memory"

    cupy = fake_cupy(RawKernel=raises(OutOfMemoryError("Out of memory allocating 512 bytes")))
    found = by_name(look(ONE, DRIVER, lambda: cupy))["kernel (NVRTC)"]
    assert (found.state, found.fix) == (BROKEN, "nvidia-smi")
    assert "not enough memory is free" in found.found and "512 bytes" in found.found
    error = RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory")  # the driver's own
    found = by_name(look(ONE, DRIVER, fake_cupy, raises(error)))["tensor cores"]
    assert found.state == BROKEN and "cupy" not in found.fix


def test_a_kernel_that_writes_nonsense_is_broken():
    cupy = fake_cupy(RawKernel=lambda code, name: lambda *arguments: None)
    found = by_name(look(ONE, DRIVER, lambda: cupy))["kernel (NVRTC)"]
    assert found.state == BROKEN and "[0.0, 1.0, 2.0, 3.0]" in found.found


def test_cublas_that_cannot_be_loaded():
    class Array(np.ndarray):
        __matmul__ = raises(ImportError("libcublas.so.13: cannot open shared object file"))

    cupy = fake_cupy(asarray=lambda a: np.asarray(a).view(Array))
    found = by_name(look(ONE, DRIVER, lambda: cupy))["matmul (cuBLAS)"]
    assert found.state == BROKEN and found.fix == 'pip install "cupy-cuda13x[ctk]"'


def test_for_a_small_gpu_a_tile_that_fits_is_named():
    from cunet.net.figure1 import memory_bytes
    from cunet.net.shape import Shape

    free = memory_bytes(Shape(), 316)["training"]
    found = by_name(look(ONE, DRIVER, lambda: fake_cupy(free=free)))["GPU 0"]
    assert found.state == OK and found.found.endswith("--tile 316 fits")


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("CUPY_CACHE_DIR", str(file / "below"))
    found = by_name(look(ONE, DRIVER, fake_cupy))["kernel cache"]
    assert found.state == BROKEN and found.fix.startswith("export CUPY_CACHE_DIR=")


def test_the_cache_says_whether_the_first_call_will_compile(tmp_path):
    def cache(own=own_kernels):
        return by_name(look(ONE, DRIVER, fake_cupy, own))["kernel cache"].found

    def compiling():
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / "cunet-0123.cubin").write_bytes(b"")
        return own_kernels()

    assert cache().endswith("the first call will compile for some seconds")
    assert str(tmp_path / "cache") in cache()
    assert cache(compiling).endswith("cunet's own are there, compiled just now")
    assert cache().endswith("cunet's own are there")


def test_a_cache_in_memory_is_slower(monkeypatch):
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")
    found = by_name(look(ONE, DRIVER, fake_cupy))["kernel cache"]
    assert (found.state, found.fix) == (NOTE, "unset CUPY_CACHE_IN_MEMORY")


def test_cuda_version_numbers():
    assert [installation.split(n) for n in (12040, 13000, 11080)] == [(12, 4), (13, 0), (11, 8)]


def test_a_pinned_core_type_is_noted():
    pool = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Haswell"}
    found = by_name(cpu.blas([pool], {"OPENBLAS_CORETYPE": "Haswell"}))
    assert found["BLAS"].found == "openblas 0.3.30 Haswell"
    assert found["BLAS core type"].fix == "unset OPENBLAS_CORETYPE"
    assert list(by_name(cpu.blas([pool], {}))) == ["BLAS"]


def test_an_unknown_processor_and_no_blas_are_noted():
    pool = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Prescott"}
    assert by_name(cpu.blas([pool], {}))["BLAS core type"].state == NOTE
    assert [finding.state for finding in cpu.blas([], {})] == [NOTE]


def test_missing_packages_are_named():
    found = cpu.packages(lambda name: None if name in ("PIL", "tifffile") else object())
    assert (found.state, found.fix) == (BROKEN, "pip install tifffile pillow")


def test_a_wrong_convolution_is_found(monkeypatch):
    right = engine.conv_forward

    def wrong(x, w, b):
        return right(x, w, b) * 1.001

    assert "agrees" in cpu.try_convolution()
    monkeypatch.setattr(engine, "conv_forward", wrong)
    found = finding_.attempt("convolution", cpu.try_convolution, "line")
    assert (found.state, found.fix) == (BROKEN, "line")


@pytest.mark.parametrize("channels", [24, 32])
def test_both_kinds_of_convolution_are_tried(monkeypatch, channels):
    right = engine.conv_forward

    def wrong(x, w, b):
        return right(x, w, b) * (1.001 if x.shape[3] == channels else 1)

    monkeypatch.setattr(engine, "conv_forward", wrong)
    with pytest.raises(ArithmeticError, match=f"of {channels} channels is wrong"):
        cpu.try_convolution()


@pytest.mark.parametrize(("usable", "state"), [(True, OK), (False, NOTE)])
def test_whether_there_is_machine_code_is_said(monkeypatch, usable, state):
    monkeypatch.setattr(cpu.machine, "usable", lambda: usable)
    found = cpu.machine_code()
    assert found.state == state and bool(found.fix) == (not usable)


def run(monkeypatch, findings, *options):
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    return CliRunner().invoke(command, options, standalone_mode=False)


def test_the_command_on_this_machine():
    result = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    document = json.loads(result.stdout)
    states = {one["name"]: one["state"] for one in document["findings"]}
    assert states["Python"] == states["convolution"] == states["packages"] == OK
    assert document["healthy"] == (BROKEN not in states.values())
    assert result.return_value == (0 if document["healthy"] else 4)


def test_broken_is_exit_code_4_and_the_last_line_fixes_it(monkeypatch):
    findings = [Finding("a", OK, "fine", "x"), Finding("b", BROKEN, "torn", "sew it")]
    result = run(monkeypatch, findings)
    assert result.return_value == 4
    assert result.stderr.splitlines()[-1].strip() == "sew it"
    assert "torn" in result.stdout and "fix:  sew it" in result.stdout
    assert "fix:  x" not in result.stdout


def test_advice_is_no_command_to_run_next(monkeypatch):
    findings = [
        Finding("a", BROKEN, "torn", "use thread"),
        Finding("b", BROKEN, "odd"),
        Finding("c", BROKEN, "torn", "sew it"),
    ]
    result = run(monkeypatch, findings)
    assert result.return_value == 4 and "fix:  use thread" in result.stdout
    assert result.stderr.splitlines()[-1].strip() == "sew it"
    assert "sew" not in run(monkeypatch, findings[:2]).stderr


def test_quiet_prints_what_is_broken_only(monkeypatch):
    findings = [Finding("a", OK, "fine"), Finding("b", NOTE, "slow", "y")]
    result = run(monkeypatch, findings, "-q")
    assert (result.return_value, result.output) == (0, "")
