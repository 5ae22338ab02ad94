"""Volumes beyond memory, measured: the memory of a worker, two workers against one, feeding, Dask.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python examples/benchmarks/scale.py FOLDER

makes its volumes in FOLDER (0.3 GB), takes about half an hour on two idle cores, and writes
scale-cpu.json beside this file. With --only NAME ... some of: one_hash, memory, workers, feeding,
scheduler.
"""

import argparse
import hashlib
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
import tifffile
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
    piece = membranes(1, 1024, 1024, 0)[0][0]
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


def segmented(source: Path, out: Path, *more: object, fresh: bool = True) -> dict[str, Any]:
    """`cunet segment` in a process of its own: its answer, and its peak memory in MB. fresh: what
    there is already is removed."""
    for old in (out, out.with_name(out.name + ".cunet")) if fresh else ():
        shutil.rmtree(old, ignore_errors=True)
    words = ["segment", source, "--out", out, "--json", "--device", "cpu", *more]
    measured = (
        "import resource, subprocess, sys\n"
        "code = subprocess.call([sys.executable, '-P', '-m', 'cunet', *sys.argv[1:]])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", measured, *map(str, words)], capture_output=True, text=True
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
    """Tiles a second of two workers against one, of one thread each, in turn; and of the network
    alone in two processes against one, which is the most that this machine gives."""
    source = volume(folder / "volume-4096.ome.zarr", 4_096, 1.0)
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
        "network_alone": network_alone(net),
    }


def network_alone(net: Path) -> dict[str, Any]:
    """Tiles a second of the network in one process of one thread, and in two at a time."""
    program = (
        "import sys, time, numpy as np, cunet\n"
        "cunet.set_threads(1)\n"
        "net = cunet.load(sys.argv[1])\n"
        "x = np.random.default_rng(0).standard_normal((1, 700, 700, 1)).astype('float32')\n"
        "net.engine.predict(net, x)\n"
        "start, count = time.perf_counter(), 0\n"
        "while time.perf_counter() - start < 10:\n"
        "    net.engine.predict(net, x)\n"
        "    count += 1\n"
        "print(count / (time.perf_counter() - start))"
    )

    def together(count: int) -> float:
        command = [sys.executable, "-P", "-c", program, str(net)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
        return sum(float(process.communicate()[0]) for process in running)

    one, two = together(1), together(2)
    return {"1 process": round(one, 3), "2": round(two, 3), "ratio": round(two / one, 3)}


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
    read = blocks.read(0)
    made = blocks.compute(*read)
    parts = {
        "read": cpu(lambda: blocks.read(0)),
        "cut, normalise, threshold": cpu(lambda: blocks.compute(*read)),
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


def one_hash(folder: Path) -> dict[str, Any]:
    """The hash of all products, for blocks, parts, formats and workers of every kind, and that of
    `cunet.segment` of the whole sections and scikit-image's labels of them."""
    from skimage.measure import label

    source, net = folder / "small.ome.zarr", model(folder / "net4.npz", 4)
    pixels = np.maximum(membranes(3, 1500, 2300, 1)[0], 1)
    shapes = {"small.ome.zarr": "0.5", "small-04.ome.zarr": "0.4"}
    for name, version in shapes.items():
        if not (folder / name).exists():
            create(
                folder / name, pixels.shape, "zyx", "uint8", chunk=(1, 256, 256), version=version
            )
            open_output(folder / name)["image"][:] = pixels
    tifffile.imwrite(
        folder / "small.tif", pixels, tile=(256, 256), photometric="minisblack",
        metadata={"axes": "ZYX"},
    )  # fmt: skip
    network = cunet.load(net)
    prob = np.stack([cunet.segment(page, network, 700)[..., 1] for page in pixels])
    threshold = float(np.median(prob))  # an untrained network: half of the pixels are cells
    mask = (prob > threshold).astype(np.uint8)
    labels = np.stack([label(page, connectivity=1) for page in mask]).astype(np.uint32)
    found = {"the whole, and scikit-image": digest([prob, mask, labels])}
    every = ["--model", net, "--products", "prob,mask,labels", "--threshold", threshold]
    ways: dict[str, list] = {
        "block 1,1024,1024": [source, "--block", "1,1024,1024"],
        "block 3,512,512, from 0.4": [folder / "small-04.ome.zarr", "--block", "3,512,512"],
        "block 2,1536,512, from TIFF": [folder / "small.tif", "--block", "2,1536,512"],
        "block 1,1024,2560, to 0.4": [source, "--block", "1,1024,2560", "--zarr", "0.4"],
    }
    for count in (1, 2, 4):
        ways[f"{count} workers"] = [source, "--block", "1,512,1024", "--cluster", f"local:{count}"]
    out = folder / "out.ome.zarr"
    for name, arguments in ways.items():
        segmented(arguments[0], out, *every, *arguments[1:])
        found[name] = digest_of(out)
    for i in (3, 1, 4, 2):
        segmented(source, out, *every, "--part", f"{i}/4", fresh=i == 3)
    found["parts 3/4, 1/4, 4/4, 2/4"] = digest_of(out)
    return {"same": len(set(found.values())) == 1, "hashes": found}


def digest_of(out: Path) -> str:
    """The hash of an output's products."""
    arrays = open_output(out)
    return digest([arrays[name][:] for name in ("image", "mask", "labels")])


def digest(arrays: list[np.ndarray]) -> str:
    """One hash over these arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(
            f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        )
    return total.hexdigest()[:16]


PARTS = {
    "one_hash": one_hash,
    "memory": memory,
    "workers": workers,
    "feeding": feeding,
    "scheduler": scheduler,
}


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
