"""The page that compares several runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.reporting.compared import Run, comparable, differing, read_runs, warnings
from cunet.reporting.compared_curves import curves, smoothed
from cunet.reporting.page import (
    PAGE,
    REPORT,
    cards,
    contents,
    duration,
    escape,
    folded,
    html_file,
    in_sections,
    number,
    table,
)
from cunet.terminal import shell_line

DEFAULT = "compare.html"
NOTHING = "-"  # where a run has no such figure


def write_comparison(
    paths: Sequence[str | Path], out: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write one page on several runs; returns its path. Errors as in write_report."""
    target = html_file(DEFAULT if out is None else out)
    if target.exists() and not overwrite:
        raise CunetError(f"'{target}' exists; overwrite it, or give another name")
    runs = read_runs(paths)
    names = [run.name for run in runs]
    sections = {
        "scores": ("Scores", _scores(runs)),
        "curves": ("Curves", curves(runs)),
        "settings": ("What differs", _settings(runs)),
        "time": ("Time and machine", _machines(runs)),
        "runs": ("Runs", _links(runs, target)),
    }
    said = [*warnings(runs), *(f"{run.name}: {one}" for run in runs for one in run.remarks)]
    alerts = [f'<p class="alert">{escape(one)}</p>' for one in said]
    title = f"{len(runs)} runs compared"
    body = [
        f'<h1>{title}</h1>\n<p class="soft">{escape(", ".join(names))}</p>',
        contents(sections),
        *alerts,
        _cards(runs),
        *in_sections(sections, "plain"),
    ]
    write_text(target, PAGE.substitute(title=escape(f"{title} - cunet"), body="\n".join(body)))
    return target


def _settings(runs: Sequence[Run]) -> str:
    """The settings that differ, a column for each run."""
    rows = [(name, *values) for name, values in differing(runs).items()]
    if not rows:
        return "<p>The settings are the same in all runs.</p>"
    listed = table(rows, ("Setting", *(run.name for run in runs)), title="Settings that differ")
    return f'<div class="names">{listed}</div>'


def _cards(runs: Sequence[Run]) -> str:
    """The best run, where the runs may be ranked."""
    ranked = [run for run in runs if run.validated]
    if len(ranked) < 2 or not comparable(ranked):
        return ""
    best = min(ranked, key=lambda run: run.log.val_pixel_error.min())
    last = min(ranked, key=lambda run: run.log.val_pixel_error[-1])
    dice = max(ranked, key=lambda run: run.log.val_dice[-1])
    step = int(best.log.val_step[best.log.best])
    shown = [
        ("Lowest pixel error", number(last.log.val_pixel_error[-1]), f"{last.name}, last"),
        (
            "Lowest at any step",
            number(best.log.val_pixel_error.min()),
            f"{best.name}, step {step:,}",
        ),
        ("Highest Dice", number(dice.log.val_dice[-1]), f"{dice.name}, last"),
    ]
    return cards(shown, "main")


def _scores(runs: Sequence[Run]) -> str:
    head = ("Run", "Steps", "Pixel error, last", "best", "at step", "Dice, last", "best",
            "Validation loss, last", "best", "Training loss")  # fmt: skip
    rows = []
    for run in runs:
        log, row = run.log, [run.name, f"{run.done:,}"]
        if run.validated:
            step = f"{int(log.val_step[log.best]):,}"
            row += [number(log.val_pixel_error[-1]), number(log.val_pixel_error.min()), step]
            row += [number(log.val_dice[-1]), number(log.val_dice.max())]
            row += [f"{log.val_loss[-1]:.4g}", f"{log.val_loss.min():.4g}"]
        else:
            row += [NOTHING] * 7
        row.append(f"{smoothed(log.loss)[-1]:.4g}" if run.done else NOTHING)
        rows.append(row)
    text = (
        "On the slices held out, as logged by the validations: pixel error is 1 - the highest "
        "F-score over the thresholds, Dice the F-score at threshold 0.5. The best step is that of "
        "the lowest pixel error, whose network is best.npz; it was chosen on the same slices, so "
        "that figures to publish are those of the last step. Training loss: mean over the last "
        "steps."
    )
    return f"<p>{text}</p>\n{table(rows, head, title='Scores of the runs')}"


def _machines(runs: Sequence[Run]) -> str:
    rows, details = [], []
    for run in runs:
        env, row = run.environment, [run.name]
        took = np.diff(run.log.seconds, prepend=0)
        row.append(duration(run.log.seconds[-1]) if run.done else NOTHING)
        row.append(f"{np.median(took):.3g} s" if run.done else NOTHING)
        row.append(NOTHING if run.parameters is None else f"{run.parameters:,}")
        row += [str(env.get("device", NOTHING)), f"{env.get('threads', '?')}"]
        row.append(str(env.get("started", NOTHING)))
        rows.append(row)
        versions = ", ".join(f"{k} {v}" for k, v in env.get("versions", {}).items())
        details.append((run.name, str(env.get("platform", NOTHING)),
                        str(env.get("processors", NOTHING)), versions))  # fmt: skip
    head = ("Run", "Time", "A step, median", "Parameters", "Device", "Threads", "Started")
    more = table(details, ("Run", "Machine", "Processors", "Versions"), title="Machines")
    return table(rows, head, title="Time of the runs") + folded("Machines and versions", more)


def _links(runs: Sequence[Run], target: Path) -> str:
    """Each run with a link to its own report where there is one."""
    items = []
    for run in runs:
        page = run.path / REPORT
        name = f"<strong>{escape(run.name)}</strong>"
        if page.is_file():
            relative = os.path.relpath(page.resolve(), target.resolve().parent)
            href = quote(Path(relative).as_posix().encode("utf-8", "surrogateescape"))
            said = f'<a href="{href}">its report</a>'
        else:
            said = (
                f"no report yet: <code>{escape(shell_line(['cunet', 'report', run.path]))}</code>"
            )
        items.append(f"<li>{name}: {said}; data {escape(run.config.data)}</li>")
    return '<ul class="runs">' + "\n".join(items) + "</ul>"
