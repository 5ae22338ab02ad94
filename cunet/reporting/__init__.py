"""The report of a run: one HTML page that needs nothing but itself."""

from pathlib import Path

from cunet.checks import arguments, path
from cunet.files.atomic import write_text
from cunet.metrics.pixel import THRESHOLDS
from cunet.reporting import cells, classes
from cunet.reporting.alerts import alerts
from cunet.reporting.curves import curves, threshold_chart
from cunet.reporting.examples import section as examples
from cunet.reporting.facts import Facts, Found, collect
from cunet.reporting.isbi import DEFINITIONS as SCORE_DEFINITIONS
from cunet.reporting.isbi import section as score_section
from cunet.reporting.key_figures import section as key_figures
from cunet.reporting.page import DEFINITIONS, PAGE, RUN_DEFINITIONS, escape, table
from cunet.reporting.setup import settings, size_and_machine


@arguments(run=path)
def write_report(run: str | Path) -> Path:
    """Write RUN/report.html, replacing an older one; returns its path.

    The page needs no other file. The data set is read again, and the held-out slices are segmented
    with last.npz for scores and pictures; where that is not possible the page is made without them
    and says why. Raises CunetError where `run` is not a run folder, DeviceError where the disk has
    no room.

        path = cunet.report("runs/isbi2012-1")
    """
    facts = collect(run)
    name = facts.path.resolve().name
    sections = [
        _head(facts, name),
        key_figures(facts),
        _section("Scores", _scores(facts)),
        _section("Curves", curves(facts)),
        _section("Examples", examples(facts.found)),
        _section("Threshold", _threshold(facts.found)),
        _section("Settings", settings(facts.config)),
        _section("Size, time and machine", size_and_machine(facts)),
        _section("What the figures mean", _definitions(facts.found)),
    ]
    page = PAGE.substitute(title=escape(f"{name} - cunet report"), body="\n".join(sections))
    path = facts.path / "report.html"
    write_text(path, page)
    return path


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _head(facts: Facts, name: str) -> str:
    parts = [f"data {facts.config.data}"]
    if facts.data:
        parts.append(f"{facts.data.training} slices to train on, {facts.data.held_out} held out")
    if "started" in facts.environment:
        parts.append(f"started {facts.environment['started']}")
    lines = [f"<h1>{escape(name)}</h1>", f'<p class="soft">{escape("; ".join(parts))}</p>']
    marked = [*alerts(facts), *facts.remarks]
    return "\n".join(lines + [f'<p class="alert">{escape(one)}</p>' for one in marked])


def _scores(facts: Facts) -> str:
    found = facts.found
    if found is None:
        return ""
    if found.scores:
        return score_section(found.scores, found.data.held_out > 0, facts.step)
    content = ""
    if found.numbered:
        content = cells.section(found.slices, _which(facts, found), found.bowl) + "\n"
    elif found.several:
        names = found.data.dataset.class_names
        content = classes.section(found.slices, names, _which(facts, found)) + "\n"
    text = f"No scores of the ISBI 2012 challenge: {escape(found.unscored)}."
    return f'{content}<p class="soft">{text}</p>'


def _which(facts: Facts, found: Found) -> str:
    """Which slices the scores are of."""
    count = len(found.slices)
    kind = "held-out" if found.data.held_out else "training"
    text = f"{count} {kind} slice{'s' * (count > 1)}"
    if facts.config.resize:
        text += f", scaled to {facts.config.resize} x {facts.config.resize} pixels"
    if not found.data.held_out:
        text += ", which the network has seen"
    return f"{text}; last.npz, step {facts.step:,}"


def _threshold(found: Found | None) -> str:
    if found is None:
        return ""
    kind = "held-out" if found.data.held_out else "training"
    scores = found.counts.f_scores()
    rows = [(f"{t:.1f}", f"{f:.4f}") for t, f in zip(THRESHOLDS, scores, strict=True)]
    text = (
        f"F-score of white over {len(found.slices)} {kind} slices, last.npz. The best threshold is "
        f"{found.counts.best_threshold():.1f}: pixel error {found.counts.pixel_error():.4f}."
    )
    pair = threshold_chart(scores) + table(rows, ("Threshold", "F-score"))
    return f'<p>{text}</p>\n<div class="tables">{pair}</div>'


def _definitions(found: Found | None) -> str:
    scores = SCORE_DEFINITIONS
    if found and found.numbered:
        scores = cells.DEFINITIONS + cells.BOWL_DEFINITIONS * found.bowl
    elif found and found.several:
        scores = classes.DEFINITIONS
    terms = DEFINITIONS + scores + RUN_DEFINITIONS
    pairs = [f"<dt>{escape(a)}</dt>\n<dd>{escape(b)}</dd>" for a, b in terms]
    return "<dl>\n" + "\n".join(pairs) + "\n</dl>"
