"""On a machine with an NVIDIA GPU, in one command and ten minutes: check, then measure.

    python examples/benchmarks/gpu.py [FOLDER] [--dry-run]

First the GPU tests. Then, whatever they say, what `cunet bench --device cuda --against torch`
measures (cunet/bench/gpu.py; without PyTorch where that is not installed). Writes gpu-CARD.json
and gpu-CARD.md with the card's name and prints the latter; the exit code is 1 where a test or a
stage failed.

Tests and measurements run in processes of their own. One that hangs or loses the GPU is ended, and
the next goes on with the stages that are left. cunet need not be installed: a checkout will do.
--dry-run takes a tiny network and the GPU that the tests emulate: every stage runs, no time counts.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 540  # for everything
TESTS, STAGE = 270, 130  # seconds after which tests, or a stage, count as hanging
KERNEL_TESTS = ("convolution", "images", "head", "solver", "net")
TINY = {
    "width": 8, "tile": 20, "forward_tile": 24, "precisions": ("tf32", "bfloat16"), "depth": 1,
    "pairs": 1, "turn": 0, "numbers": 20000, "calls": 1, "parts": (1, 2), "copied": 4096,
}  # fmt: skip


def import_from_checkout(folder: Path) -> None:
    """Make `import cunet` find this checkout, in processes to come as well: the tree that an
    installation would make, of links."""
    package, info = folder / "cunet", folder / "cunet-0.dist-info"
    package.mkdir()
    info.mkdir()
    for path in (ROOT / "cunet").iterdir():
        (package / path.name).symlink_to(path)
    (package / "cli").symlink_to(ROOT / "cli")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cunet\nVersion: 0\n")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, str(folder))


def stand_in(names: tuple[str, ...] = ("tifffile", "PIL", "threadpoolctl")) -> None:
    """Something in the place of libraries that are imported but not needed here, where they are
    not installed: no image is read, and BLAS may use its threads."""
    for name in names:
        if find_spec(name) is None:
            below = ("PIL.Image", "PIL.PngImagePlugin") if name == "PIL" else ()
            sys.modules.update({module: MagicMock() for module in (name, *below)})


def emulate_gpu() -> None:
    """The double of CuPy, whose kernels g++ has compiled."""
    sys.path.insert(0, str(ROOT / "tests" / "doubles"))
    import pytest
    from cuda_emulation import emulate

    emulate(pytest.MonkeyPatch())


def run_tests() -> int:
    """Every kernel and whole networks on the GPU instead of its emulation, and the tests that are
    marked gpu; only files that speak of it are imported."""
    import pytest

    os.environ["CUNET_TEST_GPU"] = "1"
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    marked = [path for path in files if "mark.gpu" in path.read_text(encoding="utf-8")]
    kernels = [ROOT / "tests" / "engines" / "gpu" / f"test_cuda_{name}.py" for name in KERNEL_TESTS]
    options = ["-rfEs", "--tb=short", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    options += ["--continue-on-collection-errors", "-c", str(ROOT / "pyproject.toml")]
    options += ["-W", "default"]  # a warning of another library's version is no mistake here
    return int(pytest.main([*options, *map(str, (*kernels, *marked))]))


def run_stages(path: Path, left: float, dry: bool) -> int:
    """The stages that the document does not have; it is written before and after each."""
    from cunet.bench.gpu import measure
    from cunet.errors import CunetError

    document = json.loads(path.read_text())

    def keep(now: dict) -> None:
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(now, indent=1, default=float) + "\n")
        temporary.replace(path)

    try:
        measure(
            **(TINY if dry else {}), against="torch" if find_spec("torch") and not dry else None,
            say=lambda text: print(text, flush=True), deadline_seconds=left, keep=keep,
            document=document,
        )  # fmt: skip
    except CunetError as error:
        print(f"Error: {error}", flush=True)
        return error.exit_code
    return 0


def start(*arguments: object, **options: Any) -> subprocess.Popen:
    """This script again, for one part of the work."""
    command = [sys.executable, "-u", str(Path(__file__).resolve()), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, **options)


def test(folder: Path, seconds: float) -> dict[str, Any]:
    """Exit code and the last lines of the tests."""
    log = folder / "tests.log"
    with log.open("w") as out:
        process = start("--part", "tests", stdout=out, stderr=subprocess.STDOUT)
        try:
            code: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = f"ended after {seconds:.0f} s"
    lines = log.read_text(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"exit_code": code, "failed": failed, "last": lines[-40:]}


def watch(path: Path, until: float, dry: bool) -> None:
    """Measure in processes of their own until no stage is left. One that ends, or whose stage does
    not, has failed in the stage that the document names."""
    done = 0
    while (left := until - time.monotonic()) > 5:
        options = ["--part", "stages", "--json", path, "--left", f"{left - 5:.0f}"]
        process = start(*options, *(["--dry-run"] if dry else []))
        stage, since, why = None, time.monotonic(), "the process ended"
        while process.poll() is None:
            time.sleep(0.1)
            now = json.loads(path.read_text()).get("running")
            if now != stage:
                stage, since = now, time.monotonic()
            waited = time.monotonic() - since
            if waited > STAGE or time.monotonic() > until:
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
    """What is not right: tests, stages, kernels whose answers are wrong, logits that are too far
    from the CPU's."""
    from cunet.cli.bench import goals

    found = list(document["tests"]["failed"])
    if document["tests"]["exit_code"] not in (0, 5) and not found:  # 5: there are none
        found.append(f"tests: exit code {document['tests']['exit_code']}")
    counted = re.findall(r"(\d+) (passed|skipped)", (document["tests"]["last"] or [""])[-1])
    counts = {"passed": 0, "skipped": 0} | {word: int(number) for number, word in counted}
    if counts["skipped"] > counts["passed"] and not document.get("dry"):
        found.append("tests: {skipped} were skipped, {passed} passed".format(**counts))
    found += [f"stage {name}: {text}" for name, text in document.get("failed", {}).items()]
    for stage, layer in document.get("results", {}).items():
        for what, r in layer["ours"].items() if stage.startswith("layer ") else ():
            found += [f"{stage}, {what}: {kernel} {v}" for kernel, v in r["wrong"].items()]
    for name, measured, limit, _ in goals({"results": {}, "forward_tile": 0} | document):
        if name.startswith("logits") and measured is not None and not measured <= limit:
            found.append(f"{name}: {measured:.2g}, more than {limit:g}")
    return found


