"""Settings as a flat TOML file: reading, which checks their types, and writing."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from cunet.errors import CunetError, of_system


def read(path: Path, types: Mapping[str, Any], own: bool = False) -> dict[str, Any]:
    """The settings in a TOML file. types: name -> type, such as int, float | None, tuple[int, ...].

    A whole number may stand for a float, and lists become tuples. CunetError for a file that is
    missing or not TOML, an unknown key, and a value of another type. own: the file is one of ours,
    where a folder's name may hold bytes that are not UTF-8, which TOML otherwise must be.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape" if own else "strict")
        found = tomllib.loads(text)
    except OSError as error:
        raise of_system(error, f"config file '{path}' cannot be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CunetError(f"config file '{path}' is not valid TOML: {error}") from error
    settings: dict[str, Any] = {}
    for key, value in found.items():
        if key not in types:
            raise CunetError(
                f"config file '{path}': unknown key '{key}'; known keys: {', '.join(sorted(types))}"
            )
        settings[key] = _typed(path, key, value, types[key])
    return settings


def _typed(path: Path, key: str, value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    names = [getattr(option, "__origin__", option) for option in options]
    if float in names and type(value) is int:
        return float(value)
    if type(value) not in names:
        expected = " or ".join(n.__name__ for n in names if n is not type(None))
        raise CunetError(f"config file '{path}': {key} must be {expected}, found {value!r}")
    if isinstance(value, tuple) and not all(type(v) is int for v in value):
        raise CunetError(f"config file '{path}': {key} must be whole numbers, found {value!r}")
    return value


def text(settings: Mapping[str, Any]) -> str:
    """The settings as TOML; what is None is left out."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, bool):
            lines.append(f"{name} = {str(value).lower()}")
        elif isinstance(value, str):
            quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            lines.append(f"{name} = {quoted}")  # JSON's escapes are TOML's, which has one more
        elif isinstance(value, tuple):
            lines.append(f"{name} = [{', '.join(map(str, value))}]")
        elif value is not None:
            lines.append(f"{name} = {value!r}")
    return "\n".join(lines) + "\n"
