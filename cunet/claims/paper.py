"""cunet.paper: the paper's claims beside a cross-validation, as one page or one document."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cunet.checks import arguments, flag, path
from cunet.claims import architecture, crossval_facts, facts, page, recipe
from cunet.claims.crossval_facts import Found
from cunet.claims.differences import sentences
from cunet.crossvalidation.protocol import caption
from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.reporting.page import html_file

SHOWN = ("n", "mean", "sd", "folds", "seeds", "seeds_of", "stack", "runs")  # of metrics.json


@arguments(folder=path, out=path, overwrite=flag)
def paper(folder: str | Path, out: str | Path | None = None, overwrite: bool = False) -> Path:
    """Write a page that puts the paper's claims beside a cross-validation; returns its path.

    folder: made by cunet.crossval, finished. out: the page, by default paper.html in the folder; an
    older one is replaced only with overwrite. The network is made anew and checked, the settings
    are compared with the paper's recipe, and the scores stand beside its Table 1 where the data are
    those of the ISBI 2012 challenge. Raises CunetError where the folder is no finished
    cross-validation, DataError where it is damaged.

        cunet.paper("runs/isbi2012-crossval-1")
    """
    target = page_path(folder, out)
    if target.exists() and not overwrite:
        raise CunetError(f"out: '{target}' exists; give overwrite=True to replace it, or another")
    return write(document(folder), target)


def page_path(folder: str | Path, out: str | Path | None) -> Path:
    """Where the page is written; CunetError where that is the name of something else."""
    return html_file(Path(folder) / "paper.html" if out is None else out)


def write(found: dict[str, Any], target: Path) -> Path:
    """Write the page of a document."""
    write_text(target, page.html(found))
    return target


def document(folder: str | Path) -> dict[str, Any]:
    """All that the page shows, ready for JSON; errors as paper()."""
    found = crossval_facts.read(folder)
    config, metrics = found.cv.config, found.metrics
    checks = architecture.checks(found.shape, config.tile, config.seed)
    choices = recipe.choices(config, found.cv.average)
    beside = not found.other_data
    return {
        "crossval": str(found.cv.path),
        "first_run": str(found.cv.folder(found.cv.runs[0])),
        "problems": found.problems,
        "network": vars(found.shape) | {"tile": config.tile},
        "architecture": [asdict(one) for one in checks],
        "recipe": [asdict(one) for one in choices],
        "protocol": _protocol(found),
        "scores": {name: metrics[name] for name in SHOWN},
        "limits": metrics["limits"],
        "table_1": _table_1() if beside else None,
        "why_no_table_1": found.other_data or None,
        "data_doubt": found.doubt or None,
        "cost": _cost(found),
        "differences": sentences(checks, choices, config, metrics, beside),
    }


def _table_1() -> list[dict[str, Any]]:
    return [
        {"name": name} | dict(zip(facts.TABLE_1_SCORES, scores, strict=True))
        for name, *scores in facts.TABLE_1
    ]


def _protocol(found: Found) -> dict[str, Any]:
    folds = found.metrics["runs"][: found.cv.folds]
    return {
        "data": found.cv.config.data,
        "folds": found.cv.folds,
        "seeds": found.cv.seeds,
        "slices": sum(len(run["held_out"]) for run in folds),
        "scored": found.metrics["scored"],
        "said": {average: caption(found.metrics, average) for average in found.metrics["mean"]},
        "held_out": {run["run"]: run["held_out"] for run in folds},
        "average": found.cv.average,
        "views": recipe.VIEWS[found.cv.average],
    }


def _cost(found: Found) -> dict[str, Any]:
    runs, env = found.metrics["runs"], found.environment
    return {
        "seconds": {run["run"]: run["seconds"] for run in runs},
        "seconds_in_all": sum(run["seconds"] for run in runs),
        "steps": runs[0]["steps"],
        "device": env.get("device", found.cv.config.device),
        "precision": found.cv.config.precision,
        "platform": env.get("platform"),
        "processors": env.get("processors"),
        "threads": env.get("threads"),
        "paper": f"{facts.HOURS} hours on {facts.GPU}",
    }
