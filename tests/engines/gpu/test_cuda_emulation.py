"""The emulation of CUDA itself: that it computes as a GPU does, and that mistakes are seen."""

import re
import sys

import numpy as np
import pytest
from cuda_emulation import FOLDER, HEADERS, build_text, emulate
from inputs import cupy

from cunet.engines.gpu import cuda, elements

PRECISIONS = tuple(cuda.DTYPES)
SOURCE = r"""
// Each kernel has a step that can be left out.
extern "C" __global__ void backwards(const float* x, float* y, int barrier) {
    __shared__ float copy[256];
    copy[threadIdx.x] = x[blockIdx.x * 256 + threadIdx.x];
    if (barrier) __syncthreads();
    y[blockIdx.x * 256 + threadIdx.x] = copy[255 - threadIdx.x];
}
EXPORT(backwards)

extern "C" __global__ void staged(const float* x, float* y, int steps, int waits, int barrier) {
    SHARED(memory);
    auto stage = [&](int i) { return (float4*)(memory + i % 2 * 16 * 64); };
    auto load = [&](int i) {
        copy_async(stage(i) + threadIdx.x, x + (i * 64 + threadIdx.x) * 4, i < steps);
        commit();
    };
    float sum = 0;
    load(0);
    for (int i = 0; i < steps; i++) {
        load(i + 1);  // where no step reads any more: see the barrier below
        if (waits) wait<1>();
        __syncthreads();
        float4 v = stage(i)[63 - threadIdx.x];
        sum += v.x + v.y + v.z + v.w;
        if (barrier) __syncthreads();
    }
    y[threadIdx.x] = sum;
}
EXPORT(staged)

extern "C" __global__ void divergent(float* y, int threads) {
    if (threadIdx.x < threads) return;
    if (threadIdx.x % 2) __syncthreads(); else __syncwarp();
    y[threadIdx.x] = 1;
}
EXPORT(divergent)

extern "C" __global__ void early_end(float* y) {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}
EXPORT(early_end)

extern "C" __global__ void mixed(float* y, int number) {
    y[threadIdx.x] = threadIdx.x % 2 ? __shfl_sync(~0u, 1.f, 0) : (__syncwarp(), 2.f);
}
EXPORT(mixed)

extern "C" __global__ void past_the_end(int place) {
    SHARED(memory);
    memory[place] = 1;
}
EXPORT(past_the_end)

extern "C" __global__ void uneven(const element* x) {
    SHARED(memory);
    copy_async(memory, x, true);
}
EXPORT(uneven)

extern "C" __global__ void shuffles(const int* x, int* y) {
    int v = x[threadIdx.x], lane = threadIdx.x % 32;
    y[4 * threadIdx.x] = __shfl_xor_sync(~0u, v, 5);
    y[4 * threadIdx.x + 1] = __shfl_down_sync(~0u, v, 3);
    y[4 * threadIdx.x + 2] = __shfl_up_sync(~0u, v, 3);
    y[4 * threadIdx.x + 3] = __shfl_sync(~0u, v, 7);
}
EXPORT(shuffles)

extern "C" __global__ void arguments(double* y, float a, int b, uint64 c) {
    y[0] = a, y[1] = b, y[2] = c;
}
EXPORT(arguments)

extern "C" __global__ void numbers(const float* x, element* y, float* back, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) back[i] = to_float(y[i] = to_element(x[i]));
}
EXPORT(numbers)

// D (16, 8) += A (16, 32 bytes) B (8, 32 bytes)^T, and the matrices as they come, transposed or not
extern "C" __global__ void product(const element* a, const element* b, float* d, unsigned* words,
                                   unsigned* transposed) {
    int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    SHARED(memory);
    copy_async(memory + lane * 16, a + lane * CHUNK, true);
    if (lane < 16) copy_async(memory + 512 + lane * 16, b + lane * CHUNK, true);
    commit();
    wait<0>();
    __syncwarp();
    unsigned fa[4], fb[4], ft[4];
    load_matrices(fa, memory + lane % 16 * 32 + lane / 16 * 16);
    load_matrices(fb, memory + 512 + lane % 8 * 32 + lane / 8 % 2 * 16);
    load_matrices_transposed(ft, memory + lane % 16 * 32 + lane / 16 * 16);
    for (int i = 0; i < 4; i++) words[lane * 4 + i] = fa[i], transposed[lane * 4 + i] = ft[i];
    float sums[4];
    for (int i = 0; i < 4; i++) sums[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    mma(sums, fa, {fb[0], fb[1]});
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}
EXPORT(product)

// D (64 G, 64) = A (64 G, 128 bytes) B (64, 128 bytes)^T by G warpgroups; STEP by STEP in stages
enum { FENCE = 1, BARRIER = 2, WAIT = 4, KEEP = 8 };
extern "C" __global__ void group_product(const element* a, const element* b, float* d, int parts) {
    const int t = threadIdx.x, group = t / 128, rows = blockDim.x / 2;
    SHARED(memory);
    auto load = [&](const element* x, unsigned char* to, int count, bool inside) {
        for (int i = t; i < count * 8; i += blockDim.x)
            copy_async(to + i / 8 * 128 + (i % 8 ^ i / 8 % 8) * 16, x + i * CHUNK, inside);
    };
    load(a, memory, rows, true);
    load(b, memory + rows * 128, 64, true);
    commit();
    wait<0>();
    if (parts & FENCE) fence_proxy();
    if (parts & BARRIER) __syncthreads();
    float sums[32] = {};
    Operand x = operand(memory + group * 64 * 128), y = operand(memory + rows * 128);
    warpgroup_fence();
    for (int k = 0; k < 4; k++) warpgroup_mma<64>(sums, advance(x, 32 * k), advance(y, 32 * k));
    warpgroup_commit();
    if (parts & WAIT) warpgroup_wait<0>();
    __syncthreads();
    if (!(parts & KEEP)) load(a, memory, rows, false);
    for (int i = 0; i < 32; i++) {
        int row = group * 64 + t / 32 % 4 * 16 + t % 32 / 4 + 8 * (i / 2 % 2);
        d[row * 64 + i / 4 * 8 + t % 4 * 2 + i % 2] = sums[i];
    }
    warpgroup_wait<0>();
}
EXPORT(group_product)

extern "C" __global__ void doubled(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= 2;
}
EXPORT(doubled)
"""


