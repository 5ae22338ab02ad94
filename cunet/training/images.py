"""What a network keeps of its training images, so that `segment` can compare others with them: the
size of their pixels, and which of bright and dark is the thin one in them."""

from collections.abc import Sequence

from cunet.data.dataset import Dataset
from cunet.data.polarity import skewnesses
from cunet.files.pixel_size import PixelSize
from cunet.net.trained_on import TrainedOn
from cunet.training.config import Config

ROUNDED = 1.01  # sizes of one microscope, rounded by several programs, differ by less


def facts_of(
    config: Config, dataset: Dataset, training: Sequence[int]
) -> tuple[TrainedOn, list[str]]:
    """What is known of the training slices, by their numbers, and notes on it.

    Nothing of images that are scaled to a square: none of them has its pixels, nor its structure,
    as it was.
    """
    if config.resize:
        return TrainedOn(), []
    size, notes = _pixel_size(config, dataset, training)
    return TrainedOn(size, skewnesses([dataset.images[i] for i in training])), notes


def _pixel_size(
    config: Config, dataset: Dataset, training: Sequence[int]
) -> tuple[PixelSize | None, list[str]]:
    """The size given, else the one that all slices have."""
    sizes = dataset.pixel_sizes or (None,) * len(dataset.images)
    own = [sizes[i] for i in training]
    known: list[PixelSize] = []  # those that differ
    for size in own:
        if size is not None and not any(size.is_like(one, ROUNDED) for one in known):
            known.append(size)
    listed = ", ".join(map(str, known[:3])) + (" ..." if known[3:] else "")
    if config.pixel_size is not None:
        given = PixelSize.parse(config.pixel_size)
        if all(given.is_like(one) for one in known):
            return given, [f"pixel size {given}, as given"]
        return given, [f"warning: pixel size {given} as given, but files of images say {listed}"]
    if not known:
        return None, []
    keep = "so the network keeps none: --pixel-size says which it is"
    if len(known) > 1:
        return None, [f"the training images have several pixel sizes, {listed}, {keep}"]
    if without := own.count(None):
        return None, [
            f"of {len(own)} training images {without} do not name their pixel size, the others "
            f"{listed}, {keep}"
        ]
    return known[0], [f"pixel size {known[0]}"]
