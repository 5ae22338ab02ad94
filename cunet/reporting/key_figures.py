"""The key figures of the report: three main cards, the other figures in smaller ones, and notes."""

from dataclasses import dataclass

import numpy as np

from cunet.reporting import cells, classes, isbi
from cunet.reporting.facts import Facts, Found
from cunet.reporting.page import Card, cards, duration, escape
from cunet.terminal import plural

MAIN = 3


@dataclass(frozen=True)
class KeyFigures:
    """The key figures as HTML: the main cards, and all else for a section of its own."""

    main: str
    more: str


def key_figures(facts: Facts) -> KeyFigures:
    """The cards of a run, the most telling ones first."""
    shown, notes = _validated(facts) if len(facts.log.val_step) else _not_validated(facts)
    if facts.found:
        shown = _with_scores(facts, shown)
        notes.append(
            f"Calling every pixel {facts.found.foreground} would have a pixel error of "
            f"{facts.found.constant_error:.4f}."
        )
    shown += _run(facts)
    text = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    more = [cards(shown[MAIN:])] * (len(shown) > MAIN) + [text] * bool(text)
    return KeyFigures(cards(shown[:MAIN], "main"), "\n".join(more))


def _validated(facts: Facts) -> tuple[list[Card], list[str]]:
    """Cards and notes of a run with at least one validation.

    Where last.npz is of another step, its figures are those computed for the page, as all others.
    """
    log, best, last = facts.log, facts.log.best, int(facts.log.val_step[-1])
    logged = f"pixel error {log.val_pixel_error[-1]:.4f}, Dice {log.val_dice[-1]:.4f}"
    shown = [
        ("Pixel error", f"{log.val_pixel_error[-1]:.4f}", f"held out, step {last:,}"),
        ("Dice", f"{log.val_dice[-1]:.4f}", f"held out, step {last:,}"),
    ]
    notes = []
    if facts.found and facts.network and facts.network.step not in (None, last):
        shown = _computed(facts, facts.found)
        when = "after" if facts.step > last else "before"
        notes.append(
            f"last.npz is of step {facts.step:,}, {when} the last validation, which gave {logged} "
            f"after step {last:,}."
        )
    if (step := int(log.val_step[best])) != last:
        shown.append(
            ("Pixel error, best", f"{log.val_pixel_error[best]:.4f}", f"held out, step {step:,}")
        )
    return shown, notes


def _not_validated(facts: Facts) -> tuple[list[Card], list[str]]:
    """Cards and notes of a run without any validation: they are computed for the page."""
    notes = ["No validation was reached yet."] if facts.holds_out else []
    return _computed(facts, facts.found) if facts.found else [], notes


def _computed(facts: Facts, found: Found) -> list[Card]:
    """The figures of the validation, of the slices that were segmented for the page."""
    where = _where(facts)
    return [
        ("Pixel error", f"{found.counts.pixel_error():.4f}", where),
        ("Dice", f"{found.counts.dice():.4f}", where),
    ]


def _where(facts: Facts) -> str:
    """Which slices figures are of that were computed for the page."""
    if facts.found and not facts.found.data.held_out:
        return plural(len(facts.found.slices), "training slice")
    return f"held out, step {facts.step:,}"


def _with_scores(facts: Facts, shown: list[Card]) -> list[Card]:
    """The cards with those of the scores: of ISBI 2012 after the pixel error, others in front."""
    found, where = facts.found, _where(facts)
    if not found:
        return shown
    if found.scores:
        return shown[:1] + isbi.cards(found.scores, where) + shown[1:]
    if found.numbered:
        return cells.cards(found.slices, where, found.bowl) + shown
    if found.several:
        return classes.cards(found.slices, where) + shown
    return shown


def _run(facts: Facts) -> list[Card]:
    """How long the run was and how large its network."""
    log = facts.log
    done = int(log.step[-1]) if len(log.step) else 0
    shown = [("Steps", f"{done:,}", f"of {facts.config.steps:,}")]
    if done:
        each = float(np.median(np.diff(log.seconds, prepend=0)))
        shown.append(("Time", duration(log.seconds[-1]), f"{each:.3g} s a step"))
    if facts.network:
        width = f"width {facts.config.width}, depth {facts.config.depth}"
        shown.append(("Parameters", f"{facts.network.parameters:,}", width))
    return shown
