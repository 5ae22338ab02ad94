"""The card of a network: what a stranger must know of it before using it, in Markdown.

It is filled in from the model file and its run; what is unknown is written as "not stated".
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from cunet.files.json_file import read_json
from cunet.net.array_shapes import parameter_shapes
from cunet.net.checkpoint import normalization_of
from cunet.net.model_input import shape_of
from cunet.net.trained_on import trained_on
from cunet.terminal import plural, shell_line

NOT_STATED = "not stated"
SCORES = {"val_pixel_error": "pixel error", "val_dice": "Dice", "val_loss": "loss"}


def parameters_of(header: Mapping[str, Any]) -> int:
    """How many numbers the network learned."""
    return sum(map(prod, parameter_shapes(shape_of(dict(header["net"]))).values()))


def network(header: Mapping[str, Any]) -> str:
    """The network in a line."""
    shape = shape_of(dict(header["net"]))
    more = ["padding same"] if shape.padding == "same" else []
    more += ["batch normalization"] * shape.batch_norm
    more += [f"images scaled to {side} pixels"] if (side := header["net"].get("resize")) else []
    return ", ".join(
        [f"width {shape.width}", f"depth {shape.depth}", f"variant {shape.variant}", *more]
        + [f"{parameters_of(header):,} parameters"]
    )


def images(header: Mapping[str, Any]) -> str:
    """What its input is, in a line: channels, and how grey values are normalised."""
    normal = normalization_of(dict(header))
    channels = plural(len(normal.mean), "channel")
    if normal.per_image:
        return f"{channels}, each image normalised by its own mean and deviation"
    if any(low != low for low in normal.low):
        return f"{channels}, mean {_list(normal.mean)}, deviation {_list(normal.deviation)}"
    return (
        f"{channels} of about {_list(normal.low)} to {_list(normal.high)} (0.1 and 99.9 % of the "
        f"training's); mean {_list(normal.mean)}, deviation {_list(normal.deviation)}"
    )


def pixel_size(model: Path, header: Mapping[str, Any]) -> str:
    """That of its training images, in a line. A network that scales every image has none."""
    if header["net"].get("resize"):
        return "none: images of any pixel size are scaled to one square"
    known = trained_on(model, dict(header)).pixel_size
    return NOT_STATED if known is None else str(known)


def output(header: Mapping[str, Any]) -> str:
    """What its output is, in a line."""
    shape = shape_of(dict(header["net"]))
    how = "a sigmoid" if shape.sigmoid else "a softmax"
    return f"the probabilities of {shape.classes} classes, by {how}; what they are: {NOT_STATED}"


def run_facts(model: Path) -> dict[str, str]:
    """What the run folder around a model file says of its training, as rows; nothing without one.
    Paths are cut to their last part, since cards are passed on."""
    env, facts = _json(model.parent / "env.json"), {}
    if isinstance(data := env.get("data"), dict) and data:
        listed = [f"{name} (SHA-256 {str(value)[:12]}...)" for name, value in data.items()]
        more = [f"and {len(listed) - 4:,} other files"] if len(listed) > 5 else listed[4:]
        facts["trained on"] = ", ".join([*listed[:4], *more])
    if isinstance(command := env.get("command"), list):
        words = ["cunet", *(_short(str(word)) for word in command[1:])]
        facts["command"] = "`" + shell_line(words).replace("`", "'") + "`"
    if isinstance(begun := env.get("from_model"), dict):
        file, sha256 = _short(str(begun.get("file"))), str(begun.get("sha256"))[:12]
        facts["started from"] = f"{file}, SHA-256 {sha256}..."
    return facts


def scores(model: Path, step: Any) -> str:
    """The scores on held-out slices in the run folder around a model file, "" without any: those of
    the last step, since the best step was chosen by its score."""
    metrics = _json(model.parent / "metrics.json")
    last = metrics.get("last")
    last = last if isinstance(last, dict) else {}
    found = [f"{words} {last[key]:.4f}" for key, words in SCORES.items() if _is_number(last, key)]
    if not found or not _is_number(last, "step"):
        return ""
    text = (
        "On the slices that were held out of its training the network of its last step, "
        f"{last['step']:,}, had {', '.join(found)}."
    )
    if step != last["step"] and step == metrics.get("best_step") and _is_number(metrics, "best"):
        text += (
            f" This file is that of step {step:,}, taken because it had the lowest pixel error of "
            f"them, {metrics['best']:.4f}: expect more on other images."
        )
    return text


def make_card(
    name: str,
    model: Path,
    header: Mapping[str, Any],
    license: str = "",
    made_for: str = "",
) -> str:
    """The card of a model file. license and made_for: "" where unknown."""
    facts, step = run_facts(model), header["progress"].get("step")
    rows = {
        "output": output(header),
        "made for": made_for or NOT_STATED,
        "network": network(header),
        "input": images(header),
        "pixel size": pixel_size(model, header),
        "trained on": facts.pop("trained on", NOT_STATED),
        "training": NOT_STATED if step is None else f"{step:,} steps",
        **facts,
        "license": license or NOT_STATED,
    }
    table = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items())
    good = (
        scores(model, step) or f"{NOT_STATED.capitalize()}: no scores of held-out images are known."
    )
    terms = _cell(license) if license else (
        f"{NOT_STATED.capitalize()}. Ask whoever gave you this network; the terms of its training "
        "images may apply to it too."
    )  # fmt: skip
    return (
        f"# {name}: a U-Net\n\n| | |\n|---|---|\n{table}\n\n## How good it is\n\n{good}\n\n"
        f"## Terms\n\n{terms}\n"
    )


def _cell(text: str) -> str:
    """Text in one line, without the character that ends a cell."""
    return " ".join(text.split()).replace("|", "/")


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


def _short(word: str) -> str:
    """A word of a command line; of a full path only the last part."""
    key, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(value).is_absolute():
            value = kind(value).name
    return key + sign + value


def _is_number(found: dict[str, Any], key: str) -> bool:
    return type(found.get(key)) in (int, float)


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is none."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}
