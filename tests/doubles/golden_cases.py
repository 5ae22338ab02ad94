"""Images whose ISBI 2012 scores are known from the organisers' own program."""

import json
from pathlib import Path

import tifffile

GOLDEN = Path(__file__).parents[1] / "metrics" / "golden" / "isbi2012_metrics"
VALUES = json.loads((GOLDEN / "values.json").read_text())
CASES = VALUES["cases"]


def read(name):
    """The probability and the truth (slices, H, W) of a golden case."""
    probability, truth = (tifffile.imread(GOLDEN / f"{name}_{kind}.tif") for kind in ("prop", "gt"))
    shape = (-1, *truth.shape[-2:])
    return probability.reshape(shape), truth.reshape(shape) > 0
