"""The settings of a training: one flat, frozen record.

Settings are resolved as defaults < preset < configuration file < options. TOML keys are the names
below, which are the command line's option names with underscores.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cunet.backend import check_device
from cunet.checks import typed
from cunet.data.augment import OFF, Augmentation
from cunet.engines import PRECISIONS, check_dtype
from cunet.errors import CunetError
from cunet.net.layers import Parameter
from cunet.net.shape import Shape
from cunet.net.tiles import check_tile
from cunet.ops.softmax_loss import NORMALIZE
from cunet.solvers.adam import Adam
from cunet.solvers.rates import LearningRate
from cunet.solvers.sgd import SGD
from cunet.training import settings_file
from cunet.training.limits import check_numbers, check_rate
from cunet.training.presets import PRESETS

CHOICES = {
    "solver": ("sgd", "adam"),
    "weight_map": ("paper", "falk2019", "balance", "none"),
    "normalize": NORMALIZE,
    "normalization": ("data", "image"),
    "precision": (None, *PRECISIONS),
    "labels": (None, "classes"),
}


@dataclass(frozen=True)
class Config:
    """The settings of a training. Where the paper is silent the value is ours (see README).

    The names are the options of `cunet train`, whose --help explains each; sizes are in pixels.
    A Config cannot be changed: dataclasses.replace makes another. Raises CunetError for a value
    that is not valid, and for values that contradict each other.

        config = cunet.Config(data="isbi2012/", fold="0/5", width=16, tile=412, out="runs/first")
        for record in cunet.train(config):
            print(record["step"], record["loss"])
    """

    data: str = ""
    dataset: str | None = None  # kind of data set; None: found from the folder
    labels: str | None = None  # "classes": ids are classes though they look like cell numbers
    out: str | None = None  # run folder; None: keep nothing
    width: int = 64
    depth: int = 4
    variant: str = "paper"
    padding: str = "valid"
    batch_norm: bool = False
    sigmoid: bool = False  # one output for two classes, with binary cross-entropy
    dropout: float = 0.5
    normalization: str = "data"
    resize: int | None = None  # scale every image to a square of this side first; 0: do not
    tile: int = 572
    batch: int = 1
    steps: int = 30_000
    minutes: float | None = None  # fit steps to the measured speed
    solver: str = "sgd"
    lr: float = 1e-3
    lr_policy: str = "cosine"
    gamma: float = 0.1
    power: float = 1.0
    step_size: int = 10_000
    step_values: tuple[int, ...] = ()
    momentum: float | None = None  # None: 0.99 for sgd, 0.9 for adam
    weight_decay: float = 0.0
    clip: float = 1.0  # largest global norm of the gradient; 0: off
    iter_size: int = 1
    normalize: str = "weights"
    weight_map: str = "paper"
    w0: float | None = None  # None: that of the weight map, see FORMS in cunet/data/weight_map.py
    border_sigma: float | None = None  # pixels; None: as w0
    augment: bool = True
    elastic: str = "grid"
    elastic_sigma: float = 10.0
    contrast: float = 0.25
    brightness: float = 0.25
    curve: float = 0.25
    noise: float = 0.1
    zoom: float = 0.0
    shear: float = 0.0
    blur: float = 0.0
    fold: str | None = None  # "k/n": hold out slices k, k + n, k + 2n ...
    hold_out: str | None = None  # names of slices, or of the folders they are in: "02"
    train_share: float | None = None  # train on this share, drawn by the seed; hold out the rest
    drop: str | None = None  # names of slices to leave out altogether
    validate_every: int = 500
    seed: int = 0
    device: str = "auto"
    precision: str | None = None  # None: tf32 on a GPU that has it, else float32
    threads: int | None = None

    def shape(self, in_channels: int = 1, classes: int = 2) -> Shape:
        """The shape of the network, for images with this many channels and classes."""
        return Shape(
            self.width, self.depth, in_channels, classes, self.dropout, self.variant,
            self.padding, self.batch_norm, self.sigmoid,
        )  # fmt: skip

    def __post_init__(self) -> None:
        typed(self)
        check_numbers(vars(self))
        self.shape()
        check_dtype(self.dtype)
        check_device(self.device)
        check_tile(self.tile, self.depth, self.padding)
        parse_fold(self.fold)
        splits = [n for n in ("fold", "hold_out", "train_share") if getattr(self, n) is not None]
        if len(splits) > 1:
            raise CunetError(f"{' and '.join(splits)}: give one of them")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise CunetError(
                    f"{name}: expected one of {', '.join(filter(None, allowed))}, found "
                    f"'{getattr(self, name)}'"
                )
        if list(self.step_values) != sorted(set(self.step_values)):
            raise CunetError(f"step_values: expected rising steps, found {self.step_values}")
        if self.resize and self.resize < 16:
            raise CunetError(f"resize: expected 0 (off) or 16 or more, found {self.resize}")
        check_rate(self.learning_rate(), self.steps)
        self.augmentation()

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return "float64" if self.precision == "float64" else "float32"

    def learning_rate(self) -> LearningRate:
        """The learning rate as a function of the step."""
        return LearningRate(
            base=self.lr,
            policy=self.lr_policy,
            gamma=self.gamma,
            power=self.power,
            stepsize=self.step_size,
            stepvalues=tuple(self.step_values),
            max_iter=self.steps,
        )

    def augmentation(self) -> Augmentation:
        """How samples vary."""
        if not self.augment:
            return replace(OFF, shift=True)  # a random part of the slice, otherwise as it is
        return Augmentation(
            elastic=self.elastic,
            sigma=self.elastic_sigma,
            contrast=self.contrast,
            brightness=self.brightness,
            curve=self.curve,
            noise=self.noise,
            zoom=self.zoom,
            shear=self.shear,
            blur=self.blur,
        )

    def make_solver(self, parameters: list[Parameter]) -> SGD | Adam:
        """The solver named by these settings."""
        shared: dict[str, Any] = {
            "lr": self.learning_rate(),
            "weight_decay": self.weight_decay,
            "clip": self.clip or None,
            "iter_size": self.iter_size,
        }
        make, usual = (SGD, 0.99) if self.solver == "sgd" else (Adam, 0.9)
        momentum = usual if self.momentum is None else self.momentum
        return make(parameters, momentum=momentum, **shared)


def make(
    preset: str | None = None, file: str | Path | None = None, options: dict[str, Any] | None = None
) -> Config:
    """Settings from a preset, a TOML file and options; a later one overrides an earlier one."""
    settings: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise CunetError(f"preset: expected one of {', '.join(PRESETS)}, found '{preset}'")
        settings |= PRESETS[preset]
    if file is not None:
        settings |= read_toml(Path(file))
    options = options or {}
    if unknown := sorted(options.keys() - {field.name for field in fields(Config)}):
        raise CunetError(f"{unknown[0]}: no such setting; see the names of cunet.Config")
    return Config(**settings | options)


def read_toml(path: Path, own: bool = False) -> dict[str, Any]:
    """The settings in a TOML file; CunetError for a missing file, an unknown key, a wrong type.
    own: it was written by write_toml."""
    return settings_file.read(path, {field.name: field.type for field in fields(Config)}, own)


def write_toml(config: Config) -> str:
    """The settings as TOML text; what is None is left out."""
    return settings_file.text(asdict(config))


def parse_fold(fold: str | None) -> tuple[int, int] | None:
    """From "k/n" -> (k, n) with 0 <= k < n and n >= 2; None stays None."""
    if fold is None:
        return None
    try:
        k, n = map(int, fold.split("/"))
    except ValueError:
        k, n = -1, 0
    if not (n >= 2 and 0 <= k < n):
        raise CunetError(
            f"fold: expected k/n with n >= 2 and k from 0 to n - 1, such as 0/5, found '{fold}'"
        )
    return k, n
