"""What differs from the paper's experiment, in sentences made of what was found."""

from collections.abc import Mapping
from typing import Any

from cunet.claims import facts
from cunet.claims.architecture import Check
from cunet.claims.recipe import DIFFERS, VIEWS, Choice
from cunet.reporting.page import duration
from cunet.reporting.setup import differences as settings_beside
from cunet.reporting.setup import nearest_preset
from cunet.terminal import plural
from cunet.training.config import Config

NAMES = {
    "warping_error": "warping error", "rand_error": "Rand error", "pixel_error": "pixel error",
    "v_rand": "V_Rand", "v_info": "V_Info", "dice": "Dice",
}  # fmt: skip
DIGITS = {"warping_error": 6}  # 4 for the others
EMPTY = 5  # times the paper's Rand error, from which on a low warping error is no merit
WHY = {  # what a preset is for
    "paper": "the paper's recipe, with this package's choices where it is silent",
    "cpu": "made for a quarter of an hour on a CPU",
    "ucsd": "a later student reproduction on nuclei, with same padding and batch normalization",
    "finetune": "a short training from a trained network",
}


def protocol(document: Mapping[str, Any]) -> list[str]:
    """How the scores in the metrics.json of a cross-validation came about, beside Table 1."""
    runs = document["runs"]
    folds = len({run["fold"] for run in runs})
    slices = sum(len(run["held_out"]) for run in runs[:folds])
    training = slices - len(runs[0]["held_out"])
    seconds = [run["seconds"] for run in runs]
    views = VIEWS[document["average"]]
    averaged = '"Averaged over 7 rotated versions"'
    if document["average"] == "rotations":
        views = f"{averaged} is read as {views}; see examples/paper/averaging.py."
    else:
        views = f"Test time: {views}. {averaged}, as the paper has it, can be read in several ways."
    return [
        "Slices: held-out slices of the labelled stack, fold k of n being slices k, k + n, "
        "k + 2n ... The paper's are those of the hidden test stack. Neighbours of held-out slices "
        f"are trained on, which helps; {training} of {slices} labelled slices are trained on, not "
        "all, which harms.",
        f"Network and training: {plural(runs[0]['steps'], 'step')}, {duration(min(seconds))} to "
        f"{duration(max(seconds))} a run; the rest is in crossval.toml. The paper's learning "
        "rate, number of steps and normalisation of the loss are not published.",
        views,
        "The Rand error is in the challenge's form since January 2015; before, a pixel made no "
        "pair with itself.",
        "Every score is taken at its best threshold on the slices scored, as in the challenge. The "
        "networks are those of the last step; no scores were used to choose them.",
    ]


def sentences(
    checks: list[Check],
    choices: list[Choice],
    config: Config,
    metrics: Mapping[str, Any],
    beside_table: bool,
) -> list[str]:
    """What differs and why: of the network, the recipe, and the scores where Table 1 applies."""
    found = [f"Network, {_differs(one)}." for one in checks if not one.holds]
    found += [f"Training, {_differs(one)}." for one in choices if one.verdict == DIFFERS]
    found.append(_why(config) if found else "Network and recipe are all that the paper states.")
    if beside_table:
        found += [*_scores(metrics), *protocol(metrics)]
    return found


def _differs(one: Check | Choice) -> str:
    return f"{one.statement.name}: {one.found}; the paper: {one.statement.says}"


def _why(config: Config) -> str:
    """The preset that the settings are nearest to, and what it is for."""
    preset = nearest_preset(config)
    others = settings_beside(config, preset)
    but = f", but for {plural(len(others), 'setting')} ({', '.join(others)})" if others else ""
    return f"Why: the settings are those of the preset {preset} ({WHY[preset]}){but}."


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    """Each score of Table 1 beside the paper's, by its size."""
    average, lines = metrics["average"], []
    theirs = next(scores for name, *scores in facts.TABLE_1 if name == "u-net")
    for key, value in zip(facts.TABLE_1_SCORES, theirs, strict=True):
        mean, sd = metrics["mean"][average][key], metrics["sd"][average][key]
        digits = DIGITS.get(key, 4)
        beside = "undefined" if mean != mean else f"{mean / value:.2g} times"
        lines.append(
            f"Scores, {NAMES[key]}: {mean:.{digits}f} ± {sd:.{digits}f} over the runs, {beside} "
            f"the paper's {value:.{digits}f}, on other slices."
        )
    warping, rand = (metrics["mean"][average][key] for key in ("warping_error", "rand_error"))
    if warping < theirs[0] and rand > EMPTY * theirs[1]:
        lines.append(
            "The warping error counts splits and merges alone: a prediction without objects, or of "
            "one, has few. Beside a Rand error this high it says nothing."
        )
    return lines
