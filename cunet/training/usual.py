"""The defaults of settings in words, as the command line's help shows them: from Config and the
presets, so that no number is written twice."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from cunet.training.config import Config
from cunet.training.presets import PRESETS


def usual(name: str, presets: Iterable[str] = PRESETS) -> str:
    """The default of a setting, and those of the presets that have another: "64; cpu, ucsd: 16";
    "" where nothing is set."""
    default = next(field.default for field in fields(Config) if field.name == name)
    others: dict[str, list[str]] = {}
    for preset in presets:
        if name in PRESETS[preset]:
            others.setdefault(_written(PRESETS[preset][name]), []).append(preset)
    parts = [f"{', '.join(presets)}: {value}" for value, presets in others.items()]
    return "; ".join(([] if default in (None, (), "") else [_written(default)]) + parts)


def _written(value: Any) -> str:
    """A value as one gives it on the command line: 30000, 0.001, yes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
