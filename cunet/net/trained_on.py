"""What a network knows of the images that it was trained on, beside their normalisation.

It stands in the header of a model file or, of one that was written before, in the record beside it.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cunet.errors import CunetError

if TYPE_CHECKING:  # a network in memory needs no files
    from cunet.files.pixel_size import PixelSize

CLEAR = 0.05  # a skewness nearer to 0 says nothing
AS_LARGE = 0.75  # as those of the training images is that of an inverted one
KEY = "images"  # of the header


@dataclass(frozen=True)
class TrainedOn:
    """What is not known is None.

    pixel_size  of the training images
    skewness    that of the fine structure of the training images, see data/polarity.py: the 5 and
                95 % of them
    """

    pixel_size: "PixelSize | None" = None
    skewness: tuple[float, float] | None = None

    def header(self) -> dict[str, Any]:
        """As it stands in a header or record; what is not known is left out."""
        found: dict[str, Any] = {}
        if self.pixel_size is not None:
            found["pixel_size"] = str(self.pixel_size)
        if self.skewness is not None:
            found["skewness"] = self.skewness
        return found

    @classmethod
    def of(cls, found: Any) -> "TrainedOn":
        """From what a header or a record holds; ValueError where that is something else."""
        from cunet.files.pixel_size import PixelSize
        from cunet.models.record import skewness_at

        if not isinstance(found, dict):
            raise ValueError("'images' is no table")
        size = found.get("pixel_size")
        try:
            known = None if size is None else PixelSize.parse(size)
        except CunetError as error:
            raise ValueError(str(error)) from None
        return cls(known, skewness_at(found))

    def looks_inverted(self, skewness: float) -> bool:
        """Whether an image of this skewness has dark where the training images have bright.

        Inversion turns the sign. It is told only where nearly all training images had the same one,
        and where the image's is nearly as large as theirs: images of one kind have signs of both
        kinds where neither is clear.
        """
        if self.skewness is None or not math.isfinite(skewness):
            return False
        low, high = self.skewness
        nearest = min(abs(low), abs(high))
        if low * high <= 0 or nearest < CLEAR:
            return False
        return low * skewness < 0 and abs(skewness) >= AS_LARGE * nearest


UNKNOWN = TrainedOn()


def trained_on(path: Path, header: dict[str, Any]) -> TrainedOn:
    """What is known of the images of a network; what its file does not say, its record may."""
    from cunet.models.record import read_record

    record = read_record(path, strict=False)
    return TrainedOn.of((record.images if record else {}) | header.get(KEY, {}))


def with_size(path: Path, header: dict[str, Any], pixel_size: str | None) -> TrainedOn:
    """The same with a pixel size that a person gives, None for none; CunetError for one that is
    none, and where the file says another one or can have none."""
    from cunet.files.pixel_size import PixelSize

    known = trained_on(path, header)
    if pixel_size is None:
        return known
    given, own = PixelSize.parse(pixel_size), header.get(KEY, {}).get("pixel_size")
    if header["net"].get("resize"):
        raise CunetError(f"pixel_size: model '{path}' scales images of any size to one square")
    if own is not None and not given.is_like(PixelSize.parse(own), 1.01):
        raise CunetError(f"pixel_size: found {pixel_size}, but model '{path}' says {own} itself")
    return replace(known, pixel_size=given)
