"""What commands share: output options, progress, and refusing to overwrite."""

import glob
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from cunet.errors import CunetError
from cunet.process import streams
from cunet.process.progress import Progress
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
