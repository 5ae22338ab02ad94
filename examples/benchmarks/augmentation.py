"""How much do fresh augmented samples slow training down? Paired against one cached sample.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python examples/benchmarks/augmentation.py

The same network makes steps in turn with samples prepared by the background threads, and with one
sample used again and again. Prints, pair by pair, the share of the time that the loop waits and the
ratio of the step times.
"""

import tempfile
import time
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from cunet.data.labels import IGNORE
from cunet.data.synthetic import write_stack
from cunet.threads import get_threads
from cunet.training.config import make
from cunet.training.loop import make_net
from cunet.training.prepared import prepare

PAIRS, STEPS_PER_TURN = 5, 20


def seconds_per_step(work: Any, stream: Iterable[tuple[Any, float]]) -> tuple[float, float]:
    """Seconds of a step, and the share of them spent waiting for the sample."""
    waited, start = 0.0, time.perf_counter()
    for batch, wait in stream:
        work.accumulate(batch, None)
        work.update()
        waited += wait
    total = time.perf_counter() - start
    return total / STEPS_PER_TURN, waited / total


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_stack(Path(folder), seed=0)
        config = make("cpu", None, {"data": folder, "device": "cpu"})
        prepared = prepare(config)
    net = make_net(config, prepared)
    work = net.engine.step(net, config.make_solver(net.parameters()), config.normalize, IGNORE)
    cached = prepared.samples.stacked(0)
    cores = [
        p.get("architecture") for p in threadpoolctl.threadpool_info() if "blas" in p["user_api"]
    ]
    print(
        f"width {config.width}, tile {config.tile}, {get_threads()} threads, BLAS core type {cores}"
    )
    seconds_per_step(work, repeat((cached, 0.0), STEPS_PER_TURN))  # warm-up
    ratios, waits = [], []
    for pair in range(PAIRS):
        fixed, _ = seconds_per_step(work, repeat((cached, 0.0), STEPS_PER_TURN))
        stream = prepared.samples.stream(pair * STEPS_PER_TURN, (pair + 1) * STEPS_PER_TURN)
        fresh, wait = seconds_per_step(work, stream)
        ratios.append(fresh / fixed)
        waits.append(wait)
        print(
            f"cached {fixed:.3f} s   fresh {fresh:.3f} s   "
            f"ratio {fresh / fixed:.3f}   wait {wait:.1%}"
        )
    print(f"median ratio {np.median(ratios):.3f}, median wait {np.median(waits):.1%}")


if __name__ == "__main__":
    main()
