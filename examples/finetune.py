"""Few annotated slices: start from a trained network, or from nothing?

A stack is parted: a network is trained on its first half (the base). Of the second half every other
slice may be annotated, and 1, 2, 4 and 8 of them are; the slices between them are scored, always
the same, and no training sees them. For every number of annotated slices three networks are
trained: from the base with the preset finetune, from nothing with the preset cpu in as many steps,
and from nothing with all steps of the preset cpu. A fourth row is the base as it is. Scores are
those of `cunet evaluate isbi`, of the network of the last step, 8 views averaged.

    python examples/finetune.py --data isbi2012/ --out runs/finetune
    python examples/finetune.py --data isbi2012/ --out quick --quick    nothing but a test: seconds

It writes OUT/finetune.json and prints a Markdown table; what is done already is kept, so the same
command continues. Scores are computed in processes beside the training. Scored slices lie between
annotated ones (50 nm apart in ISBI 2012), which helps the more, the more slices are annotated.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import cunet
from cunet.backend import resolve_device
from cunet.data.dataset import Dataset
from cunet.data.load import load
from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.files.json_file import json_text
from cunet.training.config import PRESETS, make
from cunet.training.run_folder import steps_done

COUNTS = (1, 2, 4, 8)  # of annotated slices
KEYS = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info")
TITLES = ("pixel error", "Rand error", "warping error", "V_Rand", "V_Info")
THREADS = 4  # of each process that scores
SMALL = {"width": 4, "tile": 188}  # --quick
CROP = 128  # --quick: pixels of a side that are scored


@dataclass(frozen=True)
class Training:
    """One network: start is "base" (the base itself), "fine-tuned" or "from nothing"."""

    start: str
    slices: tuple[int, ...]
    steps: int
    seed: int

    @property
    def name(self) -> str:
        """Of its run folder."""
        start = self.start.replace(" ", "-")
        number = "" if self.start == "base" else f"-{len(self.slices)}-slices-{self.steps}-steps"
        return f"{start}{number}-seed{self.seed}"


@dataclass(frozen=True)
class Parts:
    """Which slices of a stack train the base, may be annotated, and are scored."""

    base: tuple[int, ...]
    candidates: tuple[int, ...]
    scored: tuple[int, ...]

    @classmethod
    def of(cls, slices: int) -> "Parts":
        half = slices // 2
        return cls(
            tuple(range(half)), tuple(range(half, slices, 2)), tuple(range(half + 1, slices, 2))
        )

    def annotated(self, count: int) -> tuple[int, ...]:
        """`count` of the candidates, spread over them."""
        all_of_them = len(self.candidates)
        return tuple(
            self.candidates[(2 * i + 1) * all_of_them // (2 * count)] for i in range(count)
        )


def trainings(parts: Parts, short: int, full: int, seeds: int, counts: Iterable[int]) -> list:
    """Everything that is trained, the base of a seed before what starts from it."""
    found = []
    for seed in range(seeds):
        found.append(Training("base", parts.base, full, seed))
        for count in counts:
            slices = parts.annotated(count)
            found += [
                Training("fine-tuned", slices, short, seed),
                Training("from nothing", slices, short, seed),
                Training("from nothing", slices, full, seed),
            ]
    return found


def trained(one: Training, args: argparse.Namespace, names: tuple[str, ...]) -> float:
    """Train the network, or the rest of it, in its run folder; returns the seconds it took."""
    folder = args.out / one.name
    kept = {names[i] for i in one.slices}
    options: dict[str, Any] = {"data": str(args.data.absolute()), "out": str(folder)}
    options |= {"drop": ",".join(name for name in names if name not in kept), "seed": one.seed}
    options |= {"steps": one.steps, "validate_every": min(500, one.steps), "device": args.device}
    if one.start == "fine-tuned":
        base = args.out / f"base-seed{one.seed}" / "last.npz"
        tile = {"tile": SMALL["tile"]} if args.quick else {}
        config = make("finetune", None, options | tile | {"from_model": str(base)})
    else:
        config = make("cpu", None, options | (SMALL if args.quick else {}))
    begun, start = (folder / "last.npz").exists(), time.perf_counter()
    if begun and steps_done(folder) == one.steps:
        return 0.0
    for _ in cunet.train(config, resume=begun):
        pass
    return time.perf_counter() - start


def predicted(folder: Path, dataset: Dataset, scored: Iterable[int], device: str, quick: bool):
    """The probability of cell (n, H, W) of the scored slices, and their truth."""
    net = cunet.load(folder / "last.npz", device)
    pages, truth = [], []
    for i in scored:
        page = cunet.segment(dataset.images[i], net, average="none" if quick else "rotations")
        part = slice(None, CROP) if quick else slice(None)
        pages.append(page[part, part, 1])
        truth.append(dataset.labels[i][part, part])
    return np.stack(pages), np.stack(truth)


def scores(probability: np.ndarray, truth: np.ndarray, threads: int) -> dict[str, Any]:
    """What `cunet evaluate isbi` prints of the slices together, and the seconds it took."""
    cunet.set_threads(threads)
    start = time.perf_counter()
    found = cunet.evaluate_isbi(probability, truth)
    kept = {name: found[name] for name in (*KEYS, "thresholds", "per_slice")}
    return kept | {"scoring_seconds": round(time.perf_counter() - start, 1)}


def table(runs: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds as Markdown."""
    lines = [row("annotated slices", "start", "steps", *TITLES), row(*["---"] * 8)]
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["annotated"], run["steps"], run["start"]), []).append(run)
    for (annotated, steps, start), group in groups.items():
        cells = [f"{annotated}", start, f"{steps:,}" if annotated else "0"]
        for key in KEYS:
            digits = 6 if key == "warping_error" else 4
            values = [run[key] for run in group]
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        lines.append(row(*cells))
    return "\n".join(lines)


