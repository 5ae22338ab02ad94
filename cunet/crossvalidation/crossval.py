"""cunet.crossval: a cross-validation in one call."""

from pathlib import Path
from typing import Any

from cunet.checks import arguments, callback, path, text, whole, whole_from_1
from cunet.crossvalidation.plan import make
from cunet.crossvalidation.workers import Progress


@arguments(
    data=path, folds=whole, seeds=whole, seeds_of=text, average=text, jobs=whole_from_1,
    preset=text, config=path, resume=path, progress=callback,
)  # fmt: skip
def crossval(
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
    progress: Progress = lambda run, event: None,
    **options: Any,
) -> dict[str, Any]:
    """Hold out each fold of a data set in turn: train on the others, score the one held out.

        document = cunet.crossval("isbi2012/", folds=5, preset="cpu", device="cuda")
        document["mean"]["rotations"]["v_rand"]

    data: folder with the data set; fold k of n holds out slices k, k+n, k+2n ... folds: their
    number (5). seeds: the number of seeds that every fold is trained with (1), or with
    seeds_of="first" fold 0 alone. average: "none", "flips" or "rotations" (default), the views of
    a tile that are averaged. jobs: runs at a time (1; with
    device "cuda" one per GPU), each in its own process. options: out (the folder; default
    runs/<data>-crossval-<n>), device, threads and all other settings of cunet.Config; preset and
    config as in cunet.training.plan.start. resume: a folder to continue; beside it jobs, seeds,
    seeds_of, average, threads and device may be given.

    progress(run, event) is called for every event of a run, see workers.py, and with run None
    while all slices are scored at once.

    Returns the contents of the folder's metrics.json: "runs", a list with the scores of each;
    "mean" and "sd" over all runs, of which there are "n"; "folds", the same over the folds, their
    seeds averaged; "seeds", the same over the seeds, their folds averaged, or None; "stack", the
    scores of all slices at once, of the first seed; "scored", the numbers of slices, pixels and
    objects; "protocol", a sentence; "limits", why some scores are missing, or None. Ctrl-C and
    SIGTERM save the runs in progress and raise KeyboardInterrupt. Raises CunetError where settings
    do not fit, DataError where the data are not valid, and the error of a run that failed; finished
    work is kept, and resume continues.
    """
    made = make(
        data, folds, seeds=seeds, seeds_of=seeds_of, average=average, jobs=jobs, preset=preset,
        config=config, resume=resume, **options,
    )  # fmt: skip
    return made.run(progress)
