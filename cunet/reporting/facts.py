"""What the report shows of a run: read from its folder, and computed with its last network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cunet.backend import resolve_device
from cunet.data.dataset import Dataset
from cunet.data.labels import cells
from cunet.errors import CunetError, DeviceError
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.reporting.cells import caption as cells_caption
from cunet.reporting.isbi import Scores, score, why_none
from cunet.reporting.log import Log
from cunet.reporting.parts import in_memory
from cunet.reporting.pictures import Example
from cunet.reporting.recorded import ENVIRONMENT, METRICS, read_document
from cunet.reporting.slices import Segmented, in_order
from cunet.reporting.trained_on import TrainedOn, trained_on
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import whole_tile
from cunet.training.config import Config
from cunet.training.log_file import missing_steps
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_settings
from cunet.training.weights import weigh

MAX_EXAMPLES = 3
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


@dataclass(frozen=True)
class LastNetwork:
    """The network of last.npz: the arguments that made it, its step, its number of parameters."""

    settings: dict
    step: int | None
    parameters: int


@dataclass(frozen=True)
class Data:
    """The data set of a run as it is now, and how many slices are trained on and held out."""

    dataset: Dataset
    training: int
    held_out: int


@dataclass(frozen=True)
class Found:
    """What the last network finds in the held-out slices, or in some of training if none is.

    slices    all that were segmented
    counts    theirs together
    scores    those of ISBI 2012; None where these slices have none, for the reason `unscored`
    examples  up to three slices with their pictures
    """

    data: Data
    slices: list[Segmented]
    counts: PixelCounts
    scores: Scores | None
    unscored: str
    examples: list[Example]

    @property
    def numbered(self) -> bool:
        """Whether the data set numbers its cells."""
        return self.slices[0].cells is not None

    @property
    def several(self) -> bool:
        """Whether there are more than two classes."""
        return self.slices[0].matrix is not None

    @property
    def bowl(self) -> bool:
        """Whether the scores of the Data Science Bowl belong on the page."""
        return self.data.dataset.kind == "dsb2018"

    @property
    def foreground(self) -> str:
        """What the page calls every class but the first: white where it is white in the label."""
        return "foreground" if self.numbered or self.several else "white"

    @property
    def constant_error(self) -> float:
        """The pixel error of calling every pixel white."""
        white = self.counts.white / max(1, self.counts.pixels)
        return 1 - 2 * white / (1 + white)


@dataclass(frozen=True)
class Facts:
    """Everything the page reports; what cannot be had is None."""

    path: Path
    config: Config
    log: Log
    environment: dict
    metrics: dict
    network: LastNetwork | None
    data: Data | None
    found: Found | None
    remarks: list[str]  # what could not be shown, and why
    trained_on: TrainedOn | None = None

    @property
    def step(self) -> int:
        """The step of last.npz; 0 where it is unknown."""
        return (self.network and self.network.step) or 0

    @property
    def holds_out(self) -> bool:
        """Whether slices are held out: as found, or without the data as the settings say."""
        if self.data:
            return self.data.held_out > 0
        splits = ("fold", "hold_out", "train_share")
        return any(getattr(self.config, name) is not None for name in splits)

    @property
    def constant_error(self) -> float | None:
        """The pixel error of calling every pixel white, if any slice could be segmented."""
        return self.found.constant_error if self.found else None


def nothing(doing: str, done: int, of: int) -> None:
    """A Progress that is not shown."""


def collect(run: str | Path, progress: Progress = nothing) -> Facts:
    """Reads a run folder; if its data and last.npz are at hand, segments and compares as well.

    Raises CunetError if `run` is no run folder or its settings or log cannot be read.
    """
    path = Path(run)
    config, log = Config(**read_settings(path)), Log.read(path)
    remarks: list[str] = []
    environment, metrics = read_document(path / "env.json", ENVIRONMENT, remarks), {}
    if (path / "metrics.json").exists():
        metrics = read_document(path / "metrics.json", METRICS, remarks)
    if len(log.step) and (lost := missing_steps(path / "log.csv", int(log.step[-1]))):
        remarks.append(f"log.csv lacks steps {lost:.80}: these lines were lost or are damaged.")
    network, data, found, samples = None, None, None, None
    try:
        header, arrays = checkpoint.read(path / "last.npz")
        net = checkpoint.build(path / "last.npz", header, arrays, _device(config))
        parameters = sum(p.value.size for p in net.parameters())
        network = LastNetwork(net.settings(), header["progress"].get("step"), parameters)
        prepared = prepare(replace(config, weight_map="none"))  # its maps are of all slices
        data = Data(prepared.dataset, len(prepared.training), len(prepared.held_out))
        remarks += _changes(prepared.dataset, environment)
        samples = trained_on(config, prepared)
        shown = in_memory(prepared.dataset, prepared.held_out or _spread(prepared.training))
        remarks += shown[2]
        found = _look(config, shown[1], replace(data, dataset=shown[0]), net, progress)
    except CunetError as error:
        remarks.append(f"No pictures, no scores and no threshold curve: {error}")
    return Facts(path, config, log, environment, metrics, network, data, found, remarks, samples)


def _device(config: Config) -> str:
    try:
        return resolve_device(config.device)
    except DeviceError:
        return "cpu"  # trained elsewhere


def _changes(dataset: Dataset, environment: dict) -> list[str]:
    """A remark on files that are no longer those of the training, if there are any."""
    recorded = environment.get("data", dataset.hashes)
    changed = [name for name, value in dataset.hashes.items() if recorded.get(name) != value]
    if not changed:
        return []
    return [
        f"The data changed since this training: {', '.join(changed)}. The pictures, the "
        "scores and the threshold curve are of the data as they are now."
    ]


def _look(config: Config, indices: list, data: Data, net: UNet, progress: Progress) -> Found:
    """Segments the held-out slices, or some training slices, and chooses up to three to show."""
    dataset, slices = data.dataset, []
    for number, i in enumerate(indices):
        progress("report: segmenting slice", number, len(indices))
        image = dataset.images[i]
        probability = segment(image, net, whole_tile(image, net.shape))
        slices.append(Segmented.of(dataset, i, probability))
    labels = [dataset.labels[i] for i in indices]
    numbered = dataset.instances is not None
    unscored, scores = why_none(labels, len(dataset.class_names), numbered), None
    if not unscored:
        pages = [(one.name, one.white, cells(dataset.labels[one.index])) for one in slices]
        scores = score(pages, lambda done: progress("report: scoring slice", done, len(pages)))
    progress("report: drawing", len(indices), len(indices))
    chosen = _spread(in_order(slices))
    _, weights = weigh(config, dataset, [one.index for one in chosen])
    examples = [_example(dataset, one, weight) for one, weight in zip(chosen, weights, strict=True)]
    counts = PixelCounts.sum(one.counts for one in slices)
    return Found(data, slices, counts, scores, unscored, examples)


def _example(dataset: Dataset, one: Segmented, weights: np.ndarray) -> Example:
    i, objects, caption = one.index, None, ""
    if one.cells is not None:
        objects, caption = (one.cells.truth, one.cells.found), cells_caption(one)
    return Example(
        one.name,
        dataset.images[i],
        dataset.labels[i],
        weights,
        one.white,
        one.value,
        one.classes,
        objects,
        caption,
    )


def _spread(items: list) -> list:
    """Up to three of the items: the first, the middle and the last."""
    if len(items) <= MAX_EXAMPLES:
        return list(items)
    return [items[0], items[len(items) // 2], items[-1]]
