"""Runs the cases of a kind in processes of their own and gathers what they find."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fuzzer.case import Finding

HERE = Path(__file__).resolve().parents[1]
ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def nursery(kind: str, seed: int, first: int, count: int, *folder: str) -> subprocess.Popen:
    """The process that runs these cases, one after the other. It must hold no threads, which is
    decided before NumPy is loaded: by the environment."""
    program = [sys.executable, "-P", "-m", "fuzzer.nursery"]
    paths = [str(HERE), str(HERE.parent / "doubles"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = dict.fromkeys(ALONE, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [*program, kind, *map(str, (seed, first, count)), *folder],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def search(kind: str, seed: int, cases: int, first: int = 0) -> tuple[list[Finding], Counter[str]]:
    """All findings in these cases, by number, and how often each exit code came; the cases are
    shared by as many processes as there are processors."""
    jobs = min(len(os.sched_getaffinity(0)), -(-cases // 100))
    places = [first + cases * i // jobs for i in range(jobs + 1)]
    running = [nursery(kind, seed, a, b - a) for a, b in zip(places, places[1:], strict=False)]
    findings, codes = [], Counter()
    for process in running:
        out, err = process.communicate()
        documents = [json.loads(line) for line in out.splitlines()]
        if process.returncode or not documents:
            raise OSError(f"the fuzzer of {kind} failed: {err}")
        codes.update(documents.pop()["codes"])
        findings += [Finding(**one) for one in documents]
    if sum(codes.values()) != cases:
        raise OSError(f"{sum(codes.values())} of {cases} cases of {kind} were run")
    return findings, codes
