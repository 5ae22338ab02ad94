"""The paper's experiment on EM stacks: its Table 1, and beside it a cross-validation of cunet.

    python examples/paper.py --data isbi2012/            trains and scores five folds first
    python examples/paper.py runs/isbi2012-crossval-1    shows one that `cunet crossval` has made

A folder as the first argument is shown; all other arguments go to `cunet crossval`: --preset paper
on a GPU, --jobs 2, --seeds 2, --seeds-of first, --resume DIR. The labels of the challenge's test
set were never published, so nobody can repeat the paper's measurement. The table is followed by
what differs.
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from cunet.claims.differences import protocol
from cunet.claims.facts import TABLE_1
from cunet.crossvalidation.protocol import caption, scored
from cunet.crossvalidation.spread import completed, rows

SCORES = ("warping_error", "rand_error", "pixel_error", "v_rand", "v_info")
COLUMNS = ("", "warping error", "Rand error", "pixel error", "V_Rand", "V_Info")


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    if Path(arguments[0]).is_dir():
        path = Path(arguments[0]) / "metrics.json"
        if (path.parent / "crossval.toml").is_file() and not path.is_file():
            sys.exit(f"'{path}' is not there yet; finish it: cunet crossval --resume {path.parent}")
        if not path.is_file():
            sys.exit(f"'{path.parent}' is no cross-validation; did you mean --data {path.parent} ?")
        document = json.loads(path.read_text(encoding="utf-8"))
    else:
        document = cross_validate(arguments)
    if "limits" not in document:  # of an ordinary run
        sys.exit("this is not a finished cross-validation; nothing to put beside Table 1")
    print(table(completed(document)))


def cross_validate(arguments: list[str]) -> dict:
    """Run `cunet crossval` with these arguments; returns its document."""
    # -P: the installed package, not the folder that this may be called from
    command = [sys.executable, "-P", "-m", "cunet", "crossval", *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while True:
            try:
                printed, _ = process.communicate()
                break
            except KeyboardInterrupt:  # the process got it too: it saves and prints how to resume
                continue
    if process.returncode or {"-n", "--dry-run"} & set(arguments):
        sys.exit(process.returncode)
    return json.loads(printed)


def table(document: dict) -> str:
    """Table 1 and the cross-validation as Markdown, and what differs."""
    if document["limits"] is not None:
        sys.exit(f"Table 1 needs all of the challenge's scores, but {document['limits']}")
    lines = [row(COLUMNS), row(["---"] * len(COLUMNS))]
    lines += [row([name, f"{warping:.6f}", f"{rand:.4f}", f"{pixel:.4f}", "", ""])
              for name, warping, rand, pixel in TABLE_1]  # fmt: skip
    for average in dict.fromkeys((document["average"], "none")):
        views = "one view" if average == "none" else f"averaged ({average})"
        for number, (name, mean, sd) in enumerate(rows(document)):
            name = f"{name}, {views}" if number else f"**cunet, {name}**, {views}"
            lines.append(row([name, *with_spread(mean and mean[average], sd[average])]))
        stack = document["stack"][average]
        lines.append(row([f"all held-out slices as one stack, {views}", *numbers(stack)]))
    text = f"{caption(document, document['average'])}. Scored: {scored(document['scored'])}."
    lines += ["", textwrap.fill(text, 98)]
    differences = [textwrap.fill(f"- {text}", 98, subsequent_indent="  ")
            for text in protocol(document)]  # fmt: skip
    return "\n".join([*lines, "", "What differs from Table 1:", *differences])


def row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def numbers(scores: dict) -> list[str]:
    return ["" if scores[key] is None else f"{scores[key]:.{6 if key == 'warping_error' else 4}f}"
            for key in SCORES]  # fmt: skip


def with_spread(mean: dict | None, sd: dict) -> list[str]:
    means = numbers(mean) if mean else [""] * len(SCORES)
    return [f"{a} ± {b}".strip() if b else a for a, b in zip(means, numbers(sd), strict=True)]


if __name__ == "__main__":
    main()
