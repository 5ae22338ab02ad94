"""A whole cross-validation: planned, trained and scored."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cunet.backend import resolve_device
from cunet.crossvalidation.clock import Clock, expected_scoring
from cunet.crossvalidation.protocol import Run
from cunet.crossvalidation.runs import OWN, CrossValidation, at_work, load, refuse_existing
from cunet.crossvalidation.scores import scores_of
from cunet.crossvalidation.summary import collect, prediction_files
from cunet.crossvalidation.workers import Place, Progress, one_by_one, places, side_by_side
from cunet.data import load as datasets
from cunet.data.dataset import Dataset
from cunet.data.on_disk import refuse_on_disk
from cunet.errors import CunetError
from cunet.files.atomic import remove_abandoned
from cunet.files.listing import tiff_named
from cunet.segmentation.next_command import segment_command
from cunet.terminal import shell_line
from cunet.threads import get_threads, set_threads
from cunet.training import plan as training
from cunet.training.config import Config
from cunet.training.run_names import claimed, next_name

INSTEAD = "Train one network for every fold: cunet train --fold 0/5, 1/5 ..."
WITH_RESUME = ("data", "seeds", "seeds_of", "average", "threads", "device")  # beside --jobs


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

    def clock(self) -> Clock:
        """What tells how long it still takes, from the events of its runs."""
        step = self.fold.seconds if self.fold else 0
        config = self.fold.config if self.fold else self.cv.config
        scoring = expected_scoring(self.cv, self.dataset, config, step)
        return Clock(self.cv, self.todo, len(self.places), step, scoring)

    @property
    def again(self) -> str:
        """The command that continues it."""
        jobs = ["--jobs", str(self.jobs)] if self.jobs else []
        return shell_line(["cunet", "crossval", "--resume", str(self.cv.path), *jobs])

    def next_command(self, document: dict[str, Any]) -> str:
        """The command that leads on from the finished one, whose metrics these are."""
        if self.dataset.kind == "isbi2012" and document["limits"] is None:
            truth = tiff_named(Path(self.cv.config.data), "train-labels.tif")
            paths = [str(self.cv.path / "prediction.tif"), str(truth)]
            return shell_line(["cunet", "evaluate", "isbi", *paths])
        return segment_command(self.cv.config.data, str(self.cv.folder(self.cv.runs[0])))

    def summary(self) -> dict[str, Any]:
        """What `cunet crossval --dry-run --json` prints."""
        document: dict[str, Any] = {} if self.fold is None else self.fold.summary()
        document |= {"folds": self.cv.folds, "seeds": self.cv.seeds, "seeds_of": self.cv.seeds_of}
        document |= {"runs": len(self.cv.runs)}
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
    seeds_of: str | None = None,
    average: str | None = None,
    jobs: int | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> Plan:
    """The plan of a new cross-validation or, with resume, of one to continue: settings resolved,
    data checked, the speed of a new one measured. Nothing is written. Arguments: see crossval()."""
    own = {"seeds": seeds, "seeds_of": seeds_of, "average": average}
    own = {name: value for name, value in own.items() if value is not None}
    fold, unnamed = None, False
    if resume is None:
        options |= {"data": data, "preset": preset, "config": config}
        cv, dataset, fold, unnamed = _new(5 if folds is None else folds, own, jobs, options)
    else:
        named = {"data": data, "folds": folds, "preset": preset, "config": config} | options
        allowed = "--data, --jobs, --threads, --device, --seeds, --seeds-of and --average"
        training.refuse_with_resume(named, WITH_RESUME, "a cross-validation", allowed)
        cv, dataset = resumed(resume, data=data, **own, **options)
    refuse_on_disk(dataset.images, "a cross-validation", INSTEAD)
    prediction_files(cv, dataset)  # names that cannot be files are told before anything is trained
    todo = [run for run in cv.runs if scores_of(cv, run) is None]
    return Plan(cv, dataset, todo, places(cv.config, jobs, len(todo)), jobs, fold, unnamed)


def stem(config: Config) -> str:
    """What the folder is named after, before its number."""
    return training.data_name(config) + "-crossval"


def _new(
    folds: int, own: dict[str, Any], jobs: int | None, options: dict[str, Any]
) -> tuple[CrossValidation, Dataset, training.Plan, bool]:
    """own: seeds, seeds_of and average, if given. options: those of cunet.training.plan.start.
    Returns also whether the folder was given no name."""
    CrossValidation(Path(), Config(), folds, **own)  # raises its errors before anything is read
    if options.pop("fold", None) is not None:
        raise CunetError("fold: a cross-validation makes folds of all slices; remove it")
    out = options.pop("out", None)
    if out is not None:
        refuse_existing(out)
    start = training.start(**options, fold=f"0/{folds}")
    settings, dataset = start.config, start.prepared.dataset
    if settings.devices > 1:
        raise CunetError(
            "devices: a cross-validation trains each fold on one device, and several folds side by "
            "side, one per GPU (--device cuda) or as --jobs says; remove it"
        )
    refuse_on_disk(dataset.images, "a cross-validation", INSTEAD)
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

    changed: seeds, seeds_of, average, device, threads, or data where the folder was moved; None
    leaves them as they are.
    """
    cv = load(path)
    changed = {name: value for name, value in changed.items() if value is not None}
    own = {name: changed.pop(name) for name in OWN if name in changed}
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
