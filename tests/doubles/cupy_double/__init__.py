"""A device without a device: a module that behaves as CuPy 14 does, its arrays kept by NumPy.

`ndarray` is no subclass of numpy.ndarray and never becomes one by itself: NumPy arrays beside it,
np.asarray of it and NumPy's functions on it raise TypeError; `asarray` takes an array to the
"device" and `get` or `asnumpy` brings it back. Only functions and keywords of CuPy are offered, so
code that runs here uses nothing that CuPy lacks. It is a little stricter than CuPy, whose arrays
accept some of NumPy's own functions. The sums are NumPy's, so results equal NumPy's bit for bit.
"""

import sys
from types import SimpleNamespace as _Namespace

import numpy as np

from cupy_double import arrays as _arrays
from cupy_double.arrays import ndarray
from cupy_double.kernels import RawModule  # noqa: F401
from cupy_double.parts import cuda, get_default_memory_pool, is_available  # noqa: F401

newaxis, pi, e, inf, nan = None, np.pi, np.e, np.inf, np.nan
bool_, int8, int16, int32, int64 = np.bool_, np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
dtype, finfo, iinfo = np.dtype, np.finfo, np.iinfo

# parameters: the functions that have them; those before the slash are required
_FUNCTIONS = {
    "a /": "nonzero",
    "a / axis": "argsort count_nonzero flip sort squeeze",
    "a / axes": "transpose",
    "a / axis out keepdims": "all amax amin any argmax argmin max min",
    "a / axis dtype out": "cumsum",
    "a / axis dtype out keepdims": "mean prod sum",
    "a / axis dtype out ddof keepdims": "std var",
    "a / dtype": "ascontiguousarray",
    "a / dtype order subok shape": "ones_like zeros_like",
    "a / k axes": "rot90",
    "a / order": "copy ravel",
    "a a_min a_max / out": "clip",
    "a axis /": "expand_dims",
    "a axis1 axis2 /": "swapaxes",
    "a b / axes": "tensordot",
    "a b / out": "dot",
    "a b / rtol atol equal_nan": "allclose isclose",
    "a fill_value / dtype order subok shape": "full_like",
    "a indices / axis out": "take",
    "a indices axis /": "take_along_axis",
    "a newshape / order": "reshape",
    "a repeats / axis": "repeat",
    "a shift / axis": "roll",
    "a source destination /": "moveaxis",
    "a1 a2 / equal_nan": "array_equal",
    "A reps /": "tile",
    "ar / return_index return_inverse return_counts axis": "unique",
    "arr indices values axis /": "put_along_axis",
    "array pad_width / mode constant_values": "pad",
    "array shape /": "broadcast_to",
    "ary indices_or_sections / axis": "split",
    "condition x y /": "where",
    "dst src / casting": "copyto",
    "prototype / dtype order subok shape": "empty_like",
    "tup / axis out dtype casting": "concatenate stack",
    "x / weights minlength": "bincount",
}

globals().update(_arrays.ufuncs)
matmul = _arrays.matmul
for _parameters, _names in _FUNCTIONS.items():
    for _name in _names.split():
        globals()[_name] = _arrays.offered(_name, getattr(np, _name), _parameters)


def empty(shape, dtype=float, order="C"):
    return _arrays.new(np.empty(_arrays.host(shape), dtype, order), known=False)


def zeros(shape, dtype=float, order="C"):
    return _arrays.new(np.zeros(_arrays.host(shape), dtype, order))


def ones(shape, dtype=float, order="C"):
    return _arrays.new(np.ones(_arrays.host(shape), dtype, order))


def full(shape, fill_value, dtype=None, order="C"):
    if isinstance(fill_value, ndarray):
        _arrays.refuse("full with an array")
    return _arrays.new(np.full(_arrays.host(shape), _arrays.operand(fill_value), dtype, order))


def arange(start, stop=None, step=1, dtype=None):
    _arrays.refuse("arange")
    start, stop = (0, start) if stop is None else (start, stop)
    return _arrays.device(np.arange(start, stop, step, dtype))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """A device array of numbers, lists or a NumPy array (always copied), or of a device array."""
    _arrays.refuse("array")
    if isinstance(obj, ndarray):
        obj = obj._numpy
        copy = True if copy else None
    else:
        copy = True
    return _arrays.device(np.array(obj, dtype, copy=copy, order=order, ndmin=ndmin))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, ndarray) and not copy and dtype in (None, a.dtype) and order in (None, "K"):
        return a
    return array(a, dtype, copy=bool(copy), order=order or "K")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    return np.asarray(a, order=order)


def result_type(*arrays_and_dtypes):
    return np.result_type(*map(_arrays.host, arrays_and_dtypes))


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(a._numpy, b._numpy)


def shares_memory(a, b, max_work=None):
    return np.shares_memory(a._numpy, b._numpy)


def get_array_module(*args):
    return sys.modules[__name__] if _arrays.holds_array(args) else np


def _as_strided(x, shape=None, strides=None):
    return _arrays.device(np.lib.stride_tricks.as_strided(_arrays.host(x), shape, strides))


lib = _Namespace(stride_tricks=_Namespace(as_strided=_as_strided))
linalg = _Namespace(norm=_arrays.offered("norm", np.linalg.norm, "x / ord axis keepdims"))
