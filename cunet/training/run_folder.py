"""The folder of a run: its settings, its machine, its log, and its networks.

run.toml      the resolved settings          log.csv      one line a step
env.json      versions, machine, data        last.npz     the net and all a resumed run needs
metrics.json  the final figures              best.npz     lowest validation pixel error
"""

import csv
import os
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError, of_system
from cunet.files.atomic import remove_abandoned, write_text
from cunet.files.disk import write_error
from cunet.files.json_file import json_text, read_json, read_text
from cunet.files.listing import one_within, visible
from cunet.files.lock import held
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.terminal import plural, shell_line
from cunet.training import log_file
from cunet.training.config import Config, read_toml, write_toml
from cunet.training.environment import environment
from cunet.training.from_model import facts_of
from cunet.training.log_file import COLUMNS

FLUSH_EVERY = 20  # steps between writes of the log
LOCK, FAILURE = ".lock", "failure.json"
LATER = {"devices", "warmup"}  # settings that the runs of cunet 0.1.0 do not name
BEFORE_THE_FIRST_MODEL = {"env.json", "log.csv", "run.toml"}


class RunFolder:
    """A run folder that a training writes to; no other process can, until it is closed."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._rows: list[list] = []
        self._lock = ExitStack()
        self._lock.enter_context(held(self.path / LOCK, self.path, "run folder"))
        remove_abandoned(self.path)

    def close(self) -> None:
        """Let others write to it."""
        self._lock.close()

    @classmethod
    def create(
        cls, path: str | Path, config: Config, hashes: dict[str, str], again: bool = False
    ) -> "RunFolder":
        """A new run folder; CunetError where `path` exists, but see refuse_existing. again: the
        folder is that of a run which is to start again, whatever else lies in it."""
        if not again:
            cls.refuse_existing(path)
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, Path(path)) from error
        run = cls(path)
        try:
            if not (again and is_young(path)):
                cls.refuse_existing(path)  # another process may have been here before the lock
            for name in BEFORE_THE_FIRST_MODEL:
                (run.path / name).unlink(missing_ok=True)
            facts = environment(config, hashes) | facts_of(config.from_model)
            write_text(run.path / "env.json", json_text(facts) + "\n")
            write_text(run.path / "log.csv", ",".join(COLUMNS) + "\n")
            write_text(run.path / "run.toml", write_toml(config))
        except BaseException:
            run.close()
            raise
        return run

    @staticmethod
    def refuse_existing(path: str | Path) -> None:
        """CunetError where `path` exists already, unless it is an empty folder, or holds only what
        a run writes before its first step: then nothing can be lost."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise CunetError(f"run folder '{path}' is a file; choose a new name for --out")
        names = {p.name for p in visible(path.iterdir())} if path.is_dir() else set()
        if not names or (names <= BEFORE_THE_FIRST_MODEL and _is_begun(path)):
            return
        if "run.toml" in names:
            raise CunetError(
                f"run folder '{path}' exists; choose another --out, continue it with "
                f"--resume {shell_line([path])}, or remove it"
            )
        raise CunetError(
            f"run folder '{path}' is a folder with other files; choose a new name for --out"
        )

    @staticmethod
    def refuse_in_use(path: str | Path) -> None:
        """CunetError where another process is writing to the run at this moment."""
        with held(Path(path) / LOCK, Path(path), "run folder"):
            pass

    def go_on(
        self, config: Config, hashes: dict[str, str], step: int, complete: bool = True
    ) -> None:
        """Continue the run after `step`; later lines of its log are dropped, and that of `step`
        itself where it is not complete.

        The given settings replace those in run.toml. Steps whose lines were lost, as when the
        machine stopped, get a line of their number alone. DataError where the data are not those
        that the run began with.
        """
        facts = read_environment(self.path)
        refuse_other_data(self.path, facts["data"], config.data, hashes)
        if config.steps < step:
            raise CunetError(
                f"run '{self.path}' has done {plural(step, 'step')} already, more than --steps "
                f"{config.steps}"
            )
        lost = log_file.missing_steps(self.path / "log.csv", step)
        again = {"step": step} | ({"log_lacks": lost} if lost else {}) | environment(config, hashes)
        facts["resumed"] = [*facts.get("resumed", []), again]
        write_text(self.path / "env.json", json_text(facts) + "\n")
        write_text(self.path / "run.toml", write_toml(config))
        (self.path / FAILURE).unlink(missing_ok=True)
        kept = {int(row["step"]): [row[c] for c in COLUMNS] for row in read_log(self.path)}
        blank = [""] * (len(COLUMNS) - 1)
        rows = [kept.get(k) or [str(k), *blank] for k in range(1, step + complete)]
        lines = [",".join(row) for row in (list(COLUMNS), *rows)]
        write_text(self.path / "log.csv", "\n".join(lines) + "\n")

    def log(self, record: dict) -> None:
        """Add one line; lines reach the disk every few steps and with flush()."""
        self._rows.append([record.get(c, "") for c in COLUMNS])
        if len(self._rows) >= FLUSH_EVERY:
            self.flush()

    def flush(self, sync: bool = False) -> None:
        """Write the lines that are still in memory; sync: wait until they are on the disk."""
        path, rows, self._rows = self.path / "log.csv", self._rows, []
        try:
            with open(path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise write_error(error, path, 100 * len(rows)) from error

    def save_last(self, net: UNet, solver: SGD | Adam, progress: dict[str, Any]) -> None:
        """Replace last.npz, after completing the log up to this step.

        The log is on the disk before: what last.npz says was done is in it, even after a power cut.
        """
        self.flush(sync=True)
        checkpoint.save(self.path / "last.npz", net, solver, progress)

    def save_best(self, net: UNet, progress: dict[str, Any]) -> None:
        """Replace best.npz."""
        checkpoint.save(self.path / "best.npz", net, None, progress)

    def fail(self, step: int, error: Exception) -> None:
        """Keep why the training failed."""
        self.flush()
        write_text(self.path / FAILURE, json_text({"step": step, "error": str(error)}) + "\n")

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Replace metrics.json."""
        write_text(self.path / "metrics.json", json_text(metrics) + "\n")


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a run, from its run.toml; CunetError where it is no run folder, DataError
    where one is missing that is always written, or not valid."""
    path = Path(path) / "run.toml"
    if not path.is_file():
        hint = one_within(path.parent, path.name)
        raise CunetError(
            f"'{path.parent}' is not a run folder: it has no run.toml" + (hint and f"; {hint}")
        )
    found = read_toml(path, own=True)
    always = {field.name for field in fields(Config) if field.default is not None} - LATER
    if missing := sorted(always - found.keys()):
        raise DataError(f"'{path}' is damaged: it lacks {missing[0]}; restore it")
    try:
        Config(**found)
    except CunetError as error:
        raise DataError(f"'{path}' is damaged: {error}") from error
    return found


def is_young(path: str | Path) -> bool:
    """Whether the run in a folder ended before its first step, so that it can only start again."""
    path = Path(path)
    models = [name for name in ("last.npz", "best.npz") if (path / name).exists()]
    return (path / "run.toml").is_file() and not models and _is_begun(path)


def _is_begun(path: Path) -> bool:
    """Whether a folder holds the environment of a run, and no step in its log."""
    log = path / "log.csv"
    try:
        empty = not log.exists() or read_text(log).strip() in ("", ",".join(COLUMNS))
        return empty and {"data", "versions"} <= read_environment(path).keys()
    except (CunetError, OSError, ValueError):
        return False


def steps_done(path: str | Path) -> int:
    """The steps after which the last model of a run was saved."""
    if is_young(path):
        return 0
    return checkpoint.read_progress(Path(path) / "last.npz")["step"]


def read_environment(path: str | Path) -> dict[str, Any]:
    """The contents of env.json; CunetError where it is missing, DataError where it is damaged."""
    path = Path(path) / "env.json"
    try:
        facts = read_json(path)
    except OSError as error:
        raise of_system(error, f"'{path.parent}' is not a run folder: env.json") from error
    except ValueError as error:
        raise DataError(f"'{path}' is damaged ({error}); restore it") from error
    if not isinstance(facts.get("data"), dict) or not isinstance(facts.get("resumed", []), list):
        raise DataError(f"'{path}' is damaged (no hashes of the data); restore it")
    return facts


def read_log(path: str | Path) -> list[dict[str, str]]:
    """The lines of log.csv that are whole, see log_file.read."""
    return log_file.read(Path(path) / "log.csv")


def changed(begun: dict[str, str], now: dict[str, str]) -> list[str]:
    """The data files whose hash is not what it was; the new and the lost are among them."""
    return sorted(k for k in begun.keys() | now.keys() if begun.get(k) != now.get(k))


def refuse_other_data(run: Path, begun: dict[str, str], data: str, hashes: dict[str, str]) -> None:
    """DataError where the data folder `data` does not hold what the run began with."""
    if differing := changed(begun, hashes):
        name = differing[0]
        what = "is new" if name not in begun else "is gone" if name not in hashes else "has changed"
        raise DataError(
            f"'{data or 'data'}': {name} {what} since run '{run}' began; a resumed run would not "
            "continue it: restore the data or start a new run"
        )
