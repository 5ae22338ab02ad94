"""Warnings at the top of the report: signs of a network that has not learned, an unfinished run."""

import numpy as np

from cunet.metrics.pixel import ONE_CLASS
from cunet.reporting.facts import Facts
from cunet.terminal import shell_line
from cunet.training.run_state import failure_of

UNTRAINED = 0.99  # an error of at least this share of the constant predictor's is no better


def alerts(facts: Facts) -> list[str]:
    """What a reader must know before any figure."""
    signs = [_unfinished(facts), _undertrained(facts), _one_class(facts)]
    if not facts.holds_out:
        signs.append(
            "Nothing was held out: no figure here says how the network does on other images. To "
            "hold out every fifth slice, train with --fold 0/5."
        )
    return [sign for sign in signs if sign]


def _unfinished(facts: Facts) -> str:
    log, steps = facts.log, facts.config.steps
    done = int(log.step[-1]) if len(log.step) else 0
    if done >= steps:
        return ""
    if why := failure_of(facts.path):
        return (
            f"Diverged after step {done:,} of {steps:,}: {why}. The figures are those of the last "
            f"network that was kept, of step {facts.step:,}. Start a new run with a smaller --lr, "
            "or with --clip 1."
        )
    again = shell_line(["cunet", "train", "--resume", facts.path])
    return (
        f"Not finished: stopped after step {done:,} of {steps:,}. The figures are those of an "
        f"interrupted training. To go on: {again}"
    )


def _undertrained(facts: Facts) -> str:
    log, found = facts.log, facts.found
    constant, white = facts.constant_error, _white(facts)
    errors, when = log.val_pixel_error, "at no validation was the network"
    if not len(errors) and found:
        errors, when = np.array([found.counts.pixel_error()]), "the network is not"
    where = "held-out" if facts.holds_out else "training"
    if constant is not None and len(errors):
        never = errors.min() >= UNTRAINED * constant
        compared = f" (pixel error {errors.min():.4f}, against {constant:.4f})"
    else:  # a best threshold of 0 calls every pixel white
        never, compared = len(errors) > 0 and bool((log.val_threshold == 0).all()), ""
    if not never:
        return ""
    return (
        f"Undertrained: {when} better on the {where} slices than calling every pixel "
        f"{white}{compared}. Its figures say nothing about the method yet."
    )


def _one_class(facts: Facts) -> str:
    share = facts.found.counts.shares()[1] if facts.found else None
    alone = facts.metrics.get("last", {}).get("val_one_class")
    if share is not None:
        alone = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    if alone is None:
        return ""
    return (
        "One class only: at threshold 0.5 the last network calls every pixel "
        f"{_white(facts) if alone else 'background'}. Train longer, or try --weight-map balance or "
        "a smaller --lr."
    )


def _white(facts: Facts) -> str:
    """The name of the white class."""
    names = facts.data.dataset.class_names if facts.data else ()
    return f"'{names[1]}'" if len(names) == 2 else "white (not background)"
