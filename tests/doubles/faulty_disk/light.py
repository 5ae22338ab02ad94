"""Run in a fork before its command: without what takes long and writes nothing."""

from pathlib import Path

import small_crossval

import cunet.reporting
from cunet.files.atomic import write_text
from cunet.metrics import isbi2012
from cunet.training import plan


def write_report(run):
    """In place of the report: its file is written in the same way."""
    path = Path(run) / "report.html"
    write_text(path, "<html>a page</html>\n")
    return path


plan.measure_speed = lambda *given: 0.1
isbi2012.evaluate = small_crossval.stand_in
cunet.reporting.write_report = write_report
