"""The key figures at the top of the report: cards, and the sentences a reader needs beside them."""

import numpy as np

from cunet.reporting import cells, classes
from cunet.reporting.facts import Facts
from cunet.reporting.isbi import cards as score_cards
from cunet.reporting.page import duration, escape
from cunet.terminal import plural

Card = tuple[str, str, str]  # name, value, what it is of


def section(facts: Facts) -> str:
    """The cards and sentences as HTML."""
    cards, notes = _validated(facts) if len(facts.log.val_step) else _not_validated(facts)
    if facts.found:
        error = facts.found.constant_error
        notes.append(f"Calling every pixel white would have a pixel error of {error:.4f}.")
    cards = _with_scores(facts, cards) + _run(facts)
    shown = "\n".join(
        f'<div class="card"><div class="name">{escape(name)}</div>'
        f'<div class="value">{escape(value)}</div><div class="name">{escape(more)}</div></div>'
        for name, value, more in cards
    )
    text = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'<div class="cards">\n{shown}\n</div>\n{text}'


def _validated(facts: Facts) -> tuple[list[Card], list[str]]:
    """Cards and notes of a run with at least one validation."""
    log, found = facts.log, facts.found
    best, last = log.best, int(log.val_step[-1])
    cards = [
        ("Pixel error, last", f"{log.val_pixel_error[-1]:.4f}", f"held out, step {last:,}"),
        (
            "Pixel error, best",
            f"{log.val_pixel_error[best]:.4f}",
            f"held out, step {int(log.val_step[best]):,}",
        ),
        ("Dice, last", f"{log.val_dice[-1]:.4f}", f"held out, step {last:,}"),
    ]
    notes = [
        "Published held-out figures are those of last.npz, since best.npz was chosen on the "
        "held-out slices themselves."
    ]
    step = facts.network.step if facts.network else None
    if found and step is not None and step != last:
        notes.append(
            f"last.npz is of step {step:,}, after the last validation; computed for "
            f"this page, its pixel error is {found.counts.pixel_error():.4f} and its Dice "
            f"{found.counts.dice():.4f}."
        )
    return cards, notes


def _not_validated(facts: Facts) -> tuple[list[Card], list[str]]:
    """Cards and notes of a run without any validation."""
    split = ("fold", "hold_out", "train_share")
    if any(getattr(facts.config, name) is not None for name in split):
        return [], ["No validation was reached yet: there are no held-out figures."]
    notes = [
        "No slices were held out (--fold, --hold-out): nothing here measures how the "
        "network does on images it has not seen."
    ]
    if not facts.found:
        return [], notes
    counts, of = facts.found.counts, plural(len(facts.found.examples), "training slice")
    cards = [
        ("Pixel error, seen slices", f"{counts.pixel_error():.4f}", of),
        ("Dice, seen slices", f"{counts.dice():.4f}", of),
    ]
    return cards, notes


def _with_scores(facts: Facts, cards: list[Card]) -> list[Card]:
    """The cards with those of the scores: of ISBI 2012 behind them, others in front."""
    found = facts.found
    if not found:
        return cards
    where = f"held out, step {facts.step:,}" if found.data.held_out else "training slices"
    if found.scores:
        return cards + score_cards(found.scores, where)
    if found.numbered:
        return cells.cards(found.slices, where, found.bowl) + cards
    if found.several:
        return classes.cards(found.slices, where) + cards
    return cards


def _run(facts: Facts) -> list[Card]:
    """How long the run was and how large its network."""
    log = facts.log
    done = int(log.step[-1]) if len(log.step) else 0
    cards = [("Steps", f"{done:,}", f"of {facts.config.steps:,}")]
    if done:
        each = float(np.median(np.diff(log.seconds, prepend=0)))
        cards.append(("Time", duration(log.seconds[-1]), f"{each:.3g} s a step"))
    if facts.network:
        width = f"width {facts.config.width}, depth {facts.config.depth}"
        cards.append(("Parameters", f"{facts.network.parameters:,}", width))
    return cards
