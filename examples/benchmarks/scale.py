"""Volumes beyond memory, measured: the memory of a worker, two workers against one, feeding, Dask.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python examples/benchmarks/scale.py FOLDER

makes its volumes in FOLDER (0.3 GB), takes about half an hour on two idle cores, and writes
scale-cpu.json beside this file. With --only NAME ... some of: memory, workers, feeding, scheduler.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import cunet
from cunet.data.synthetic import membranes
from cunet.files.calibration import Calibration
from cunet.files.ome_zarr.output import create, open_output
from cunet.net.normalization import Normalization
from cunet.volumes import cluster
from cunet.volumes.blocks import Blocks
from cunet.volumes.segment_volume import prepared, wanted_of
from cunet.volumes.stages import Stage

HERE = Path(__file__).resolve().parent
SIDES = 5_000, 20_000  # of the volumes, three sections each: 16 times apart
FILLED = 0.1  # of the pieces of a volume that hold an image; the others were never written
TILES = 4  # of 512 pixels, in a block of 1024 x 1024
MANY = 1_000_000  # blocks, for which the scheduler's cost is told


def volume(path: Path, side: int, filled: float) -> Path:
    """Three sections of side x side pixels, of which a share holds synthetic membranes."""
    if path.exists():
        return path
    size = Calibration(250.0, 250.0, "um", 0.05)
    create(path, (3, side, side), "zyx", "uint8", size, chunk=(1, 512, 512), shard=(1, 1024, 1024))
    piece = (255 * membranes(1, 1024, 1024, 0)[0][0]).clip(0, 255).astype(np.uint8)
    array, rng = open_output(path)["image"], np.random.default_rng(0)
    for z in range(3):
        for y in range(0, side, 1024):
            for x in range(0, side, 1024):
                if rng.random() < filled:
                    here = piece[: min(1024, side - y), : min(1024, side - x)]
                    place = slice(z, z + 1), slice(y, y + len(here)), slice(x, x + here.shape[1])
                    array[place] = np.maximum(here, 1)[None]
    return path


def model(path: Path, width: int) -> Path:
    """An untrained network: its weights have no part in what is measured."""
    net = cunet.UNet(width=width, seed=0)
    nan = (float("nan"),)
    net.normalization = Normalization((128.0,), (50.0,), nan, nan)
    cunet.save(path, net)
    return path


def segmented(source: Path, out: Path, *more: object) -> dict[str, Any]:
    """`cunet segment` in a process of its own: its answer, and its peak memory in MB."""
    for old in (out, out.with_name(out.name + ".cunet")):
        shutil.rmtree(old, ignore_errors=True)
    words = ["segment", source, "--out", out, "--json", "--device", "cpu", *more]
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call([sys.executable, '-m', 'cunet', *sys.argv[1:]])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", measured, *map(str, words)], capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    peak = int(run.stderr.split()[-1]) / 1000
    return json.loads(run.stdout) | {"peak_mb": round(peak)}


def memory(folder: Path) -> dict[str, Any]:
    """The peak memory of one process over volumes 16 times apart, by a network of width 4."""
    net, found = model(folder / "net4.npz", 4), {}
    for side in SIDES:
        source = volume(folder / f"volume-{side}.ome.zarr", side, FILLED)
        answer = segmented(
            source, folder / "out.ome.zarr", "--model", net, "--products", "prob,mask,labels"
        )
        found[f"3 x {side} x {side}"] = {
            name: answer[name] for name in ("peak_mb", "seconds", "tiles", "skipped_tiles")
        }
    return found


def workers(folder: Path) -> dict[str, Any]:
    """Tiles a second of two workers against one, of one thread each, in turn."""
    source = volume(folder / "volume-full.ome.zarr", 3_072, 1.0)
    net, rates = model(folder / "net16.npz", 16), {1: [], 2: []}
    for _ in range(3):
        for count, measured in rates.items():
            answer = segmented(
                source, folder / "out.ome.zarr", "--model", net, "--cluster", f"local:{count}",
                "--threads", count, "--products", "mask", "--block", "1,1024,1024",
            )  # fmt: skip
            measured.append(round(answer["tiles"] / answer["seconds"], 3))
    ratios = [round(b / a, 3) for a, b in zip(rates[1], rates[2], strict=True)]
    return {
        "tiles_per_second": {"1 worker": rates[1], "2 workers": rates[2]},
        "ratios": ratios,
        "median_ratio": float(np.median(ratios)),
    }


def feeding(folder: Path) -> dict[str, Any]:
    """CPU time beside the network, for a tile of 512 pixels: what a GPU would have to wait for."""
    source, net = volume(folder / "volume-full.ome.zarr", 3_072, 1.0), folder / "net16.npz"
    model(net, 16)
    cunet.set_threads(1)
    found = {}
    for name, settings in {
        "prob uint8, mask": {"prob": "uint8"},
        "prob float32, mask": {"prob": "float32"},
        "mask": {"products": ("mask",)},
    }.items():
        shutil.rmtree(folder / "fed.ome.zarr", ignore_errors=True)
        shutil.rmtree(folder / "fed.ome.zarr.cunet", ignore_errors=True)
        wanted = wanted_of(settings | {"block": (1, 1024, 1024)})
        begun = prepared(source, folder / "fed.ome.zarr", net, wanted)
        found[name] = beside_the_net(Blocks(begun.task, begun.books, "cpu"))
    return {"milliseconds_of_cpu_a_tile": found}


def beside_the_net(blocks: Blocks) -> dict[str, float]:
    """Milliseconds of CPU a tile of what goes on around the network."""
    with_net = answer_of(blocks)
    pixels = blocks.read(0)
    made = blocks.compute(0, pixels)
    parts = {
        "read": cpu(lambda: blocks.read(0)),
        "cut, normalise, threshold": cpu(lambda: blocks.compute(0, pixels)),
        "compress, write": cpu(lambda: blocks.write(made)),
    }
    with_net.close()
    blocks.close()
    return parts | {"in all": round(sum(parts.values()), 2)}


def answer_of(blocks: Blocks) -> Any:
    """Have the engine of these blocks return one stored answer, which costs no time."""
    net = blocks.net
    real, stored = net.engine, []

    class Stored:
        """The engine, whose prediction is computed once."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def predict(self, net: Any, x: np.ndarray) -> np.ndarray:
            if not stored:
                stored.append(real.predict(net, x))
            return stored[0]

        def close(self) -> None:
            net.engine = real

    net.engine = Stored()
    return net.engine


