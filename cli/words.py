"""Numbers, times and sizes as the commands print them."""

import math

from cunet.terminal import duration as duration
from cunet.terminal import size as size


def number(value: float, digits: int = 4) -> str:
    """A score: 0.0612, or "undefined" for NaN."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"
