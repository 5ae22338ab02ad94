"""What a network takes: an error that says what would fit, before anything is computed."""

from typing import Any

import numpy as np

from cunet.backend import array_module, check_current
from cunet.checks import refused
from cunet.errors import CunetError
from cunet.net.tiles import check_tile


def check_input(net: Any, x: Any, rng: Any, remember: Any) -> None:
    """CunetError where x has not the dimensions, channels, dtype or size that this net takes, and
    where rng draws no numbers or remember is no way to remember."""
    if rng is not None and not hasattr(rng, "integers"):
        raise refused("rng", "a generator", rng, "make one: numpy.random.default_rng(0)")
    if remember not in (True, False, "once"):
        raise refused("remember", "True, False or 'once'", remember)
    if isinstance(x, np.ma.MaskedArray):
        raise refused("U-Net input", "every pixel", x, "give masked ones a value with .filled()")
    found: Any = getattr(x, "shape", type(x).__name__)
    channels = net.shape.in_channels
    if not isinstance(found, tuple) or len(found) != 4 or found[0] < 1 or found[3] != channels:
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


def check_gradient(dlogits: Any, shape: tuple[int, ...]) -> None:
    """CunetError where dlogits are not an array of the shape of the logits."""
    if getattr(dlogits, "shape", None) != shape:
        raise refused("dlogits", f"an array {shape}, as the logits", dlogits)
