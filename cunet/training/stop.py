"""A training that is asked to stop: Ctrl-C and SIGTERM end it between two steps, saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop instead of stopping at once: yields stopped() -> bool.

    A second Ctrl-C raises KeyboardInterrupt at once. Python gives signals to the main thread only;
    in another thread nothing is changed, and stopped() stays False.

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
            raise KeyboardInterrupt  # asked twice: stop now
        received.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
