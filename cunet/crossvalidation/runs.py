"""Cross-validation: every fold of a data set held out once, in one folder that can be resumed.

crossval.toml     the settings of all runs, the number of folds and seeds, the average
fold<k>-seed<s>/  the ordinary run folder of a fold and a seed; protocol.py says which there are
prediction.tif    the held-out probability of every slice (predictions/ where sizes differ), of the
                  first seed: a mean over seeds would be another method, an ensemble of networks
metrics.json      the scores of every run, mean and deviation, and those of all slices at once

Every run equals one of `cunet train --fold k/n --seed s`. Scores: cunet/crossvalidation/scores.py.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cunet.crossvalidation.protocol import SEEDS_OF, Run, kind_of, runs_of
from cunet.data.dataset import Dataset
from cunet.errors import CunetError, DataError, DeviceError, not_among
from cunet.files.atomic import write_text
from cunet.files.listing import visible
from cunet.files.lock import held
from cunet.segmentation.views import AVERAGES
from cunet.terminal import plural
from cunet.training import settings_file
from cunet.training.config import Config
from cunet.training.from_model import facts_of
from cunet.training.limits import parse_fold
from cunet.training.loop import train
from cunet.training.run_folder import (
    LOCK,
    RunFolder,
    changed,
    read_environment,
    read_settings,
    steps_done,
)

SETTINGS = "crossval.toml"
MOST = 10_000  # folds, seeds, or runs
OWN = {"folds": int, "seeds": int, "average": str, "seeds_of": str}  # beside those of a training
# These settings may differ between runs; the data are compared by their hashes.
MAY_DIFFER = {"data", "dataset", "out", "device", "devices", "threads", "minutes"}


@dataclass(frozen=True)
class CrossValidation:
    """A folder of runs. config.seed is the first seed; config.out and config.fold are not used."""

    path: Path
    config: Config
    folds: int = 5
    seeds: int = 1
    average: str = "rotations"
    seeds_of: str = "all"

    def __post_init__(self) -> None:
        for name, smallest in (("folds", 2), ("seeds", 1)):
            value = getattr(self, name)
            if type(value) is not int or not smallest <= value <= MOST:
                raise CunetError(
                    f"{name}: expected {smallest} or more, at most {MOST:,}, found {value!r:.40}"
                )
        for name in ("hold_out", "train_share", "drop"):
            if getattr(self.config, name) is not None:
                raise CunetError(f"{name}: a cross-validation makes folds of all slices; remove it")
        if self.average not in AVERAGES:
            raise not_among("average", self.average, AVERAGES)
        if self.seeds_of not in SEEDS_OF:
            raise not_among("seeds_of", self.seeds_of, SEEDS_OF)
        if self.seeds_of == "all" and self.folds * self.seeds > MOST:
            raise CunetError(
                f"seeds: {self.folds} folds with {self.seeds} seeds each are more runs than "
                f"{MOST:,}; give fewer"
            )

    @property
    def runs(self) -> list[Run]:
        """All of them, the folds of the first seed first."""
        return runs_of(self.folds, self.config.seed, self.seeds, self.seeds_of)

    @property
    def averages(self) -> list[str]:
        """How the held-out slices are predicted: from one view, and averaged as `average`."""
        return list(dict.fromkeys(("none", self.average)))

    def folder(self, run: Run) -> Path:
        """The run folder of one training."""
        return self.path / run.name

    def held_out(self, run: Run, slices: int) -> list[int]:
        """The slices that a run holds out, of this many, as prepared.prepare splits them."""
        return list(range(run.fold, slices, self.folds))

    def settings(self, run: Run) -> Config:
        """The settings of one training."""
        fold, out = f"{run.fold}/{self.folds}", str(self.folder(run))
        return replace(self.config, fold=fold, seed=run.seed, out=out)

    def steps_done(self, run: Run) -> int:
        """The steps after which its last model was saved."""
        folder = self.folder(run)
        return steps_done(folder) if (folder / "last.npz").is_file() else 0

    def save(self) -> None:
        """Write crossval.toml."""
        own = {name: getattr(self, name) for name in OWN}
        config = replace(self.config, fold=None, out=str(self.path))
        write_text(self.path / SETTINGS, settings_file.text(asdict(config) | own))

    def check(self, dataset: Dataset) -> None:
        """CunetError where there are more folds than slices or a run in the folder has other
        settings, DataError where it was trained on other data."""
        slices = len(dataset.images)
        if slices < self.folds:
            raise CunetError(
                f"folds: '{dataset.name}' has {plural(slices, 'slice')}, too few for "
                f"{self.folds} folds; "
                f"expected 2 to {slices}"
            )
        begun = [run for run in self.runs if (self.folder(run) / "last.npz").is_file()]
        for run in begun:
            self._check_run(run, dataset)
        if len(begun) < len(self.runs):
            for run in begun:
                refuse_changed(self.config.from_model, self.folder(run))

    def _check_run(self, run: Run, dataset: Dataset) -> None:
        folder, wanted = self.folder(run), asdict(self.settings(run))
        for name, value in asdict(Config(**read_settings(folder))).items():
            if name not in MAY_DIFFER and value != wanted[name]:
                raise CunetError(
                    f"run '{folder}' has {name} = {value}, this cross-validation needs "
                    f"{wanted[name]}; move that run elsewhere, it will be trained again"
                )
        if differing := changed(read_environment(folder)["data"], dataset.hashes):
            raise DataError(
                f"'{self.config.data}': {differing[0]} is not what run '{folder}' was trained on; "
                "restore the data, or start a new cross-validation"
            )


def refuse_changed(model: str | None, begun: Path) -> None:
    """DataError where the model that runs start from is no longer that of the run in `begun`."""
    now, then = facts_of(model), read_environment(begun)
    if any(then.get(name) != value for name, value in now.items()):
        raise DataError(
            f"model '{model}' is not what run '{begun}' started from; restore it, or start a new "
            "cross-validation"
        )


def refuse_existing(path: str | Path) -> None:
    """CunetError where `path` exists already, unless it holds only the remains of a start that was
    killed at once."""
    path = Path(path)
    if (path / SETTINGS).exists() or any(path.glob("fold*-seed*/run.toml")):
        raise CunetError(
            f"cross-validation '{path}' exists; continue it with --resume {path}, choose another "
            "--out, or remove it"
        )
    if path.exists() and not path.is_dir():
        raise CunetError(f"'{path}' is a file; choose a new name for --out")
    if path.is_dir() and visible(path.iterdir()):
        raise CunetError(f"'{path}' is a folder with other files; choose a new name for --out")


def load(path: str | Path) -> CrossValidation:
    """The cross-validation in a folder.

    A folder of run folders named fold<k>-seed<s>, without crossval.toml, is one with their
    settings. CunetError for any other folder.
    """
    path = Path(path)
    if not (path / SETTINGS).is_file():
        return _of_runs(path)
    types = {field.name: field.type for field in fields(Config)}
    try:
        found = settings_file.read(path / SETTINGS, types | OWN, own=True)
        # an older cunet wrote no seeds_of: further seeds were for fold 0 alone
        found.setdefault("seeds_of", "first" if found["seeds"] > 1 else "all")
        own = {name: found.pop(name) for name in OWN}
        return CrossValidation(path, Config(**found), **own)
    except DeviceError:  # the disk, not the file
        raise
    except (CunetError, KeyError) as error:
        raise CunetError(f"'{path / SETTINGS}' is damaged: {error}") from error


def _of_runs(path: Path) -> CrossValidation:
    """The cross-validation made of runs of `cunet train` that were moved together."""
    found = {}
    for folder in path.glob("fold*-seed*"):
        name = re.fullmatch(r"fold(\d+)-seed(\d+)", folder.name)
        if name and (folder / "run.toml").is_file():
            found[int(name[1]), int(name[2])] = Config(**read_settings(folder))
    fold = parse_fold(next((config.fold for config in found.values()), None))
    if fold is None:
        raise CunetError(
            f"'{path}' is not a cross-validation: it has no {SETTINGS}, and no run folders "
            "fold<k>-seed<s> of `cunet train --fold k/n --seed s`"
        )
    first = min(seed for _, seed in found)
    seeds_of = kind_of(list(found))
    seeds = max(seed for _, seed in found) - first + 1
    config = next(iter(found.values()))
    device = config.device.partition(":")[0]  # no matter which GPU
    config = replace(config, fold=None, seed=first, device=device, devices=1)
    config = replace(config, threads=None, minutes=None)
    return CrossValidation(path, config, fold[1], seeds, seeds_of=seeds_of)


def train_run(
    cv: CrossValidation, run: Run, device: str, threads: int | None
) -> Generator[dict[str, Any], None, None]:
    """Train the rest of a run, from its last model or from the start: the records of cunet.train.

    Closing the generator saves the run. A finished run yields nothing.
    """
    folder = cv.folder(run)
    config = replace(cv.settings(run), device=device, threads=threads)
    begun = (folder / "last.npz").is_file()
    if begun and cv.steps_done(run) == config.steps:
        if (folder / LOCK).exists():  # of a process killed at the end of the run, or of one at work
            RunFolder.refuse_in_use(folder)
        return
    yield from train(config, resume=begun)


@contextmanager
def at_work(path: Path) -> Iterator[int | None]:
    """Lock the folder; CunetError where another process holds the lock.

    Yields the lock's file descriptor. A process that inherits it holds the lock too: after a kill
    the workers still save, and only then the folder is free.
    """
    with held(path / LOCK, path, "cross-validation") as handle:
        yield handle
