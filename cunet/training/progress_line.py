"""What cunet.fit prints while it trains."""

import sys
import time
from typing import Any

EVERY = 30  # seconds between lines, where a line cannot be written over


class Line:
    """The state in one line, written over in a notebook and on a terminal, else now and then."""

    def __init__(self) -> None:
        self.live = "ipykernel" in sys.modules or sys.stdout.isatty()
        self.begun, self.shown, self.first = time.perf_counter(), 0.0, 0
        self.loss, self.score, self.width = 0.0, "", 0

    def __call__(self, record: dict[str, Any], steps: int) -> None:
        now, step = time.perf_counter(), record["step"]
        self.first = self.first or step
        self.loss += (record["loss"] - self.loss) / min(50, step - self.first + 1)
        if "val_pixel_error" in record:
            self.score = f", held out: pixel error {record['val_pixel_error']:.4f}"
        if step < steps and now - self.shown < (0.2 if self.live else EVERY):
            return
        self.shown = now
        left = (steps - step) * (now - self.begun) / (step - self.first + 1)
        said = f"step {step:,} of {steps:,}, loss {self.loss:.4f}{self.score}, {left:.0f} s left"
        print(("\r" if self.live else "") + said.ljust(self.width), end="" if self.live else "\n")
        sys.stdout.flush()
        self.width = len(said)

    def end(self) -> None:
        """Leave the line."""
        if self.live and self.width:
            print()