def cpu(work: Callable[[], Any], times: int = 30) -> float:
    """Milliseconds of CPU a tile: the median of several blocks."""
    measured = []
    for _ in range(times):
        start = time.process_time()
        work()
        measured.append((time.process_time() - start) * 1000 / TILES)
    return round(float(np.median(measured)), 2)


def nothing(
    output: str, stage: str, total: int, units: list[int], device: str, threads: int | None
) -> int:
    """A run of blocks that costs a worker no time."""
    return len(units)


def scheduler(folder: Path) -> dict[str, Any]:
    """CPU and memory of the process with scheduler and client, for runs that do nothing."""
    real, cluster.work = cluster.work, nothing
    blocks = 64 * 2_000
    try:
        with cluster.dask_client("local:2") as client:
            engine = cluster.Cluster.on(client, "cpu", "local:2")
            before = memory_now(), time.process_time(), time.perf_counter()
            units = np.arange(blocks)
            for _ in engine.run(str(folder), Stage("nothing", "blocks", blocks), units):
                pass
            after = memory_now(), time.process_time(), time.perf_counter()
    finally:
        cluster.work = real
    memory_mb, cpu_s, wall_s = (b - a for a, b in zip(before, after, strict=True))
    return {
        "blocks": blocks,
        "cpu_seconds": round(cpu_s, 2),
        "seconds": round(wall_s, 2),
        "memory_mb": round(memory_mb, 1),
        "for_a_million_blocks": {
            "cpu_seconds": round(cpu_s * MANY / blocks, 1),
            "memory_mb": round(memory_mb * MANY / blocks, 1),
        },
    }


def memory_now() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


PARTS = {"memory": memory, "workers": workers, "feeding": feeding, "scheduler": scheduler}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    file = HERE / "scale-cpu.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    np.ones((8, 8)) @ np.ones((8, 8))
    blas = next((p for p in threadpool_info() if p["user_api"] == "blas"), {})
    found["machine"] = {
        "cores": len(os.sched_getaffinity(0)),
        "blas": f"{blas.get('internal_api')} {blas.get('architecture')}",
    }
    for name in arguments.only:
        found[name] = PARTS[name](arguments.folder)
        print(name, json.dumps(found[name], indent=1), flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
