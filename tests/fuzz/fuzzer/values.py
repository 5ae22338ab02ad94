"""Hostile values for JSON, TOML and CSV, put in the place of good ones."""

import json
import math
from typing import Any

import numpy as np

NUMBERS = (0, -1, 1, 2, 3, 7, 1000, 10**6, 10**9, 2**31, 2**63, 10**30, 0.5, 1.5, -0.5, 1e-300,
           1e39, 1e300, math.nan, math.inf, -math.inf, 1e9)  # fmt: skip
OTHERS = (
    "",
    " ",
    "a",
    "0",
    "1",
    "nan",
    "float32",
    "../..",
    "/",
    "\x1b[31m",
    "\x00",
    "ä\u202e",
    "x" * 5000,
    "<script>alert(1)</script>",
    None,
    True,
    False,
    [],
    {},
    [1, "a", None],
    {"a": {"b": []}},
    [[]] * 3,
    "cuda",
    "cpu",
)


def hostile(rng: np.random.Generator, old: Any = None) -> Any:
    """A value to put in the place of `old`: of its type or of another."""
    if isinstance(old, int | float) and not isinstance(old, bool) and rng.random() < 0.4:
        factor = [-1, 0, 0.1, 2, 10, 100, 10**4, 10**8][rng.integers(8)]
        value = old * factor
        return int(value) if isinstance(old, int) and math.isfinite(value) else value
    if isinstance(old, str) and old and rng.random() < 0.3:
        place = int(rng.integers(len(old)))
        return (
            old[:place] + chr(int(rng.choice([0, 27, 65, 233, 0x202E, 0x1F600]))) + old[place + 1 :]
        )
    if rng.random() < 0.5:
        return NUMBERS[rng.integers(len(NUMBERS))]
    return OTHERS[rng.integers(len(OTHERS))]


def changed(rng: np.random.Generator, document: Any) -> tuple[Any, str, str]:
    """(the JSON document with one of its values replaced, removed or added; what; the key)."""
    document = json.loads(json.dumps(document))
    places = list(_places(document))
    holder, key = places[rng.integers(len(places))]
    choice = rng.random()
    if choice < 0.12:
        del holder[key]
        return document, f"{key} removed", str(key)
    if choice < 0.2 and isinstance(holder, dict):
        holder[str(key) + "_"] = hostile(rng)
        return document, f"{key}_ added", str(key)
    old = holder[key]
    holder[key] = value = hostile(rng, old)
    return document, f"{key}: {str(old)[:40]!r} -> {str(value)[:40]!r}", str(key)


def _places(document: Any):
    """(holder, key) of every value in a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list) and value:
            yield from _places(value)


def toml_value(value: Any) -> str:
    """A value as TOML writes it; what TOML does not have as a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + "}"
    return json.dumps("" if value is None else value, ensure_ascii=True)