@pytest.fixture
def xp(monkeypatch):
    module = emulate(monkeypatch)
    monkeypatch.setattr(cuda, "compiled", lambda precision, arch: build_text(SOURCE, precision))
    return module


def run(name, *arguments, grid=1, block=32, shared=0, precision="tf32"):
    like = sys.modules["cupy"].empty(0, cuda.DTYPES[precision])
    cuda.launch(like, name, grid, block, *arguments, shared=shared)


def fails(text):
    return pytest.raises(RuntimeError, match=text)


# ---- mistakes


def test_a_missing_barrier(xp):
    x = xp.arange(1024, dtype=xp.float32)
    expected = x.get().reshape(4, 256)[:, ::-1].ravel()
    for barrier in (1, 0):
        y = xp.empty(1024, xp.float32)
        run("backwards", x, y, barrier, grid=4, block=256)
        assert np.array_equal(y.get(), expected) == bool(barrier)
    assert np.isnan(y.get()).any()  # what nobody had written yet


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize("barrier", [0, 1])
def test_a_missing_wait_and_a_stage_that_is_overwritten_too_early(xp, waits, barrier):
    x, y = xp.arange(5 * 256, dtype=xp.float32), xp.empty(64, xp.float32)
    run("staged", x, y, 5, waits, barrier, block=64, shared=2048)
    expected = x.get().reshape(5, 64, 4).sum((0, 2))[::-1]
    assert np.array_equal(y.get(), expected) == bool(waits and barrier)


def test_barriers_that_not_all_threads_reach(xp):
    y = xp.zeros(64, xp.float32)
    with fails("divergent barrier: 32 of 64 threads wait in __syncthreads"):
        run("divergent", y, 0, block=64)
    with fails("different operations"):
        run("mixed", y, 1)
    run("early_end", y, block=64)  # ended threads are not waited for
    np.testing.assert_array_equal(y.get(), np.arange(64) < 40)


def test_writing_past_shared_memory(xp):
    run("past_the_end", 1023, shared=1024)
    with fails("past_the_end: written 5 bytes past"):
        run("past_the_end", 1029, shared=1024)


def test_copies_of_16_bytes_start_at_a_multiple(xp):
    x = xp.zeros(64, xp.float32)
    with fails("multiple of 16 bytes"):
        run("uneven", x[1:], shared=1024)


