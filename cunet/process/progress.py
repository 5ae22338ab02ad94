"""How far a command has come: a bar on a terminal, plain lines elsewhere.

A bar is redrawn by a thread of its own, also while nothing is reported, so that nobody waits long
without seeing that the work goes on and what it is.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from cunet.process import streams
from cunet.terminal import duration, printable

PERIOD = 0.5  # seconds between two looks at whether there is something to draw


class Progress:
    """A bar that is redrawn every second at least, or a plain line every `every` seconds.

    Without a total it shows the text and the seconds since the start, on a terminal alone, and
    leaves nothing behind. As a context manager it is closed at the end of the block.

        with Progress(len(pages), quiet=quiet, text="slices") as progress:
            progress.update(done, "slices")
    """

    def __init__(
        self, total: int = 0, done: int = 0, quiet: bool = False, every: float = 30, text: str = ""
    ):
        self.total, self.first, self.quiet = total, done, quiet
        self.live = sys.stderr.isatty()
        self.every = 1 if self.live else every
        self.done, self.text = done, text
        self.left: float | None = None
        self.note: Callable[[], str] = str  # what is added to the text, "" for nothing
        self.start = self.shown = self.told = time.perf_counter()
        self.drawn, self.noted = False, ""
        self.lock, self.closed = threading.RLock(), threading.Event()
        if not quiet and (self.live or total):
            with suppress(RuntimeError):  # no thread can be started: then there is none
                threading.Thread(target=self._beat, daemon=True, name="progress").start()

    def update(self, done: int, text: str, left: float | None = None) -> None:
        """Show that `done` of `total` are finished; text describes the state, left is how many
        seconds are left, where that is known better than by the rate."""
        with self.lock:
            self.done, self.text, self.left, self.told = done, text, left, time.perf_counter()
            if done >= self.total or self.told - self.shown >= (0.1 if self.live else self.every):
                self._draw()

    def line(self, text: str) -> None:
        """Print a line; the bar continues below it."""
        with self.lock:
            if not self.quiet:
                streams.message(("\r\x1b[K" if self.live else "") + printable(text))

    def close(self) -> None:
        """Leave the bar's line."""
        with self.lock:
            if self.drawn and self.live and not self.closed.is_set():
                streams.message("" if self.total else "\r\x1b[K", end="\n" if self.total else "")
            self.closed.set()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _beat(self) -> None:
        """What the thread does."""
        while not self.closed.wait(PERIOD):
            with self.lock:
                wait = self.every if self.drawn or not self.live else PERIOD
                if time.perf_counter() - self.shown >= wait or self.note() != self.noted:
                    self._draw()

    def _draw(self) -> None:
        if self.quiet or self.closed.is_set() or not (self.live or self.total):
            return
        now = self.shown = time.perf_counter()
        self.noted = self.note()
        self.drawn = True
        before, after = self._figures(now)
        text = printable(self.text)
        if not self.live:
            streams.message(before + text + after)
            return
        if self.total:
            filled = round(20 * min(1, self.done / self.total))
            before = f"[{'#' * filled}{'.' * (20 - filled)}] {before}"
        room = shutil.get_terminal_size().columns - 1  # a longer line would be drawn below itself
        line = before + text[: max(0, room - len(before) - len(after))] + after
        streams.message(f"\r{line[:room]}\x1b[K", end="")

    def _figures(self, now: float) -> tuple[str, str]:
        """What stands before the text, and after it."""
        if not self.total:
            return "", f"  {duration(now - self.start)}"
        rate = max(0, self.done - self.first) / max(1e-9, now - self.start)
        left = (self.total - self.done) / rate if rate else None
        if self.left is not None:
            left = max(0, self.left - (now - self.told))
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else ""
        eta = "?" if left is None else duration(left)
        return f"{self.done}/{self.total}  ", f"  {speed}  ETA {eta}{self.noted}"


class Bars:
    """One bar after the other: each total that is reported begins a new one.

    with Bars(quiet) as progress:
        progress(done, total, "blocks")
    """

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.bar: Progress | None = None

    def __call__(self, done: int, total: int, text: str) -> None:
        if self.bar is None or self.bar.total != total:
            self.close()
            self.bar = Progress(total, quiet=self.quiet, text=text)
        self.bar.update(done, text)

    def close(self) -> None:
        """Leave the line of the last bar."""
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
