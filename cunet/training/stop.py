"""Stopping a training: Ctrl-C and SIGTERM end it between two steps, and it is saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM request a stop instead of stopping at once: yields stopped() -> bool.

    A second Ctrl-C raises KeyboardInterrupt at once. Python delivers signals to the main thread
    only; in another thread nothing changes, and stopped() stays False.

        with stop_on_signals() as stopped:
            for record in (records := cunet.train(config)):
                if stopped():
                    records.close()  # saves the run
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt  # requested twice: stop now
        received.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
