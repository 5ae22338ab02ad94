"""The settings of a training as options, below headings; `cunet train --help` shows them."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, get_args

import click

from cunet.cli import common
from cunet.terminal import shell_line
from cunet.training.config import CHOICES, Config
from cunet.training.presets import PRESETS
from cunet.training.usual import usual

# What each setting of Config is, by heading; its type, choices and defaults are those of Config.
SETTINGS: dict[str, dict[str, str]] = {
    "Data": {
        "dataset": "Kind of data set; folder:NAME names the labels' folder or ending "
        "(default: found from the folder).",
        "labels": "What ids are (default: told by their shape).",
        "resize": "Scale every image to a square of this side first; 0: do not.",
        "pixel_size": "Size of the images' pixels, such as 4nm (default: what their files say).",
        "normalization": "By mean and deviation of all images, or of each.",
    },
    "Network": {
        "from_model": "Start from a model file, a run or a name such as em (key: from_model).",
        "width": "Channels of the first level.",
        "depth": "Number of poolings.",
        "variant": "The paper's, or that of the authors' release.",
        "padding": "same: zeros around every image keep its size.",
        "batch_norm": "Normalise each batch.",
        "sigmoid": "One output for two classes.",
        "dropout": "Dropout rate at the end of the contracting path.",
    },
    "Training": {
        "tile": "Side of the input tile in pixels.",
        "batch": "Tiles a step.",
        "steps": "Number of updates.",
        "minutes": "Train for about this many minutes: fits the steps to the measured speed.",
        "solver": "Caffe's SGD, or Adam.",
        "lr": "Learning rate.",
        "lr_policy": "How the learning rate changes.",
        "warmup": "Updates over which the learning rate rises to its value; 0: none.",
        "gamma": "Factor of the policies step, exp, inv, multistep and sigmoid.",
        "power": "Exponent of the policies inv and poly.",
        "step_size": "Steps between drops (policy step), or the middle (sigmoid).",
        "step_values": "Steps of the policy multistep: 4000,6000.",
        "momentum": "Momentum (default: 0.99 for sgd, 0.9 for adam).",
        "weight_decay": "L2 decay of the filters.",
        "clip": "Largest global norm of the gradient; 0: off.",
        "iter_size": "Batches averaged in one update (default: 1 a device).",
        "validate_every": "Steps between validations (default: 500, or a fifth of the steps).",
        "seed": "All random numbers follow from it.",
    },
    "Loss and weights": {
        "normalize": "What the loss is divided by.",
        "weight_map": "paper: class balance and border term; cpu too for numbered objects.",
        "w0": "Height of the border term (default: 10 for paper, 50 for falk2019).",
        "border_sigma": "Its width in pixels (default: 5 for paper, 6 for falk2019).",
    },
    "Augmentation": {
        "augment": "Vary every sample at random.",
        "elastic": "grid: the paper's 3x3 random vectors.",
        "elastic_sigma": "Deviation of the random vectors in pixels.",
        "contrast": "Largest change of contrast.",
        "brightness": "Largest change of brightness, in standard deviations.",
        "curve": "Largest change of slope at the dark and the bright end.",
        "noise": "Largest deviation of the added noise, in standard deviations.",
        "zoom": "Largest change of scale: 0.25 is 80 to 125 percent.",
        "shear": "Largest shear: the shift of a row over its distance.",
        "blur": "Largest deviation of a Gaussian blur, in pixels.",
    },
    "What is held out": {
        "fold": "k/n: hold out slices k, k+n, k+2n ... for validation.",
        "hold_out": "Hold out slices by name, or a whole sequence or folder: 02.",
        "train_share": "Train on this share of the slices, hold out the rest.",
        "drop": "Leave out slices by name: 01/t034,01/t039.",
    },
    "Machine": {
        "device": "auto, cpu, cuda or cuda:1.",
        "devices": "GPUs (or processes on the CPU) that share the batches of an update.",
        "precision": "Of the products (default: tf32 on a GPU that has it, else float32).",
        "threads": "CPU threads (default: all).",
    },
    "Output": {"out": "Run folder (default: runs/<data>-<n>)."},
}
HEADINGS = {name: heading for heading, names in SETTINGS.items() for name in names}
HEADINGS |= {
    "data": "Data",
    "label_image": "Data",
    "preset": "Preset and file",
    "config_file": "Preset and file",
}
HEADINGS |= dict.fromkeys(("folds", "seeds", "average", "jobs"), "Cross-validation")
FLAGS = {
    "from_model": "--from",
    "augment": "--augment/--no-augment",
    "batch_norm": "--batch-norm/--no-batch-norm",
    "sigmoid": "--sigmoid/--softmax",
}


DATA = [
    click.option("--data", type=common.PATH, help="Folder with the data set, or an OME-Zarr."),
    click.option("--label-image", metavar="NAME", help="Which one to learn, of an OME-Zarr."),
]


class Dataset(common.Choice):
    """A kind of data set, or folder:NAME."""

    def convert(self, value: Any, option: Any, context: Any) -> Any:
        named = isinstance(value, str) and value.startswith("folder:")
        return value if named else super().convert(value, option, context)


class Command(click.Command):
    """A command that lists its options below the headings, and says what a lone word may be."""

    allow_extra_args = True

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        order = ("Data", "Preset and file", "Cross-validation", *SETTINGS)
        sections: dict[str, list] = {heading: [] for heading in order}
        for option in self.get_params(context):
            if (record := option.get_help_record(context)) is not None:
                sections[HEADINGS.get(str(option.name), "Output")].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if rest := super().parse_args(context, args):
            hint = f"; did you mean --data {shell_line(rest[:1])}?"
            hint *= not context.params.get("data", True)
            raise click.UsageError(f"unexpected argument '{rest[0]}'{hint}", context)
        if name := context.params.pop("label_image", None):
            context.params["dataset"] = f"folder:{name}"
        return rest


def parse_steps(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """4000,6000 -> (4000, 6000)."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.UsageError(
            f"--step-values: expected steps such as 4000,6000, found '{text}'"
        ) from error


