"""Numbers, times and sizes as the commands print them."""

import math

from cunet.terminal import duration as duration


def number(value: float, digits: int = 4) -> str:
    """A score: 0.0612, or "undefined" for NaN."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def size(count: float) -> str:
    """Bytes: 6.4 kB, 640 MB or 64 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} TB"
