"""What commands share: output options, progress, and refusing to overwrite."""

import glob
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from cunet.cli.words import duration
from cunet.errors import CunetError
from cunet.process import streams
from cunet.terminal import printable, shell_line

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, all else on stderr."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1."
)
precision_option = click.option(
    "--precision",
    help="float32; on a GPU with tensor cores tf32 (default), float16 or bfloat16.",
)


def _use_threads(context: click.Context, option: click.Parameter, count: int | None) -> None:
    if count is not None:
        from cunet.threads import set_threads

        set_threads(count)


threads_option = click.option(
    "--threads", type=click.IntRange(1), callback=_use_threads, expose_value=False,
    help="CPU threads (default: all).",
)  # fmt: skip


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """CunetError if `path` exists and must not be replaced."""
    if Path(path).exists() and not overwrite:
        raise CunetError(f"'{path}' exists; give --overwrite to replace it, or another name")


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


def next_command(command: str, quiet: bool = False) -> None:
    """Print the last line of a command: what to run next, ready to paste."""
    say("Next:", quiet)
    say(f"  {command}", quiet)


def next_in_earnest(quiet: bool) -> None:
    """Print the next command after --dry-run: the same one without it."""
    short = {"-nq": "-q", "-qn": "-q"}  # flags in one
    again = [short.get(p, p) for p in sys.argv[1:] if p not in ("-n", "--dry-run", "--json")]
    next_command(shell_line(["cunet", *again]), quiet)


def segment_command(data: str, run: str, hold_out: str | None = None) -> str:
    """The command that applies a run to the data set's test images, to those that the training held
    out by name, or else to its images."""
    from cunet.data import ctc_files, dsb2018
    from cunet.files import listing

    folder, products = Path(data), []
    names = ("test-volume.tif", "train-volume.tif", "images")
    found = [listing.tiff_named(folder, name) for name in names[:2]] + [folder / names[2]]
    found = [path for path in found if path.exists()]
    sequences = ctc_files.sequences(folder) if folder.is_dir() else []
    if sequences:
        asked = [part.strip().split("/")[0] for part in (hold_out or "").split(",")]
        held_out = (path for path in sequences if path.name in asked)
        sequence = next(held_out, sequences[-1])
        found = [folder if sequence == folder.resolve() else folder / sequence.name]
        products = ["--products", "ctc", "--out", f"{sequence.name}_RES"]
    elif folder.is_dir() and dsb2018.matches(folder):
        folders = dsb2018.image_folders(folder).values()
        files = [path for one in folders for path in listing.images_of(one / "images")]
        endings = {path.suffix for path in files}
        name = f"*{endings.pop()}" if len(endings) == 1 else "*"
        above = glob.escape(str(next(iter(folders)).parent))
        found = [Path(above, "*", "images", name)]
        if folder in folders:
            found = [folder / "images"]
        products = ["--products", "labels", "--out", "labels"]
    image = str(found[0]) if found else "IMAGE.tif"
    return shell_line(["cunet", "segment", image, "--model", run, *products])


def print_json(document: Any) -> None:
    """One JSON document on stdout; NaN and infinity become null."""
    from cunet.files.json_file import json_text

    streams.answer(json_text(document), needed=True)


class Progress:
    """A bar that is redrawn on a terminal, and a plain line every `every` seconds elsewhere."""

    def __init__(self, total: int, done: int = 0, quiet: bool = False, every: float = 30):
        self.total, self.first, self.quiet, self.every = total, done, quiet, every
        self.start = self.shown = time.perf_counter()
        self.live = sys.stderr.isatty()

    def update(self, done: int, text: str) -> None:
        """Show that `done` of `total` are finished; text describes the state."""
        now = time.perf_counter()
        if self.quiet or (
            done < self.total and now - self.shown < (0.1 if self.live else self.every)
        ):
            return
        self.shown = now
        rate = max(0, done - self.first) / max(1e-9, now - self.start)
        left = duration((self.total - done) / rate) if rate else "?"
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else ""
        line = printable(f"{done}/{self.total}  {text}  {speed}  ETA {left}")
        if self.live:
            filled = round(20 * done / max(1, self.total))
            streams.message(f"\r[{'#' * filled}{'.' * (20 - filled)}] {line}\x1b[K", end="")
        else:
            streams.message(line)

    def line(self, text: str) -> None:
        """Print a line; the bar continues below it."""
        if not self.quiet:
            streams.message(("\r\x1b[K" if self.live else "") + printable(text))

    def close(self) -> None:
        """Leave the bar's line."""
        if self.live and not self.quiet:
            streams.message("")


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

    progress, record = Progress(config.steps, done, quiet, every), None
    with stop_on_signals() as asked, closing(records):
        for record in records:
            step = record["step"]
            text, *lines = say(record)
            progress.update(step, text)
            for line in lines:
                progress.line(line)
            if step < config.steps and (asked() or step == stop_after):
                break
    progress.close()
    return record


def notes(lines: Iterable[str], quiet: bool = False) -> None:
    """Print notes on stderr; warnings even with --quiet."""
    for line in lines:
        say(line, quiet and not line.startswith("warning: "))
