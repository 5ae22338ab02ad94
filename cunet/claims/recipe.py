"""The paper's recipe of a training against the resolved settings of a run."""

from dataclasses import dataclass

from cunet.claims import facts
from cunet.claims.facts import RECIPE, SILENT, Statement
from cunet.data.weight_images import border
from cunet.data.weight_map import FORMS
from cunet.training.config import MOMENTUM, Config

SAME, DIFFERS, OURS = "as the paper", "differs", "paper silent"
VIEWS = {
    "rotations": "the 8 rotations and reflections of the square, probabilities averaged",
    "flips": "4 mirror images, probabilities averaged",
    "none": "no averaging",
}


@dataclass(frozen=True)
class Choice:
    """A statement of the paper, what the run did, and SAME, DIFFERS or OURS."""

    statement: Statement
    found: str
    verdict: str


def choices(config: Config, average: str) -> list[Choice]:
    """What the paper says of its training, each compared with these settings. average: how the
    held-out slices were predicted."""
    momentum = MOMENTUM[config.solver] if config.momentum is None else config.momentum
    tiles = config.batch * config.iter_size
    start = f"those of {config.from_model}" if config.from_model else f"random, seed {config.seed}"
    found = {
        "start": (start, config.from_model is None),
        "solver": ({"sgd": "Caffe's SGD", "adam": "Adam"}[config.solver], config.solver == "sgd"),
        "momentum": (f"{momentum:g}", momentum == facts.MOMENTUM),
        "batch": (f"{tiles} tile{'s'[: tiles > 1]} an update", tiles == 1),
        "tile": (f"{config.tile} pixels a side", config.tile == facts.TILE_IN),
        "loss": (
            "sigmoid and binary cross-entropy" if config.sigmoid else "softmax and cross-entropy",
            not config.sigmoid,
        ),
        "weights": _weights(config),
        "elastic": _elastic(config),
        "variation": _variation(config),
        "dropout": (f"rate {config.dropout:g}" if config.dropout else "none", config.dropout > 0),
        "borders": (
            ("mirrored", True) if config.padding == "valid" else ("zeros (same padding)", False)
        ),
        "average": (
            VIEWS[average] + ", one reading of it" * (average == "rotations"),
            average == "rotations",
        ),
        "rate": (
            f"{config.lr:g}, {config.lr_policy}"
            + f", rising over {config.warmup:,} updates" * bool(config.warmup),
            True,
        ),
        "steps": (f"{config.steps:,}", True),
        "decay": (f"{config.weight_decay:g}", True),
        "clip": (f"at norm {config.clip:g}" if config.clip else "off", True),
        "normalise": (
            {"weights": "the sum of the weights", "pixels": "the number of pixels"}.get(
                config.normalize, "nothing"
            ),
            True,
        ),
        "grey": (
            "mean 0 and deviation 1, of "
            + ("each image" if config.normalization == "image" else "all training images together"),
            True,
        ),
    }

    def verdict(statement: Statement, same: bool) -> str:
        if statement.status == SILENT:
            return OURS
        return SAME if same else DIFFERS

    return [Choice(one, found[k][0], verdict(one, found[k][1])) for k, one in RECIPE.items()]


def _weights(config: Config) -> tuple[str, bool]:
    if config.weight_map not in FORMS:
        balance = config.weight_map == "balance"
        return "class balance, no border term" if balance else "none: 1 everywhere", False
    w0, sigma = border(config.weight_map, config.w0, config.border_sigma)
    words = f"form {config.weight_map}, w0 = {w0:g}, sigma = {sigma:g}"
    return words, (config.weight_map, w0, sigma) == ("paper", facts.W0, facts.BORDER_SIGMA)


def _elastic(config: Config) -> tuple[str, bool]:
    if not config.augment or config.elastic == "none":
        return "none", False
    how = {"grid": "3x3 grid, bicubic", "simard": "smoothed noise"}[config.elastic]
    same = config.elastic == "grid" and config.elastic_sigma == facts.ELASTIC_SIGMA
    return f"{how}, deviation {config.elastic_sigma:g} pixels", same


def _variation(config: Config) -> tuple[str, bool]:
    if not config.augment:
        return "shifts alone", False
    grey = [n for n in ("contrast", "brightness", "curve", "noise") if getattr(config, n)]
    more = [n for n in ("zoom", "shear", "blur") if getattr(config, n)]
    words = ", ".join(["shifts, any angle", *grey, *more, "mirror images (the paper names none)"])
    return words, bool(grey) and not more
