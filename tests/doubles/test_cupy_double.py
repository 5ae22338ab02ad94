"""The device double itself; what it shares with CuPy is also tested on CuPy, given a GPU."""

import inspect
import re
from types import ModuleType, SimpleNamespace

import cupy_double
import numpy as np
import pytest
from cupy_double.arrays import METHODS, ufuncs
from inputs import DEVICES, cupy

from cunet import backend

needs_cupy = pytest.mark.skipif(cupy is None, reason="CuPy is not installed")


@pytest.fixture(params=DEVICES, ids=lambda module: module.__name__)
def xp(request):
    return request.param


@pytest.fixture
def a(xp):
    return xp.arange(12, dtype=xp.float32).reshape(3, 4)


def test_the_module_is_found_from_the_array(xp, a):
    assert backend.array_module(a) is xp
    assert xp.get_array_module(a, 1) is xp and xp.get_array_module(np.ones(2)) is np
    assert not isinstance(a, np.ndarray)


def test_arrays_cross_only_when_asked(xp):
    source = np.arange(6.0).reshape(2, 3)
    there = xp.asarray(source)
    back = there.get()
    assert type(back) is np.ndarray and type(xp.asnumpy(there)) is np.ndarray
    assert back.dtype == source.dtype
    np.testing.assert_array_equal(back, source)
    source[0, 0] = back[0, 0] = 9
    assert float(there[0, 0]) == 0
    assert xp.asarray(there) is there and xp.array(there) is not there


