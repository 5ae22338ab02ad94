"""The two parts of gpu.py that need the GPU, each in a process of its own: tests, and stages.

python gpu_parts.py tests FOLDER-FOR-LOGS
    python gpu_parts.py test FILE
python gpu_parts.py stages DOCUMENT --left SECONDS [--stages NAME ...] [--dry-run]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

if TYPE_CHECKING:
    from cunet.training.config import Config
    from cunet.training.prepared import Prepared

ROOT = Path(__file__).resolve().parents[2]
GPU_TESTS = ROOT / "tests" / "engines" / "gpu"
GPU_TEST_NAMES = (  # the longest first
    "net convolution head images sample boxes weight_boxes step fresh packing solver"
).split()
GPU_TEST_FILES = [
    *(GPU_TESTS / f"test_cuda_{name}.py" for name in GPU_TEST_NAMES), GPU_TESTS / "test_gpu.py",
]  # fmt: skip
NOT_NEEDED = ("tifffile", "PIL", "PIL.Image", "PIL.PngImagePlugin", "threadpoolctl", "click")
NONE_COLLECTED = 5  # pytest's exit code where no test was found
TINY_BENCH = {
    "width": 8, "tile": 20, "forward_tile": 24, "precisions": ("tf32", "bfloat16"), "depth": 1,
    "pairs": 1, "turn": 0, "numbers": 20000, "calls": 1, "parts": (1, 2), "copied": 4096,
}  # fmt: skip
PAPER_TRAINING = {"slices": 6, "side": 512, "skipped": 20, "settings": {}}
TINY_TRAINING = {
    "slices": 2, "side": 48, "skipped": 1, "settings": {"depth": 1, "tile": 20, "steps": 4},
}  # fmt: skip


def use_checkout() -> None:
    """Make `import cunet` find this checkout, installed or not, with cunet.cli from cli/.

    Libraries that cunet and its tests import, but that nothing here uses, are replaced if they are
    not installed: no image is read, BLAS may use its threads, and no command is run.
    """
    sys.path.insert(0, str(ROOT))
    absent = [name for name in NOT_NEEDED if find_spec(name.partition(".")[0]) is None]
    sys.modules.update({name: MagicMock() for name in absent})
    import cunet

    cunet.__path__.append(str(ROOT))


def emulate_gpu() -> None:
    """The double of CuPy, whose kernels g++ has compiled."""
    sys.path.insert(0, str(ROOT / "tests" / "doubles"))
    import pytest
    from cuda_emulation import emulate

    emulate(pytest.MonkeyPatch())


# Tests


def tests(logs: Path) -> int:
    """Every kernel and whole networks on the GPU instead of its emulation, and the tests that need
    a GPU: a process and a log for each file, after all kernels have been compiled at once."""
    compile_for_tests()

    def run(path: Path) -> int:
        command = [sys.executable, "-u", __file__, "test", str(path)]
        with (logs / f"{path.stem}.log").open("w") as log:
            return subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            ).returncode

    with ThreadPoolExecutor(min(len(GPU_TEST_FILES), os.cpu_count() or 1)) as pool:
        codes = set(pool.map(run, GPU_TEST_FILES)) - {0, NONE_COLLECTED}
    return max(codes, default=0)


def compile_for_tests() -> None:
    """Compile the kernels for this card, and those without the instructions of its generation,
    which the tests of other cards run on it."""
    from cunet.backend import cuda_problem
    from cunet.bench.gpu import compile_kernels
    from cunet.engines.gpu import cuda

    if cuda_problem() is None:
        number = cuda.capability()
        compile_kernels(cuda.DTYPES, {cuda.architecture(number), f"sm_{number}"})


def test(path: Path) -> int:
    """One file of tests on the GPU."""
    import pytest

    os.environ["CUNET_TEST_GPU"] = "1"
    options = ["-rfEs", "--tb=short", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    options += ["-c", str(ROOT / "pyproject.toml")]
    options += ["-W", "default"]  # warnings of other library versions do not matter here
    return int(pytest.main([*options, str(path)]))


# Stages


def stages(path: Path, left: float, train_seconds: float, only: list[str], dry: bool) -> int:
    """Run the stages missing in the document, which is written before and after each."""
    from cunet.bench.gpu import measure
    from cunet.errors import CunetError

    if dry:
        emulate_gpu()
    training = TINY_TRAINING if dry else PAPER_TRAINING
    more = [
        (
            f"train {width} {precision}",
            train_seconds + 15,
            partial(train, width, train_seconds, precision, **training),
        )
        for precision in ("float16", "tf32")
        for width in ((8, 16) if dry else (64, 32))
    ]

    def keep(now: dict) -> None:
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(now, indent=1, default=float) + "\n")
        temporary.replace(path)

    try:
        measure(
            **(TINY_BENCH if dry else {}),
            against="torch" if find_spec("torch") and not dry else None,
            say=lambda text: print(text, flush=True), deadline_seconds=left, keep=keep,
            document=json.loads(path.read_text()), more=more, only=tuple(only),
        )  # fmt: skip
    except CunetError as error:
        print(f"Error: {error}", flush=True)
        return error.exit_code
    return 0


def train(
    width: int, seconds: float, precision: str, slices: int, side: int, skipped: int,
    settings: dict,
) -> dict[str, float]:  # fmt: skip
    """Train with the preset `paper` on synthetic membranes for some seconds, making samples where
    `cunet train` does; for comparison time a step whose batch is ready.

    Neither the first steps (skipped) nor the first half of all are timed: kernels are recorded
    then, and the first validation compiles what measures need. wait: the share of a step that is
    spent waiting for its sample.
    """
    import cunet
    from cunet.bench.gpu_side import Ours, Task, in_turns

    config = cunet.Config(width=width, device="cuda", precision=precision, **settings)
    prepared = membranes(config, slices, side)
    records, began = [], time.perf_counter()
    steps = cunet.train(config, prepared)
    for record in steps:
        records.append(record)
        if time.perf_counter() - began > seconds and len(records) > skipped + 1:
            break
    steps.close()
    first = max(skipped, len(records) // 2)
    counted = records[first:]
    taken = counted[-1]["seconds"] - records[first - 1]["seconds"]
    task = Task(width, config.tile, config.tile, config.depth, pairs=3, turn=min(0.15, seconds))
    step = Ours(task, precision).times["step with transfers"]
    return {
        "steps": len(records),
        "steps_per_second": len(counted) / max(taken, 1e-9),
        "wait": sum(record["wait"] for record in counted) / len(counted),
        "loss": sum(record["loss"] for record in counted[-100:]) / len(counted[-100:]),
        "step_ms": in_turns({"cunet": step}, task)["cunet"]["median"],
    }


def membranes(config: "Config", slices: int, side: int) -> "Prepared":
    """A synthetic stack, made ready for training in memory: no library reads a file."""
    from cunet.data.dataset import Dataset
    from cunet.data.synthetic import membranes as stack
    from cunet.training.prepared import prepare

    pages, truth = stack(slices, side, side, seed=0)
    images = [page[..., None] for page in pages]
    labels = [(page > 0).astype("uint8") for page in truth]
    names = tuple(f"slice {i}" for i in range(slices))
    dataset = Dataset("synthetic", "memory", images, labels, ("membrane", "cell"), names)
    return prepare(config, dataset)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["tests", "test", "stages"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--left", type=float)
    parser.add_argument("--train-seconds", type=float, default=60)
    parser.add_argument("--stages", nargs="+", default=[])
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    use_checkout()
    if asked.part == "stages":
        return stages(asked.path, asked.left, asked.train_seconds, asked.stages, asked.dry_run)
    return (tests if asked.part == "tests" else test)(asked.path)


if __name__ == "__main__":
    sys.exit(main())
