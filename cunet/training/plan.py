"""The plan of a training: its settings resolved, its data checked, its speed and memory known.

    from cunet.training import plan

    made = plan.make("isbi2012/", fold="0/5", minutes=60)
    for record in made.train(): ...

start() resolves and checks, measure() measures, make() does both. Nothing is written before
train(), which makes the run folder.
"""

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cunet.backend import resolve_device
from cunet.engines import TENSOR_CORES, resolve_precision
from cunet.errors import CunetError
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.cost import measure_speed, memory_needed
from cunet.training.from_model import taken_over
from cunet.training.log_file import missing_steps
from cunet.training.loop import obstacle_to, shape_of, train
from cunet.training.prepared import Prepared, prepare
from cunet.training.ranks import first_device, share_of_threads, told_of_devices
from cunet.training.resolve import settings_of, with_data
from cunet.training.run_folder import (
    RunFolder,
    is_young,
    read_environment,
    read_settings,
    refuse_other_data,
    steps_done,
)
from cunet.training.run_names import claimed, next_name

# Settings that a resumed run may change; data, where the same folder was moved.
WITH_RESUME = ("data", "steps", "minutes", "threads", "device", "devices")
OPTIONS = {"from_model": "from"}  # settings whose option has another name


@dataclass(frozen=True)
class Start:
    """What a training begins with: resolved settings and checked data."""

    source: str  # where the settings come from, in words
    config: Config
    prepared: Prepared
    done: int  # steps already made
    resume: bool  # whether it continues the run in config.out
    lost: str = ""  # steps already made that the log of a resumed run lacks, as "2-4, 9"
    notes: tuple[str, ...] = ()  # what it takes over from config.from_model, in lines


@dataclass(frozen=True, kw_only=True)
class Plan(Start):
    """A training before its first step; device, precision, steps and out are resolved in config."""

    threads: int  # of the CPU, a device
    seconds: float  # of a step here, including its share of the validations
    memory: int  # bytes of the process, about; of each, where several devices share an update
    why_no_tensor_cores: str | None  # None where it uses them
    unnamed: bool = False  # config.out is the next free name: not yet claimed

    @property
    def left(self) -> int:
        """The steps to do."""
        return max(0, self.config.steps - self.done)

    @property
    def to_hold_out(self) -> str:
        """What to do to have the network scored, where no slice is held out."""
        count = len(self.prepared.dataset.images)
        if count == 1:
            return "that needs a second slice"
        return f"--fold 0/{min(5, count)} holds out slice 0 of every {min(5, count)}"

    @property
    def expected_seconds(self) -> float:
        """How long the steps left will take, about."""
        return self.left * self.seconds

    def claimed(self) -> "Plan":
        """The same with its run folder made, where it had no name given, so that no other training
        takes it."""
        if not self.unnamed:
            return self
        out = str(claimed("runs", data_name(self.config)))
        return replace(self, config=replace(self.config, out=out), unnamed=False)

    def train(self) -> Generator[dict[str, Any], None, None]:
        """The training, as cunet.train: a record after every step."""
        plan = self.claimed()
        return train(plan.config, plan.prepared, plan.resume)

    def summary(self) -> dict:
        """What `cunet train --dry-run --json` prints."""
        dataset, config = self.prepared.dataset, self.config
        return {
            "dataset": dataset.name,
            "from_model": config.from_model,
            "notes": list(self.notes),
            "kind": dataset.kind,
            "classes": list(dataset.class_names),
            "training_slices": len(self.prepared.training),
            "held_out_slices": len(self.prepared.held_out),
            "held_out": [dataset.slice_names[i] for i in self.prepared.held_out],
            "device": config.device,
            "devices": config.devices,
            "precision": config.precision,
            "steps": config.steps,
            "seconds_per_step": self.seconds,
            "expected_seconds": self.expected_seconds,
            "memory_bytes": self.memory,
        }