def setting_option(
    name: str, text: str | None = None, presets: Iterable[str] = PRESETS, also: str | None = None
) -> Callable:
    """One setting as an option without default: a setting that is not given is not set."""
    kind = next(field.type for field in fields(Config) if field.name == name)
    default = usual(name, presets)
    more: dict[str, Any] = {"type": next(iter(get_args(kind)), kind)}
    if name in CHOICES:
        more["type"] = common.Choice(list(filter(None, CHOICES[name])))
    elif name in FLAGS and kind is bool:
        more = {"default": None}
    elif name == "step_values":
        more = {"type": str, "callback": parse_steps}
    if name == "dataset":
        more["type"] = Dataset(more["type"].choices)
    flags = [FLAGS.get(name, f"--{name.replace('_', '-')}")]
    if name == "out":
        flags, more = ["-o", *flags], {"type": common.PATH}
    text = (text or SETTINGS[HEADINGS[name]][name]) + (f" [default: {default}]" if default else "")
    return click.option(*flags, *filter(None, [also]), name, help=text, **more)


def settings_options(
    words: dict[str, str | None] | None = None, also: dict[str, str] | None = None
) -> Callable:
    """A decorator that adds data, preset, configuration file and all settings of a training as
    options. words: another help text for some of them; None leaves one out. also: another flag."""
    words, also = words or {}, also or {}
    options = [
        *([] if "data" in words else DATA),
        click.option("--preset", type=common.Choice(PRESETS), help="Defaults for a purpose "
                     "(default: cpu on a CPU, paper on a GPU, finetune with --from)."),
        click.option("--config", "config_file", type=common.PATH, help="TOML file of settings."),
        *(
            setting_option(name, words.get(name), also=also.get(name))
            for names in SETTINGS.values()
            for name in names
            if words.get(name, "") is not None
        ),
    ]  # fmt: skip

    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
