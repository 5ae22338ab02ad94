"""Warnings at the top of the report: signs of a network that has not learned, an unfinished run."""

import numpy as np

from cunet.metrics.pixel import ONE_CLASS
from cunet.reporting.facts import Facts
from cunet.terminal import shell_line

UNTRAINED = 0.99  # an error of at least this share of the constant predictor's is no better


def alerts(facts: Facts) -> list[str]:
    """What a reader must know before any figure."""
    log, signs = facts.log, []
    constant, white = facts.constant_error, _white(facts)
    errors, where = log.val_pixel_error, "held-out slices"
    if not len(errors) and facts.found:
        errors, where = np.array([facts.found.counts.pixel_error()]), "training slices shown"
    if constant is not None and len(errors):
        never = errors.min() >= UNTRAINED * constant
        compared = f" (pixel error {errors.min():.4f}, against {constant:.4f})"
    else:  # a best threshold of 0 calls every pixel white
        never, compared = len(errors) > 0 and bool((log.val_threshold == 0).all()), ""
    if never:
        signs.append(
            f"Undertrained: at no validation was the network better on the {where} than calling "
            f"every pixel {white}{compared}. Its figures say nothing about the method yet."
        )
    share = facts.found.counts.shares()[1] if facts.found else None
    alone = facts.metrics.get("last", {}).get("val_one_class")
    if share is not None:
        alone = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    if alone is not None:
        signs.append(
            "One class only: at threshold 0.5 the last network calls every pixel "
            f"{white if alone else 'background'}. Train "
            "longer, or try --weight-map balance or a smaller --lr."
        )
    done = int(log.step[-1]) if len(log.step) else 0
    again = ["cunet", "train", "--resume", facts.path]
    if done < facts.config.steps:
        signs.append(
            f"Not finished: stopped after step {done:,} of {facts.config.steps:,}. The figures are "
            f"those of an interrupted training. To go on: {shell_line(again)}"
        )
    return signs


def _white(facts: Facts) -> str:
    """The name of the white class."""
    names = facts.data.dataset.class_names if facts.data else ()
    return f"'{names[1]}'" if len(names) == 2 else "white (not background)"
