"""The report of a run: one HTML page that needs nothing but itself."""

import shlex
from dataclasses import asdict, fields
from html import escape
from pathlib import Path

import numpy as np

from cunet.metrics.pixel import THRESHOLDS
from cunet.net.receptive_field import receptive_field
from cunet.net.sizes import output_size
from cunet.reporting import cells, classes
from cunet.reporting.curves import curves, threshold_chart
from cunet.reporting.examples import section as examples
from cunet.reporting.facts import Facts, collect, warnings
from cunet.reporting.isbi import DEFINITIONS as SCORE_DEFINITIONS
from cunet.reporting.isbi import cards as score_cards
from cunet.reporting.isbi import section as score_section
from cunet.reporting.page import DEFINITIONS, PAGE, RUN_DEFINITIONS, duration, table
from cunet.training.config import PRESETS, Config
from cunet.training.run_folder import write_text

HASHES = 8  # of files that are listed
OF_THE_RUN = {"data", "dataset", "out", "device", "threads", "minutes", "seed"}
OF_THE_RUN |= {"fold", "hold_out", "train_share", "drop"}


def write_report(run: str | Path) -> Path:
    """Write RUN/report.html, replacing an older one; returns its path.

    The page needs no other file. The data set is read again, and the held-out slices are segmented
    with last.npz for scores and pictures; where that is not possible the page is made without them
    and says why. Raises CunetError where `run` is not a run folder, DeviceError where the disk has
    no room.

        path = cunet.report("runs/isbi2012-1")
    """
    facts = collect(run)
    name = facts.path.resolve().name
    sections = [
        _head(facts, name),
        _key_figures(facts),
        _section("Scores", _scores(facts)),
        _section("Curves", curves(facts)),
        _section("Examples", examples(facts)),
        _section("Threshold", _threshold(facts)),
        _section("Settings", _settings(facts.config)),
        _section("Size, time and machine", _tables(facts)),
        _section("What the figures mean", _definitions(facts)),
    ]
    page = PAGE.substitute(title=escape(f"{name} - cunet report"), body="\n".join(sections))
    path = facts.path / "report.html"
    write_text(path, page)
    return path


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _head(facts: Facts, name: str) -> str:
    parts = [f"data {facts.config.data}"]
    if facts.dataset:
        parts.append(f"{facts.training} slices to train on, {facts.held_out} held out")
    if "started" in facts.environment:
        parts.append(f"started {facts.environment['started']}")
    alerts = [*warnings(facts), *facts.remarks]
    lines = [f"<h1>{escape(name)}</h1>", f'<p class="soft">{escape("; ".join(parts))}</p>']
    return "\n".join(lines + [f'<p class="alert">{escape(alert)}</p>' for alert in alerts])


def _key_figures(facts: Facts) -> str:
    """The cards, and the sentences a reader needs beside them."""
    log, cards, notes = facts.log, [], []
    if len(log.val_step):
        best, last = log.best, int(log.val_step[-1])
        cards += [
            ("Pixel error, last", f"{log.val_pixel_error[-1]:.4f}", f"held out, step {last:,}"),
            (
                "Pixel error, best",
                f"{log.val_pixel_error[best]:.4f}",
                f"held out, step {int(log.val_step[best]):,}",
            ),
            ("Dice, last", f"{log.val_dice[-1]:.4f}", f"held out, step {last:,}"),
        ]
        notes.append(
            "Published held-out figures are those of last.npz, since best.npz was chosen on the "
            "held-out slices themselves."
        )
        if facts.counts and facts.step is not None and facts.step != last:
            notes.append(
                f"last.npz is of step {facts.step:,}, after the last validation; worked out for "
                f"this page, its pixel error is {facts.counts.pixel_error():.4f} and its Dice "
                f"{facts.counts.dice():.4f}."
            )
    else:
        split = ("fold", "hold_out", "train_share")
        held_out = any(getattr(facts.config, name) is not None for name in split)
        notes.append(
            "No validation was reached yet: there are no held-out figures."
            if held_out
            else "No slices were held out (--fold, --hold-out): nothing here measures how the "
            "network does on images it has not seen."
        )
        if facts.counts and not held_out:
            of = f"{len(facts.examples)} training slices"
            cards += [
                ("Pixel error, seen slices", f"{facts.counts.pixel_error():.4f}", of),
                ("Dice, seen slices", f"{facts.counts.dice():.4f}", of),
            ]
    if facts.constant_error is not None:
        notes.append(
            f"Calling every pixel white would have a pixel error of {facts.constant_error:.4f}."
        )
    if facts.slices:
        where = f"held out, step {facts.step or 0:,}" if facts.held_out else "training slices"
        if facts.scores:
            cards += score_cards(facts.scores, where)
        elif facts.numbered:
            cards = cells.cards(facts.slices, where, _bowl(facts)) + cards
        elif facts.several:
            cards = classes.cards(facts.slices, where) + cards
    done = int(log.step[-1]) if len(log.step) else 0
    cards.append(("Steps", f"{done:,}", f"of {facts.config.steps:,}"))
    if done:
        each = float(np.median(np.diff(log.seconds, prepend=0)))
        cards.append(("Time", duration(log.seconds[-1]), f"{each:.3g} s a step"))
    if facts.parameters:
        width = f"width {facts.config.width}, depth {facts.config.depth}"
        cards.append(("Parameters", f"{facts.parameters:,}", width))
    shown = "\n".join(
        f'<div class="card"><div class="name">{escape(name)}</div>'
        f'<div class="value">{escape(value)}</div><div class="name">{escape(more)}</div></div>'
        for name, value, more in cards
    )
    said = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'<div class="cards">\n{shown}\n</div>\n{said}'