def test_arguments_are_checked(xp):
    y = xp.empty(3, xp.float64)
    right = y, 0.5, -3, np.uint64(1 << 60)
    run("arguments", *right)
    np.testing.assert_array_equal(y.get(), [0.5, -3, 1 << 60])
    wrong = {
        "argument 1 is 4 bytes, expected a float": (y, 5, *right[2:]),
        "argument 2 is a float of 4 bytes, expected 4": (y, 0.5, 1.0, right[3]),
        "argument 3 is 4 bytes, expected 8": (*right[:3], 1),
        "3 arguments, expected 4": right[:3],
    }
    for text, arguments in wrong.items():
        with fails(text):
            run("arguments", *arguments)
    kernel = cuda.function("tf32", 0, "arguments")
    for value in (1, 1.0, np.zeros(1), None):
        with pytest.raises(TypeError, match="argument 0"):
            kernel((1,), (1,), (value,))
    with fails("symbol not found"):
        run("nothing")


def test_limits_of_a_launch(xp):
    y = xp.empty(32, xp.float32)
    for more, text in (
        ({"grid": (1, 65536)}, "grid"),
        ({"grid": 0}, "grid"),
        ({"block": 1025}, "block"),
        ({"shared": 164 << 10}, "shared"),
    ):
        with fails(text):
            run("doubled", y, 0, **more)
    kernel = cuda.function("tf32", 0, "doubled")
    with fails("shared memory"):
        kernel((1,), (32,), (y, np.int32(0)), shared_mem=49153)
    run("doubled", y, 0, shared=163 << 10, block=1024, grid=(1, 1, 3))


# ---- results


def test_shuffles(xp):
    x, y = xp.arange(64, dtype=xp.int32), xp.empty((64, 4), xp.int32)
    run("shuffles", x, y, block=64)
    lane, first = np.arange(64) % 32, np.arange(64) // 32 * 32
    down, up = np.where(lane < 29, lane + 3, lane), np.where(lane > 2, lane - 3, lane)
    expected = np.stack([lane ^ 5, down, up, lane * 0 + 7], axis=1) + first[:, None]
    np.testing.assert_array_equal(y.get(), expected)


def rounded(x, bits):
    """x with so many bits of mantissa, to nearest; ties away from zero (tf32) or to even."""
    u, drop = x.view(np.uint32).astype(np.uint64), 23 - bits
    half = np.uint64(1 << (drop - 1))
    u = u + (half if bits == 10 else half - np.uint64(1) + (u >> np.uint64(drop) & np.uint64(1)))
    return (u >> np.uint64(drop) << np.uint64(drop)).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers_are_rounded_as_the_gpu_rounds_them(xp, precision):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 1 << 32, 4000, np.uint32).view(np.float32)
    edges = [0, -0.0, 1 + 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 65519, 65520, 2**-25, 3 * 2**-25, 1e-7]
    edges += [np.inf, -np.inf, np.nan]
    x = np.concatenate([x, rng.standard_normal(4000, np.float32), np.array(edges, np.float32)])
    y, back = xp.empty(x.size, cuda.DTYPES[precision]), xp.empty(x.size, xp.float32)
    run("numbers", xp.asarray(x), y, back, x.size, grid=40, block=256, precision=precision)
    if precision == "float16":
        with np.errstate(over="ignore"):
            expected = x.astype(np.float16).astype(np.float32)
    else:
        expected = np.where(np.isfinite(x), rounded(x, 10 if precision == "tf32" else 7), x)
    np.testing.assert_array_equal(back.get(), expected)
    known = ~np.isnan(x)
    np.testing.assert_array_equal(np.signbit(back.get())[known], np.signbit(expected)[known])


