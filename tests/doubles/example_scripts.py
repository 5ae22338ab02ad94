"""The scripts in examples/, as modules."""

import sys
from importlib import import_module
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(path):
    """The module of a script such as "paper/averaging.py"; it finds the scripts beside it."""
    folder = str((EXAMPLES / path).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(Path(path).stem)
