"""One thing that was looked at, and what was found."""

from collections.abc import Callable
from dataclasses import dataclass

OK, NOTE, BROKEN = "ok", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its state is ok, note (slower or less than possible) or broken."""

    name: str
    state: str
    found: str
    fix: str = ""  # the command to run


def attempt(name: str, work: Callable[[], str], fix: str, wrong: str = "") -> Finding:
    """What work() returns, or what it raised: broken, with the command that fixes it.

    wrong: the command that fixes an ArithmeticError, if another one. Where memory ran out no
    installation helps.
    """
    try:
        return Finding(name, OK, work())
    except Exception as error:  # whatever is installed wrongly raises what it likes
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            text = f"not enough memory is free: see what uses it ({one_line(error)})"
            on_gpu = type(error).__module__.startswith("cupy")
            return Finding(name, BROKEN, text, "nvidia-smi" if on_gpu else "")
        wrong = wrong if isinstance(error, ArithmeticError) else ""
        return Finding(name, BROKEN, one_line(error), wrong or fix)


def reinstall(name: str) -> str:
    """The command that installs a package afresh."""
    return f"pip install --force-reinstall {name}"


def one_line(error: BaseException) -> str:
    """An error in one line of bounded length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 240 else text[:237] + "..."
