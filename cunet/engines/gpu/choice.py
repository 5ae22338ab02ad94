"""The choice among kernels and ways to share their work, which a measurement can replace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, ParamSpec, TypeVar

Sizes = ParamSpec("Sizes")
Way = TypeVar("Way")


class Choice(Generic[Sizes, Way]):
    """choice(sizes) is function(sizes); inside of `with choice.by(other)` it is other(sizes), for
    all threads."""

    def __init__(self, function: Callable[Sizes, Way]):
        self.function = function

    def __call__(self, *args: Sizes.args, **kwargs: Sizes.kwargs) -> Way:
        return self.function(*args, **kwargs)

    @contextmanager
    def by(self, function: Callable[..., Way]) -> Iterator[None]:
        """Inside, this function chooses."""
        before, self.function = self.function, function
        try:
            yield
        finally:
            self.function = before
