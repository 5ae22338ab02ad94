"""Where a training stands, and how that is kept: always the state after a whole step."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cunet.interrupts import uninterrupted
from cunet.net import checkpoint
from cunet.net.unet import UNet
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.training.config import Config
from cunet.training.from_model import full_name
from cunet.training.prepared import Prepared
from cunet.training.run_folder import RunFolder, read_settings


@dataclass
class State:
    """A training under way.

    progress    step, seconds, best and best_step, updated in place
    run         where it is kept: a RunFolder, or what has the same methods; None: nowhere
    pending     the record of the last step, while its validation is not complete
    torn        an update has begun that is not complete
    statistics  those of batch normalization after the last step: a forward pass changes them
    """

    config: Config
    prepared: Prepared
    net: UNet
    solver: SGD | Adam
    progress: dict[str, Any]
    run: Any = None
    pending: dict[str, Any] | None = None
    torn: bool = False
    statistics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.remember()

    @classmethod
    def new(cls, config: Config, prepared: Prepared, net: UNet) -> Any:
        """One before its first step."""
        config = replace(config, precision=net.precision, from_model=full_name(config.from_model))
        progress = {"step": 0, "seconds": 0.0, "best": None, "best_step": None}
        return cls(config, prepared, net, config.make_solver(net.parameters()), progress)

    @classmethod
    def resumed(cls, config: Config, prepared: Prepared, stack: ExitStack) -> Any:
        """The one that was kept in config.out, whose folder the stack closes."""
        folder = Path(config.out or "")
        last = folder / "last.npz"
        checkpoint.read_header(last)  # its errors come before any about the folder
        with uninterrupted():
            run = RunFolder(folder)
            stack.callback(run.close)
        header, arrays = checkpoint.read(last)
        net = checkpoint.build(last, header, arrays, config.device, config.precision)
        solver = config.make_solver(net.parameters())
        checkpoint.restore(last, header, arrays, solver)
        progress = checkpoint.progress_of(last, header)
        pending = progress.pop("pending", None)
        begun = read_settings(folder)
        kept = replace(config, precision=begun.get("precision"), from_model=begun.get("from_model"))
        run.go_on(kept, prepared.dataset.hashes, progress["step"], complete=pending is None)
        return cls(config, prepared, net, solver, progress, run, pending)

    @property
    def folder(self) -> Path | None:
        """The run folder, if there is one."""
        return getattr(self.run, "path", None)

    def remember(self) -> None:
        """The step is whole: this is the state to keep."""
        self.statistics = {name: array.copy() for name, array in self.net.statistics().items()}
        self.torn = False

    def tear(self, whole: ExitStack) -> None:
        """Until remember() the state is that of no step; no signal interrupts it until the end of
        `whole`."""
        if not self.torn:
            whole.enter_context(uninterrupted())
            self.torn = True

    def keep(self, record: dict[str, Any]) -> None:
        """Write the log's line and last.npz; after the last step also all else in the folder."""
        if self.run is None:
            return
        self.run.log(record)
        if record["step"] == self.config.steps:  # before last.npz, which marks the run as finished
            if not self.prepared.held_out:
                self.run.save_best(self.net, self.progress)
            scores = {name: value for name, value in record.items() if name.startswith("val_")}
            last = scores | {"step": record["step"], "loss": record["loss"]}
            self.run.save_metrics({"last": last} | self.progress)
        self.run.save_last(self.net, self.solver, self.progress)

    def go_back(self) -> None:
        """Undo what a step that was interrupted has changed before its update."""
        for name, array in self.net.statistics().items():
            array[...] = self.statistics[name]

    def save(self) -> None:
        """Write last.npz as it was after the last whole step."""
        if self.run is None:
            return
        with uninterrupted():
            if self.torn:  # the update itself failed: what was saved before stays
                self.run.flush()
                return
            self.go_back()
            progress = self.progress
            if self.pending is not None:
                self.run.log(self.pending)
                progress = progress | {"pending": self.pending}
            self.run.save_last(self.net, self.solver, progress)
