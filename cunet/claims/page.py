"""The page of `cunet paper`: five sections, made of the document alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cunet.claims import facts
from cunet.claims.differences import DIGITS, NAMES
from cunet.claims.recipe import DIFFERS
from cunet.crossvalidation.protocol import VIEWS, scored
from cunet.crossvalidation.spread import rows as spreads
from cunet.reporting.page import (
    PAGE,
    cards,
    contents,
    duration,
    escape,
    folded,
    in_sections,
    table,
)
from cunet.terminal import plural

TEST_SET = (
    "The paper's figures are those of the challenge's hidden test stack. Held-out slices of the "
    "training stack are not that test set: they come from the same tissue as the slices beside "
    "them, which were trained on. The figures stand side by side, and are not a ranking."
)


def html(found: Mapping[str, Any]) -> str:
    """The whole page."""
    sections = {
        "architecture": ("Architecture", _architecture(found)),
        "recipe": ("Recipe", _recipe(found)),
        "scores": ("Scores", _scores(found)),
        "cost": ("Cost", _cost(found)),
        "differences": ("What differs, and why", _differences(found)),
    }
    name = Path(found["crossval"]).resolve().name
    parts = [
        f'<h1>The paper, and {escape(name)}</h1>\n<p class="soft">U-Net: Convolutional Networks '
        "for Biomedical Image Segmentation (Ronneberger, Fischer, Brox 2015) beside a "
        f"cross-validation of {escape(found['protocol']['data'])}</p>",
        contents(sections),
        *(f'<p class="alert">{escape(one)}</p>' for one in found["problems"]),
        _summary(found),
        *in_sections(sections),
    ]
    return PAGE.substitute(title=escape(f"{name} - the paper's claims"), body="\n".join(parts))


def _summary(found: Mapping[str, Any]) -> str:
    checks, recipe = found["architecture"], found["recipe"]
    stated = [one for one in recipe if one["statement"]["status"] != facts.SILENT]
    same = sum(one["verdict"] != DIFFERS for one in stated)
    average = found["protocol"]["average"]
    error = found["scores"]["mean"][average]["pixel_error"]
    theirs = next((row["pixel_error"] for row in found["table_1"] or () if row["name"] == "u-net"),
                  None)  # fmt: skip
    return cards(
        [
            ("Architecture", f"{sum(one['holds'] for one in checks)} of {len(checks)}", "hold"),
            ("Recipe", f"{same} of {len(stated)}", "as the paper"),
            (
                "Pixel error",
                _score("pixel_error", error),
                f"held out; the paper's test set: {theirs}" if theirs else "held out",
            ),
        ],
        "main",
    )


def _compared(
    entries: Sequence[Mapping[str, Any]], verdicts: Sequence[str], differs: str, here: str
) -> str:
    """Statements of the paper beside what was found, those marked whose verdict is `differs`."""
    rows, marked = [], []
    for one, verdict in zip(entries, verdicts, strict=True):
        statement = one["statement"]
        place = statement["where"] and f"section {statement['where']}".replace("section Fig", "Fig")
        follows = ["follows from"] if statement["status"] == facts.FOLLOWS else []
        where = " ".join([*follows, place])
        says = f"{statement['says']} ({where})" if where else statement["says"]
        rows.append((statement["name"], one["found"], says, verdict))
        marked += [statement["name"]] if verdict == differs else []
    return f'<div class="plain claims">{table(rows, ("", here, "The paper", ""), marked)}</div>'


def _architecture(found: Mapping[str, Any]) -> str:
    checks = found["architecture"]
    verdicts = ["holds" if one["holds"] else DIFFERS for one in checks]
    return (
        "<p>A network of this run's shape was made anew, with the run's seed, and looked at: its "
        "filters, and one pass of noise through it. Marked is what differs.</p>\n"
        + _compared(checks, verdicts, DIFFERS, "This network")
    )


def _recipe(found: Mapping[str, Any]) -> str:
    recipe = found["recipe"]
    return (
        "<p>What the paper states of its training beside the settings of this one, as they were "
        "resolved. Marked is what differs; where the paper is silent the value is this package's."
        "</p>\n" + _compared(recipe, [one["verdict"] for one in recipe], DIFFERS, "This run")
    )


def _score(key: str, value: float) -> str:
    return f"{value:.{DIGITS.get(key, 4)}f}" if value == value else "undefined"


def _scores(found: Mapping[str, Any]) -> str:
    scores, protocol = found["scores"], found["protocol"]
    average, views = protocol["average"], [*scores["mean"]]
    keys = [key for key in NAMES if key in scores["mean"][average]]

    def spread(mean: Mapping[str, Any] | None, sd: Mapping[str, Any], view: str) -> list[str]:
        means = [_score(key, mean[view][key]) if mean else "" for key in keys]
        sds = [f"± {_score(key, sd[view][key])}" if sd[view][key] == sd[view][key] else ""
               for key in keys]  # fmt: skip
        return [" ".join(filter(None, both)) for both in zip(means, sds, strict=True)]

    rows: list[list[str]] = []
    for row in found["table_1"] or ():
        known = [_score(key, row[key]) if key in row else "" for key in keys]
        where = "paper" + ", test set" * (row["name"] != "human values")
        rows.append([f"{row['name']} ({where})", *known])
    for view in reversed(views):
        for name, mean, sd in spreads(scores):
            rows.append([f"{name}, {VIEWS[view]}", *spread(mean, sd, view)])
        stack = scores["stack"][view]
        first = f" of seed {scores['runs'][0]['seed']}" if scores["seeds"] else ""
        rows.append([f"all {protocol['slices']} slices as one stack{first}, {VIEWS[view]}",
                     *(_score(key, stack[key]) for key in keys)])  # fmt: skip
    head = ("", *(NAMES[key] for key in keys))
    if found["table_1"]:
        notes = [TEST_SET, *filter(None, [found["data_doubt"]])]
    else:
        notes = [f"The paper's Table 1 is not shown: {found['why_no_table_1']}."]
    each = [
        [run["run"], ", ".join(map(str, run["held_out"])), _objects(run.get("scored")),
         *(_score(k, run[average][k]) for k in keys)]
        for run in scores["runs"]
    ]  # fmt: skip
    held_out = table(each, ("Run", "Slices held out", "Objects", *head[1:]), title="Every run")
    counts = protocol["scored"]
    text = (
        f"{protocol['said'][average]}. Scored: {scored(counts)}{_counted(counts)}. No network had "
        f"seen the slices that it is scored on. Views: {protocol['views']}. sd is the standard "
        "deviation of a sample (n - 1). Errors are better low, V_Rand, V_Info and Dice better high."
    )
    parts = [f'<p class="alert">{escape(one)}</p>' for one in notes] + [f"<p>{escape(text)}</p>"]
    parts.append(f'<div class="plain">{table(rows, head, title="Scores")}</div>')
    parts.append(folded(f"Every run, {VIEWS[average]}", f'<div class="plain">{held_out}</div>'))
    return "\n".join(parts)


def _objects(counts: Mapping[str, Any] | None) -> str:
    return f"{counts['objects']:,}" if counts else "not counted"


def _counted(counts: Mapping[str, Any]) -> str:
    """What an object is, in brackets."""
    if counts["objects"] is None:
        return " (objects were not counted; resume the cross-validation, which counts them)"
    return f" ({counts['objects_are']})"


def _cost(found: Mapping[str, Any]) -> str:
    cost = found["cost"]
    seconds = [*cost["seconds"].values()]
    machine = ", ".join(
        str(part)
        for part in (
            cost["device"],
            cost["precision"],
            cost["platform"],
            f"{cost['processors']} processors" if cost["processors"] else None,
        )
        if part
    )
    each = f"{duration(min(seconds))} to {duration(max(seconds))}"
    rows = [
        ("The paper", cost["paper"]),
        ("A run here", f"{each}; {plural(cost['steps'], 'step')}"),
        (f"All {len(seconds)} runs", duration(cost["seconds_in_all"])),
        ("A step", duration(sum(seconds) / len(seconds) / cost["steps"])),
        ("Machine", machine),
    ]
    own = [(name, duration(one)) for name, one in cost["seconds"].items()]
    return table(rows) + "\n" + folded("Every run", table(own))


def _differences(found: Mapping[str, Any]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(one)}</li>" for one in found["differences"]) + "</ul>"
