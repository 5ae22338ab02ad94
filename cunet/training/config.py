"""The settings of a training: one flat, frozen record.

Settings are resolved as defaults < preset < configuration file < options. TOML keys are the names
below, which are the command line's option names with underscores.

The command line's help and completion read names, defaults and choices here: they are there without
NumPy, and what a value is checked or used by is imported when it is.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cunet.errors import CunetError, did_you_mean, not_among
from cunet.training.given import SHAPE, knows_what_is_given
from cunet.training.presets import PRESETS

if TYPE_CHECKING:
    from cunet.data.augment import Augmentation
    from cunet.net.layers import Parameter
    from cunet.net.shape import Shape
    from cunet.solvers.adam import Adam
    from cunet.solvers.sgd import SGD
    from cunet.training.warmup import LinearWarmup

# What a setting may be; a test compares with the code that uses it.
CHOICES: dict[str, tuple[str | None, ...]] = {
    "dataset": (None, "isbi2012", "isbi2013", "epfl", "ctc", "dsb2018", "folder"),  # folder:NAME
    "labels": (None, "classes", "instances"),
    "variant": ("paper", "release2015"),
    "padding": ("valid", "same"),
    "normalization": ("data", "image"),
    "solver": ("sgd", "adam"),
    "lr_policy": ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid", "cosine"),
    "normalize": ("weights", "pixels", "none"),
    "weight_map": ("paper", "falk2019", "balance", "none"),
    "elastic": ("grid", "simard", "none"),
    "precision": (None, "float32", "float64", "tf32", "float16", "bfloat16"),
}
MOMENTUM = {"sgd": 0.99, "adam": 0.9}  # where it is not given


@knows_what_is_given
@dataclass(frozen=True)
class Config:
    """The settings of a training. Where the paper is silent the value is ours (see README).

    The names are the options of `cunet train`, whose --help explains each; sizes are in pixels.
    A Config cannot be changed: dataclasses.replace makes another. With from_model, width, depth and
    all else that the model decides are the model's where they are not given. Raises CunetError for
    a value that is not valid, and for values that contradict each other or the model.

        config = cunet.Config(data="isbi2012/", fold="0/5", width=16, tile=412, out="runs/first")
        for record in cunet.train(config):
            print(record["step"], record["loss"])
    """

    data: str = ""
    dataset: str | None = None  # kind of data set; None: found from the folder
    labels: str | None = None  # what ids are: "classes" or "instances"; None: told by their shape
    out: str | None = None  # run folder; None: keep nothing
    from_model: str | None = None  # start from its weights: a file, a run or a name
    width: int = 64
    depth: int = 4
    variant: str = "paper"
    padding: str = "valid"
    batch_norm: bool = False
    sigmoid: bool = False  # one output for two classes, with binary cross-entropy
    dropout: float = 0.5
    normalization: str = "data"
    resize: int | None = None  # scale every image to a square of this side first; 0: do not
    pixel_size: str | None = None  # of the images, as 4nm; None: what their files say
    tile: int = 572
    batch: int = 1
    steps: int = 30_000
    minutes: float | None = None  # fit steps to the measured speed
    solver: str = "sgd"
    lr: float = 1e-3
    lr_policy: str = "cosine"
    warmup: int = 0  # updates over which the rate rises to its value
    gamma: float = 0.1
    power: float = 1.0
    step_size: int = 10_000
    step_values: tuple[int, ...] = ()
    momentum: float | None = None  # None: that of the solver, see MOMENTUM
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
    validate_every: int | None = None  # None: 500, or a fifth of the steps if that is less
    seed: int = 0
    device: str = "auto"
    devices: int = 1  # that share the iter_size batches of an update; see training/passes.py
    precision: str | None = None  # None: tf32 on a GPU that has it, else float32
    threads: int | None = None

    def shape(self, in_channels: int = 1, classes: int = 2) -> "Shape":
        """The shape of the network, for images with this many channels and classes."""
        from cunet.net.shape import Shape

        return Shape(
            self.width, self.depth, in_channels, classes, self.dropout, self.variant,
            self.padding, self.batch_norm, self.sigmoid,
        )  # fmt: skip

    def __post_init__(self) -> None:
        from cunet.backend import check_device
        from cunet.checks import typed
        from cunet.net.tiles import check_tile
        from cunet.training import limits

        typed(self)
        limits.check_numbers(vars(self))
        object.__setattr__(self, "iter_size", limits.batches_of_update(vars(self)))
        given: frozenset[str] = vars(self)["_given"]
        if self.from_model is not None and not given.issuperset(SHAPE):
            from cunet.training.from_model import merged

            usual = {"tile": self.tile}
            for name, value in merged(usual, {n: getattr(self, n) for n in given}).items():
                object.__setattr__(self, name, value)
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed and not (
                name == "dataset" and str(value).startswith("folder:")
            ):
                raise not_among(name, value, filter(None, allowed))
        self.shape()
        check_device(self.device)
        check_tile(self.tile, self.depth, self.padding)
        limits.parse_fold(self.fold)
        splits = [n for n in ("fold", "hold_out", "train_share") if getattr(self, n) is not None]
        if len(splits) > 1:
            raise CunetError(f"{' and '.join(splits)}: give one of them")
        if list(self.step_values) != sorted(set(self.step_values)):
            raise CunetError(f"step_values: expected rising steps, found {self.step_values}")
        limits.check_sizes(self.resize, self.pixel_size)
        limits.check_rate(self.learning_rate(), self.steps)
        self.augmentation()

    @property
    def interval(self) -> int:
        """The steps between two validations."""
        return self.validate_every or max(1, min(500, self.steps // 5))

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return "float64" if self.precision == "float64" else "float32"

    def learning_rate(self) -> "LinearWarmup":
        """The learning rate as a function of the step."""
        from cunet.training.warmup import LinearWarmup

        return LinearWarmup(
            base=self.lr, policy=self.lr_policy, gamma=self.gamma, power=self.power,
            stepsize=self.step_size, stepvalues=tuple(self.step_values), max_iter=self.steps,
            warmup=self.warmup,
        )  # fmt: skip

    def augmentation(self) -> "Augmentation":
        """How samples vary."""
        from cunet.data.augment import OFF, Augmentation

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

    def make_solver(self, parameters: "list[Parameter]") -> "SGD | Adam":
        """The solver named by these settings."""
        from cunet.solvers.adam import Adam
        from cunet.solvers.sgd import SGD

        shared: dict[str, Any] = {
            "lr": self.learning_rate(),
            "weight_decay": self.weight_decay,
            "clip": self.clip or None,
            "iter_size": self.iter_size,
        }
        momentum = MOMENTUM[self.solver] if self.momentum is None else self.momentum
        make = {"sgd": SGD, "adam": Adam}[self.solver]
        return make(parameters, momentum=momentum, **shared)


def make(
    preset: str | None = None, file: str | Path | None = None, options: dict[str, Any] | None = None
) -> Config:
    """Settings from a preset, a TOML file and options; a later one overrides an earlier one. What
    from_model decides overrides the preset alone."""
    usual: dict[str, Any] = {"tile": Config.tile}
    if preset is not None:
        if preset not in PRESETS:
            raise not_among("preset", preset, PRESETS)
        usual |= PRESETS[preset]
    given = read_toml(Path(file)) if file is not None else {}
    given |= options or {}
    names = [field.name for field in fields(Config)]
    if unknown := sorted(given.keys() - set(names)):
        close = did_you_mean(unknown[0], names)
        raise CunetError(f"{unknown[0]}: no such setting{close}; see the names of cunet.Config")
    if given.get("from_model") is None:
        return Config(**usual | given)
    from cunet.training.from_model import merged

    return Config(**merged(usual, given))


def read_toml(path: Path, own: bool = False) -> dict[str, Any]:
    """The settings in a TOML file; CunetError for a missing file, an unknown key, a wrong type.
    own: it was written by write_toml."""
    from cunet.training import settings_file

    return settings_file.read(path, {field.name: field.type for field in fields(Config)}, own)


def write_toml(config: Config) -> str:
    """The settings as TOML text; what is None is left out."""
    from cunet.training import settings_file

    return settings_file.text(asdict(config))
