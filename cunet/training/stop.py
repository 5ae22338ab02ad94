"""Stopping a training: signals end it after the last whole step, and it is saved."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_dropping = False  # whether the main thread is at work that may be dropped


class Dropped(KeyboardInterrupt):
    """A signal has ended work of which nothing was kept yet."""


@contextmanager
def droppable(can: bool = True) -> Iterator[None]:
    """Work that stop_on_signals need not wait for, since whoever does it can do without: a step
    takes many seconds on some processors. It must handle Dropped. can=False changes nothing."""
    global _dropping
    _dropping = can and threading.current_thread() is threading.main_thread()
    try:
        yield
    finally:
        _dropping = False


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, SIGTERM, SIGHUP (the terminal is closed) and SIGXCPU (the processor time is used up)
    request a stop instead of stopping at once: yields stopped() -> bool.

    Within droppable() the first of them raises Dropped. A second Ctrl-C raises KeyboardInterrupt
    at once. Under nohup SIGHUP changes nothing. Python delivers signals to the main thread only; in
    another thread stopped() stays False.

        with stop_on_signals() as stopped:
            for record in (records := cunet.train(config)):
                if stopped():
                    records.close()  # saves the run
    """
    received: list[int] = []
    repeated = Repeated()
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if repeated(number):
            raise KeyboardInterrupt  # requested twice: stop now
        if _dropping and len(received) == 1:
            raise Dropped

    old = {number: signal.signal(number, note) for number in ending_signals()}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def ending_signals() -> list[int]:
    """The signals that ask a process to end; not those that nohup has it ignore."""
    more = (getattr(signal, name, None) for name in ("SIGHUP", "SIGXCPU"))  # not on Windows
    heard = [n for n in more if n is not None and signal.getsignal(n) is not signal.SIG_IGN]
    return [signal.SIGINT, signal.SIGTERM, *heard]


class Repeated:
    """repeated(number), of each signal that comes: whether it is Ctrl-C, and not the first signal.

    Two within a second are one: `timeout -s INT` sends each signal twice, and so do fingers.
    """

    def __init__(self) -> None:
        self.last: dict[int, float] = {}

    def __call__(self, number: int) -> bool:
        now = time.monotonic()
        again = number == signal.SIGINT and bool(self.last)
        again &= now - self.last.get(number, -1.0) > 1
        self.last[number] = now
        return again
