"""What a run folder records in JSON: read for a report, without what is damaged."""

from collections.abc import Mapping
from pathlib import Path

from cunet.files.json_file import read_json

# The kinds of what is looked at: in env.json, and in metrics.json
ENVIRONMENT: dict[str, type] = {"command": list, "blas": list, "resumed": list}
ENVIRONMENT |= {"versions": dict, "data": dict}
METRICS: dict[str, type] = {"last": dict}


def read_document(path: Path, kinds: Mapping[str, type], remarks: list[str]) -> dict:
    """The object in a JSON file without what is not of the kind it should be."""
    try:
        found = read_json(path)
    except OSError as error:
        remarks.append(f"{path.name} could not be read: {error.strerror or error}")
        return {}
    except ValueError as error:
        remarks.append(f"{path.name} could not be read: {error}")
        return {}
    for name, kind in kinds.items():
        value = found.get(name, kind())
        good = isinstance(value, kind)
        if good and name in ("blas", "resumed"):
            good = all(isinstance(one, dict) for one in value)
        if not good:
            del found[name]
            remarks.append(f"{path.name} is damaged: its '{name}' is left out.")
    return found
