"""Run in a fork before its command: without what takes long and writes nothing."""

from pathlib import Path
from types import SimpleNamespace

import small_crossval

import cunet.reporting
from cunet.files.atomic import write_text
from cunet.training import plan


def write(run, progress=None):
    """In place of the report: its file is written in the same way."""
    write_text(Path(run) / "report.html", "<html>a page</html>\n")
    return SimpleNamespace(found=None)


small_crossval.light(setattr)
plan.measure_speed = lambda *given: 0.1
cunet.reporting.write = write
