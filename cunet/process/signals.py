"""Signals that end a command: it cleans up, or saves what it trains, and exits with code 130."""

import os
import signal
from types import FrameType

from cunet.training.stop import Repeated, ending_signals


def install() -> None:
    """Answer the signals that end a command with KeyboardInterrupt from now on, but once: the
    cleaning up is not disturbed, until Ctrl-C asks a second time."""
    received: set[int] = set()
    repeated = Repeated()

    def end(number: int, frame: FrameType | None) -> None:
        if repeated(number):
            os._exit(130)
        if not received:
            received.add(number)
            raise KeyboardInterrupt

    for number in ending_signals():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def ignore() -> None:
    """The work is over, and its exit code stands: from now on a signal that ends a command changes
    nothing. Python's own end takes a while, and would let it kill the process."""
    for number in ending_signals():
        signal.signal(number, signal.SIG_IGN)
