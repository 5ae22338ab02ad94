"""What commands share: output options, progress, and refusing to overwrite."""

import json
import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cunet.errors import CunetError

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1."
)
precision_option = click.option(
    "--precision",
    help="float32; on a GPU with tensor cores tf32 (default), float16 or bfloat16.",
)
threads_option = click.option("--threads", type=click.IntRange(1), help="CPU threads (all).")


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """CunetError where `path` exists and must not be replaced."""
    if Path(path).exists() and not overwrite:
        raise CunetError(f"'{path}' exists; give --overwrite to replace it, or another name")


def say(text: str = "", quiet: bool = False) -> None:
    """A line for the person, on stderr."""
    if not quiet:
        click.echo(text, err=True)


def next_command(command: str, quiet: bool = False) -> None:
    """The last line of every command: what to run next, ready to paste."""
    say(f"Next:\n  {command}", quiet)


def segment_command(data: str, run: str, hold_out: str | None = None) -> str:
    """The command that applies a run to the data set's own test images, those that its training
    held out by name, or its images."""
    folder, products = Path(data), []
    names = ("test-volume.tif", "train-volume.tif", "images")
    found = [str(folder / name) for name in names if (folder / name).exists()]
    truths = [*folder.glob("*_GT/SEG"), *folder.parent.glob(f"{folder.name}_GT/SEG")]
    if truths:  # sequences of the Cell Tracking Challenge
        names = sorted(path.parent.name.removesuffix("_GT") for path in truths)
        asked = [part.strip().split("/")[0] for part in (hold_out or "").split(",")]
        sequence = next((name for name in names if name in asked), names[-1])
        found = [str(folder if sequence == folder.name else folder / sequence)]
        products = ["--products", "ctc", "--out", f"{sequence}_RES"]
    for pattern in ("*/images/*.png", "stage1_train/*/images/*.png"):  # the Data Science Bowl's
        if next(folder.glob(pattern), None):
            found, products = [str(folder / pattern)], ["--products", "labels", "--out", "labels"]
    image = found[0] if found else "IMAGE.tif"
    return shlex.join(["cunet", "segment", image, "--model", run, *products])


def print_json(document: Any) -> None:
    """One JSON document on stdout; NaN and infinity become null."""
    click.echo(json.dumps(_finite(document), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def duration(seconds: float) -> str:
    """0:42, 12:05 or 3:04:05."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes as a person reads them: 640 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """A bar that is redrawn on a terminal, and a plain line every `every` seconds elsewhere."""

    def __init__(self, total: int, done: int = 0, quiet: bool = False, every: float = 30):
        self.total, self.first, self.quiet, self.every = total, done, quiet, every
        self.start = self.shown = time.perf_counter()
        self.live = sys.stderr.isatty()

    def update(self, done: int, text: str) -> None:
        """`done` of `total` are finished; text says how it goes."""
        now = time.perf_counter()
        if self.quiet or (
            done < self.total and now - self.shown < (0.1 if self.live else self.every)
        ):
            return
        self.shown = now
        rate = max(0, done - self.first) / max(1e-9, now - self.start)
        left = duration((self.total - done) / rate) if rate else "?"
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else ""
        line = f"{done}/{self.total}  {text}  {speed}  ETA {left}"
        if self.live:
            filled = round(20 * done / max(1, self.total))
            click.echo(f"\r[{'#' * filled}{'.' * (20 - filled)}] {line}\x1b[K", err=True, nl=False)
        else:
            click.echo(line, err=True)

    def line(self, text: str) -> None:
        """A line of its own; the bar goes on below it."""
        if not self.quiet:
            click.echo(("\r\x1b[K" if self.live else "") + text, err=True)

    def close(self) -> None:
        """Leave the bar's line."""
        if self.live and not self.quiet:
            click.echo(err=True)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop instead of stopping at once: yields stopped() -> bool."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: stop now
        received.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def notes(lines: Iterable[str], quiet: bool = False) -> None:
    """What was noticed, on stderr; warnings even where nothing else is said."""
    for line in lines:
        say(line, quiet and not line.startswith("warning: "))
