"""What the losses, solvers and learning rates are given by mistake: see checks.py."""

import inspect
import math
from typing import Any

import numpy as np

from cunet.checks import (
    Check,
    Function,
    arguments,
    between,
    number,
    refused,
    whole,
    whole_from_1,
    whole_numbers,
)
from cunet.errors import CunetError


def parameters(name: str, value: Any) -> list[Any]:
    """What a solver updates: parameters of a network."""
    if not isinstance(value, list | tuple):
        raise refused(name, "net.parameters(), a list of them", value)
    for one in value:
        if not hasattr(one, "lr_mult"):
            raise refused(name, "net.parameters(), a list of them", one, "not their values alone")
    return list(value)


def below_one(name: str, value: Any) -> Any:
    """A share that is not all."""
    if not 0 <= number(name, value) < 1:
        raise refused(name, "a number of 0 or more and below 1", value)
    return value


def positive(name: str, value: Any) -> Any:
    """A number above 0."""
    if not number(name, value) > 0:
        raise refused(name, "a number above 0", value)
    return value


SOLVER: dict[str, Check] = {
    "parameters": parameters,
    "momentum": below_one,
    "momentum2": below_one,
    "delta": positive,
    "weight_decay": between(0, math.inf),
    "clip": positive,
    "iter_size": whole_from_1,
}


RATE: dict[str, Check] = {
    "base": lambda name, value: between(0, math.inf)("lr", value),
    "gamma": number,
    "power": number,
    "stepsize": whole_from_1,
    "stepvalues": whole_numbers,
    "max_iter": whole_from_1,
}


def of_solver(make: Function) -> Function:
    """Decorate the __init__ of a solver."""
    names = inspect.signature(make).parameters
    return arguments(**{name: check for name, check in SOLVER.items() if name in names})(make)


def loss_arrays(logits: Any, labels: Any, weights: Any, ignore: Any) -> None:
    """CunetError unless there is a label and, if any, a weight for every pixel of the logits, all
    of them arrays of one library, and of kinds that make sense. (NumPy and CuPy alike.)"""
    kinds = {"logits": (logits, "f"), "labels": (labels, "iub"), "weights": (weights, "biuf")}
    words = {"f": "floating point", "iub": "integers", "biuf": "real numbers"}
    for name, (given, allowed) in kinds.items():
        if name == "weights" and given is None:
            continue
        if not hasattr(given, "dtype") or isinstance(given, np.ma.MaskedArray | np.generic):
            raise refused(f"loss: {name}", "an array", given, "one of NumPy, or of CuPy")
        if given.dtype.kind not in allowed:
            raise CunetError(f"loss: {name} must be {words[allowed]}, found {given.dtype}")
    if labels.shape != logits.shape[:-1] or (weights is not None and weights.shape != labels.shape):
        raise CunetError(
            f"loss: logits {logits.shape} need labels and weights of shape {logits.shape[:-1]}, "
            f"found {labels.shape}" + (f" and {weights.shape}" if weights is not None else "")
        )
    if ignore is not None:
        whole("loss: ignore", ignore)


def label_range(target: Any, labels: Any, classes: int, ignore: int | None) -> None:
    """CunetError where a label that counts names none of the classes."""
    if bool((target < 0).any()) or bool((target >= classes).any()):
        raise CunetError(
            f"loss: labels must be 0 ... {classes - 1}"
            + (f" or {ignore} (ignored)" if ignore is not None else "")
            + f", found {int(labels.min())} ... {int(labels.max())}"
        )
