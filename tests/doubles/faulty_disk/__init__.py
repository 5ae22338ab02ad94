"""A disk that fails at a chosen call: commands of cunet run on it in processes of their own.

    disk = Disk(folder)                 compiles disk.c, starts serve.py
    disk.run(["train", ...], cwd)       counts the calls that change something below cwd
    disk.run(..., KILL, 7)              the process is killed in place of the 7th of them
    disk.run(..., FAIL, 7, errno.EIO)   the 7th answers an error

Linux only; needs gcc.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

COUNT, KILL, TEAR, FAIL = range(4)
NO_LOCKS = 1
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code (-9: killed), what it printed, the number of calls, and
    the call (its word and path) that failed, "" where it was not reached."""

    code: int
    out: str
    err: str
    count: int
    hit: str


class Disk:
    """The server of one test process; `folder` is private to it."""

    def __init__(self, folder: Path):
        compiler = shutil.which("gcc") or shutil.which("g++")
        if sys.platform != "linux" or compiler is None:
            pytest.skip("a disk fails by a library that gcc compiles, on Linux")
        library = folder / "disk.so"
        line = [compiler, "-x", "c", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library)]
        made = subprocess.run(
            [*line, str(FOLDER / "disk.c"), "-ldl"], capture_output=True, text=True
        )
        if made.returncode or made.stderr:
            raise RuntimeError(f"disk.c: {made.stderr[:3000]}")
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(FOLDER / "serve.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
        )
        self.threads = self._read()["threads"]

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self.process.wait()}")
        return json.loads(line)

    def run(
        self,
        arguments: Iterable[str | Path],
        cwd: Path,
        mode: int = COUNT,
        target: int = 0,
        fault: int = 0,
        lasting: bool = False,
        lacks: int = 0,
        trace: Path | None = None,
        patches: Path | None = None,
    ) -> Answer:
        """Run `cunet ARGUMENTS` in the folder cwd, whose disk fails at the call `target`.

        lasting: it fails from then on. lacks: NO_LOCKS. trace: a new file for all calls.
        patches: a Python file to run before.
        """
        request = {
            "arguments": [str(part) for part in arguments],
            "cwd": str(cwd),
            "root": os.path.realpath(cwd),
            "mode": mode,
            "target": target,
            "fault": fault,
            "lasting": int(lasting),
            "lacks": lacks,
            "trace": str(trace) if trace else "",
            "patches": str(patches) if patches else "",
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Answer(**self._read())

    def close(self) -> None:
        """End the server."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
