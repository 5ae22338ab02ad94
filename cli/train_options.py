"""The settings of a training as options of `cunet train`."""

from collections.abc import Callable

import click

# Settings of cunet.training.config.Config that are plain options: name, type, help.
SETTINGS = [
    (
        "dataset",
        str,
        "isbi2012, ctc, dsb2018, folder or folder:LABELS (default: found from the folder).",
    ),
    ("labels", str, "What ids are: instances or classes (default: told by their shape)."),
    ("out", str, "Run folder (default: runs/<data>-<n>)."),
    ("width", int, "Channels of the first level (paper: 64)."),
    ("depth", int, "Number of poolings (paper: 4)."),
    ("variant", str, "paper, or release2015 (the authors' release)."),
    ("padding", str, "valid (paper) or same: zeros around every image keep its size."),
    ("dropout", float, "Dropout rate at the end of the contracting path."),
    ("normalization", str, "By mean and deviation of all images (data) or of each (image)."),
    ("resize", int, "Scale every image to a square of this side first; 0: do not."),
    ("tile", int, "Side of the input tile in pixels (paper: 572)."),
    ("batch", int, "Tiles a step (paper: 1)."),
    ("steps", int, "Number of updates."),
    ("minutes", float, "Train for about this many minutes: fits the steps to the measured speed."),
    ("solver", str, "sgd (Caffe's) or adam."),
    ("lr", float, "Learning rate."),
    ("lr_policy", str, "fixed, step, exp, inv, multistep, poly, sigmoid or cosine."),
    ("gamma", float, "Factor of the policies step, exp, inv, multistep and sigmoid."),
    ("power", float, "Exponent of the policies inv and poly."),
    ("step_size", int, "Steps between drops (policy step), or the middle (sigmoid)."),
    ("momentum", float, "Momentum (0.99 for sgd, 0.9 for adam)."),
    ("weight_decay", float, "L2 decay of the filters."),
    ("clip", float, "Largest global norm of the gradient; 0: off."),
    ("iter_size", int, "Batches averaged in one update."),
    ("normalize", str, "Divide the loss by: weights, pixels or none."),
    ("weight_map", str, "paper (class balance and border term), falk2019, balance or none."),
    ("w0", float, "Height of the border term (paper: 10; falk2019: 50)."),
    ("border_sigma", float, "Width of the border term in pixels (paper: 5; falk2019: 6)."),
    ("elastic", str, "grid (paper: 3x3 random vectors), simard or none."),
    ("elastic_sigma", float, "Deviation of the random vectors in pixels (paper: 10)."),
    ("contrast", float, "Largest change of contrast."),
    ("brightness", float, "Largest change of brightness, in standard deviations."),
    ("curve", float, "Largest change of slope at the dark and the bright end."),
    ("noise", float, "Largest deviation of the added noise, in standard deviations."),
    ("zoom", float, "Largest change of scale: 0.25 is 80 to 125 percent."),
    ("shear", float, "Largest shear: the shift of a row over its distance."),
    ("blur", float, "Largest deviation of a Gaussian blur, in pixels."),
    ("fold", str, "k/n: hold out slices k, k+n, k+2n ... for validation."),
    ("hold_out", str, "Hold out slices by name, or a whole sequence or folder: 02."),
    ("train_share", float, "Train on this share of the slices, hold out the rest."),
    ("drop", str, "Leave out slices by name: 01/t034,01/t039."),
    ("validate_every", int, "Steps between validations and saves (500, or a fifth of the steps)."),
    ("seed", int, "All random numbers follow from it."),
    ("device", str, "auto, cpu, cuda or cuda:1."),
    (
        "precision",
        str,
        "float32, float64; on a GPU tf32 (default where it has it), float16 or bfloat16.",
    ),
    ("threads", int, "CPU threads (default: all)."),
]


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


def settings_options(words: dict[str, str | None] | None = None) -> Callable:
    """A decorator that adds data, preset, configuration file and all settings of a training as
    options without defaults: a setting that is not given is not set. words: another help text for
    some settings; None leaves the setting out."""
    texts = {name: text for name, _, text in SETTINGS} | (words or {})
    options = [
        click.option("--data", type=str, help="Folder with the data set."),
        click.option(
            "--preset",
            type=str,
            help="paper, cpu, ucsd or finetune (default: cpu on a CPU, paper on a GPU, finetune "
            "with --from).",
        ),
        click.option(
            "--from",
            "from_model",
            help="Start from trained weights: bundled, a model file or a run (key: from_model).",
        ),
        click.option("--config", "config_file", type=str, help="TOML file of settings."),
        *(
            click.option(f"--{name.replace('_', '-')}", name, type=kind, help=texts[name])
            for name, kind, _ in SETTINGS
            if texts[name] is not None
        ),
        *(
            click.option(flags, name, default=None, help=text)
            for flags, name, text in (
                (
                    "--augment/--no-augment",
                    "augment",
                    "Vary every sample at random (default: yes).",
                ),
                (
                    "--batch-norm/--no-batch-norm",
                    "batch_norm",
                    "Normalise each batch (default: no).",
                ),
                ("--sigmoid/--softmax", "sigmoid", "One output for two classes (default: no)."),
            )
        ),
        click.option(
            "--step-values",
            type=str,
            callback=parse_steps,
            help="Steps of the policy multistep: 4000,6000.",
        ),
    ]

    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
