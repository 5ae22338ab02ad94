"""From arrays of one's own to a trained network, in one call."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cunet.checks import arguments, callback, flag, path, refused, text, whole_from_0
from cunet.data.arrays import dataset_of
from cunet.errors import CunetError
from cunet.interrupts import uninterrupted
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.terminal import plural
from cunet.threads import set_threads
from cunet.training import config as configs
from cunet.training.config import Config
from cunet.training.loop import Training, make_net, train
from cunet.training.plan import WITH_RESUME, Start, measure
from cunet.training.prepared import Prepared, prepare
from cunet.training.progress_line import Line
from cunet.training.ranks import first_device
from cunet.training.resolve import settings_of, suited
from cunet.training.run_folder import RunFolder, read_settings, steps_done

Progress = Callable[[dict[str, Any], int], None]


@dataclass
class Fit:
    """A training on arrays that has ended.

    records   one for every step that was made in this call, as cunet.train yields them
    steps     how many there are to make in all
    done      how many are made, those before this call included
    held_out  the numbers of the images that were held out to be scored
    folder    the run folder, or None
    notes     what was found in the arrays, one sentence each
    """

    steps: int
    held_out: list[int]
    folder: Path | None
    notes: tuple[str, ...]
    done: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether all steps are made; else it was stopped."""
        return self.done >= self.steps

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the lowest pixel error of the images held out, the first of equal ones;
        None where none was validated."""
        scored = [record for record in self.records if "val_pixel_error" in record]
        return min(scored, key=lambda record: record["val_pixel_error"], default=None)

    def __repr__(self) -> str:
        parts = [f"{self.done:,} of {self.steps:,} steps{'' if self.finished else ', stopped'}"]
        if self.records:
            parts.append(f"last loss {self.records[-1]['loss']:.4f}")
        if self.best is not None:
            images = f"{plural(len(self.held_out), 'image')} held out"
            parts.append(
                f"{images}: pixel error {self.best['val_pixel_error']:.4f}, Dice "
                f"{self.best['val_dice']:.4f} after step {self.best['step']:,}"
            )
        if self.folder is not None:
            parts.append(f"kept in '{self.folder}'")
        return f"Fit({'; '.join(parts)})"


@arguments(meaning=text, preset=text, out=path, resume=path, progress=callback, quiet=flag)
def fit(
    images: Any,
    labels: Any,
    *,
    meaning: str | None = None,
    held_out: Iterable[int] | None = None,
    preset: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    progress: Progress | None = None,
    quiet: bool = False,
    **settings: Any,
) -> tuple[UNet, Fit]:
    """Train a network on arrays in memory: returns it, ready for cunet.segment, and the training.

    images are (H, W) or (H, W, C), a list of them of any sizes or one array with the images along
    its first axis; labels (H, W) likewise, bool or whole numbers: 0 and 1, 0 and 255, class ids
    0 ... K-1, with 255 for "ignore", or numbered objects. meaning, "classes" or "instances", says
    which where it is not plain. Everything is checked before anything is trained.

    held_out: numbers of the images, from 0, that are not trained on but scored; the network is then
    the one that scored best on them, else that of the last step. settings have the names of
    cunet.Config (steps, minutes, width, tile, seed ...); preset is "cpu", "paper", "ucsd" or
    "finetune", by default as in `cunet train`. The network normalises images as they are.

    out: a run folder as `cunet train` makes; by default nothing is written. resume: such a folder,
    made by fit from the same arrays, to go on with; beside it only steps, minutes, threads and what
    names the devices.

    A line of progress is printed (quiet: none), or progress(record, steps) is called after every
    step with a record as of cunet.train. Ctrl-C, or a notebook's stop button, ends the training:
    what it has reached is returned like the rest, and run.finished is False.

    Raises CunetError for settings and arrays that do not fit together, DataError where their
    contents are not valid, NumericError where the numbers go wrong.

        net, run = cunet.fit(images, masks, held_out=[0], steps=1200, width=8, tile=188)
        probability = cunet.segment(image, net)
    """
    settings["labels"] = meaning
    given = {name: value for name, value in settings.items() if value is not None}
    for name in ("data", "dataset"):
        if name in given:
            raise refused(name, "nothing: fit trains on arrays", given[name], "see cunet.train")
    if {"steps", "minutes"} <= given.keys():
        raise CunetError("steps and minutes: give one of them")
    if held_out is not None:
        given["hold_out"] = _names(held_out, len(images) if hasattr(images, "__len__") else 0)
    if resume is not None:
        config = _continued(str(resume), given | {"preset": preset, "out": out})
    else:
        folder_of = {"out": str(out)} if out else {}
        _, config, _ = settings_of(None, preset, None, **given | folder_of)
        if out is not None:
            RunFolder.refuse_existing(out)
    dataset = dataset_of(images, labels, config.labels)
    config = config if resume is not None else suited(config, given, dataset)
    prepared = prepare(config, dataset)
    notes = prepared.dataset.notes
    config = _resolved(config, prepared, 0 if resume is None else steps_done(str(resume)))
    folder = None if config.out is None else Path(config.out)
    made = Fit(config.steps, prepared.held_out, folder, notes)
    show = progress or (lambda record, steps: None if quiet else line(record, steps))
    line = Line()
    for note in [note for note in notes if note.startswith("warning: ") and not quiet]:
        print(note)
    if folder is None:
        net = _in_memory(config, prepared, made, show)
    else:
        net = _in_folder(config, prepared, made, show, resume is not None)
    if not quiet:
        line.end()
        if not made.finished:
            print(f"stopped after step {made.done:,} of {made.steps:,}")
    return net, made


def _names(held_out: Iterable[int], count: int) -> str:
    """The setting hold_out for numbers of images."""
    if isinstance(held_out, str) or not isinstance(held_out, Iterable):
        raise refused("held_out", "numbers of images, such as [0, 5]", held_out)
    numbers = [whole_from_0("held_out", number) for number in held_out]
    if not numbers or max(numbers) >= count:
        raise CunetError(
            f"held_out: expected numbers of images from 0 to {count - 1}, found {numbers}"
        )
    return ",".join(map(str, numbers))


def _continued(resume: str, given: dict[str, Any]) -> Config:
    """The settings of the run to go on with."""
    fixed = [n for n, value in given.items() if value is not None and n not in WITH_RESUME]
    if fixed:
        raise CunetError(
            "resume continues a run with its own settings; beside it only steps, minutes, threads, "
            f"device and devices may be given, found {fixed[0]}"
        )
    given = {name: value for name, value in given.items() if value is not None}
    config = configs.make(options=read_settings(resume) | given | {"out": resume})
    if config.data:
        raise CunetError(
            f"run '{resume}' was trained on the files in '{config.data}', not by cunet.fit: "
            f"continue it with  cunet train --resume {resume}"
        )
    return config


def _resolved(config: Config, prepared: Prepared, done: int) -> Config:
    """With the steps that go into config.minutes, if these are given."""
    config = replace(config, device=first_device(config))
    if config.threads is not None:
        set_threads(config.threads)
    if config.minutes is None:
        return config
    return replace(measure(Start("", config, prepared, done, done > 0)).config, out=config.out)


def _in_folder(config: Config, prepared: Prepared, made: Fit, show: Progress, resume: bool) -> UNet:
    """Train with a run folder; the network is read from it."""
    folder = str(config.out)
    try:
        with closing(train(config, prepared, resume)) as records:
            for record in records:
                made.records.append(record)
                show(record, config.steps)
    except KeyboardInterrupt:
        if not made.records and not (resume and steps_done(folder)):
            raise  # there is nothing yet
    with uninterrupted(heard_once=True):
        made.done = steps_done(folder)
        return checkpoint.load(folder, config.device, config.precision)


def _in_memory(config: Config, prepared: Prepared, made: Fit, show: Progress) -> UNet:
    """Train and write nothing."""
    training: Training = Training.new(config, prepared, make_net(config, prepared))
    training.run = best = _Best()
    try:
        with closing(training.records()) as records:
            for record in records:
                made.records.append(record)
                show(record, config.steps)
    except KeyboardInterrupt:
        if not training.progress["step"] or (training.torn and not best.arrays):
            raise
    with uninterrupted(heard_once=True):
        made.done = training.progress["step"]
        training.go_back()
        for name, target in checkpoint.learned(training.net).items():
            if best.arrays:
                target[...] = best.arrays[name]
        for p in training.net.parameters():
            vars(p).pop("grad", None)  # what an interrupted step has left there
        return training.net


class _Best:
    """The best network so far, in the place of a run folder."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}

    def save_best(self, net: UNet, progress: dict[str, Any]) -> None:
        """Keep a copy of the network."""
        self.arrays = {name: array.copy() for name, array in checkpoint.learned(net).items()}

    def log(self, *record: Any) -> None:
        """Records are yielded as well, and the last network is at hand."""

    save_last = save_metrics = log
