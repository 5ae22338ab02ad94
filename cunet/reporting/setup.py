"""How a run was made, as tables: its settings, its size and time, and the machine."""

from dataclasses import asdict, fields

import numpy as np

from cunet.net.receptive_field import receptive_field
from cunet.net.sizes import output_size
from cunet.reporting.facts import Facts
from cunet.reporting.page import duration, table
from cunet.terminal import shell_line
from cunet.training.config import PRESETS, Config
from cunet.training.from_model import SHAPE, USUAL

MAX_HASHES = 8  # of files that are listed
# Settings that belong to one run, not to a recipe
NOT_COMPARED = {"data", "dataset", "out", "device", "threads", "minutes", "seed"}
NOT_COMPARED |= {"fold", "hold_out", "train_share", "drop", "from_model"}


def settings(config: Config) -> str:
    """All settings; those that differ from the nearest preset are marked."""
    values, defaults = asdict(config), {f.name: f.default for f in fields(Config)}
    tuned = config.from_model is not None
    apart = NOT_COMPARED | ({*SHAPE, *USUAL} if tuned else set())  # the model's, not a recipe's
    presets = [name for name in PRESETS if tuned or name != "finetune"]

    def different(name: str) -> list[str]:
        usual = defaults | PRESETS[name]
        return [k for k in values if k not in apart and values[k] != usual[k]]

    preset = min(presets, key=lambda name: len(different(name)))
    changed, usual = different(preset), defaults | PRESETS[preset]
    rows = [(k, show(v), show(usual[k]) if k in changed else "") for k, v in values.items()]
    half = -(-len(rows) // 2)
    head = ("Setting", "This run", f"Preset {preset}")
    tables = "".join(table(part, head, changed) for part in (rows[:half], rows[half:]))
    text = (
        f"The nearest preset is {preset}. {len(changed)} settings differ from it; they are marked, "
        "with the preset's value beside them. Settings of the run itself, such as data, fold, "
        "seed and device, are not compared."
    )
    return f'<p>{text}</p>\n<div class="tables">{tables}</div>'


def size_and_machine(facts: Facts) -> str:
    """Two tables: the network and its time; versions, machine, command and data."""
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
    return f'<div class="tables">{table(size)}{table(machine)}</div>'


def _out(config: Config) -> int:
    return output_size(config.tile, config.depth, config.padding)


def show(value: object) -> str:
    """A setting as a person reads it."""
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
