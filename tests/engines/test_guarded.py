"""Machine code stays within its arrays: each lies against a page whose touch ends the process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cunet.engines.cpu import machine

FILE = Path(__file__).parents[1] / "doubles" / "guarded.py"
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not machine.usable(), reason="mprotect of Linux"
)


def run(*arguments):
    return subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True)


def test_compiled_loops_touch_nothing_else():
    done = run(str(FILE), "25", "0")
    assert done.returncode == 0, done.stdout[-100:] + done.stderr
    assert done.stdout.split()[-1] == "24"


@pytest.mark.parametrize("step", [-1, 7])
def test_a_step_outside_would_be_seen(step):
    """A load of 16 numbers at either end of an array of 22."""
    code = f"""
import sys
sys.path.insert(0, {str(FILE.parent)!r})
from guarded import guarded
from cunet.compiled import compiled
from cunet.engines.cpu.vectors import copy

@compiled
def one(plan):
    copy((plan[0], plan[1]))

import numpy as np
x, y = guarded((22,), at_end={step > 0}), guarded((16,))
one(np.array([x.ctypes.data + 4 * {step}, y.ctypes.data]))
"""
    done = run("-c", code)
    assert done.returncode == -signal.SIGSEGV, done.stderr
