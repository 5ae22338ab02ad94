"""What a case is, what came of it, and what is wrong with that."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """What the command line did: its exit code and words, and what it took."""

    code: int
    out: str
    err: str
    warnings: list[str]
    seconds: float
    growth: int  # bytes that the process grew by, at its peak


@dataclass(frozen=True)
class Case:
    """A command line, run in the folder that the case was written to.

    names    an error must say one of them: the file, or what in it is wrong
    story    what was done to the input, for the reader of a finding
    may_make patterns of the files that the command may leave where it succeeds; without success
             it leaves none, except those that match may_keep
    may_change  whether the command may change files that it was given
    verdict  what else must hold: called with the result, answers complaints
    """

    command: list[str]
    names: list[str]
    story: str
    may_make: tuple[str, ...] = ()
    may_keep: tuple[str, ...] = ()
    may_change: bool = False
    verdict: Callable[[Result], Iterable[str]] = field(default=lambda result: ())


@dataclass(frozen=True)
class Finding:
    """A case that went wrong. sort: traceback, hang, crash, memory, disk, nameless, silent ..."""

    kind: str
    seed: int
    number: int
    sort: str
    found: str
    story: str = ""
    command: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.kind}, seed {self.seed}, case {self.number}: {self.sort}\n"
            f"  input:     {self.story}\n"
            f"  command:   cunet {' '.join(self.command)}\n"
            f"  expected:  success with sound products, or one line that names the file, exit 2-6\n"
            f"  found:     {self.found}\n"
            f"  alone:     python tests/fuzz/alone.py {self.kind} {self.number} --seed {self.seed}"
        )


class Kind:
    """A kind of input; its name is what `pytest -m fuzz -k NAME` selects.

    A case that computes for longer than `seconds`, or waits that long for nothing, hangs; it may
    hold `growth` bytes more than before it, and write files of `file_size` bytes.
    """

    name = ""
    seconds: float = 10
    growth = 1 << 30
    file_size = 1 << 28

    def prepare(self, folder: Path) -> None:
        """Makes in `folder` what all cases share."""

    def make(self, rng: Any, folder: Path) -> Case:
        """Writes one case into the empty `folder`."""
        raise NotImplementedError
