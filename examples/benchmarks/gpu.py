"""On a machine with an NVIDIA GPU: check, then measure, within ten minutes.

    python examples/benchmarks/gpu.py [OUT.json]

First every GPU test must pass. Then, for widths 16, 32 and 64: seconds for the forward pass and
for a training step (forward with dropout, loss, backward, SGD) at tile 572, peak memory, and how
far the logits lie from the CPU's. Writes a JSON file with the card's name and prints a table.
"""

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import cunet
from cunet.backend import resolve_device, to_device, to_host

ROOT = Path(__file__).parents[2]
TILE, REPEATS, LIMIT_SECONDS = 572, 10, 480


def timed(function, synchronize) -> float:
    """The median of REPEATS calls after two that warm up, in seconds."""
    seconds = []
    for number in range(REPEATS + 2):
        synchronize()
        start = time.perf_counter()
        function()
        synchronize()
        if number >= 2:
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def measure(width: int, cupy) -> dict:
    """Times, memory and agreement of one width."""
    rng = np.random.default_rng(0)
    host = rng.standard_normal((1, TILE, TILE, 1)).astype("float32")
    net = cunet.UNet(width=width, seed=0, device="cuda")
    side = TILE - 184
    x = to_device(host, "cuda")
    labels = to_device(rng.integers(0, 2, (1, side, side)), "cuda")
    weights = to_device(rng.random((1, side, side)).astype("float32") + 0.5, "cuda")
    solver = cunet.SGD(net.parameters(), lr=1e-6)
    on_cpu = cunet.UNet(width=width, seed=0)(host, remember=False)
    error = float(np.abs(to_host(net(x, remember=False)) - on_cpu).max() / np.abs(on_cpu).max())

    def step() -> None:
        logits, backward = net(x, np.random.default_rng(1))
        backward(cunet.softmax_loss(logits, labels, weights)[1])
        solver.step()

    pool, synchronize = cupy.get_default_memory_pool(), cupy.cuda.Device().synchronize
    result = {
        "width": width,
        "forward_s": timed(lambda: net(x, remember=False), synchronize),
        "step_s": timed(step, synchronize),
        "memory_bytes": pool.total_bytes(),
        "logits_error": error,
    }
    pool.free_all_blocks()
    return result


def main() -> int:
    resolve_device("cuda")
    import cupy

    start = time.perf_counter()
    code = int(pytest.main(["-q", "-m", "gpu", str(ROOT / "tests")]))
    if code:
        print("the checks failed: nothing was measured")
        return code
    card = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    results = []
    for width in (16, 32, 64):
        if time.perf_counter() - start > LIMIT_SECONDS:
            print(f"width {width}: no time left")
            continue
        results.append(measure(width, cupy))
        print(json.dumps(results[-1]), flush=True)
    document = {
        "card": card,
        "cupy": cupy.__version__,
        "python": platform.python_version(),
        "tile": TILE,
        "results": results,
    }
    out = Path(sys.argv[1] if len(sys.argv) > 1 else f"gpu-{card.replace(' ', '-')}.json")
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"| {card}, tile {TILE} | forward | training step | memory |\n|---|---|---|---|")
    for r in results:
        print(
            f"| width {r['width']} | {1e3 * r['forward_s']:.1f} ms | {1e3 * r['step_s']:.1f} ms | "
            f"{r['memory_bytes'] / 1e6:.0f} MB |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
