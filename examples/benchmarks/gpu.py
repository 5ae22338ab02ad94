"""On a machine with an NVIDIA GPU, in one command and ten minutes: check, then measure.

    python examples/benchmarks/gpu.py [FOLDER] [--seconds 540] [--stages NAME ...] [--dry-run]

First the GPU tests. Then, whether they pass or not, the measurements of `cunet bench --device cuda
--against torch` (cunet/bench/gpu.py; without PyTorch if it is not installed), and trainings with
the preset `paper`. Writes gpu-CARD.json and gpu-CARD.md, named after the card, and prints the
latter; the exit code is 1 if a test or a stage failed.

--stages takes beginnings of the names of stages, the most important first. A short useful run:

    gpu.py --seconds 300 --train-seconds 30 --stages compile agreement alone "beside eager" train

Tests and measurements run in processes of their own (gpu_parts.py). A process that hangs or loses
the GPU is ended, and the next one continues with the remaining stages. A checkout, NumPy, SciPy,
CuPy and pytest are enough. --dry-run takes a tiny network and the GPU that the tests emulate: every
stage runs, but its times mean nothing.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))
MAX_TEST_SECONDS, MAX_STAGE_SECONDS = 150, 130  # after these the tests or a stage count as hanging
NONE_COLLECTED = 5  # pytest's exit code where no test was found


def start(*arguments: object, **options: Any) -> subprocess.Popen:
    """A process for one part of the work, see gpu_parts.py."""
    command = [sys.executable, "-u", str(HERE / "gpu_parts.py"), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, **options)


def test(folder: Path, seconds: float) -> dict[str, Any]:
    """The result of the tests: exit code, lines of the failed ones, counts, the last lines."""
    began, log = time.monotonic(), folder / "0.log"
    with log.open("w") as out:
        # a group of processes, which can be ended together
        process = start("tests", folder, stdout=out, stderr=out, start_new_session=True)
        try:
            code: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = f"ended after {seconds:.0f} s"
    lines: list[str] = []
    for path in sorted(folder.glob("*.log")):
        lines += path.read_text(errors="replace").splitlines()
    counts = {"passed": 0, "skipped": 0}
    for line in lines:  # each process ends with a line such as: 12 passed, 3 skipped in 4.56s
        for number, word in re.findall(r"(\d+) (passed|skipped)", line) if " in " in line else ():
            counts[word] += int(number)
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    taken = round(time.monotonic() - began, 1)
    return {"exit_code": code, "failed": failed, **counts, "seconds": taken, "last": lines[-60:]}


def summary(tested: dict) -> str:
    """The result of the tests in a line."""
    form = "Tests: exit code {exit_code}; {passed} passed, {skipped} skipped, in {seconds} s."
    return form.format(**tested)


def watch(path: Path, until: float, longest: float, options: list[str]) -> None:
    """Measure in separate processes until no stage is left. A process that ends early, or whose
    stage takes more than `longest` seconds, has failed in the stage that the document names."""
    done = 0
    while (left := until - time.monotonic()) > 5:
        process = start("stages", path, "--left", f"{left - 5:.0f}", *options)
        stage, since, why = None, time.monotonic(), "the process ended"
        while process.poll() is None:
            time.sleep(0.1)
            now = json.loads(path.read_text()).get("running")
            if now != stage:
                stage, since = now, time.monotonic()
            waited = time.monotonic() - since
            if waited > longest or time.monotonic() > until:
                process.kill()
                process.wait()
                why = f"ended after {waited:.0f} s"
        document = json.loads(path.read_text())
        failed = document.setdefault("failed", {})
        stage, before = document.pop("running", None), done
        done = sum(len(document.get(part, {})) for part in ("results", "failed", "skipped"))
        if stage is not None:
            failed[stage] = f"{why}, exit code {process.returncode}"
        elif process.returncode and done == before:
            failed["start"] = f"no stage could begin, exit code {process.returncode}; see above"
        path.write_text(json.dumps(document, indent=1) + "\n")
        if process.returncode == 0 or "start" in failed:
            return


def mistakes(document: dict) -> list[str]:
    """What went wrong: failed tests and stages, wrong results of kernels, logits too far from the
    CPU's."""
    from cunet.bench.tables import goals

    tested = document["tests"]
    found = list(tested["failed"])
    if tested["exit_code"] not in (0, NONE_COLLECTED) and not found:
        found.append(f"tests: exit code {tested['exit_code']}")
    if tested["skipped"] > tested["passed"] and not document.get("dry"):
        found.append(f"tests: {tested['skipped']} were skipped, {tested['passed']} passed")
    found += [f"stage {name}: {text}" for name, text in document.get("failed", {}).items()]
    for stage, layer in document.get("results", {}).items():
        for what, r in layer["ours"].items() if stage.startswith("layer ") else ():
            found += [f"{stage}, {what}: {kernel} {v}" for kernel, v in r["wrong"].items()]
    for name, measured, limit, _ in goals({"results": {}, "forward_tile": 0} | document):
        if name.startswith("logits") and measured is not None and not measured <= limit:
            found.append(f"{name}: {measured:.2g}, more than {limit:.3g}")
    return found


def markdown(document: dict) -> str:
    """What went wrong, then the tables."""
    from cunet.bench.tables import heading, tables

    parts = [f"# {heading(document)}" if "card" in document else "# No GPU could be used"]
    parts.append(summary(document["tests"]))
    parts += ["\n".join(f"* {' '.join(line.split())[:300]}" for line in mistakes(document))]
    made = tables({"results": {}, "failed": {}, "skipped": {}, "forward_tile": 0} | document)
    for title, head, rows in made:
        lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
        table = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines]
        parts.append(f"## {title}\n\n" + "\n".join(table))
    return "\n\n".join(filter(None, parts)) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--seconds", type=float, default=540, help="for everything (540)")
    parser.add_argument("--stages", nargs="+", default=[], help="beginnings of names, in order")
    parser.add_argument("--train-seconds", type=float, default=60, help="of each training (60)")
    parser.add_argument("--dry-run", action="store_true", help="on the emulated GPU")
    asked = parser.parse_args()
    until = time.monotonic() + asked.seconds
    asked.folder.mkdir(parents=True, exist_ok=True)
    folder = asked.folder.resolve()
    with TemporaryDirectory() as temporary:
        tested = test(Path(temporary), min(MAX_TEST_SECONDS, asked.seconds / 2))
    print("\n".join([*tested["failed"], summary(tested)]), flush=True)
    path = folder / "gpu-unfinished.json"
    path.write_text(json.dumps({"tests": tested, "dry": asked.dry_run}))
    options = ["--train-seconds", f"{asked.train_seconds}"]
    options += ["--dry-run"] if asked.dry_run else []
    options += ["--stages", *asked.stages] if asked.stages else []
    watch(path, until, max(MAX_STAGE_SECONDS, asked.train_seconds + 60), options)
    document = json.loads(path.read_text())
    card = document.get("card", {}).get("name", "none").replace(" ", "-")
    path.rename(folder / f"gpu-{card}.json")
    text = markdown(document)
    (folder / f"gpu-{card}.md").write_text(text)
    print(text)
    return 1 if mistakes(document) else 0


if __name__ == "__main__":
    sys.exit(main())
