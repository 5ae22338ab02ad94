"""The log of a run as the report reads it: log.csv in columns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cunet.training.run_folder import read_log


@dataclass(frozen=True)
class Log:
    """The columns of log.csv: one number a step, and those of the validated steps."""

    step: np.ndarray
    seconds: np.ndarray
    lr: np.ndarray
    loss: np.ndarray
    wait: np.ndarray
    val_step: np.ndarray
    val_loss: np.ndarray
    val_dice: np.ndarray
    val_pixel_error: np.ndarray
    val_threshold: np.ndarray

    @classmethod
    def read(cls, run: Path) -> "Log":
        """The log of a run folder; CunetError where there is none, DataError where it is none."""
        rows = read_log(run)
        names = list(cls.__dataclass_fields__)
        validated = [row for row in rows if all(row[name] for name in names[6:])]
        columns = [[float(row[n] or "nan") for row in rows] for n in names[:5]]
        columns.append([float(row["step"]) for row in validated])
        columns += [[float(row[n]) for row in validated] for n in names[6:]]
        return cls(*map(np.array, columns))

    @property
    def best(self) -> int:
        """The place of the lowest validation pixel error among the validated steps."""
        return int(self.val_pixel_error.argmin())
