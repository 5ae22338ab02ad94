"""What must be done whole: a signal that comes in the middle is heard afterwards."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted(heard_once: bool = False) -> Iterator[None]:
    """What stands inside is done to its end: Ctrl-C, a notebook's stop button and SIGTERM are heard
    after it, where they would have raised an exception in the middle. heard_once: Ctrl-C was heard
    before, so that another one says nothing new."""
    heard: list[int] = []
    handlers: dict[int, Any] = {}

    def restore() -> None:
        for number in reversed(handlers):  # that of Ctrl-C last, which may raise at once
            signal.signal(number, handlers[number])

    try:
        if threading.current_thread() is threading.main_thread():  # no other hears signals
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(signal.getsignal(number)):
                    handlers[number] = signal.getsignal(number)
                    signal.signal(number, lambda number, frame: heard.append(number))
        yield
    finally:
        restore()
    for each in heard if not heard_once else [n for n in heard if n != signal.SIGINT]:
        signal.raise_signal(each)
