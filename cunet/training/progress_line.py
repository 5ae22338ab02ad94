"""The state of a training in a line: what cunet.fit prints, and the loss that is shown."""

import sys
import time
from typing import Any

EVERY = 30  # seconds between lines, where a line cannot be written over


class Smooth:
    """A running mean: of all values at first, then with a memory of about 50."""

    def __init__(self) -> None:
        self.count, self.mean = 0, 0.0

    def __call__(self, value: float) -> float:
        self.count = min(50, self.count + 1)
        self.mean += (value - self.mean) / self.count
        return self.mean


class Line:
    """The state in one line, written over in a notebook and on a terminal, else now and then."""

    def __init__(self) -> None:
        self.live = "ipykernel" in sys.modules or sys.stdout.isatty()
        self.begun, self.shown, self.first = time.perf_counter(), 0.0, 0
        self.smooth, self.score, self.width = Smooth(), "", 0

    def __call__(self, record: dict[str, Any], steps: int) -> None:
        now, step = time.perf_counter(), record["step"]
        self.first = self.first or step
        loss = self.smooth(record["loss"])
        if "val_pixel_error" in record:
            self.score = f", held out: pixel error {record['val_pixel_error']:.4f}"
        if step < steps and now - self.shown < (0.2 if self.live else EVERY):
            return
        self.shown = now
        left = (steps - step) * (now - self.begun) / (step - self.first + 1)
        said = f"step {step:,} of {steps:,}, loss {loss:.4f}{self.score}, {left:.0f} s left"
        print(("\r" if self.live else "") + said.ljust(self.width), end="" if self.live else "\n")
        sys.stdout.flush()
        self.width = len(said)

    def end(self) -> None:
        """Leave the line."""
        if self.live and self.width:
            print()
