"""Numbers, times and sizes as the commands print them."""

import math


def number(value: float, digits: int = 4) -> str:
    """A score: 0.0612, or "undefined" for NaN."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """0:42, 12:05 or 3:04:05."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes: 6.4 kB, 640 MB or 64 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} TB"
