"""How far a run came, so that nobody applies a bad network unawares: which run is the newest that
is of use, and what must be said of the one that is taken."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.errors import CunetError
from cunet.files.json_file import read_json
from cunet.files.listing import folders_of
from cunet.net import checkpoint
from cunet.net.card import pixel_size
from cunet.net.model_input import shape_of
from cunet.net.shape import Shape
from cunet.net.terms import note_of
from cunet.segmentation.which_network import Choice
from cunet.training.config import Config
from cunet.training.run_folder import FAILURE, read_settings

PARENT = Path("runs")


@dataclass(frozen=True)
class RunState:
    """What a run folder says of itself.

    step      after which the model was saved; 0 is untrained
    steps     of the whole training
    interval  steps between validations
    failure   why the training failed; "" where it did not
    """

    step: int
    steps: int
    interval: int
    failure: str = ""

    @property
    def usable(self) -> bool:
        """Whether it came to its first validation, at which a run is also saved, or to its end."""
        return self.step >= min(self.interval, self.steps)

    @property
    def doubt(self) -> str:
        """What to say of a network of this run; "" where there is nothing."""
        if self.step == 0:
            return "untrained: not one step was saved" + (f", {self.failure}" * bool(self.failure))
        reached = f"{self.step:,} of {self.steps:,} steps"
        if self.failure:
            return f"diverged ({self.failure}); the network is that of step {self.step:,}"
        if self.step < self.steps:
            early = "" if self.usable else ", before its first validation"
            return f"unfinished: {reached} were saved{early}"
        return ""


def state_of(run: Path, model: str = "last.npz") -> RunState:
    """The state of a run folder. Raises CunetError where it is none, or is damaged."""
    config = Config(**read_settings(run))
    path = run / "last.npz"
    step = checkpoint.read_progress(path if path.is_file() else run / model)["step"]
    return RunState(step, config.steps, config.interval, failure_of(run))


def failure_of(run: Path) -> str:
    """Why the training of a run folder failed, in a sentence; "" where it did not."""
    if not (run / FAILURE).is_file():
        return ""
    try:
        return str(read_json(run / FAILURE)["error"]).partition(". ")[0]
    except (OSError, ValueError, KeyError):
        return "its training failed"


def doubts_of(model: Path) -> list[str]:
    """What must be said of a model file before it is applied, if it lies in a run folder."""
    run = model.parent
    if not (run / "run.toml").is_file():
        return []
    try:
        doubt = state_of(run, model.name).doubt
    except CunetError:
        return []  # the model itself is checked when it is read
    return [f"warning: run '{run}' is {doubt}"] if doubt else []


def model_of(model: str | None, look: Callable[[], Choice] | None = None) -> tuple[Path, list[str]]:
    """The model file that is meant, and what must be said of it, or is worth saying: warnings begin
    so. By default it is that of the newest run; without one the network that comes with cunet which
    look() finds to be made for the images, or, where no images are looked at, em."""
    run, notes = newest() if model is None else (None, [])
    if model is None and run is None and look is not None:
        choice = look()
        return checkpoint.model_file(choice.model), [*notes, choice.said]
    path = checkpoint.model_file((run or "em") if model is None else model)
    return path, [*notes, *note_of(model), *doubts_of(path)]


def shape_and_tile(model: str | Path, given: Mapping[str, Any]) -> tuple[Shape, int | None]:
    """The shape of the network in a model file, a run folder or of a name, and the tile that its
    run trained with; None where that is not known. CunetError where `given`, by the names of a
    shape, says other things of it."""
    path = checkpoint.model_file(model)
    shape = shape_of(checkpoint.read_header(path)["net"])
    for name, value in given.items():
        if value != getattr(shape, name):
            raise CunetError(
                f"{name}: {value} is given, but model '{path}' has {getattr(shape, name)}; leave "
                f"{name} out, or the model"
            )
    run = path.parent
    if path.name not in ("best.npz", "last.npz") or not (run / "run.toml").is_file():
        return shape, None
    return shape, read_settings(run)["tile"]


def pixel_size_of(model: str | Path) -> str:
    """That of the training images of a network, in a line, as its card has it."""
    path = checkpoint.model_file(model)
    return pixel_size(path, checkpoint.read_header(path))


def newest(parent: str | Path = PARENT) -> tuple[Path | None, list[str]]:
    """The run directly below `parent` that was written last, of those that came to their first
    validation; None without any. And a note on newer ones that did not."""
    runs = [run for run in folders_of(Path(parent)) if (run / "last.npz").is_file()]
    notes: list[str] = []
    for run in sorted(runs, key=lambda run: (run / "last.npz").stat().st_mtime, reverse=True):
        try:
            state = state_of(run)
        except CunetError as error:
            return run, [*notes, f"warning: run '{run}': {error}"]
        if state.usable:
            return run, notes
        notes.append(f"warning: passed over run '{run}', which is {state.doubt}")
    return None, notes
