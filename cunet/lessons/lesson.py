"""cunet.lesson: one lesson, found by its name or its number in reading order."""

from dataclasses import dataclass
from importlib import import_module
from numbers import Integral
from types import ModuleType
from typing import Any

from cunet.checks import arguments, flag, refused
from cunet.errors import not_among
from cunet.lessons import LESSONS
from cunet.lessons.markdown import markdown
from cunet.lessons.parts import Heading, Part
from cunet.lessons.text import text


@dataclass(frozen=True)
class Lesson:
    """A lesson. As text it is what `cunet lesson` prints; a notebook shows it with formulas."""

    name: str
    answer: bool = False  # the exercise and its answer, instead of the lesson

    @property
    def number(self) -> int:
        """Its place in the reading order, from 1."""
        return [*LESSONS].index(self.name) + 1

    @property
    def title(self) -> str:
        """What it shows, in a few words."""
        return LESSONS[self.name]

    @property
    def read(self) -> tuple[str, ...]:
        """The files to read beside it."""
        found: tuple[str, ...] = self._module().READ
        return found

    def parts(self) -> list[Part]:
        """What it is made of, computed now: every number in it is a result."""
        module = self._module()
        exercise: list[Part] = [Heading("Exercise"), *module.exercise()]
        if self.answer:
            return [*exercise, Heading("Answer"), *module.answer()]
        return [*module.lesson(), *exercise]

    def _module(self) -> ModuleType:
        return import_module(f"cunet.lessons.{self.name.replace('-', '_')}")

    def __str__(self) -> str:
        head = f"Lesson {self.number}: {self.title}\nRead beside it: {', '.join(self.read)}\n\n"
        return head + text(self.parts())

    def _repr_markdown_(self) -> str:
        return f"# Lesson {self.number}: {self.title}\n\n" + markdown(self.parts())


def named(argument: str, value: Any) -> str:
    """The name of a lesson, given by its name or its number."""
    names = [*LESSONS]
    if isinstance(value, str):
        if value not in names:
            raise not_among("lesson", value, names)
        return value
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value <= len(names):
        expected = f'a name, such as "{names[0]}", or a number from 1 to {len(names)}'
        raise refused("lesson", expected, value)
    return names[int(value) - 1]


@arguments(name=named, answer=flag)
def lesson(name: str | int, answer: bool = False) -> Lesson:
    """A lesson by its name, such as "conv", or its number from 1 on.

    str() of it is the lesson as text: the formula, an example small enough to check by hand,
    backward line by line, and the check by finite differences, all computed when it is asked for; a
    notebook shows it by itself. With answer=True it is the exercise alone, with its answer. Raises
    CunetError where there is no such lesson.

        print(cunet.lesson("conv"))
    """
    return Lesson(str(name), answer)
