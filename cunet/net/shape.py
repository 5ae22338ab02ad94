"""The shape of a network: all that decides its layers, under one name."""

from dataclasses import dataclass
from numbers import Integral

from cunet.checks import fields, flag, number
from cunet.errors import CunetError
from cunet.ops.padding import border

VARIANTS = ("paper", "release2015")
LIMITS = {"width": (1, 4096), "depth": (1, 12), "in_channels": (1, 4096), "classes": (2, 255)}


@dataclass(frozen=True)
class Shape:
    """What a U-Net is made of, as UNet's docstring says; CunetError for values that none has."""

    width: int = 64
    depth: int = 4
    in_channels: int = 1
    classes: int = 2
    dropout: float = 0.5
    variant: str = "paper"
    padding: str = "valid"
    batch_norm: bool = False
    sigmoid: bool = False

    def __post_init__(self) -> None:
        border((3, 3), self.padding)  # CunetError for any other padding
        fields(self, {"dropout": number, "batch_norm": flag, "sigmoid": flag})
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or not least <= value <= most:
                raise CunetError(f"U-Net {name}: expected {least} to {most:,}, found {value!r:.40}")
        if not 0 <= self.dropout < 1:
            raise CunetError(f"U-Net dropout: expected 0 to below 1, found {self.dropout}")
        if self.variant not in VARIANTS:
            raise CunetError(f"U-Net variant: expected one of {VARIANTS}, found '{self.variant}'")
        if self.sigmoid and self.classes != 2:
            found = f"found {self.classes}; use softmax (--softmax)"
            raise CunetError(f"U-Net sigmoid: one output can separate only two classes, {found}")

    @property
    def release(self) -> bool:
        """Whether it is the network of the authors' release of 2015."""
        return self.variant == "release2015"

    @property
    def outputs(self) -> int:
        """Channels of the logits."""
        return 1 if self.sigmoid else self.classes
