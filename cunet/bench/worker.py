"""One side of a benchmark, in a process of its own: for each line on stdin it writes one of JSON.

    python -m cunet.bench.worker '{"side": "cunet", "job": "step", "width": 16, ...}'

A process has one job: "forward", "step" and "predict" time calls for each line, "check" writes
outputs and gradients to the file that the line names, "check_predict" probabilities, "layers" times
every layer. So its peak memory counts nothing else, and no other library's threads run in it.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from cunet.bench.peers import SIDES

TURN_SECONDS = 0.5  # that a side is timed for before it is the next one's turn


def turn(call: Callable[[], None]) -> float:
    """The median seconds of a call, of calls that take half a second together; or of one."""
    seconds: list[float] = []
    while sum(seconds) < TURN_SECONDS:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main() -> None:
    """Write one line of JSON for each line of stdin."""
    job = json.loads(sys.argv[1])
    module, _, name = SIDES[job["side"]].partition(":")
    side = getattr(import_module(module), name)(job)
    for line in sys.stdin:
        if job["job"].startswith("check"):
            np.savez(line.rstrip("\n"), **getattr(side, job["job"])())
            reply: Any = {}
        elif job["job"] == "layers":
            reply = side.layers()
        else:
            reply = {"seconds": turn(getattr(side, job["job"])), "peak_bytes": side.peak_bytes()}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
