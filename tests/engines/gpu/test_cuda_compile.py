"""Every kernel compiles for every kind of card it is made for, and keeps its sums in registers."""

import itertools
import os
import re
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from cunet.engines.gpu import cuda, weight_tiles
from cunet.errors import DeviceError

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)

# cards after Hopper have the sources of those before it
CASES = [
    *itertools.product(("sm_80", "sm_90a"), cuda.DTYPES),
    ("sm_100", "tf32"), ("sm_120", "bfloat16"),
]  # fmt: skip
SPILLED = {"sm_120": 16}  # bytes that are allowed: two numbers of pool_backward
FUNCTION = re.compile(
    r"Function properties for (\w+)\s*\n.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads\s*\n.*?Used (\d+) registers"
)


@pytest.fixture(scope="module", autouse=True)
def compiler():
    try:
        nvrtc.getVersion()
    except Exception as error:  # the library itself is not installed
        pytest.skip(f"NVRTC cannot be loaded: {error}")


def exported(arch):
    """The kernels of the sources, by the macro that stands behind each."""
    names = set()
    for path in cuda.sources(arch):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"^EXPORT\((\w+)\)", text, re.M))
    return names


def end_of_elf(code):
    """Where the last table of a 64-bit ELF file ends, by its header."""
    programs, sections = struct.unpack_from("<QQ", code, 32)
    sizes = struct.unpack_from("<HHHH", code, 54)
    return max(programs + sizes[0] * sizes[1], sections + sizes[2] * sizes[3])


@pytest.fixture(scope="module")
def compiled():
    """The machine code and the compiler's report of every case, compiled side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NVRTC releases Python's lock
        made = pool.map(lambda case: cuda.compile_source(*reversed(case)), CASES)
        return dict(zip(CASES, made, strict=True))


@pytest.mark.parametrize(("arch", "precision"), CASES)
def test_kernels_compile_and_spill_nothing(compiled, arch, precision):
    code, log = compiled[arch, precision]
    assert code[:4] == b"\x7fELF" and len(code) >= end_of_elf(code)
    assert "warning" not in log and "serialized" not in log, log
    found = {m[1]: tuple(map(int, m.groups()[1:])) for m in FUNCTION.finditer(log)}
    assert exported(arch) <= found.keys()
    assert {"conv_128x128", "conv_by_weights_128"} <= found.keys()
    by_boxes = {tile.name for tile in weight_tiles.tiles(cuda.DTYPES[precision].itemsize)}
    assert (by_boxes <= found.keys()) == (arch == "sm_90a")
    for name, (frame, stores, loads, registers) in found.items():
        assert max(frame, stores, loads) <= SPILLED.get(arch, 0), name
        assert registers <= 255, name


def test_an_nvrtc_that_cannot_be_loaded_is_reported(monkeypatch):
    def missing():
        raise RuntimeError("libnvrtc.so.13: cannot open shared object file")

    monkeypatch.setattr(nvrtc, "getVersion", missing)
    for work in (cuda.compiled, cuda.compile_source):
        with pytest.raises(DeviceError, match=r"libnvrtc.so.13.*\[ctk\]"):
            work("tf32", "sm_80")
