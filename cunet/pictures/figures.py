"""A matplotlib figure as a PNG file."""

from pathlib import Path
from typing import TYPE_CHECKING

from cunet.files.atomic import Part

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all.

    Raises DeviceError if the disk has no room, CunetError if the file cannot be written.
    """
    with Part(path) as part:
        figure.savefig(part.file, format="png", dpi=110)
