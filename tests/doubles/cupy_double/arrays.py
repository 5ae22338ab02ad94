"""The array of the device double, what it lets in and out, and its arithmetic."""

import inspect
from types import SimpleNamespace

import numpy as np

from cupy_double.parts import hold, recorded, refuse, work

SCALARS = (bool, int, float, complex, np.generic)
PLAIN = (*SCALARS, str, type(None), type(Ellipsis), slice, type, np.dtype)
VIEWS = """
    broadcast_to expand_dims flip moveaxis ravel reshape rot90 split squeeze swapaxes transpose view
""".split()
NEW = "empty_like full_like ones_like zeros_like".split()


def new(a, known=True):
    """A new array; where its values are not known, or not yet, they are what no sum survives."""
    if known and recorded() is not None:
        values = a.copy()
        work(lambda: np.copyto(a, values))
    if not known or recorded() is not None:
        a.fill(np.iinfo(a.dtype).max if a.dtype.kind in "iu" else np.nan)
    return device(a)


def host(value):
    """The NumPy array behind a device array, through tuples and lists; NumPy arrays are refused."""
    if isinstance(value, ndarray):
        return value._numpy
    if isinstance(value, tuple | list):
        return type(value)(host(item) for item in value)
    if isinstance(value, PLAIN):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def operand(value):
    """What stands beside a device array in arithmetic: another one, or a scalar."""
    if isinstance(value, (ndarray, *SCALARS)):
        return host(value)
    raise TypeError(f"Unsupported type {type(value)}")


def device(value):
    """Results as device arrays; scalars become 0-d arrays, as CuPy's reductions give them."""
    if isinstance(value, tuple | list):
        return type(value)(device(item) for item in value)
    if isinstance(value, np.ndarray | np.generic | bool | int | float):
        a = object.__new__(ndarray)
        a._numpy = np.asarray(value)
        hold(a._numpy)
        return a
    return value


def is_view(value, of):
    parts = value if isinstance(value, list) else [value]
    return all(not part.size or np.may_share_memory(part, of) for part in parts)


def holds_array(value):
    if isinstance(value, tuple | list):
        return any(holds_array(item) for item in value)
    return isinstance(value, ndarray)


def offered(name, target, parameters):
    """target with these parameters only; those before the slash must be given, by their place.

    Without an array among the arguments it is a TypeError.
    """
    required, _, optional = parameters.rpartition("/")
    required, optional = required.split(), optional.split()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(p, kind) for p in required]
        + [inspect.Parameter(p, kind, default=None) for p in optional]
    )

    def function(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        if not any(holds_array(value) for value in given.values()):
            raise TypeError(f"{name}: no device array among the arguments")
        leading = [host(given.pop(p)) for p in required]
        if name in ("fill", "copyto"):
            return work(lambda: target(*leading, **given))
        if name not in VIEWS + NEW:
            refuse(name)
        with np.errstate(all="ignore"):
            result = target(*leading, **{p: host(value) for p, value in given.items()})
        if name in NEW:
            return new(result, known=name != "empty_like")
        if name in VIEWS and not is_view(result, leading[0]):
            refuse(f"{name}, which must copy here,")
        return given["out"] if given.get("out") is not None else device(result)

    function.__name__ = name
    function.__signature__ = signature
    return function


def offered_ufunc(name):
    target = getattr(np, name)

    def function(*args, out=None, casting="same_kind", dtype=None):
        if len(args) == target.nin + 1 and out is None:
            *args, out = args
        if len(args) != target.nin:
            raise TypeError(f"{name}: {target.nin} operands expected, got {len(args)}")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"{name}: out must be a device array, got {type(out)}")
        refuse(name)
        to = None if out is None else out._numpy
        with np.errstate(all="ignore"):
            result = target(*map(operand, args), out=to, casting=casting, dtype=dtype)
        return device(result) if out is None else out

    function.__name__ = name
    return function


UFUNCS = """
    add subtract multiply divide true_divide floor_divide remainder power negative positive absolute
    sign maximum minimum fmax fmin exp exp2 expm1 log log2 log1p sqrt square reciprocal floor ceil
    rint trunc sin cos tanh arctan2 hypot isfinite isinf isnan equal not_equal less less_equal
    greater greater_equal logical_and logical_or logical_not logical_xor bitwise_and bitwise_or
    bitwise_xor invert left_shift right_shift
""".split()
METHODS = {
    "self /": "nonzero",
    "self / axis": "squeeze",
    "self / axis out keepdims": "all any argmax argmin max min",
    "self / axis dtype out": "cumsum",
    "self / axis dtype out keepdims": "mean prod sum",
    "self / axis dtype out ddof keepdims": "std var",
    "self / dtype": "view",
    "self / min max out": "clip",
    "self / order": "copy flatten ravel",
    "self axis1 axis2 /": "swapaxes",
    "self dtype / order casting subok copy": "astype",
    "self indices / axis out": "take",
    "self repeats / axis": "repeat",
    "self value /": "fill",
}
OPERATORS = dict(
    pair.split(":")
    for pair in """
    add:add sub:subtract mul:multiply truediv:true_divide floordiv:floor_divide mod:remainder
    pow:power matmul:matmul and:bitwise_and or:bitwise_or xor:bitwise_xor lshift:left_shift
    rshift:right_shift
    """.split()
)
COMPARISONS = dict(
    pair.split(":")
    for pair in "eq:equal ne:not_equal lt:less le:less_equal gt:greater ge:greater_equal".split()
)
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