MIXTURES = {
    "array + numpy": lambda xp, a, n: a + n,
    "numpy + array": lambda xp, a, n: n + a,
    "numpy @ array": lambda xp, a, n: n @ a.T,
    "array < numpy": lambda xp, a, n: a < n,
    "numpy == array": lambda xp, a, n: n == a,
    "array += numpy": lambda xp, a, n: a.__iadd__(n),
    "numpy += array": lambda xp, a, n: n.__iadd__(a),
    "ufunc": lambda xp, a, n: xp.maximum(a, n),
    "ufunc of numpy alone": lambda xp, a, n: xp.exp(n),
    "ufunc out": lambda xp, a, n: xp.exp(a, out=n),
    "function": lambda xp, a, n: xp.concatenate([a, n]),
    "function of numpy alone": lambda xp, a, n: xp.sum(n),
    "matmul": lambda xp, a, n: xp.matmul(a, n.T),
    "matmul out": lambda xp, a, n: xp.matmul(a, a.T, out=np.empty((3, 3), np.float32)),
    "where": lambda xp, a, n: xp.where(a > 0, a, n),
    "numpy's asarray": lambda xp, a, n: np.asarray(a),
    "numpy's array of a list": lambda xp, a, n: np.array([a, a]),
    "numpy[...] = array": lambda xp, a, n: n.__setitem__(..., a),
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_mixing_with_numpy_raises(xp, a, mixture):
    with pytest.raises((TypeError, AttributeError) if "alone" in mixture else TypeError):
        MIXTURES[mixture](xp, a, np.ones((3, 4), np.float32))


STRICTER = {
    "numpy's sum": lambda a, n: np.sum(a),
    "numpy's exp": lambda a, n: np.exp(a),
    "numpy's where": lambda a, n: np.where(n > 0, n, a),
    "numpy's matmul": lambda a, n: np.matmul(n, a.T),
    "array[...] = numpy": lambda a, n: a.__setitem__(..., n),
    "array[numpy]": lambda a, n: a[np.array([0, 1])],
    "0-d numpy": lambda a, n: a + np.array(1.0),
    "list": lambda a, n: a + [1, 2, 3, 4],
}


@pytest.mark.parametrize("use", STRICTER)
def test_the_double_refuses_what_cupy_lets_pass_or_refuses_otherwise(use):
    a = cupy_double.arange(12, dtype=np.float32).reshape(3, 4)
    with pytest.raises(TypeError):
        STRICTER[use](a, np.ones((3, 4), np.float32))


def test_scalars_are_allowed_and_keep_the_dtype(xp, a):
    for y in (a + 1, 2.5 * a, a * np.float32(2), np.float32(2) * a, 1 - a, a**2, a / 2):
        assert type(y) is type(a) and y.dtype == xp.float32
    assert (a + np.float64(1)).dtype == xp.float64
    assert float((np.float32(2) - a)[1, 1]) == -3
    assert float(abs(-a).max()) == 11
    assert xp.maximum(a, 3).min().item() == 3


def test_reductions_give_arrays_without_dimensions(xp, a):
    for y in (a.sum(), xp.sum(a), a.max(), a.mean(), a.argmax(), (a > 3).any(), a[1, 2], a[-1][0]):
        assert type(y) is type(a) and y.shape == ()
    assert float(a.sum()) == 66 and int(a.argmax()) == 11
    assert bool((a >= 0).all()) and not bool((a > 3).all())
    assert (a.sum(axis=0, keepdims=True)).shape == (1, 4)
    with pytest.raises((TypeError, ValueError)):
        bool(a > 3)


def test_views_share_memory(xp, a):
    for view in (
        a[1:, ::2],
        a.T,
        a.reshape(4, 3),
        a.ravel(),
        a.transpose(1, 0),
        a.swapaxes(0, 1),
        a[None, ..., None],
        xp.lib.stride_tricks.as_strided(a, (2, 2), (16, 4)),
    ):
        assert xp.may_share_memory(view, a)
    a[1:, ::2] += 100
    a[0][...] = -1
    a.reshape(-1)[11] = 7
    a[2, 1:2].fill(5)
    expected = [[-1, -1, -1, -1], [104, 5, 106, 7], [108, 5, 110, 7]]
    np.testing.assert_array_equal(a.get(), expected)
    assert a.T.strides == (4, 16) and a.T.flags.f_contiguous and not a.T.flags.c_contiguous
    copy = a.copy()
    copy[...] = 0
    np.testing.assert_array_equal(a.get(), expected)
    assert a.view(xp.int32).dtype == xp.int32 and a.astype(bool).dtype == bool


def test_assignment_by_arrays(xp, a):
    a[xp.array([0, 2])] = xp.full((2, 4), 50, xp.float32)
    a[a == 50] = 1
    a[:, xp.array([3])] *= 2
    np.testing.assert_array_equal(a.get(), [[1, 1, 1, 2], [4, 5, 6, 14], [1, 1, 1, 2]])
    np.testing.assert_array_equal(a[xp.array([1, 0]), xp.array([0, 3])].get(), [4, 2])


def test_functions_write_where_out_says(xp, a):
    y = xp.zeros((3, 3), xp.float32)
    assert xp.matmul(a, a.T, out=y) is y
    np.testing.assert_array_equal(y.get(), a.get() @ a.get().T)
    assert xp.multiply(a, 2, out=a) is a and float(a[2, 3]) == 22
    before = a
    a *= xp.ones(4, xp.float32)
    a -= 22
    assert a is before and float(a[2, 3]) == 0
    with pytest.raises(TypeError):
        integers = xp.arange(3)
        integers += 0.5


def test_infinities_give_no_warning(xp, recwarn):
    assert bool(xp.isinf(xp.log(xp.zeros(2))).all()) and bool(xp.isnan(xp.zeros(1) / 0).all())
    assert not recwarn.list


def test_what_cupy_lacks_is_missing(xp, a):
    for name in ("errstate", "seterr", "broadcast", "nditer", "ma", "testing_"):
        assert not hasattr(xp, name)
    with pytest.raises(AttributeError):
        xp.no_such_function  # noqa: B018
    with pytest.raises(AttributeError):
        a.setflags(write=False)
    assert not hasattr(a.flags, "writeable")


KEYWORDS = {
    "where of a ufunc": lambda xp, a: xp.add(a, a, where=a > 0),
    "where of a reduction": lambda xp, a: xp.sum(a, where=a > 0),
    "initial": lambda xp, a: a.max(initial=0),
    "where of a method": lambda xp, a: a.sum(where=a > 0),
    "writeable": lambda xp, a: xp.lib.stride_tricks.as_strided(a, (2,), (4,), writeable=False),
    "subok": lambda xp, a: xp.broadcast_to(a, (2, 3, 4), subok=True),
    "like": lambda xp, a: xp.zeros(3, like=a),
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_keywords_that_cupy_lacks_raise(xp, a, keyword):
    with pytest.raises(TypeError):
        KEYWORDS[keyword](xp, a)


def test_devices(xp, a):
    assert xp.is_available() and xp.cuda.runtime.getDeviceCount() >= 1
    with xp.cuda.Device(0) as device:
        assert device.id == 0
        device.synchronize()
    with pytest.raises(xp.cuda.runtime.CUDARuntimeError):
        xp.cuda.Device(4096).use()


def public_names(module, prefix=""):
    """Every name that the double offers, dotted."""
    for name, value in vars(module).items():
        if isinstance(value, SimpleNamespace):
            yield from public_names(value, f"{prefix}{name}.")
        elif not name.startswith("_") and not isinstance(value, ModuleType):
            yield prefix + name


def found(module, dotted):
    for name in dotted.split("."):
        module = getattr(module, name)
    return module


def known_words(function):
    """The parameter names of a CuPy function; those of a compiled one open its docstring."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return set(re.findall(r"\w+", function.__doc__.split("\n")[0]))
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None  # it takes any keyword
    return {p.name for p in parameters}


@needs_cupy
def test_cupy_has_every_name_and_keyword():
    for name in public_names(cupy_double):
        real, function = found(cupy, name), found(cupy_double, name)
        if isinstance(real, type) or not callable(real) or name == "matmul":
            continue  # matmul's operands have no names in CuPy
        offered, known = set(inspect.signature(function).parameters), known_words(real)
        if name in ufuncs:
            offered.remove("args")
        assert known is None or offered <= known, name


@needs_cupy
def test_cupy_arrays_have_every_attribute():
    own = {"_numpy", "__dict__", "__weakref__", "__module__"}
    assert set(dir(cupy_double.ndarray)) - own <= set(dir(cupy.ndarray))


@needs_cupy
def test_cupy_methods_have_every_keyword():
    for parameters, names in METHODS.items():
        for name in names.split():
            words = set(re.findall(r"\w+", parameters))
            assert words <= known_words(getattr(cupy.ndarray, name)), name
