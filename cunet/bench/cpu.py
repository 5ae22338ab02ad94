"""Times of forward passes and training steps, alone or in pairs with another program.

Every side runs in a process of its own (worker.py), since the threads of one library keep the
processors busy for a while after their work is done. Outputs are compared first. Then the sides
take turns of half a second, or of one call if that takes longer. Each pair of turns gives a ratio,
so that a machine that slows down for a while slows both sides; the median of the ratios is what
counts.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cunet.bench.cpu_side import installed, summary
from cunet.bench.peers import ALONE, PEERS, Peer
from cunet.errors import CheckError, CunetError
from cunet.threads import blas_libraries, get_threads

ERROR_LIMITS = {  # float32 against float32, relative: the largest, of gradients the L2 norm
    "logits": 1e-4,
    "probabilities": 1e-4,
    "gradients": 1e-2,
}
REST_SECONDS = 0.02  # seconds before a turn, in which the other side's threads fall asleep


class Worker:
    """A process with one side and one job."""

    def __init__(self, **job: Any):
        self.name = f"{job['side']}, {job['job']}, width {job['width']}"
        command = [sys.executable, "-P", "-m", "cunet.bench.worker", json.dumps(job)]
        # In a session of its own, Ctrl-C reaches this process alone, which then ends the other
        self.process: Any = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(self, line: str = "") -> Any:
        """What the process returns for a line; CunetError where it has ended."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            code = self.process.wait()
            raise CunetError(
                f"benchmark: the process of {self.name} ended with code {code}; its error "
                "message is above. A smaller --tile or --width needs less memory"
            ) from error

    def close(self) -> None:
        """End the process, in the middle of a turn too."""
        self.process.kill()  # it keeps nothing, and may have inherited that SIGTERM is ignored
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextmanager
def workers(sides: list[str], **job: Any) -> Iterator[dict[str, Worker]]:
    """A process for every side, ended in any case."""
    with ExitStack() as stack:
        made = {}
        for side in sides:
            made[side] = Worker(side=side, **job)
            stack.callback(made[side].close)
        yield made


def measure(
    widths: list[int],
    tile: int = 572,
    pairs: int = 5,
    against: str | None = None,
    device: str = "cpu",
    layers: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> dict:
    """All that `cunet bench` reports on a CPU, ready for JSON; CheckError where outputs differ."""
    peer = PEERS[against] if against is not None else None
    if peer is not None:
        peer.require(str(against))
    sides = ["cunet", *(peer.sides if peer else ())]
    common = {"tile": tile, "threads": get_threads(), "device": device}
    load = Load()
    results = []
    for width in widths:
        job = {"width": width, **common}
        result: dict[str, Any] = {"width": width}
        if peer:
            say(f"width {width}: comparing what the sides compute")
            result["agreement"] = compare(sides, job, peer.check)
        for name in peer.jobs if peer else ALONE:
            say(f"width {width}: {name}, {pairs} {'pairs' if peer else 'calls'}")
            result[name] = time_in_turns(sides, pairs, {"job": name, **job})
        if layers:
            say(f"width {width}: layers")
            with workers(["cunet"], job="layers", **job) as made:
                result["layers"] = made["cunet"].ask()
        results.append(result)
    return {
        "machine": machine(peer),
        "tile": tile,
        "pairs": pairs,
        "threads": common["threads"],
        "device": device,
        "foreign_load": load.foreign(),
        "results": results,
    }


def time_in_turns(sides: list[str], pairs: int, job: dict) -> dict:
    """Seconds and peak memory of each side, and the ratio to the better of the others."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peaks: dict[str, int | None] = {}
    with workers(sides, **job) as made:
        for number in range(-2, pairs):  # two rounds to warm up
            for side in sides if number % 2 else reversed(sides):
                time.sleep(REST_SECONDS)
                found = made[side].ask()
                peaks[side] = found["peak_bytes"]
                if number >= 0:
                    seconds[side].append(found["seconds"])
    medians = {side: float(np.median(values)) for side, values in seconds.items()}
    result: dict = {
        side: {"median_s": medians[side], "seconds": seconds[side], "peak_bytes": peaks[side]}
        for side in sides
    }
    if len(sides) > 1:
        best = min(sides[1:], key=medians.__getitem__)
        ratios = [a / b for a, b in zip(seconds[best], seconds["cunet"], strict=True)]
        result["ratio"] = {"to": best} | summary(ratios)
    return result


def compare(sides: list[str], job: dict, check: str = "check") -> dict[str, dict[str, float]]:
    """The largest relative errors of the other sides against the first, by what is compared.

    CheckError where one is above its limit.
    """
    found: dict[str, dict[str, float]] = {}
    outputs = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            path = Path(folder) / "outputs.npz"
            with workers([side], job=check, **job) as made:
                made[side].ask(str(path))
            with np.load(path) as arrays:
                outputs[side] = {name: arrays[name].astype(np.float64) for name in arrays.files}
    ours = outputs.pop(sides[0])
    for side, theirs in outputs.items():
        found[side] = {}
        for name, array in ours.items():
            what = name if name in ERROR_LIMITS else "gradients"
            difference = array - theirs[name]
            if what == "gradients":
                error = np.linalg.norm(difference) / np.linalg.norm(array)
            else:
                error = np.abs(difference).max() / np.abs(array).max()
            found[side][what] = max(found[side].get(what, 0.0), float(error))
            if not error <= ERROR_LIMITS[what]:
                raise CheckError(
                    f"bench: the {what} of cunet and {side} differ by {error:.1e} of their size, "
                    f"more than {ERROR_LIMITS[what]:g}: nothing was timed"
                )
    return found


def machine(peer: Peer | None) -> dict:
    """The processor, and the libraries whose speed is measured."""
    return {
        "processor": processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": [
            " ".join(filter(None, (p["internal_api"], p.get("version"), p.get("architecture"))))
            for p in blas_libraries()
        ],
        "torch": installed("torch") if peer is PEERS["torch"] else None,
        "peer": f"{peer.name} {installed(peer.package)}" if peer else None,
        "cunet": installed("cunet"),
    }


def processor() -> str:
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class Load:
    """How busy other programs keep the processors meanwhile."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), busy_seconds(), own_seconds()

    def foreign(self) -> float | None:
        """Processors that others used on average, None where the system does not report it."""
        wall, busy, own = self.start
        now = busy_seconds()
        if now is None or busy is None:
            return None
        used = now - busy - (own_seconds() - own)
        return max(0.0, used / (time.perf_counter() - wall))


def busy_seconds() -> float | None:
    """Processor seconds of the whole machine, including those that a host gave to others."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
