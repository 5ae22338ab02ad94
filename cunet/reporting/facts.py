"""What the report of a run says: read from its folder, and worked out from its last network."""

import json
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cunet.backend import resolve_device
from cunet.data.dataset import Dataset
from cunet.data.labels import cells
from cunet.errors import CunetError, DeviceError
from cunet.metrics.pixel import ONE_CLASS, PixelCounts
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.reporting.cells import caption as cells_caption
from cunet.reporting.isbi import Scores, score, why_none
from cunet.reporting.pictures import Example
from cunet.reporting.slices import Segmented, in_order
from cunet.segmentation.tiling import segment, whole_tile
from cunet.training.config import Config
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_log, read_settings
from cunet.training.weights import weigh

EXAMPLES = 3
NO_BETTER = 0.99  # an error above this share of the constant predictor's is no better than it


@dataclass(frozen=True)
class Log:
    """The columns of log.csv: one number a step, and those of the validated steps."""

    step: np.ndarray
    seconds: np.ndarray
    lr: np.ndarray
    loss: np.ndarray
    wait: np.ndarray
    val_step: np.ndarray
    val_loss: np.ndarray
    val_dice: np.ndarray
    val_pixel_error: np.ndarray
    val_threshold: np.ndarray

    @classmethod
    def read(cls, run: Path) -> "Log":
        """The log of a run folder; CunetError where there is none or it is damaged."""
        rows = read_log(run)
        validated = [row for row in rows if row.get("val_pixel_error")]
        names = list(cls.__dataclass_fields__)
        try:
            columns = [[float(row[n] or "nan") for row in rows] for n in names[:5]]
            columns.append([float(row["step"]) for row in validated])
            columns += [[float(row[n]) for row in validated] for n in names[6:]]
        except (KeyError, TypeError, ValueError) as error:
            raise CunetError(f"'{run / 'log.csv'}' is damaged ({error}); restore it") from error
        return cls(*map(np.array, columns))

    @property
    def best(self) -> int:
        """The place of the lowest validation pixel error among the validated steps."""
        return int(self.val_pixel_error.argmin())


@dataclass
class Facts:
    """Everything the page says.

    counts, scores, slices and examples are of held-out slices where held_out > 0, else of training
    slices.
    """

    path: Path
    config: Config
    log: Log
    environment: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    step: int | None = None  # of last.npz
    net: dict | None = None  # the arguments of its network
    parameters: int | None = None
    dataset: Dataset | None = None
    training: int = 0  # number of slices
    held_out: int = 0
    counts: PixelCounts | None = None
    scores: Scores | None = None
    unscored: str = ""  # why these slices have no ISBI 2012 scores
    slices: list[Segmented] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what could not be shown, and why

    @property
    def numbered(self) -> bool:
        """Whether the data set numbers its cells."""
        return bool(self.slices) and self.slices[0].cells is not None

    @property
    def several(self) -> bool:
        """Whether there are more than two classes."""
        return bool(self.slices) and self.slices[0].matrix is not None

    @property
    def constant_error(self) -> float | None:
        """The pixel error of calling every pixel white."""
        if self.counts is None:
            return None
        white = self.counts.white / max(1, self.counts.pixels)
        return 1 - 2 * white / (1 + white)


def collect(run: str | Path) -> Facts:
    """Read a run folder; where its data and last.npz are at hand, segment and compare as well.

    Raises CunetError where `run` is no run folder or its settings or log cannot be read.
    """
    path = Path(run)
    facts = Facts(path, Config(**read_settings(path)), Log.read(path))
    facts.environment = _read_json(path / "env.json", facts.remarks)
    if (path / "metrics.json").is_file():
        facts.metrics = _read_json(path / "metrics.json", facts.remarks)
    try:
        header, arrays = checkpoint.read(path / "last.npz")
        device = _device(facts.config)
        net = checkpoint.build(path / "last.npz", header, arrays, device)
        facts.net, facts.step = net.settings(), header["progress"].get("step")
        facts.parameters = sum(p.value.size for p in net.parameters())
        _look(facts, net)
    except CunetError as error:
        facts.remarks.append(f"No pictures, no scores and no threshold curve: {error}")
    return facts