def row(*cells: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


class Record:
    """OUT/finetune.json: the settings of the experiment and the scores of every network."""

    def __init__(self, path: Path, facts: dict[str, Any]):
        self.path, self.facts, self.runs = path, facts, {}
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            self.runs = {run["name"]: run for run in before.pop("runs")}
            for name in ("data", "slices", "quick"):
                if before[name] != facts[name]:
                    sys.exit(f"'{path}' is of another experiment ({name}); choose another --out")

    def add(self, one: Training, seconds: float, found: dict[str, Any]) -> None:
        """Keep the scores of a network, on disk too."""
        annotated = 0 if one.start == "base" else len(one.slices)
        self.runs[one.name] = {
            "name": one.name, "start": one.start, "annotated": annotated, "steps": one.steps,
            "seed": one.seed, "training_slices": one.slices, "training_seconds": round(seconds, 1),
        } | found  # fmt: skip
        write_text(self.path, json_text(self.facts | {"runs": list(self.runs.values())}) + "\n")


def main(arguments: list[str] | None = None) -> None:
    args = options().parse_args(arguments)
    try:
        experiment(args)
    except CunetError as error:
        sys.exit(f"Error: {error}")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the stack (ISBI 2012)")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and figures")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument(
        "--steps", type=int, help="of the short trainings (default: the preset finetune's)"
    )
    parser.add_argument("--seeds", type=int, default=2, help="networks of every kind (2)")
    parser.add_argument("--quick", action="store_true", help="try the script: seconds, no meaning")
    return parser


def experiment(args: argparse.Namespace) -> None:
    """Train and score what is not done yet, then print the table."""
    begin = time.perf_counter()
    dataset = load(args.data)
    args.device = resolve_device(args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    parts = Parts.of(len(dataset.images))
    counts, scored = COUNTS, parts.scored
    short, full = args.steps or PRESETS["finetune"]["steps"], PRESETS["cpu"]["steps"]
    if args.quick:
        counts, scored, short, full = (1, 2), parts.scored[:2], args.steps or 4, 8
    counts = tuple(count for count in counts if count <= len(parts.candidates))
    facts = {
        "data": dataset.hashes, "quick": args.quick, "cunet": cunet.__version__,
        "slices": {"base": parts.base, "annotated": {str(n): parts.annotated(n) for n in counts},
                   "scored": scored},
    }  # fmt: skip
    record = Record(args.out / "finetune.json", json.loads(json.dumps(facts)))
    everything = trainings(parts, short, full, args.seeds, counts)
    waiting: dict[Training, tuple[float, Future]] = {}

    def collect(wait: bool) -> None:
        for one, (seconds, future) in list(waiting.items()):
            if wait or future.done():
                record.add(one, seconds, future.result() | {"device": args.device})
                del waiting[one]

    workers = max(1, (os.cpu_count() or 1) // THREADS)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for one in everything:
            if one.name in record.runs:
                continue
            seconds = trained(one, args, dataset.slice_names)
            print(f"{time.perf_counter() - begin:6.0f} s  {one.name}: {seconds:.1f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
            pages, truth = predicted(args.out / one.name, dataset, scored, args.device, args.quick)
            waiting[one] = seconds, pool.submit(scores, pages, truth, THREADS)
            collect(wait=False)
        print(f"{time.perf_counter() - begin:6.0f} s  trained; {len(waiting)} to be scored",
              file=sys.stderr, flush=True)  # fmt: skip
        collect(wait=True)
    wanted = [record.runs[one.name] for one in everything]
    print(table(sorted(wanted, key=lambda run: run["annotated"])))
    print(f"{time.perf_counter() - begin:6.0f} s  written: {record.path}", file=sys.stderr)


if __name__ == "__main__":
    main()