def markdown(document: dict) -> str:
    """What is not right, then the tables."""
    from cunet.cli.bench import heading, tables

    parts = [f"# {heading(document)}" if "card" in document else "# No GPU answered"]
    tested = document["tests"]
    parts.append(f"Tests: exit code {tested['exit_code']}. {(tested['last'] or [''])[-1]}")
    parts += ["\n".join(f"* {' '.join(line.split())[:300]}" for line in mistakes(document))]
    made = tables({"results": {}, "skipped": {}, "forward_tile": 0} | document)
    for title, head, rows in made:
        lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
        table = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines]
        parts.append(f"## {title}\n\n" + "\n".join(table))
    return "\n\n".join(filter(None, parts)) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--part", choices=["tests", "stages"], help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--left", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    until = time.monotonic() + SECONDS
    if asked.part:
        stand_in()
    if asked.part == "tests":
        return run_tests()
    if asked.part == "stages":
        if asked.dry_run:
            emulate_gpu()
        return run_stages(asked.json, asked.left, asked.dry_run)
    asked.folder.mkdir(parents=True, exist_ok=True)
    folder = asked.folder.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            version("cunet")
            here = find_spec("cunet") is not None
        except PackageNotFoundError:
            here = False
        if not here:
            import_from_checkout(Path(temporary))
        tested = test(Path(temporary), TESTS)
        print("\n".join(tested["failed"] or tested["last"][-1:]), flush=True)
        path = folder / "gpu-unfinished.json"
        path.write_text(json.dumps({"tests": tested, "dry": asked.dry_run}))
        watch(path, until, asked.dry_run)
        document = json.loads(path.read_text())
        card = document.get("card", {}).get("name", "none").replace(" ", "-")
        path.rename(folder / f"gpu-{card}.json")
        text = markdown(document)
    (folder / f"gpu-{card}.md").write_text(text)
    print(text)
    return 1 if mistakes(document) else 0


if __name__ == "__main__":
    sys.exit(main())