def _read_json(path: Path, remarks: list[str]) -> dict:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        remarks.append(f"{path.name} could not be read: {error}")
        return {}


def _device(config: Config) -> str:
    try:
        return resolve_device(config.device)
    except DeviceError:
        return "cpu"  # trained elsewhere


def _look(facts: Facts, net: UNet) -> None:
    """Segment the held-out slices, or some training slices, and choose up to three as examples."""
    prepared = prepare(replace(facts.config, weight_map="none"))  # its maps are of all slices
    facts.dataset = dataset = prepared.dataset
    facts.training, facts.held_out = len(prepared.training), len(prepared.held_out)
    recorded = facts.environment.get("data", dataset.hashes)
    changed = [name for name, value in dataset.hashes.items() if recorded.get(name) != value]
    if changed:
        facts.remarks.append(
            f"The data changed since this training: {', '.join(changed)}. The pictures, the "
            "scores and the threshold curve are of the data as they are now."
        )
    looked_at = prepared.held_out or _spread(prepared.training)
    for i in looked_at:
        image = dataset.images[i]
        probability = segment(image, net, whole_tile(image, net.shape))
        facts.slices.append(Segmented.of(dataset, i, probability))
    facts.counts = PixelCounts.sum(one.counts for one in facts.slices)
    labels = [dataset.labels[i] for i in looked_at]
    numbered = dataset.instances is not None
    facts.unscored = why_none(labels, len(dataset.class_names), numbered)
    if not facts.unscored:
        facts.scores = score(
            [(one.name, one.white, cells(dataset.labels[one.index])) for one in facts.slices]
        )
    chosen = _spread(in_order(facts.slices))
    _, weights = weigh(facts.config, dataset, [one.index for one in chosen])
    facts.examples = [
        _example(dataset, one, weight) for one, weight in zip(chosen, weights, strict=True)
    ]


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
    if len(items) <= EXAMPLES:
        return list(items)
    return [items[0], items[len(items) // 2], items[-1]]


def warnings(facts: Facts) -> list[str]:
    """What a reader must know before any figure: signs of a network that has not learned."""
    log, found = facts.log, []
    constant, white = facts.constant_error, _white(facts)
    errors, where = log.val_pixel_error, "held-out slices"
    if not len(errors) and facts.counts is not None:
        errors, where = np.array([facts.counts.pixel_error()]), "training slices shown"
    if constant is not None and len(errors):
        never = errors.min() >= NO_BETTER * constant
        compared = f" (pixel error {errors.min():.4f}, against {constant:.4f})"
    else:  # a best threshold of 0 calls every pixel white
        never, compared = len(errors) > 0 and bool((log.val_threshold == 0).all()), ""
    if never:
        found.append(
            f"Undertrained: at no validation was the network better on the {where} than calling "
            f"every pixel {white}{compared}. Its figures say nothing about the method yet."
        )
    share = facts.counts.shares()[1] if facts.counts else None
    alone = facts.metrics.get("last", {}).get("val_one_class")
    if share is not None:
        alone = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    if alone is not None:
        found.append(
            "One class only: at threshold 0.5 the last network calls every pixel "
            f"{white if alone else 'background'}. Train "
            "longer, or try --weight-map balance or a smaller --lr."
        )
    done, where = int(log.step[-1]) if len(log.step) else 0, str(facts.path)
    if done < facts.config.steps:
        found.append(
            f"Not finished: stopped after step {done:,} of {facts.config.steps:,}. The figures are "
            f"those of an interrupted training. To go on: cunet train --resume {shlex.quote(where)}"
        )
    return found


def _white(facts: Facts) -> str:
    """What the white class is called."""
    names = facts.dataset.class_names if facts.dataset else ()
    return f"'{names[1]}'" if len(names) == 2 else "white (not background)"
