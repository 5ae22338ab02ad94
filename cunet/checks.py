"""What a Python caller passes by mistake, told in one error: the argument, what was expected, what
was found and what to do.

    @arguments(image=array, net=instance(UNet, "load one with cunet.load"), tile=whole)
    def segment(image, net, tile=572): ...

A check takes the argument's name and value and returns the value to use, or raises CunetError.
"""

import dataclasses
import functools
import inspect
import math
import os
from collections.abc import Callable
from numbers import Integral, Real
from types import UnionType
from typing import Any, TypeVar, get_args

import numpy as np

from cunet.errors import CunetError

Check = Callable[[str, Any], Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def arguments(**checks: Check) -> Callable[[Function], Function]:
    """Decorate a function whose arguments are checked when it is called; None passes where it is
    the default."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        optional = {n for n, p in signature.parameters.items() if p.default is None}

        @functools.wraps(function)
        def checked(*args: Any, **named: Any) -> Any:
            bound = signature.bind(*args, **named)
            for name, check in checks.items():
                value = bound.arguments.get(name)
                if name in bound.arguments and not (value is None and name in optional):
                    bound.arguments[name] = check(name, value)
            return function(*bound.args, **bound.kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def refused(name: str, expected: str, value: Any, advice: str = "") -> CunetError:
    """The error to raise for a value."""
    return CunetError(f"{name}: expected {expected}, found {found(value)}{advice and '; '}{advice}")


def found(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, Real | complex):
        return f"{value!r:.40}"
    if isinstance(value, str | bytes):
        return f"the text {value!r:.60}"
    if hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple):  # CuPy's too
        return f"an array of {value.dtype} {value.shape}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, list | tuple | dict | set):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def array(name: str, value: Any) -> np.ndarray:
    """Anything that NumPy reads as an array: of its numbers and shape the caller knows more."""
    if type(value) is np.ndarray:
        return value
    expected, advice = "an array", ""
    if isinstance(value, str | bytes | os.PathLike):
        raise refused(name, expected, value, "read a file with cunet.read_image")
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise refused(
                name, "every pixel", value, "some are masked: give them a value with .filled()"
            )
        return np.asarray(value.data)
    if hasattr(type(value), "__array__") or isinstance(value, list | tuple):
        try:
            made = np.asarray(value)
            if made.dtype != object:
                return made
            advice = "its parts have no common size, or are no numbers"
        except Exception as error:  # PyTorch, CuPy and NumPy each raise types of their own
            advice = f"NumPy cannot read it ({error}); make it an array of this computer's memory"
    raise refused(name, expected, value, advice)


def one_image(name: str, value: Any) -> np.ndarray:
    """An array that is no list of several."""
    if isinstance(value, list | tuple) and value and np.ndim(value[0]) > 1:
        raise refused(name, "one image", value, "call it for each of them")
    return array(name, value)


def array_like(name: str, value: Any) -> Any:
    """An array, or what has a shape and a type and gives parts of itself as one, unchanged."""
    parts = hasattr(value, "dtype") and hasattr(type(value), "__getitem__")
    if parts and isinstance(getattr(value, "shape", None), tuple) and hasattr(value.dtype, "kind"):
        return value
    return array(name, value)


def array_or_path(name: str, value: Any) -> Any:
    """An array, or the name of a file or folder, unchanged."""
    if isinstance(value, str | os.PathLike):
        return path(name, value)
    return array(name, value)


def arrays_or_path(name: str, value: Any) -> Any:
    """The same, or a list of arrays, which may be of several sizes."""
    if isinstance(value, list | tuple):
        return [array(f"{name}[{i}]", one) for i, one in enumerate(value)]
    return array_or_path(name, value)


def path(name: str, value: Any) -> Any:
    """The name of a file or folder, unchanged."""
    given = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(given, str):
        raise refused(name, "the name of a file or folder", value)
    if not given or "\0" in given:
        raise refused(name, "the name of a file or folder", given)
    return value


def text(name: str, value: Any) -> str:
    """Text, of which the caller knows more; a path becomes text."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str):
        raise refused(name, "text", value)
    return value


def real(name: str, value: Any) -> Any:
    """A number, NaN and infinity among them."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise refused(name, "a number", value)
    return value


def number(name: str, value: Any) -> Any:
    """A number that is neither NaN nor infinite."""
    if not math.isfinite(real(name, value)):
        raise refused(name, "a number", value)
    return value


def whole(name: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise refused(name, "a whole number", value)
    return int(value)


def between(low: float, high: float, check: Check = number) -> Check:
    """A check for a number, or a whole one, from low to high."""

    def inside(name: str, value: Any) -> Any:
        if not low <= check(name, value) <= high:
            most = f"to {high:,}" if high < math.inf else "or more"
            raise refused(name, f"{low:,} {most}", value)
        return value

    return inside


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise refused(name, "True or False", value)
    return bool(value)


def callback(name: str, value: Any) -> Any:
    """Something to call."""
    if not callable(value):
        raise refused(name, "a function to call", value)
    return value


def seed(name: str, value: Any) -> Any:
    """A whole number that is not negative, or a NumPy generator."""
    if isinstance(value, np.random.Generator):
        return value
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise refused(name, "a whole number of 0 or more, or numpy.random.default_rng()", value)
    return value


def generator(name: str, value: Any) -> np.random.Generator:
    """A NumPy generator, or what draws like one."""
    if not hasattr(value, "integers"):
        raise refused(name, "a generator", value, "make one: numpy.random.default_rng(0)")
    return value


def instance(kind: type, advice: str) -> Check:
    """A check for an object of a public class; advice: where to get one."""

    def is_one(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise refused(name, f"a cunet.{kind.__name__}", value, advice)
        return value

    return is_one


def whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """Several whole numbers."""
    if not isinstance(value, list | tuple):
        raise refused(name, "whole numbers, such as (1000, 2000)", value)
    return tuple(whole(name, one) for one in value)


KINDS: dict[Any, Check] = {str: text, bool: flag, int: whole, float: real, tuple: whole_numbers}


def typed(settings: Any) -> None:
    """Check every field of a frozen dataclass by its annotation, one of KINDS or that | None, and
    put what the check returns in its place."""
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), field.type
        options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        if value is None and len(options) > 1:
            continue
        check = KINDS[getattr(options[0], "__origin__", options[0])]
        object.__setattr__(settings, field.name, check(field.name, value))


def fields(settings: Any, checks: dict[str, Check]) -> None:
    """Check these fields of a frozen dataclass, and put what the checks return in their place."""
    for name, check in checks.items():
        object.__setattr__(settings, name, check(name, getattr(settings, name)))


whole_from_0, whole_from_1 = between(0, math.inf, whole), between(1, math.inf, whole)
