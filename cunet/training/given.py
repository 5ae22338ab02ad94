"""Which settings of a training a person has given: a value that equals the default can be meant."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

SHAPE = ("width", "depth", "variant", "padding", "batch_norm")  # must be those of a start's model
Record = TypeVar("Record", bound=type)


def knows_what_is_given(settings: Record) -> Record:
    """A decorator of a dataclass: while it is made, its _given has the names of the values that
    were given, which must not be replaced then."""
    init: Callable[..., None] = settings.__init__  # type: ignore[misc]
    every = [field.name for field in fields(settings)]

    @wraps(init)
    def noting(self: Any, *values: Any, **given: Any) -> None:
        names = [*every[: len(values)], *given]
        object.__setattr__(self, "_given", frozenset(names))
        init(self, *values, **given)
        del self.__dict__["_given"]

    settings.__init__ = noting  # type: ignore[misc]
    return settings
