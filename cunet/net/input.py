"""What a network takes: an error that says what would fit, before anything is computed."""

from typing import Any

from cunet.backend import array_module, check_current
from cunet.errors import CunetError
from cunet.net.tiles import check_tile


def check_input(net: Any, x: Any) -> None:
    """CunetError where x has not the dimensions, channels, dtype or size that this net takes."""
    found: Any = getattr(x, "shape", type(x).__name__)
    channels = net.shape.in_channels
    if len(found) != 4 or found[0] < 1 or found[3] != channels:
        raise CunetError(
            f"U-Net input: expected an array (N, H, W, {channels}), found {found}; "
            "images are channels last"
        )
    if array_module(x) is not array_module(net.head.w.value):
        raise CunetError(
            f"U-Net input: the network is on {net.device}, x is a {type(x)}; move it with "
            "cunet.backend.to_device"
        )
    if str(x.dtype) != net.dtype:
        raise CunetError(
            f"U-Net input: expected dtype {net.dtype}, found {x.dtype}; "
            f'use x.astype("{net.dtype}") or UNet(dtype=...)'
        )
    check_current(net.device)
    for side in x.shape[1:3]:
        check_tile(side, net.shape.depth, net.shape.padding)
