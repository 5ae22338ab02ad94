"""A whole cross-validation: planned, trained and scored. cunet.crossval does it in one call."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cunet.backend import resolve_device
from cunet.checks import arguments, callback, path, text, whole, whole_from_1
from cunet.crossvalidation.runs import (
    CrossValidation,
    Run,
    at_work,
    load,
    refuse_existing,
)
from cunet.crossvalidation.scores import collect, prediction_files, scores_of
from cunet.crossvalidation.workers import Place, Progress, one_by_one, places, side_by_side
from cunet.data import load as datasets
from cunet.data.dataset import Dataset
from cunet.errors import CunetError
from cunet.files.atomic import remove_abandoned
from cunet.terminal import shell_line
from cunet.threads import get_threads, set_threads
from cunet.training import plan as training
from cunet.training.config import Config
from cunet.training.run_names import claimed, next_name

WITH_RESUME = ("data", "seeds", "average", "threads", "device")  # beside --jobs


@arguments(
    data=path, folds=whole, seeds=whole, average=text, jobs=whole_from_1, preset=text,
    config=path, resume=path, progress=callback,
)  # fmt: skip
def crossval(
    data: str | Path | None = None,
    folds: int | None = None,
    *,
    seeds: int | None = None,
    average: str | None = None,
    jobs: int | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    progress: Progress = lambda run, event: None,
    **options: Any,
) -> dict[str, Any]:
    """Hold out each fold of a data set in turn: train on the others, score the one held out.

        document = cunet.crossval("isbi2012/", folds=5, preset="cpu", device="cuda")
        document["mean"]["rotations"]["v_rand"]

    data: folder with the data set; fold k of n holds out slices k, k+n, k+2n ... folds: their
    number (5). seeds: the number of seeds that fold 0 is trained with (1). average: "none", "flips"
    or "rotations" (default), the views of a tile that are averaged. jobs: runs at a time (1; with
    device "cuda" one per GPU), each in its own process. options: out (the folder; default
    runs/<data>-crossval-<n>), device, threads and all other settings of cunet.Config; preset and
    config as in cunet.training.plan.start. resume: a folder to continue; beside it jobs, seeds,
    average, threads and device may be given.

    progress(run, event) is called for every event of a run, see workers.py, and with run None
    while all slices are scored at once.

    Returns the contents of the folder's metrics.json: "runs", a list with the scores of each;
    "mean" and "sd" over the folds; "seeds", the same over seeds, or None; "stack", the scores of
    all slices at once; "limits", why some scores are missing, or None. Ctrl-C and SIGTERM save the
    runs in progress and raise KeyboardInterrupt. Raises CunetError where settings do not fit,
    DataError where the data are not valid, and the error of a run that failed; finished work is
    kept, and resume continues.
    """
    made = make(
        data, folds, seeds=seeds, average=average, jobs=jobs, preset=preset, config=config,
        resume=resume, **options,
    )  # fmt: skip
    return made.run(progress)


@dataclass(frozen=True)
class Plan:
    """A cross-validation before its first step."""

    cv: CrossValidation
    dataset: Dataset
    todo: list[Run]  # those not yet trained and scored
    places: list[Place]  # as many as there are runs at a time
    jobs: int | None  # as given
    fold: training.Plan | None  # the training of fold 0, measured; None when resumed
    unnamed: bool = False  # the folder has the next free name: not yet claimed

    @property
    def expected_seconds(self) -> float | None:
        """About how long the training will take; None where it was not measured."""
        if self.fold is None:
            return None
        return math.ceil(len(self.todo) / len(self.places)) * self.fold.expected_seconds

    @property
    def again(self) -> str:
        """The command that continues it."""
        jobs = ["--jobs", str(self.jobs)] if self.jobs else []
        return shell_line(["cunet", "crossval", "--resume", str(self.cv.path), *jobs])

    def summary(self) -> dict[str, Any]:
        """What `cunet crossval --dry-run --json` prints."""
        document: dict[str, Any] = {} if self.fold is None else self.fold.summary()
        document |= {"folds": self.cv.folds, "runs": len(self.cv.runs)}
        document |= {"runs_left": len(self.todo), "jobs": len(self.places)}
        if self.fold is not None:
            document["expected_seconds"] = self.expected_seconds
        return document

    def claimed(self) -> "Plan":
        """The same with its folder made, where it had no name given, so that no other takes it."""
        if not self.unnamed:
            return self
        out = claimed("runs", stem(self.cv.config))
        cv = replace(self.cv, path=out, config=replace(self.cv.config, out=str(out)))
        return replace(self, cv=cv, unnamed=False)

    def run(self, progress: Progress = lambda run, event: None) -> dict[str, Any]:
        """Complete every run and score all slices at once; see crossval()."""
        if self.unnamed:
            return self.claimed().run(progress)
        cv, dataset = self.cv, self.dataset

        def collecting(doing: str, done: int, of: int) -> None:
            progress(None, {"doing": doing, "done": done, "of": of})

        cv.path.mkdir(parents=True, exist_ok=True)
        with at_work(cv.path) as lock:
            remove_abandoned(cv.path)
            if self.fold is not None:  # a new one: another process may have been here meanwhile
                refuse_existing(cv.path)
            cv.save()
            try:
                if len(self.places) > 1:
                    done = side_by_side(cv, self.todo, self.places, lock, progress)
                else:
                    done = one_by_one(cv, self.todo, dataset, self.places[0], progress)
                if not done:
                    raise KeyboardInterrupt
                return collect(cv, dataset, collecting)
            except CunetError as error:
                error.add_note(f"finished work is kept; to continue: {self.again}")
                raise


def make(
    data: str | Path | None = None,
    folds: int | None = None,
    *,
    seeds: int | None = None,
    average: str | None = None,
    jobs: int | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> Plan:
    """The plan of a new cross-validation or, with resume, of one to continue: settings resolved,
    data checked, the speed of a new one measured. Nothing is written. Arguments: see crossval()."""
    own = {"seeds": seeds, "average": average}
    own = {name: value for name, value in own.items() if value is not None}
    fold, unnamed = None, False
    if resume is None:
        options |= {"data": data, "preset": preset, "config": config}
        cv, dataset, fold, unnamed = _new(5 if folds is None else folds, own, jobs, options)
    else:
        named = {"data": data, "folds": folds, "preset": preset, "config": config} | options
        allowed = "--data, --jobs, --threads, --device, --seeds and --average"
        training.refuse_with_resume(named, WITH_RESUME, "a cross-validation", allowed)
        cv, dataset = resumed(resume, data=data, **own, **options)
    prediction_files(cv, dataset)  # names that cannot be files are told before anything is trained
    todo = [run for run in cv.runs if scores_of(cv, run) is None]
    return Plan(cv, dataset, todo, places(cv.config, jobs, len(todo)), jobs, fold, unnamed)


def stem(config: Config) -> str:
    """What the folder is named after, before its number."""
    return training.data_name(config) + "-crossval"


def _new(
    folds: int, own: dict[str, Any], jobs: int | None, options: dict[str, Any]
) -> tuple[CrossValidation, Dataset, training.Plan, bool]:
    """own: seeds and average, if given. options: those of cunet.training.plan.start. Returns also
    whether the folder was given no name."""
    CrossValidation(Path(), Config(), folds, **own)  # raises its errors before anything is read
    if options.pop("fold", None) is not None:
        raise CunetError("fold: a cross-validation makes folds of all slices; remove it")
    out = options.pop("out", None)
    if out is not None:
        refuse_existing(out)
    start = training.start(**options, fold=f"0/{folds}")
    settings, dataset = start.config, start.prepared.dataset
    path = Path(out or settings.out or next_name("runs", stem(settings)))
    settings = replace(settings, device=_base_device(settings.device), out=str(path))
    cv = CrossValidation(path, settings, folds, **own)
    cv.check(dataset)
    place = places(settings, jobs, len(cv.runs))[0]  # the speed is that of one of the jobs
    there = replace(settings, device=place.device, threads=place.threads)
    before = get_threads()
    fold = training.measure(replace(start, config=there))
    set_threads(settings.threads or before)
    resolved = fold.config
    settings = replace(
        settings, steps=resolved.steps, precision=resolved.precision, minutes=None, fold=None
    )
    if settings.resize:  # slices are scored at their own size
        dataset = datasets.load(settings.data, settings.dataset, settings.labels)
    return replace(cv, config=settings), dataset, fold, not (out or start.config.out)


def resumed(path: str | Path, **changed: Any) -> tuple[CrossValidation, Dataset]:
    """The cross-validation in a folder, and its data, checked against those its runs trained on.

    changed: seeds, average, device, threads, or data where the folder was moved; None leaves them
    as they are.
    """
    cv = load(path)
    changed = {name: value for name, value in changed.items() if value is not None}
    own = {name: changed.pop(name) for name in ("seeds", "average") if name in changed}
    if "data" in changed:
        changed["data"] = os.path.realpath(changed["data"])
    config = replace(cv.config, **changed)
    config = replace(config, device=_base_device(config.device))
    if config.threads is not None:
        set_threads(config.threads)
    cv = replace(cv, config=config, **own)
    training.refuse_missing_data(config, f"cross-validation '{path}'")
    dataset = datasets.load(config.data, config.dataset, config.labels)
    cv.check(dataset)
    return cv, dataset


def _base_device(name: str) -> str:
    """cpu, cuda (all GPUs) or cuda:i; an error where it cannot be used."""
    device = resolve_device(name)
    return device if device == "cpu" or name.startswith("cuda:") else "cuda"
