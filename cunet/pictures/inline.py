"""A picture inside a web page: its file as the address that the page loads it from."""

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


def data_address(image: "Image", kind: str = "png", **options: Any) -> str:
    """The data URI of a picture as a file of this kind, "png" or "jpeg"; options are Pillow's."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()
