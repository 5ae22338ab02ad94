"""The options of `cunet segment` that say how the network is to see an image."""

from collections.abc import Callable

import click

OPTIONS = {
    "pixel_size": dict(metavar="SIZE", help="Size of the image's pixels, and of those of the "
                       "products: 8nm or, height x width, 4x8nm (default: what its file says)."),
    "rescale": dict(is_flag=True, help="Give the image pixels of the size that the network was "
                    "trained at, and the products those of the image."),
    "invert": dict(is_flag=True, help="Exchange bright and dark first, as Fiji does: 255 - v of "
                   "8-bit images, min + max - v of others, of each page."),
}  # fmt: skip


def image_options(command: Callable) -> Callable:
    """Decorate a command with them."""
    for name, settings in reversed(OPTIONS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, **settings)(command)  # type: ignore[arg-type]
    return command
