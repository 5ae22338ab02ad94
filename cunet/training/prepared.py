"""A data set made ready to train on: checked, split, normalised, with weight maps."""

from dataclasses import dataclass, replace

from cunet.data.dataset import Dataset
from cunet.data.load import load
from cunet.data.resize import resized
from cunet.data.samples import Samples
from cunet.net.normalization import Normalization
from cunet.net.sizes import output_size
from cunet.training.config import Config
from cunet.training.held_out import split
from cunet.training.weights import weigh


@dataclass(frozen=True)
class Prepared:
    """A data set that was checked, split and made ready to be drawn from."""

    dataset: Dataset
    training: list[int]  # indices of slices
    held_out: list[int]
    normalization: Normalization
    samples: Samples


def prepare(config: Config) -> Prepared:
    """Load and check the data, split it, normalise the images and compute the weight maps."""
    dataset = load(config.data, config.dataset)
    if config.resize:
        dataset = resized(dataset, config.resize)
    training, held_out = split(config, dataset.slice_names)
    images = [dataset.images[i] for i in training]
    normalization = Normalization.of(images)
    if config.normalization == "image":
        identity = Normalization.identity(images[0].shape[2])
        normalization = replace(identity, per_image=True)
    labels, weights = weigh(config, dataset, training)
    samples = Samples(
        [normalization.fitted(lambda a, b, x=x: x[a:b], len(x)).apply(x) for x in images],
        labels,
        weights,
        config.tile,
        output_size(config.tile, config.depth, config.padding),
        config.augmentation(),
        config.seed,
        config.batch,
    )
    return Prepared(dataset, training, held_out, normalization, samples)