class ndarray:  # noqa: N801 - CuPy's own name
    """A device array; slices, transposes and reshapes are views of the same memory."""

    __array_ufunc__ = None  # NumPy's arrays and ufuncs then leave the operation to this class
    __hash__ = None

    def __init__(self, shape, dtype=float, order="C"):
        self._numpy = new(np.empty(shape, dtype, order), known=False)._numpy

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"NumPy's {function.__name__} was called with a device array")

    dtype = property(lambda self: self._numpy.dtype)
    ndim = property(lambda self: self._numpy.ndim)
    shape = property(lambda self: self._numpy.shape)
    size = property(lambda self: self._numpy.size)
    strides = property(lambda self: self._numpy.strides)
    nbytes = property(lambda self: self._numpy.nbytes)
    itemsize = property(lambda self: self._numpy.itemsize)
    T = property(lambda self: device(self._numpy.T))

    @property
    def data(self):  # the address of the first element
        return SimpleNamespace(ptr=self._numpy.__array_interface__["data"][0])

    @property
    def flags(self):
        """CuPy's flags: no `writeable`, since every device array is."""
        own = self._numpy.flags
        return SimpleNamespace(
            c_contiguous=own.c_contiguous, f_contiguous=own.f_contiguous, owndata=own.owndata
        )

    def get(self, stream=None, order="C", out=None, blocking=True):
        refuse("get")
        if out is None:
            return np.array(self._numpy, order=order)
        out[...] = self._numpy
        return out

    def set(self, arr, stream=None):
        refuse("set")
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("Shape or dtype mismatch")
        self._numpy[...] = arr

    def reshape(self, *shape, order="C"):
        result = self._numpy.reshape(*shape, order=order)
        if not is_view(result, self._numpy):
            refuse("reshape, which must copy here,")
        return device(result)

    def transpose(self, *axes):
        return device(self._numpy.transpose(*axes))

    def item(self):
        refuse("item")
        return self._numpy.item()

    def tolist(self):
        refuse("tolist")
        return self._numpy.tolist()

    def __getitem__(self, key):
        if holds_array(key):
            refuse("an index array")
        key = host(key)
        part = self._numpy[key]
        if isinstance(part, np.generic):  # a single element is a 0-d view
            part = self._numpy[(*(key if isinstance(key, tuple) else (key,)), Ellipsis)]
        return device(part)

    def __setitem__(self, key, value):
        if holds_array(key):
            refuse("an index array")
        key, value = host(key), operand(value)
        work(lambda: self._numpy.__setitem__(key, value))

    def __len__(self):
        return len(self._numpy)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        refuse("bool")
        return bool(self._numpy)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __repr__(self):
        refuse("repr")
        return repr(self._numpy)


def forward(function):
    return lambda self, other: function(self, other)


def reflected(function):
    return lambda self, other: function(other, self)


def in_place(function):
    return lambda self, other: function(self, other, out=self)


def unary(function):
    return lambda self: function(self)


ufuncs = {name: offered_ufunc(name) for name in UFUNCS}
ufuncs["abs"] = ufuncs["absolute"]
matmul = offered("matmul", np.matmul, "x1 x2 / out dtype")
for operator, name in OPERATORS.items():
    function = matmul if name == "matmul" else ufuncs[name]
    setattr(ndarray, f"__{operator}__", forward(function))
    setattr(ndarray, f"__r{operator}__", reflected(function))
    if name != "matmul":  # CuPy has no `@=`
        setattr(ndarray, f"__i{operator}__", in_place(function))
for operator, name in COMPARISONS.items():
    setattr(ndarray, f"__{operator}__", forward(ufuncs[name]))
for operator, name in UNARY.items():
    setattr(ndarray, f"__{operator}__", unary(ufuncs[name]))
for parameters, names in METHODS.items():
    for name in names.split():
        setattr(ndarray, name, offered(name, getattr(np.ndarray, name), parameters))
