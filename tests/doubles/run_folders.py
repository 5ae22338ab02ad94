"""What a run folder holds, read without cunet: models as arrays, the log as rows."""

import csv
import json

import numpy as np


def arrays_of(path):
    """Name -> array of a model file, without its header."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "header"}


def header_of(path):
    """The header of a model file."""
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["header"]))


def log_of(run):
    """The rows of log.csv, as text."""
    with open(run / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def log_without_time(run):
    """The same without the two columns that measure time."""
    rows = log_of(run)
    for row in rows:
        assert float(row.pop("seconds")) > 0
        assert 0 <= float(row.pop("wait")) <= 1
    return rows


def same_arrays(one, other):
    """Two model files hold the same arrays, bit for bit."""
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
