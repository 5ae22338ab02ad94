"""The report of a run: one HTML page that needs nothing but itself."""

from pathlib import Path

from cunet.checks import arguments, path
from cunet.files.atomic import write_text
from cunet.metrics.pixel import THRESHOLDS
from cunet.reporting import cells, classes, isbi, terms
from cunet.reporting.alerts import alerts
from cunet.reporting.curves import curves, threshold_chart
from cunet.reporting.examples import section as examples
from cunet.reporting.facts import Facts, Found, Progress, collect, nothing
from cunet.reporting.key_figures import key_figures
from cunet.reporting.page import PAGE, escape, folded, table
from cunet.reporting.setup import settings, size_and_machine
from cunet.terminal import plural


@arguments(run=path)
def write_report(run: str | Path, progress: Progress = nothing) -> Path:
    """Write RUN/report.html, replacing an older one; returns its path.

    The page needs no other file. The data set is read again, and the held-out slices are segmented
    with last.npz for scores and pictures; where that is not possible the page is made without them
    and says why. progress(what is being done, how many are done, of how many) is called for every
    slice. Raises CunetError where `run` is no run folder, DeviceError where the disk has no room.

        path = cunet.report("runs/isbi2012-1")
    """
    write(run, progress)
    return Path(run) / "report.html"


def write(run: str | Path, progress: Progress = nothing) -> Facts:
    """The same; returns what the page shows."""
    facts = collect(run, progress)
    figures, found = key_figures(facts), facts.found
    sections = {
        "pictures": ("Pictures", examples(found)),
        "figures": ("More figures", figures.more),
        "scores": ("Scores", _scores(facts)),
        "curves": ("Curves", curves(facts)),
        "thresholds": ("Thresholds", _thresholds(found) if found else ""),
        "settings": ("Settings", settings(facts.config, facts.environment.get("command", []))),
        "size": ("Size, time and machine", size_and_machine(facts)),
        "meaning": ("What the figures mean", terms.section(found)),
    }
    shown = {name: section for name, section in sections.items() if section[1]}
    path = facts.path.resolve()
    name = "/".join(filter(None, (path.parent.name, path.name)))
    parts = [_head(facts, name), _contents(shown), _alerts(facts), figures.main]
    parts += [
        f'<section id="{name}">\n<h2>{title}</h2>\n{content}\n</section>'
        for name, (title, content) in shown.items()
    ]
    body = "\n".join(filter(None, parts))
    page = PAGE.substitute(title=escape(f"{name} - cunet report"), body=body)
    write_text(facts.path / "report.html", page)
    return facts


def _head(facts: Facts, name: str) -> str:
    parts = [f"data {facts.config.data}"]
    if facts.data:
        training = plural(facts.data.training, "slice")
        parts.append(f"{training} to train on, {facts.data.held_out or 'none'} held out")
    if model := vars(facts.config).get("from_model"):
        parts.append(f"trained from the weights of {model}")
    if "started" in facts.environment:
        parts.append(f"started {facts.environment['started']}")
    return f'<h1>{escape(name)}</h1>\n<p class="soft">{escape("; ".join(parts))}</p>'


def _contents(shown: dict[str, tuple[str, str]]) -> str:
    """The table of contents, a line of links."""
    links = [f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in shown.items()]
    return '<nav aria-label="On this page"><ul>' + "".join(links) + "</ul></nav>"


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


def _thresholds(found: Found) -> str:
    """What the choice of a threshold does, folded up."""
    scores, best = found.counts.f_scores(), found.counts.best_threshold()
    rows = [(f"{t:.1f}", f"{f:.4f}") for t, f in zip(THRESHOLDS, scores, strict=True)]
    charts = [threshold_chart(scores, found.foreground)]
    if found.scores:
        charts += isbi.charts(found.scores)
    drawn, pixel_error = "\n".join(charts), found.counts.pixel_error()
    text = f"F-score of {found.foreground} over {_slices(found)}, last.npz."
    if found.scores:
        text += " The best value of each score is marked."
    return folded(
        f"The best threshold is {best:.1f}: pixel error {pixel_error:.4f}",
        f'<p>{text}</p>\n<div class="charts">\n{drawn}\n'
        f"{table(rows, ('Threshold', 'F-score'))}</div>",
    )
