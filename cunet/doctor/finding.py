"""A finding: one thing that was examined, and what was found."""

from collections.abc import Callable
from dataclasses import dataclass

OK, NOTE, BROKEN = "ok", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was examined; its state: ok, note (slower or less than possible) or broken."""

    name: str
    state: str
    found: str
    fix: str = ""  # the command to run


def attempt(name: str, work: Callable[[], str], fix: str, wrong: str = "") -> Finding:
    """The finding that is what work() returns; broken if it raises, with the command that fixes it.

    wrong: the command that fixes an ArithmeticError, if it is not `fix`. No installation helps
    where memory ran out.
    """
    try:
        return Finding(name, OK, work())
    except Exception as error:  # a broken installation may raise anything
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            text = f"not enough memory is free: see what uses it ({one_line(error)})"
            on_gpu = type(error).__module__.startswith("cupy")
            return Finding(name, BROKEN, text, "nvidia-smi" if on_gpu else "")
        wrong = wrong if isinstance(error, ArithmeticError) else ""
        return Finding(name, BROKEN, one_line(error), wrong or fix)


def reinstall(name: str) -> str:
    """The command that installs a package again."""
    return f"pip install --force-reinstall {name}"


def one_line(error: BaseException) -> str:
    """An error in one line of bounded length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 240 else text[:237] + "..."