def make(
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> Plan:
    """The plan of a new training or, with resume, of one to continue; arguments: see start().

    Takes the time of a few steps, which are made with a throw-away network. The run folder is
    runs/<data>-<n> where no other is given.
    """
    return measure(start(data, preset, config, resume, **options))


def start(
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> Start:
    """Resolve the settings as defaults < preset < config file < options; load and check the data.

    data: folder with the data set. preset: paper, cpu, ucsd or finetune; None is finetune with
    from_model, else cpu on the CPU and paper on a GPU. config: TOML file of settings. options:
    settings by the names of cunet.Config; None means not given. What from_model decides, such as
    the width, overrides the preset; where the data number objects, the border term of the paper
    overrides a preset's class balance. resume: a run folder to continue with its own settings and
    data; beside it only WITH_RESUME may be given, data where the same folder was moved. Raises
    CunetError where settings or files do not fit together, DataError where the data are not valid.
    """
    if resume is not None:
        if None not in (options.get("steps"), options.get("minutes")):
            raise CunetError("--steps and --minutes: give one of them")
        return _continued(str(resume), {"data": data, "preset": preset, "config": config} | options)
    source, settings, given = settings_of(data, preset, config, **options)
    if settings.out is not None:
        RunFolder.refuse_existing(settings.out)
    settings, dataset = with_data(settings, given)
    prepared = prepare(settings, dataset)
    shape = shape_of(settings, prepared)
    notes = taken_over(settings.from_model, prepared.dataset, shape, prepared.normalization)
    return Start(source, settings, prepared, 0, False, notes=notes + told_of_devices(settings))


def _continued(resume: str, given: dict[str, Any]) -> Start:
    allowed = "--data, --steps, --minutes, --threads, --device, --devices and --stop-after"
    refuse_with_resume(given, WITH_RESUME, "a run", allowed)
    options = {name: value for name, value in given.items() if value is not None}
    if "data" in options:
        options["data"] = os.path.realpath(options["data"])
    config = Config(**read_settings(resume) | options | {"out": resume})
    RunFolder.refuse_in_use(resume)
    refuse_missing_data(config, f"run '{resume}'")
    prepared = prepare(config)
    config = replace(config, device=resolve_device(config.device))
    if config.precision in TENSOR_CORES and obstacle_to(config, prepared) is not None:
        config = replace(config, precision=None)  # begun on tensor cores, continued without
    source = f"continuing {resume}"
    if {"steps", "minutes"} & options.keys():
        source += " with another length: the learning rate follows the new one"
    done, path, lost = steps_done(resume), Path(resume), ""
    if is_young(resume):
        source += ", which was stopped before its first step"
    else:
        refuse_other_data(
            path, read_environment(path)["data"], config.data, prepared.dataset.hashes
        )
        lost = missing_steps(path / "log.csv", done)
    return Start(source, config, prepared, done, True, lost, told_of_devices(config))


def refuse_missing_data(config: Config, whose: str) -> None:
    """CunetError where the data of what is resumed are not there."""
    if not config.data:
        raise CunetError(
            f"{whose} was trained on arrays by cunet.fit, and no file holds them: continue it from "
            f"Python, cunet.fit(images, labels, resume={config.out!r})"
        )
    if not Path(config.data).is_dir():
        raise CunetError(
            f"'{config.data}', the data of {whose}, is not there; where it was moved, name the "
            "folder with --data"
        )


def refuse_with_resume(
    given: dict[str, Any], changeable: tuple[str, ...], what: str, allowed: str
) -> None:
    """CunetError where a setting is given that what is resumed cannot change."""
    fixed = [n for n, value in given.items() if value is not None and n not in changeable]
    if fixed:
        raise CunetError(
            f"--resume continues {what} with its own settings; beside it only {allowed} may be "
            f"given, found --{OPTIONS.get(fixed[0], fixed[0].replace('_', '-'))}"
        )


def measure(start: Start) -> Plan:
    """Resolve device and precision, measure a step, fit the steps to config.minutes, name the run
    folder and add up the memory. Sets the number of CPU threads if the settings give one."""
    config, prepared = start.config, start.prepared
    if config.threads is not None:
        set_threads(config.threads)
    config = replace(config, device=first_device(config))
    against = obstacle_to(config, prepared)
    config = replace(config, precision=resolve_precision(config.precision, config.dtype, against))
    with share_of_threads(config) as threads:
        seconds = measure_speed(config, prepared)
    if config.minutes is not None:
        steps = start.done + max(1, round(config.minutes * 60 / seconds))
        config = replace(config, steps=steps, minutes=None)
    unnamed = config.out is None
    if unnamed:
        config = replace(config, out=str(next_name("runs", data_name(config))))
    return Plan(
        **vars(start) | {"config": config},
        threads=threads,
        seconds=seconds,
        memory=memory_needed(config, prepared),
        why_no_tensor_cores=None if config.precision in TENSOR_CORES else against or "as asked",
        unnamed=unnamed,
    )


def data_name(config: Config) -> str:
    """The name of the data folder, after which runs are named."""
    return Path(os.path.realpath(config.data)).name
