"""A matplotlib figure as a PNG file."""

from pathlib import Path
from typing import TYPE_CHECKING

from cunet.files.atomic import publish, temporary_name, write_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: str | Path) -> None:
    """Writes a figure as PNG, whole or not at all.

    Raises DeviceError if the disk has no room, CunetError if the file cannot be written.
    """
    path = Path(path)
    part = temporary_name(path)
    try:
        figure.savefig(part, format="png", dpi=110)
        publish(part, path)
    except OSError as error:
        raise write_error(error, path, 0) from error
    finally:
        part.unlink(missing_ok=True)
