"""Which slices of a data set train, and which are held out to be scored."""

import unicodedata
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from cunet.errors import CunetError
from cunet.terminal import plural
from cunet.training.config import Config
from cunet.training.limits import parse_fold

SPLIT_STREAM = 3  # the purpose that separates these random numbers from all others of a seed


def split(config: Config, names: Sequence[str]) -> tuple[list[int], list[int]]:
    """The slices to train on and those held out, as rising indices; dropped ones are in neither.

    Held out are a fold, or the slices that config.hold_out names, or all but a share drawn by the
    seed. With the same seed a larger share trains on the same slices and more. Raises CunetError
    where nothing is left to train on or to hold out.
    """
    dropped = named("drop", config.drop, names)
    kept = [i for i in range(len(names)) if i not in dropped]
    held_out: list[int] = []
    fold = parse_fold(config.fold)
    if fold is not None:
        k, n = fold
        held_out = [i for i in kept if i % n == k]
    elif config.hold_out is not None:
        chosen = named("hold_out", config.hold_out, names)
        held_out = [i for i in kept if i in chosen]
    elif config.train_share is not None:
        order = np.random.default_rng([config.seed, SPLIT_STREAM]).permutation(len(kept))
        held_out = sorted(kept[i] for i in order[round(config.train_share * len(kept)) :])
    training = [i for i in kept if i not in held_out]
    asked = {
        name: value
        for name in ("fold", "hold_out", "train_share", "drop")
        if (value := getattr(config, name)) is not None
    }
    if not training or (asked.keys() - {"drop"} and not held_out):
        raise CunetError(
            f"{', '.join(f'{name} {value}' for name, value in asked.items())}: of "
            f"{plural(len(names), 'slice')} {len(training)} would train and {len(held_out)} be "
            "held out; expected at "
            "least one of each"
        )
    return training, held_out


def named(setting: str, given: str | None, names: Sequence[str]) -> set[int]:
    """The slices meant by a list such as "01/t034, 02": names, folders of names, or patterns.

    A name that exists means that slice, even with brackets or commas in it; what is no name may be
    a folder, then a pattern, whose brackets are first taken for a part of the names. Raises
    CunetError for an entry that matches no slice.
    """
    parts = (given or "").split(",")
    longest = 1 + max((name.count(",") for name in names), default=0)
    meant: list[set[int] | None] = [None] * len(parts)  # by the parts from each one to the end
    meant.append(set())
    wrong = ""
    for start in reversed(range(len(parts))):
        ends = range(min(len(parts), start + longest), start, -1)  # the longest entry first
        found = {end: _fitting(",".join(parts[start:end]), names) for end in ends}
        blank = not parts[start].strip()
        if not blank and not any(found.values()):
            wrong = parts[start].strip()
        for end, fits in found.items():
            rest = meant[end]
            if rest is not None and (fits or (blank and end == start + 1)):
                meant[start] = fits | rest
                break
    if meant[0] is None:
        shown = ", ".join(names[:3]) + (f" ... {names[-1]}" if len(names) > 3 else "")
        raise CunetError(
            f"{setting}: no slice is named '{wrong or given}'; there are {len(names)}: {shown}"
        )
    return meant[0]


def _fitting(entry: str, names: Sequence[str]) -> set[int]:
    """The slices that one entry of a list means; empty where it means none."""
    entry = unicodedata.normalize("NFC", entry)  # as the names are
    short = entry.strip()
    folder, literal = short.rstrip("/") + "/", short.replace("[", "[[]")
    readings: tuple[Callable[[str], bool], ...] = (
        lambda name: name == entry,
        lambda name: name.strip() == short,
        lambda name: name.startswith(folder),
        lambda name: fnmatchcase(name, literal),
        lambda name: fnmatchcase(name, short),
    )
    every = ({i for i, name in enumerate(names) if fits(name)} for fits in readings)
    return next(filter(None, every), set()) if short else set()