def _scores(facts: Facts) -> str:
    if facts.scores:
        return score_section(facts.scores, facts.held_out > 0, facts.step or 0)
    if not facts.slices:
        return ""
    content = ""
    if facts.numbered:
        content = cells.section(facts.slices, _of(facts), _bowl(facts)) + "\n"
    elif facts.several:
        names = facts.dataset.class_names
        content = classes.section(facts.slices, names, _of(facts)) + "\n"
    said = f"No scores of the ISBI 2012 challenge: {escape(facts.unscored)}."
    return f'{content}<p class="soft">{said}</p>'


def _of(facts: Facts) -> str:
    """Which slices the scores are of."""
    count = len(facts.slices)
    kind = "held-out" if facts.held_out else "training"
    said = f"{count} {kind} slice{'s' * (count > 1)}"
    if facts.config.resize:
        said += f", scaled to {facts.config.resize} x {facts.config.resize} pixels"
    if not facts.held_out:
        said += ", which the network has seen"
    return f"{said}; last.npz, step {facts.step or 0:,}"


def _bowl(facts: Facts) -> bool:
    """Whether the scores of the Data Science Bowl belong on the page."""
    return facts.dataset.kind == "dsb2018"


def _threshold(facts: Facts) -> str:
    if facts.counts is None:
        return ""
    where = "held-out" if facts.held_out else "training"
    count = facts.held_out or len(facts.examples)
    scores = facts.counts.f_scores()
    rows = [(f"{t:.1f}", f"{f:.4f}") for t, f in zip(THRESHOLDS, scores, strict=True)]
    said = (
        f"F-score of white over {count} {where} slices, last.npz. The best threshold is "
        f"{facts.counts.best_threshold():.1f}: pixel error {facts.counts.pixel_error():.4f}."
    )
    pair = threshold_chart(scores) + table(rows, ("Threshold", "F-score"))
    return f'<p>{said}</p>\n<div class="tables">{pair}</div>'


def _settings(config: Config) -> str:
    """All settings; those that differ from the nearest preset are marked."""
    values, defaults = asdict(config), {f.name: f.default for f in fields(Config)}

    def different(name: str) -> list[str]:
        usual = defaults | PRESETS[name]
        return [k for k in values if k not in OF_THE_RUN and values[k] != usual[k]]

    preset = min(PRESETS, key=lambda name: len(different(name)))
    changed, usual = different(preset), defaults | PRESETS[preset]
    rows = [(k, show(v), show(usual[k]) if k in changed else "") for k, v in values.items()]
    half = -(-len(rows) // 2)
    head = ("Setting", "This run", f"Preset {preset}")
    tables = "".join(table(part, head, changed) for part in (rows[:half], rows[half:]))
    said = (
        f"The nearest preset is {preset}. {len(changed)} settings differ from it; they are marked, "
        "with the preset's value beside them. Settings of the run itself, such as data, fold, "
        "seed and device, are not compared."
    )
    return f'<p>{said}</p>\n<div class="tables">{tables}</div>'


def _tables(facts: Facts) -> str:
    config, log, env = facts.config, facts.log, facts.environment
    size = [("Tile in, out", f"{config.tile} x {config.tile} -> {_out(config)} x {_out(config)}")]
    if facts.net:
        widths = ", ".join(str(facts.net["width"] << i) for i in range(facts.net["depth"] + 1))
        size += [
            ("Channels in, classes out", f"{facts.net['in_channels']}, {facts.net['classes']}"),
            ("Channels of the levels", widths),
            ("Parameters", f"{facts.parameters:,}"),
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
        ("Command", shlex.join(map(str, env.get("command", [])))),
    ]
    data = list(env.get("data", {}).items())
    machine += [(f"SHA-256 of {name}", f"{str(value)[:12]}...") for name, value in data[:HASHES]]
    if len(data) > HASHES:
        machine.append(("SHA-256", f"of {len(data) - HASHES} more files: see env.json"))
    return f'<div class="tables">{table(size)}{table(machine)}</div>'


def _out(config: Config) -> int:
    return output_size(config.tile, config.depth, config.padding)


def _definitions(facts: Facts) -> str:
    if facts.numbered:
        scores = cells.DEFINITIONS + cells.BOWL_DEFINITIONS * _bowl(facts)
    else:
        scores = classes.DEFINITIONS if facts.several else SCORE_DEFINITIONS
    terms = DEFINITIONS + scores + RUN_DEFINITIONS
    pairs = [f"<dt>{escape(a)}</dt>\n<dd>{escape(b)}</dd>" for a, b in terms]
    return "<dl>\n" + "\n".join(pairs) + "\n</dl>"


def show(value: object) -> str:
    """A setting as a person reads it."""
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
