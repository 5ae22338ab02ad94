"""The folder of a run: its settings, its machine, its log, and its networks.

run.toml      the resolved settings          log.csv      one line a step
env.json      versions, machine, data        last.npz     the net and all a resumed run needs
metrics.json  the final figures              best.npz     lowest validation pixel error
"""

import csv
import json
import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError
from cunet.files.atomic import publish, temporary_name, write_error
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.training.config import Config, read_toml, write_toml

COLUMNS = (
    "step",
    "seconds",
    "lr",
    "loss",
    "wait",
    "val_loss",
    "val_dice",
    "val_pixel_error",
    "val_threshold",
)
FLUSH_EVERY = 20  # steps between writes of the log


class RunFolder:
    """A run folder that a training writes to."""

    def __init__(self, path: Path):
        self.path = path
        self._rows: list[list] = []

    @classmethod
    def create(cls, path: str | Path, config: Config, hashes: dict[str, str]) -> "RunFolder":
        """A new run folder; CunetError where `path` exists, unless it is an empty folder."""
        cls.refuse_existing(path)
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CunetError(f"run folder '{path}' cannot be made: {error.strerror}") from error
        write_text(path / "env.json", json.dumps(environment(config, hashes), indent=2) + "\n")
        write_text(path / "log.csv", ",".join(COLUMNS) + "\n")
        write_text(path / "run.toml", write_toml(config))
        return cls(path)

    @staticmethod
    def refuse_existing(path: str | Path) -> None:
        """CunetError where `path` exists already, unless it is an empty folder."""
        path = Path(path)
        if (path / "run.toml").exists():
            raise CunetError(
                f"run folder '{path}' exists; choose another --out, continue it with "
                f"--resume {path}, or remove it"
            )
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "is a folder with other files" if path.is_dir() else "is a file"
            raise CunetError(f"run folder '{path}' {what}; choose a new name for --out")

    @classmethod
    def reopen(
        cls, path: str | Path, config: Config, hashes: dict[str, str], step: int
    ) -> "RunFolder":
        """The folder of a run that continues after `step`; later lines of its log are dropped.

        The given settings replace those in run.toml. DataError where the data are not those that
        the run began with.
        """
        path = Path(path)
        facts = read_environment(path)
        begun, now = facts["data"], hashes
        if differing := changed(begun, now):
            name = differing[0]
            what = (
                "is new" if name not in begun else "is gone" if name not in now else "has changed"
            )
            raise DataError(
                f"'{config.data}': {name} {what} since run '{path}' began; a resumed run would not "
                "continue it: restore the data or start a new run"
            )
        if config.steps < step:
            raise CunetError(
                f"run '{path}' has done {step} steps already, more than --steps {config.steps}"
            )
        again = environment(config, hashes)
        facts["resumed"] = [*facts.get("resumed", []), {"step": step} | again]
        write_text(path / "env.json", json.dumps(facts, indent=2) + "\n")
        write_text(path / "run.toml", write_toml(config))
        rows = [row for row in read_log(path) if int(row["step"]) <= step]
        lines = [",".join(COLUMNS)] + [",".join(row[c] for c in COLUMNS) for row in rows]
        write_text(path / "log.csv", "\n".join(lines) + "\n")
        return cls(path)

    def log(self, record: dict) -> None:
        """Add one line; lines reach the disk every few steps and with flush()."""
        self._rows.append([record.get(c, "") for c in COLUMNS])
        if len(self._rows) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are still in memory."""
        rows, self._rows = self._rows, []
        try:
            with open(self.path / "log.csv", "a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise write_error(error, self.path / "log.csv", 100 * len(rows)) from error

    def save_last(self, net: UNet, solver: SGD | Adam, progress: dict[str, Any]) -> None:
        """Replace last.npz, after completing the log up to this step."""
        self.flush()
        checkpoint.save(self.path / "last.npz", net, solver, progress)

    def save_best(self, net: UNet, progress: dict[str, Any]) -> None:
        """Replace best.npz."""
        checkpoint.save(self.path / "best.npz", net, None, progress)

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Replace metrics.json."""
        write_text(self.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a run, from its run.toml; CunetError where it is no run folder."""
    path = Path(path)
    if not (path / "run.toml").is_file():
        raise CunetError(f"'{path}' is not a run folder: it has no run.toml")
    return read_toml(path / "run.toml", own=True)


def steps_done(path: str | Path) -> int:
    """The steps after which the last model of a run was saved."""
    return checkpoint.read_header(Path(path) / "last.npz")["progress"]["step"]


def read_environment(path: str | Path) -> dict[str, Any]:
    """The contents of env.json; CunetError where it is missing or damaged."""
    try:
        facts = json.loads((Path(path) / "env.json").read_text(encoding="utf-8"))
        return facts | {"data": dict(facts["data"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CunetError(f"'{path}' is not a run folder: env.json: {error}") from error


def read_log(path: str | Path) -> list[dict[str, str]]:
    """The complete lines of log.csv, each as a dictionary of text."""
    try:
        with open(Path(path) / "log.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise CunetError(f"'{path}' is not a run folder: log.csv: {error.strerror}") from error
    return [row for row in rows if None not in row.values() and row.get("loss")]


def next_name(parent: str | Path, stem: str) -> Path:
    """parent/stem-<n> with the first free n, counted from 1."""
    taken = [re.fullmatch(rf"{re.escape(stem)}-(\d+)", p.name) for p in Path(parent).glob("*")]
    return Path(parent) / f"{stem}-{max([int(m[1]) for m in taken if m], default=0) + 1}"


def newest(parent: str | Path = "runs") -> Path | None:
    """The run directly below `parent` whose model was written last, or None."""
    models = [p for p in Path(parent).glob("*/last.npz")]
    return max(models, key=lambda p: p.stat().st_mtime).parent if models else None


def environment(config: Config, hashes: dict[str, str]) -> dict[str, Any]:
    """Versions, processor, BLAS, device, command line and data hashes."""
    import threadpoolctl

    from cunet.threads import get_threads

    versions = {"python": platform.python_version()}
    for name in ("cunet", "numpy", "scipy", "numba", "tifffile", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": sys.argv,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": get_threads(),
        "device": config.device,
        "blas": [
            {k: pool.get(k) for k in ("internal_api", "version", "architecture")}
            for pool in threadpoolctl.threadpool_info()
            if pool.get("user_api") == "blas"
        ],
        "versions": versions,
        "data": hashes,
    }


def changed(begun: dict[str, str], now: dict[str, str]) -> list[str]:
    """The data files whose hash is not what it was; the new and the lost are among them."""
    return sorted(k for k in begun.keys() | now.keys() if begun.get(k) != now.get(k))


def write_text(path: Path, text: str) -> None:
    """Replace a small text file completely, or leave it as it was."""
    temporary = temporary_name(path)
    try:
        # a folder's name may hold bytes that are not UTF-8; they are kept
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        publish(temporary, path)
    except OSError as error:
        raise write_error(error, path, len(text)) from error
    finally:
        temporary.unlink(missing_ok=True)