def small_numbers(xp, shape, precision, seed):
    """Numbers that every precision holds: as float64, and as an array of the device."""
    x = np.random.default_rng(seed).integers(-8, 9, shape) / 4
    if precision == "bfloat16":
        there = (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    else:
        there = x.astype(cuda.DTYPES[precision])
    return x, xp.asarray(there)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_of_tensor_cores(xp, precision):
    k = 32 // cuda.DTYPES[precision].itemsize
    (a, xa), (b, xb) = (small_numbers(xp, (n, k), precision, n) for n in (16, 8))
    d = xp.ones((16, 8), xp.float32)
    words, transposed = xp.empty((32, 4), xp.uint32), xp.empty((32, 4), xp.uint32)
    run("product", xa, xb, d, words, transposed, shared=1024, precision=precision)
    np.testing.assert_array_equal(d.get(), 1 + a @ b.T)
    # four matrices: rows 0-7 and 8-15 of the left 16 bytes, then of the right ones
    halves = xa.get().view(np.uint16).reshape(2, 8, 2, 8).transpose(2, 0, 1, 3).reshape(4, 8, 8)
    for found, matrices in ((words, halves), (transposed, halves.transpose(0, 2, 1))):
        expected = matrices.copy().view(np.uint32).reshape(4, 32).T
        np.testing.assert_array_equal(found.get(), expected)


def test_tensor_cores_see_10_bits_of_a_float(xp):
    a, b = np.zeros((16, 8), np.float32), np.ones((8, 8), np.float32)
    a[:, 0] = 1 + 2**-11  # cut off, not rounded
    d, words = xp.zeros((16, 8), xp.float32), xp.empty((32, 4), xp.uint32)
    run("product", xp.asarray(a), xp.asarray(b), d, words, words, shared=1024)
    np.testing.assert_array_equal(d.get(), 1)


FENCE, BARRIER, WAIT, KEEP = 1, 2, 4, 8
ALL = FENCE | BARRIER | WAIT | KEEP


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("left_out", [0, FENCE, BARRIER, WAIT, KEEP, WAIT | KEEP])
def test_products_of_warpgroups(xp, precision, left_out):
    k = 128 // cuda.DTYPES[precision].itemsize
    (a, xa), (b, xb) = (small_numbers(xp, (n, k), precision, n) for n in (128, 64))
    d = xp.empty((128, 64), xp.float32)
    parts = ALL - left_out
    run("group_product", xa, xb, d, parts, block=256, shared=192 * 128, precision=precision)
    right = left_out in (0, KEEP)  # after the wait of all the stage may be used again
    assert np.array_equal(d.get(), a @ b.T) == right


# ---- graphs


def test_a_captured_stream_runs_nothing_before_its_graph_is_launched(xp):
    x, y = xp.arange(8, dtype=xp.float32), xp.zeros(8, xp.float32)
    stream = xp.cuda.Stream()
    with stream:
        assert xp.cuda.get_current_stream() is stream
        stream.begin_capture()
        assert stream.is_capturing()
        part = xp.empty(8, xp.float32)
        part[...] = x
        run("doubled", part, 8)
        y[:4] = part.reshape(2, 4)[1]
        y[4:].fill(3)
        new = xp.zeros(3, xp.float32)
        graph = stream.end_capture()
    assert float(abs(y).sum()) == 0 and np.isnan(new.get()).all()
    del part
    graph.launch(stream)
    np.testing.assert_array_equal(y.get(), [8, 10, 12, 14, 3, 3, 3, 3])
    np.testing.assert_array_equal(new.get(), 0)
    x += 1
    graph.launch()
    np.testing.assert_array_equal(y.get(), [10, 12, 14, 16, 3, 3, 3, 3])


WITHIN_A_GRAPH = {
    "get": lambda xp, x: x.get(),
    "asnumpy": lambda xp, x: xp.asnumpy(x),
    "set": lambda xp, x: x.set(np.zeros((2, 3), np.float32)),
    "item": lambda xp, x: x[0, 0].item(),
    "float": lambda xp, x: float(x[0, 0]),
    "bool": lambda xp, x: bool(x[0, 0]),
    "repr": lambda xp, x: repr(x),
    "asarray": lambda xp, x: xp.asarray(np.zeros(3)),
    "arange": lambda xp, x: xp.arange(3),
    "matmul": lambda xp, x: x @ x.T,
    "tensordot": lambda xp, x: xp.tensordot(x, x, 2),
    "sum": lambda xp, x: x.sum(),
    "ufunc": lambda xp, x: x + 1,
    "in place": lambda xp, x: x.__iadd__(1),
    "concatenate": lambda xp, x: xp.concatenate([x, x]),
    "astype": lambda xp, x: x.astype(xp.float64),
    "copy": lambda xp, x: x.copy(),
    "index array": lambda xp, x: x[x > 0],
    "reshape of a transpose": lambda xp, x: x.T.reshape(-1),
    "ravel of a transpose": lambda xp, x: x.T.ravel(),
    "synchronize": lambda xp, x: xp.cuda.get_current_stream().synchronize(),
    "device": lambda xp, x: xp.cuda.Device().synchronize(),
}


@pytest.mark.parametrize("use", WITHIN_A_GRAPH)
def test_what_a_graph_cannot_hold_raises(xp, use):
    x, stream = xp.zeros((2, 3), xp.float32), xp.cuda.Stream()
    with stream:
        stream.begin_capture()
        with fails(".*aptur"):
            WITHIN_A_GRAPH[use](xp, x)
        stream.end_capture().launch()
    if use != "device":
        WITHIN_A_GRAPH[use](xp, x)


def test_captures_begin_and_end(xp):
    stream = xp.cuda.Stream()
    for wrong in (stream.end_capture, xp.cuda.Stream.null.begin_capture):
        with pytest.raises(RuntimeError):
            wrong()
    stream.begin_capture()
    with pytest.raises(RuntimeError):
        stream.begin_capture()
    stream.end_capture()


# ---- the rest of the double


def test_memory_is_counted_while_arrays_live(xp):
    pool = xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc):
        x = xp.empty((100, 10), xp.float32)
        view = x[3:].reshape(-1)
    del x
    assert pool.used_bytes() == pool.total_bytes() == 4096
    del view
    assert pool.used_bytes() == 0 and pool.total_bytes() == pool.free_bytes() == 4096
    pool.free_all_blocks()
    assert pool.total_bytes() == 0
    pool.set_limit(size=1000)
    with xp.cuda.using_allocator(pool.malloc), pytest.raises(xp.cuda.memory.OutOfMemoryError):
        xp.empty(1000, xp.float64)
    free, total = xp.cuda.runtime.memGetInfo()
    assert 0 < free <= total and xp.get_default_memory_pool().used_bytes() >= 0


