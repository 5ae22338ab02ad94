"""How a run was made, as tables: its settings, its size and time, and the machine."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import pairwise

import numpy as np

from cunet.data.weight_map import FORMS
from cunet.net.receptive_field import receptive_field
from cunet.net.sizes import output_size
from cunet.reporting.facts import Facts
from cunet.reporting.page import duration, folded, table
from cunet.terminal import plural, shell_line
from cunet.training.config import MOMENTUM, PRESETS, Config
from cunet.training.from_model import SHAPE, USUAL

MAX_HASHES = 8  # of files that are listed
MAX_NAMED = 8  # settings in the summary
# Settings that belong to one run and its data, not to a recipe
NOT_COMPARED = {"data", "dataset", "labels", "out", "from_model", "device", "threads", "minutes"}
NOT_COMPARED |= {"seed", "fold", "hold_out", "train_share", "drop"}
MACHINE = ("float32", "tf32")  # what a precision left open becomes, as the machine is


def settings(config: Config, command: Sequence[object] = ()) -> str:
    """All settings, folded up; those that differ from a preset are marked.

    The preset is the one that the command line names, or else the nearest.
    """
    values = asdict(config)
    named = _named_preset(command)
    preset = named or nearest_preset(config)
    changed = differences(config, preset)
    usual = {f.name: f.default for f in fields(Config)} | PRESETS[preset]
    rows = [(k, show(v), show(usual[k]) if k in changed else "") for k, v in values.items()]
    half = -(-len(rows) // 2)
    head = ("Setting", "This run", f"Preset {preset}")
    tables = "".join(table(part, head, changed) for part in (rows[:half], rows[half:]))
    which = f"preset {preset}" if named else f"the nearest preset, {preset}"
    if changed:
        names = ", ".join(changed[:MAX_NAMED]) + " ..." * (len(changed) > MAX_NAMED)
        differ = "differs" if len(changed) == 1 else "differ"
        summary = f"{plural(len(changed), 'setting')} {differ} from {which}: {names}"
    else:
        summary = f"All settings are those of {which}"
    text = (
        "Marked settings differ from the preset, whose value stands beside them. What belongs to "
        "the run itself, such as data, fold, seed and device, is not compared, nor is what the "
        "preset leaves to the machine."
    )
    return folded(summary, f'<p>{text}</p>\n<div class="tables">{tables}</div>')


def differences(config: Config, preset: str) -> list[str]:
    """The settings that make this training another than that of a preset, in their order.

    A setting that the preset leaves open is no difference where it holds what it would have become:
    the precision that the machine chooses, or a number that follows from other settings.
    """
    usual = {f.name: f.default for f in fields(Config)} | PRESETS[preset]
    apart = NOT_COMPARED | ({*SHAPE, *USUAL} if config.from_model is not None else set())
    left_open: dict[str, tuple] = {"precision": MACHINE, "resize": (0,)}
    left_open["momentum"] = (MOMENTUM[config.solver],)
    if form := FORMS.get(config.weight_map):
        left_open |= {"w0": (form.w0,), "border_sigma": (form.sigma,)}

    def differs(name: str, value: object) -> bool:
        if usual[name] is None and value in left_open.get(name, ()):
            return False
        return value != usual[name]

    return [k for k, v in asdict(config).items() if k not in apart and differs(k, v)]


def nearest_preset(config: Config) -> str:
    """The preset from which the fewest settings differ."""
    names = [name for name in PRESETS if name != "finetune" or config.from_model is not None]
    return min(names, key=lambda name: len(differences(config, name)))


def _named_preset(command: Sequence[object]) -> str | None:
    """The preset that a command line names."""
    words = [str(word) for word in command]
    given = [b for a, b in pairwise(words) if a == "--preset"]
    given += [word.partition("=")[2] for word in words if word.startswith("--preset=")]
    return given[-1] if given and given[-1] in PRESETS else None


def size_and_machine(facts: Facts) -> str:
    """Two tables: the network and its time; folded up versions, machine, command and data."""
    config, log, env = facts.config, facts.log, facts.environment
    size = [("Tile in, out", f"{config.tile} x {config.tile} -> {_out(config)} x {_out(config)}")]
    if facts.network:
        net = facts.network.settings
        widths = ", ".join(str(net["width"] << i) for i in range(net["depth"] + 1))
        size += [
            ("Channels in, classes out", f"{net['in_channels']}, {net['classes']}"),
            ("Channels of the levels", widths),
            ("Parameters", f"{facts.network.parameters:,}"),
        ]
    seen = " or ".join(map(str, receptive_field(config.depth)))
    size.append(("Receptive field", f"{seen} pixels"))
    if len(log.step):
        took = np.diff(log.seconds, prepend=0)
        size += [
            ("Training time", duration(log.seconds[-1])),
            ("Step, median", f"{np.median(took):.3g} s"),
            ("Waiting for data", f"{100 * np.nanmean(log.wait):.1f} % of a step, on average"),
        ]
    if resumed := [one["step"] for one in env.get("resumed", []) if "step" in one]:
        size.append(("Resumed", "after step " + ", ".join(map(str, resumed))))
    machine = [
        ("Versions", ", ".join(f"{k} {v}" for k, v in env.get("versions", {}).items())),
        ("BLAS", "; ".join(" ".join(map(str, pool.values())) for pool in env.get("blas", []))),
        ("Machine", env.get("platform", "")),
        ("Processors, threads", f"{env.get('processors', '?')}, {env.get('threads', '?')}"),
        ("Device", env.get("device", "")),
        ("Command", shell_line(env.get("command", []))),
    ]
    if isinstance(begin := env.get("from_model"), dict):
        file, digest = str(begin.get("file", "?")), str(begin.get("sha256", "?"))
        machine.append(("Started from", f"{file}, SHA-256 {digest[:12]}..."))
    data = list(env.get("data", {}).items())
    machine += [
        (f"SHA-256 of {name}", f"{str(value)[:12]}...") for name, value in data[:MAX_HASHES]
    ]
    if len(data) > MAX_HASHES:
        machine.append(("SHA-256", f"of {len(data) - MAX_HASHES} more files: see env.json"))
    half = -(-len(size) // 2)
    first = f'<div class="tables">{table(size[:half])}{table(size[half:])}</div>'
    return f"{first}\n{folded('Versions, machine, command and data', table(machine))}"


def _out(config: Config) -> int:
    return output_size(config.tile, config.depth, config.padding)


def show(value: object) -> str:
    """A setting as a person reads it."""
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
