"""The report of a run, or of several side by side: one HTML page that needs nothing but itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from cunet.checks import arguments, callback, flag, path
from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.reporting import cells, classes, isbi, terms, thresholds
from cunet.reporting.alerts import alerts
from cunet.reporting.comparison import write_comparison
from cunet.reporting.curves import curves
from cunet.reporting.examples import section as examples
from cunet.reporting.facts import Facts, Found, Progress, collect, nothing
from cunet.reporting.key_figures import key_figures
from cunet.reporting.page import PAGE, REPORT, contents, escape, in_sections
from cunet.reporting.setup import settings, size_and_machine
from cunet.reporting.trained_on import section as trained_on
from cunet.terminal import plural


def one_or_several(name: str, value: Any) -> Any:
    """The folder of a run, or a list of such."""
    if isinstance(value, list | tuple):
        return [path(f"{name}[{i}]", one) for i, one in enumerate(value)]
    return path(name, value)


@arguments(run=one_or_several, progress=callback, out=path, overwrite=flag)
def write_report(
    run: str | Path | Sequence[str | Path],
    progress: Progress = nothing,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write RUN/report.html, replacing an older one; or of several runs a page that compares them,
    `out`, which is compare.html in the current folder by default. Returns its path.

    The page needs no other file. The data set of one run is read again, and the held-out slices are
    segmented with last.npz for scores and pictures; where that is not possible the page is made
    without them and says why. Several runs are compared from their folders alone. progress(what is
    being done, how many are done, of how many) is called for every slice; overwrite: whether a page
    `out` that exists is replaced. Raises CunetError where `run` is no run folder, is named twice,
    or `out` exists, DeviceError where the disk has no room.

        path = cunet.report("runs/isbi2012-1")
        page = cunet.report(["runs/isbi2012-1", "runs/isbi2012-2"], out="wider.html")
    """
    if isinstance(run, list | tuple):
        return write_comparison(run, out, overwrite)
    if out is not None:
        raise CunetError(
            f"out: the report of one run is report.html in its folder, found '{out}'; name several "
            "runs to compare them there"
        )
    write(cast("str | Path", run), progress)
    return Path(cast("str | Path", run)) / REPORT


def write(run: str | Path, progress: Progress = nothing) -> Facts:
    """The report of one run; returns what the page shows."""
    facts = collect(run, progress)
    figures, found = key_figures(facts), facts.found
    sections = {
        "pictures": ("Pictures", examples(found)),
        "figures": ("More figures", figures.more),
        "scores": ("Scores", _scores(facts)),
        "curves": ("Curves", curves(facts)),
        "thresholds": ("Thresholds", thresholds.section(found, _slices(found)) if found else ""),
        "training": ("What it was trained on", trained_on(facts.trained_on, facts.config)),
        "settings": ("Settings", settings(facts.config, facts.environment.get("command", []))),
        "size": ("Size, time and machine", size_and_machine(facts)),
        "meaning": ("What the figures mean", terms.section(found)),
    }
    shown = {name: section for name, section in sections.items() if section[1]}
    path = facts.path.resolve()
    name = "/".join(filter(None, (path.parent.name, path.name)))
    parts = [_head(facts, name), contents(shown), _alerts(facts), figures.main]
    body = "\n".join(filter(None, [*parts, *in_sections(shown)]))
    page = PAGE.substitute(title=escape(f"{name} - cunet report"), body=body)
    write_text(facts.path / REPORT, page)
    return facts


def _head(facts: Facts, name: str) -> str:
    parts = [f"data {facts.config.data}"]
    if facts.data:
        training = plural(facts.data.training, "slice")
        parts.append(f"{training} to train on, {facts.data.held_out or 'none'} held out")
    if facts.config.from_model is not None:
        parts.append(f"trained from the weights of {facts.config.from_model}")
    if "started" in facts.environment:
        parts.append(f"started {facts.environment['started']}")
    return f'<h1>{escape(name)}</h1>\n<p class="soft">{escape("; ".join(parts))}</p>'


def _alerts(facts: Facts) -> str:
    marked = [*alerts(facts), *facts.remarks]
    return "\n".join(f'<p class="alert">{escape(one)}</p>' for one in marked)


def _scores(facts: Facts) -> str:
    found = facts.found
    if found is None:
        return ""
    if found.scores:
        return isbi.section(found.scores, found.data.held_out > 0, facts.step)
    if found.numbered:
        return cells.section(found.slices, _which(facts, found), found.bowl)
    if found.several:
        names = found.data.dataset.class_names
        return classes.section(found.slices, names, _which(facts, found))
    return f"<p>No scores of the ISBI 2012 challenge: {escape(found.unscored)}.</p>"


def _which(facts: Facts, found: Found) -> str:
    """Which slices the scores are of."""
    text = _slices(found)
    if facts.config.resize:
        text += f", scaled to {facts.config.resize} x {facts.config.resize} pixels"
    return f"{text}; last.npz, step {facts.step:,}"


def _slices(found: Found) -> str:
    return plural(len(found.slices), f"{'held-out' if found.data.held_out else 'training'} slice")
