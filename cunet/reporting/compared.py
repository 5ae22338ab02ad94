"""Several runs as a comparison reads them: from their folders alone, nothing is segmented.

Figures of two runs can be set against each other only where they are of the same thing; `warnings`
says where they are not.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cunet.data.weight_images import border
from cunet.data.weight_map import FORMS
from cunet.errors import CunetError
from cunet.net import checkpoint
from cunet.net.array_shapes import parameter_shapes
from cunet.net.model_input import shape_of
from cunet.reporting.log import Log
from cunet.reporting.recorded import ENVIRONMENT, read_document
from cunet.reporting.setup import show
from cunet.terminal import plural
from cunet.training.config import Config
from cunet.training.log_file import missing_steps
from cunet.training.run_folder import read_settings
from cunet.training.run_state import failure_of

MAX_RUNS = 36  # lines that colour and dashes can tell apart
SPLIT = ("fold", "hold_out", "train_share", "drop")
LOSS = ("weight_map", "normalize", "sigmoid")  # what a training loss measures, and
BORDER = ("w0", "border_sigma")  # the border term of a weight map that has one


@dataclass(frozen=True)
class Run:
    """A run folder: its name on the page, its settings, log and machine; classes and parameters of
    its network, None where last.npz cannot be read; remarks on what is missing."""

    name: str
    path: Path
    config: Config
    log: Log
    environment: dict
    classes: int | None
    parameters: int | None
    remarks: list[str]

    @property
    def done(self) -> int:
        """Steps in the log."""
        return int(self.log.step[-1]) if len(self.log.step) else 0

    @property
    def validated(self) -> bool:
        """Whether there was a validation."""
        return len(self.log.val_step) > 0


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """The runs in these folders; CunetError where one is none, or is named twice."""
    if not 2 <= len(paths) <= MAX_RUNS:
        raise CunetError(
            f"runs: expected 2 to {MAX_RUNS} run folders to compare, found {len(paths)}; the "
            "report of one run is cunet report RUN"
        )
    real = [os.path.realpath(path) for path in paths]
    for i, path in enumerate(real):
        if path in real[:i]:
            raise CunetError(f"run '{paths[i]}' is named twice; name each run once")
    names = [Path(path).name for path in real]
    unique = len(set(names)) == len(names)
    return [
        _read(Path(path), name if unique else str(path))
        for path, name in zip(paths, names, strict=True)
    ]


def _read(path: Path, name: str) -> Run:
    config, log, remarks = Config(**read_settings(path)), Log.read(path), list[str]()
    environment = read_document(path / "env.json", ENVIRONMENT, remarks)
    done = int(log.step[-1]) if len(log.step) else 0
    if why := failure_of(path):
        remarks.append(f"diverged after step {done:,} of {config.steps:,}: {why}")
    elif done < config.steps:
        remarks.append(f"not finished: {done:,} of {plural(config.steps, 'step')} were made")
    if lost := missing_steps(path / "log.csv", done):
        remarks.append(f"log.csv lacks steps {lost:.80}: these lines were lost or are damaged")
    if not len(log.val_step):
        remarks.append("no validation: it has no validation loss, pixel error and Dice")
    classes, parameters = None, None
    try:
        shape = shape_of(checkpoint.read_header(path / "last.npz")["net"])
    except CunetError as error:
        remarks.append(f"its network is not known: {error}")
    else:
        classes = shape.classes
        parameters = sum(math.prod(size) for size in parameter_shapes(shape).values())
    return Run(name, path, config, log, environment, classes, parameters, remarks)


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The settings in which the runs differ, and the value of each run; the folder of a run, which
    always differs, is left out."""
    values = [{name: show(value) for name, value in asdict(run.config).items()} for run in runs]
    table = {name: [one[name] for one in values] for name in values[0] if name != "out"}
    return {name: row for name, row in table.items() if len(set(row)) > 1}


def warnings(runs: Sequence[Run]) -> list[str]:
    """Where the figures of the runs are not of the same thing, a sentence each."""
    said = []
    if not same_data(runs):
        said.append(
            "The data sets differ: losses, pixel errors and Dice are of different images, and say "
            "nothing about which run is better."
        )
    else:
        if _splits_differ(runs):
            said.append(
                "The slices held out differ: validation losses, pixel errors and Dice are of "
                "different slices of one data set."
            )
        if differ(runs, "resize"):
            said.append("Images are scaled differently: pixel errors are of different pixels.")
    if len({run.classes for run in runs} - {None}) > 1:
        counts = ", ".join(f"{run.name} {run.classes}" for run in runs if run.classes)
        said.append(
            f"The numbers of classes differ ({counts}): pixel error and Dice are those of all "
            "classes but the first, whatever these are; losses are of other classes."
        )
    if names := _loss_settings(runs):
        said.append(
            f"Training losses are weighed differently ({', '.join(names)}): their heights "
            "cannot be compared, only how they fall. Validation losses are not weighed."
        )
    return said


def _loss_settings(runs: Sequence[Run]) -> list[str]:
    """The settings by which training losses are of another scale; w0 and sigma as they are used, by
    runs of the same weight map with a border term."""
    names = [name for name in LOSS if differ(runs, name)]
    form = runs[0].config.weight_map
    if form in FORMS and "weight_map" not in names:
        terms = [border(form, run.config.w0, run.config.border_sigma) for run in runs]
        pairs = zip(BORDER, zip(*terms, strict=True), strict=True)
        names += [name for name, values in pairs if len(set(values)) > 1]
    return names


def same_data(runs: Sequence[Run]) -> bool:
    """Whether all runs were made from the same files, by their hashes; where these are not known,
    from the same folder."""
    hashes = [frozenset(map(str, run.environment.get("data", {}).values())) for run in runs]
    if all(hashes):
        return len(set(hashes)) == 1
    return len({os.path.realpath(run.config.data) for run in runs}) == 1


def comparable(runs: Sequence[Run]) -> bool:
    """Whether held-out figures may be ranked: the same slices, classes and pixels."""
    same = same_data(runs) and len({run.classes for run in runs} - {None}) <= 1
    return same and not _splits_differ(runs) and not differ(runs, "resize")


def _splits_differ(runs: Sequence[Run]) -> bool:
    """Whether the runs hold out other slices; which a share holds out is drawn by the seed."""
    drawn = any(run.config.train_share is not None for run in runs)
    return differ(runs, *SPLIT, *(["seed"] if drawn else []))


def differ(runs: Sequence[Run], *names: str) -> bool:
    """Whether the runs differ in any of these settings."""
    return any(len({getattr(run.config, name) for run in runs}) > 1 for name in names)
