"""Settings as a flat TOML file: reading, which checks their types, and writing."""

import json
import tomllib
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from cunet.errors import CunetError, did_you_mean, of_system
from cunet.files.json_file import read_text

LARGEST = 1 << 20  # bytes of a file of settings
DELETE = "\\u007F"  # JSON writes this character as it is


def read(path: Path, types: Mapping[str, Any], own: bool = False) -> dict[str, Any]:
    """The settings in a TOML file. types: name -> type, such as int, float | None, tuple[int, ...].

    A whole number may stand for a float, and lists become tuples. CunetError for a file that is
    missing or not TOML, an unknown key, and a value of another type. own: the file is one of ours,
    where a folder's name may hold bytes that are not UTF-8, which TOML otherwise must be.
    """
    try:
        text = read_text(path, LARGEST, errors="surrogateescape" if own else "strict")
        found = tomllib.loads(text)
    except OSError as error:
        raise of_system(error, f"config file '{path}' cannot be read") from error
    except (ValueError, RecursionError) as error:
        raise CunetError(f"config file '{path}' is not valid TOML: {error}") from error
    settings: dict[str, Any] = {}
    for key, value in found.items():
        if key not in types:
            known = f"known keys: {', '.join(sorted(types))}{did_you_mean(key, types)}"
            raise CunetError(f"config file '{path}': unknown key {key!r:.60}; {known}")
        settings[key] = _typed(path, key, value, types[key])
    return settings


def _typed(path: Path, key: str, value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    names = [getattr(option, "__origin__", option) for option in options]
    shown = f"{value!r:.60}"
    if type(value) is int and abs(value) >= 2**63:  # TOML's whole numbers have 64 bits
        raise CunetError(f"config file '{path}': {key} must be a smaller number, found {shown}")
    if float in names and type(value) is int:
        return float(value)
    if type(value) not in names:
        expected = " or ".join(n.__name__ for n in names if n is not type(None))
        raise CunetError(f"config file '{path}': {key} must be {expected}, found {shown}")
    if isinstance(value, tuple) and not all(type(v) is int for v in value):
        raise CunetError(f"config file '{path}': {key} must be whole numbers, found {shown}")
    return value


def text(settings: Mapping[str, Any]) -> str:
    """The settings as TOML; what is None is left out."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, bool):
            lines.append(f"{name} = {str(value).lower()}")
        elif isinstance(value, str):
            quoted = json.dumps(value, ensure_ascii=False)  # TOML's escapes too, but for one
            lines.append(f"{name} = {quoted.replace(chr(0x7F), DELETE)}")
        elif isinstance(value, tuple):
            lines.append(f"{name} = [{', '.join(map(str, map(int, value)))}]")
        elif isinstance(value, Integral):
            lines.append(f"{name} = {int(value)}")
        elif value is not None:
            lines.append(f"{name} = {float(value)!r}")  # NumPy's own repr names their type
    return "\n".join(lines) + "\n"
