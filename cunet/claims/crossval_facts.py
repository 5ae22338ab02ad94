"""What a folder made by `cunet crossval` holds, read with care: settings, scores, runs, machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.claims import facts
from cunet.crossvalidation import runs as crossvals
from cunet.crossvalidation.runs import CrossValidation
from cunet.crossvalidation.scores import SCORES
from cunet.crossvalidation.spread import completed
from cunet.data.dataset import sha256
from cunet.errors import CunetError, DataError, of_system
from cunet.files.json_file import read_json
from cunet.net import checkpoint
from cunet.net.model_input import shape_of
from cunet.net.shape import Shape
from cunet.terminal import shell_line
from cunet.training.run_folder import read_environment

NAN = float("nan")


@dataclass(frozen=True)
class Found:
    """A finished cross-validation.

    metrics      metrics.json, its scores checked, NaN where it has null; where an older cunet wrote
                 it, completed
    shape        that of its networks
    environment  of its first run, {} where it cannot be read
    problems     what is damaged or missing, a sentence each
    other_data   why Table 1 does not apply; "" where these are the challenge's slices
    doubt        what to say of the data beside Table 1, if anything
    """

    cv: CrossValidation
    metrics: dict[str, Any]
    shape: Shape
    environment: dict[str, Any]
    problems: list[str]
    other_data: str
    doubt: str


def read(folder: str | Path) -> Found:
    """Everything that the page needs. CunetError where the folder is no cross-validation or not a
    finished one, DataError where what it stands on is damaged."""
    cv = crossvals.load(folder)
    metrics = _metrics(cv)
    first = cv.folder(cv.runs[0]) / "last.npz"
    shape = shape_of(checkpoint.read_header(first)["net"])
    problems, environment = _problems(cv, metrics)
    other_data, doubt = _stack(metrics, cv, environment)
    return Found(cv, metrics, shape, environment, problems, other_data, doubt)


def _metrics(cv: CrossValidation) -> dict[str, Any]:
    path, again = cv.path / "metrics.json", shell_line(["cunet", "crossval", "--resume", cv.path])
    if not path.is_file():
        raise CunetError(f"cross-validation '{cv.path}' is not finished; finish it: {again}")
    try:
        found = read_json(path)
    except OSError as error:
        raise of_system(error, f"cannot read '{path}'") from error
    except ValueError as error:
        raise DataError(f"'{path}' is damaged ({error}); remove it and run: {again}") from error
    try:
        names = [str(run["run"]) for run in found["runs"]]
        metrics = _checked(found, cv)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' is damaged ({error}); remove it and run: {again}") from error
    if names != [run.name for run in cv.runs] or found["average"] != cv.average:
        raise CunetError(
            f"'{path}' holds the scores of {len(names)} runs, averaged by {found['average']}; the "
            f"settings ask for {len(cv.runs)}, averaged by {cv.average}: finish it: {again}"
        )
    return metrics


def _checked(found: dict[str, Any], cv: CrossValidation) -> dict[str, Any]:
    """The same with numbers where numbers belong; KeyError and TypeError where they do not."""
    averages = [*dict.fromkeys(("none", str(found["average"])))]

    def scores(given: dict[str, Any]) -> dict[str, dict[str, float]]:
        return {a: {k: _number(given[a][k]) for k in SCORES if k in given[a]} for a in averages}

    runs = []
    for run in found["runs"]:
        whole = [run["steps"], run["fold"], run["seed"], *run["held_out"]]
        if any(type(value) is not int for value in whole) or not _number(run["seconds"]) >= 0:
            raise TypeError(f"run {run['run']!r:.40}: a number is missing")
        if run["steps"] < 1 or not run["held_out"] or not isinstance(run["model"], str):
            raise TypeError(f"run {run['run']!r:.40} has no steps, slices or model")
        runs.append(run | scores(run))
    wanted = {"pixel_error", "dice"} if found["limits"] else set(SCORES)
    checked = {name: scores(found[name]) for name in ("mean", "sd", "stack")}
    spreads = {
        name: found[name] and {part: scores(found[name][part]) for part in ("mean", "sd")}
        for name in ("folds", "seeds")
        if name in found or name == "seeds"  # an older cunet has no folds
    }
    of_runs = [{a: run[a] for a in averages} for run in runs]
    both = [one for spread in spreads.values() if spread for one in spread.values()]
    for given in (*checked.values(), *of_runs, *both):
        if any(wanted - one.keys() for one in given.values()):
            raise KeyError(f"a score of {', '.join(sorted(wanted))} is missing")
    for counts in [one["scored"] for one in (found, *runs) if "scored" in one]:
        numbers = [counts[name] for name in ("slices", "pixels", "objects")]
        if any(type(one) is not int for one in numbers) or type(counts["objects_are"]) is not str:
            raise TypeError("a number of slices, pixels or objects is missing")
    own = {name: found[name] for name in ("average", "limits", "scored") if name in found}
    return completed(own | {"runs": runs} | checked | spreads)


def _number(value: Any) -> float:
    if value is None:
        return NAN
    if type(value) not in (int, float):
        raise TypeError(f"{value!r:.40} is no number")
    return float(value)


def _problems(cv: CrossValidation, metrics: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with the files of the runs, and the environment of the first that has one."""
    problems: list[str] = []
    environment: dict[str, Any] = {}
    for run, entry in zip(cv.runs, metrics["runs"], strict=True):
        folder = cv.folder(run)
        try:
            environment = environment or read_environment(folder)
        except CunetError as error:
            problems.append(f"Run {run.name}: {error}.")
        last = folder / "last.npz"
        if not last.is_file():
            problems.append(f"Run {run.name}: its network, last.npz, is gone.")
        elif sha256(last) != entry["model"]:
            problems.append(
                f"Run {run.name}: its last.npz is not the network that was scored; resume the "
                "cross-validation."
            )
    return problems, environment


def _stack(
    metrics: dict[str, Any], cv: CrossValidation, environment: dict[str, Any]
) -> tuple[str, str]:
    """Why the slices are not those of the challenge; and where they may be others after all."""
    data = environment.get("data", {})
    slices = {i for run in metrics["runs"][: cv.folds] for i in run["held_out"]}
    if metrics["limits"]:
        return f"not all of its scores could be computed: {metrics['limits']}", ""
    if not data:
        return "what the runs trained on is not known", ""
    if set(data) != set(facts.ISBI_2012) or len(slices) != facts.SLICES:
        return "the data are not the training stack of the ISBI 2012 challenge", ""
    differing = [name for name, value in facts.ISBI_2012.items() if data[name] != value]
    if not differing:
        return "", ""
    return "", (
        f"{' and '.join(differing)} differ from the challenge's own files by their SHA-256; the "
        "figures stand beside Table 1 only if they hold the same slices."
    )
