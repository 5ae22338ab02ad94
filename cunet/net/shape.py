"""The shape of a network."""

from cunet.errors import CunetError
from cunet.ops.conv import check_padding

VARIANTS = ("paper", "release2015")


DTYPES = ("float32", "float64")


def check_shape(
    width,
    depth,
    in_channels,
    classes,
    dropout,
    variant,
    dtype,
    padding="valid",
    sigmoid=False,
) -> None:
    """CunetError for arguments that no U-Net has."""
    check_padding(padding)
    for name, value, least in (
        ("width", width, 1),
        ("depth", depth, 1),
        ("in_channels", in_channels, 1),
        ("classes", classes, 2),
    ):
        if value < least:
            raise CunetError(f"U-Net {name}: expected {least} or more, found {value}")
    if not 0 <= dropout < 1:
        raise CunetError(f"U-Net dropout: expected a rate from 0 to below 1, found {dropout}")
    if variant not in VARIANTS:
        raise CunetError(f"U-Net variant: expected one of {VARIANTS}, found '{variant}'")
    if sigmoid and classes != 2:
        raise CunetError(
            f"U-Net sigmoid: one output tells two classes, found {classes}; use softmax (--softmax)"
        )
    if dtype not in DTYPES:
        raise CunetError(f"U-Net dtype: expected one of {DTYPES}, found '{dtype}'")
