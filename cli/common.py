"""What commands share: choices, output options, progress, and refusing to overwrite."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from cunet.errors import CunetError, did_you_mean, one_of
from cunet.process import streams
from cunet.process.progress import Bars as Bars
from cunet.process.progress import Progress
from cunet.terminal import printable, shell_line, without
from cunet.training.config import CHOICES

# Words that options take; a test compares them with the code that they stand for.
AVERAGES, STRIDES = ("none", "flips", "rotations"), ("exact", "paper")
METHODS = ("components", "watershed", "kmeans")
TENSOR_CORES = ("tf32", "float16", "bfloat16")
LAST = ["train", "--help"]  # what to run next where nothing is left but to begin again
PATH = click.Path(readable=False)  # a shell completes it; what is wrong with it is said later


class Choice(click.Choice):
    """One of these words; where it is none, the one that it looks like is named."""

    def convert(self, value: Any, option: Any, context: Any) -> Any:
        try:
            return super().convert(value, option, context)
        except click.BadParameter as error:
            raise click.BadParameter(one_of(self.choices, value), context, option) from error


class Group(click.Group):
    """Commands; where a name is none of them, the one that it looks like is named."""

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        name, known = args[0], self.list_commands(context)
        if name in known or name.startswith("-") or context.resilient_parsing:
            return super().resolve_command(context, args)
        raise click.UsageError(f"no command '{name}'{did_you_mean(name, known)}", context)


quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, all else on stderr."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, cuda:all."
)
precision_option = click.option(
    "--precision", type=Choice(list(filter(None, CHOICES["precision"]))),
    help="Of the products (default: tf32 on a GPU with tensor cores, else float32).",
)  # fmt: skip


def _use_threads(context: click.Context, option: click.Parameter, count: int | None) -> None:
    if count is not None:
        from cunet.threads import set_threads

        set_threads(count)


threads_option = click.option(
    "--threads", type=click.IntRange(1), callback=_use_threads, expose_value=False,
    help="CPU threads (default: all).",
)  # fmt: skip


def refuse_existing(path: str | Path, overwrite: bool, *inputs: str | None) -> None:
    """CunetError if `path` exists and must not be replaced, as a file that the command reads must
    never be."""
    if Path(path).exists():
        if not overwrite:
            raise CunetError(f"'{path}' exists; give --overwrite to replace it, or another name")
        if any(Path(one).exists() and Path(one).samefile(path) for one in inputs if one):
            raise CunetError(f"'{path}' is read by this command; give another name to write to")


@contextmanager
def claimed(path: Path, overwrite: bool) -> Iterator[None]:
    """While the block writes `path`; CunetError as refuse_existing, and where another process is
    writing it."""
    from cunet.files.lock import held, lock_of

    with held(lock_of(path), path):
        refuse_existing(path, overwrite)
        yield


def say(text: str = "", quiet: bool = False) -> None:
    """Print a line on stderr."""
    if not quiet:
        streams.message(printable(text))


def show(text: str = "") -> None:
    """Print lines on stdout, the answer of a command."""
    streams.answer(text)


def next_command(command: str | list[str], quiet: bool = False) -> None:
    """Print the last line of a command: what to run next, ready to paste. A list is arguments."""
    say("Next:", quiet)
    say(f"  {command if isinstance(command, str) else shell_line(['cunet', *command])}", quiet)


def next_in_earnest(quiet: bool) -> None:
    """Print the next command after --dry-run: the same one without it."""
    short = {"-nq": "-q", "-qn": "-q"}  # flags in one
    again = [short.get(p, p) for p in without(sys.argv[1:], ("-n", "--dry-run", "--json"))]
    next_command(again, quiet)


def print_json(document: Any) -> None:
    """One JSON document on stdout; NaN and infinity become null."""
    from cunet.files.json_file import json_text

    streams.answer(json_text(document), needed=True)


def busy(text: str, quiet: bool) -> Progress:
    """On a terminal, what is being done and for how long, during a block that takes a while."""
    return Progress(quiet=quiet, text=text)


def train_loop(
    records: Generator[dict[str, Any], None, None],
    config: Any,
    say: Callable[[dict[str, Any]], list[str]],
    done: int = 0,
    stop_after: int | None = None,
    quiet: bool = False,
    every: float = 30,
) -> dict[str, Any] | None:
    """Show a progress bar while a training runs, until its end, a signal, or step stop_after; a
    stopped training is saved. Returns the last record, or None without any.

    say(record): the text beside the bar, then lines of their own. done: steps done before.
    """
    from cunet.training.stop import stop_on_signals

    progress, record = Progress(config.steps, done, quiet, every, "steps"), None
    with stop_on_signals() as asked, progress, closing(records):
        progress.note = lambda: "  stopping after this step" if asked() else ""
        for record in records:
            step = record["step"]
            text, *lines = say(record)
            progress.update(step, text)
            for line in lines:
                progress.line(line)
            if step < config.steps and (asked() or step == stop_after):
                break
    return record


def report(run: str | Path, quiet: bool) -> Path:
    """Write the report of a run behind a progress bar."""
    from cunet.reporting import write_report

    with Progress(1, quiet=quiet, text="report") as bar:

        def show(doing: str, done: int, of: int) -> None:
            bar.total = 2 * of + 1  # slices are segmented, then scored
            bar.update(done + of * (doing != "report: segmenting slice"), doing)

        return write_report(run, show)


def notes(lines: Iterable[str], quiet: bool = False) -> None:
    """Print notes on stderr; warnings even with --quiet."""
    for line in lines:
        say(line, quiet and not line.startswith("warning: "))