def test_pinned_memory_and_events(xp):
    memory = xp.cuda.alloc_pinned_memory(100)
    values = np.frombuffer(memory, np.float32, 25)
    values[...] = 1
    start, end = xp.cuda.Event(), xp.cuda.Event()
    start.record()
    end.record()
    end.synchronize()
    assert 0 <= xp.cuda.get_elapsed_time(start, end) < 1000


def test_new_memory_holds_nothing_useful(xp):
    assert np.isnan(xp.empty(3, xp.float32).get()).all()
    assert (xp.empty_like(xp.zeros(3, xp.uint16)).get() == 65535).all()


@pytest.mark.skipif(cupy is None, reason="CuPy is not installed")
def test_cupy_has_the_same_classes(xp):
    for name in ("Device", "Event", "Graph", "MemoryPool", "Stream"):
        own = {n for n in dir(getattr(xp.cuda, name)) if not n.startswith("_")}
        assert own <= set(dir(getattr(cupy.cuda, name))) | {"id", "is_null"}, name
    assert {"get_function"} <= set(dir(cupy.RawModule))
    assert {"max_dynamic_shared_size_bytes"} <= set(dir(cupy.RawKernel))


# ---- the emulation of the real sources


def test_the_emulation_names_what_the_prelude_names():
    text = "".join(path.read_text(encoding="utf-8") for path in HEADERS)
    for path in cuda.sources("sm_90a"):
        if path.name.startswith("device"):
            source = path.read_text(encoding="utf-8")
            names = re.findall(r"^DEVICE [\w ]*?\b(\w+)\(", source, re.M)
            names += re.findall(r"^(?:struct|typedef) .*?(\w+)(?: \{.*|;)$", source, re.M)
            assert {n for n in names if not re.search(rf"\b{n}\b", text)} == set()


def test_cunet_finds_the_emulated_gpu(monkeypatch):
    emulate(monkeypatch, 90)
    assert cuda.capability() == 90 and cuda.shared_memory() == 227 << 10
    xp = emulate(monkeypatch)
    assert cuda.capability() == 80 and cuda.shared_memory() == 163 << 10
    x = xp.asarray(np.random.default_rng(0).standard_normal((2, 3, 5, 8), np.float32))
    y = elements.to_floats(elements.to_elements(x, "float16"))
    np.testing.assert_array_equal(y.get(), x.get().astype(np.float16))
    monkeypatch.undo()
    assert cuda.compiled.__module__ == cuda.__name__ and cuda.module.cache_info().currsize == 0
    assert sys.modules.get("cupy") in (None, cupy) and (FOLDER / "cuda_cpu.h").is_file()
