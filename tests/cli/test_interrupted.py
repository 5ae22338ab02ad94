"""Ctrl-C while the installed command scores: exit code 130, soon, and nothing half-written."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A prediction and a truth that take longer than a test, a pixel of which agrees by chance."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for name, pages in (
        ("prob.tif", rng.random((24, 512, 512), np.float32)),
        ("truth.tif", (rng.random((24, 512, 512), np.float32) > 0.5) * np.uint8(255)),
    ):
        tifffile.imwrite(folder / name, pages, photometric="minisblack", metadata={"axes": "ZYX"})
    return folder


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGTERM"], ["SIGINT", "SIGTERM", "SIGINT"]])
def test_scoring_is_interrupted(noise, signals):
    command = [sys.executable, "-P", "-m", "cunet", "evaluate", "isbi", "prob.tif", "truth.tif"]
    command += ["--plot", "scores.png"]
    process = subprocess.Popen(
        command, cwd=noise, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "truth.tif: labels" in line:  # the files are read, and scoring begins
            break
    time.sleep(0.5)
    for name in signals:
        process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.strip().splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert sorted(path.name for path in noise.iterdir()) == ["prob.tif", "truth.tif"]


def test_a_signal_at_the_very_end_changes_no_exit_code(tmp_path):
    """While Python ends, it puts its own handlers back, which would kill the process."""
    program = """
import atexit, os, signal, sys
from cunet import cli
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv = ["cunet", "--version"]
cli.main()
"""
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("cunet ")
