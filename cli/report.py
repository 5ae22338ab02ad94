"""`cunet report`: the HTML page of a run, or of several beside each other."""

from pathlib import Path

import click

from cunet.cli import common


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="Page of several runs (default: compare.html).")  # fmt: skip
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(runs, out, overwrite, quiet, as_json):
    """Write RUN/report.html: figures, curves, pictures and settings of a run on one page.

    The page needs no other file and no network. The held-out slices are segmented once more with
    last.npz for the scores and pictures; if the data are gone, the page is made without them and
    says so. An older report of the run is replaced. Several runs are compared on one page: curves,
    settings, scores, time and machines.

    \b
    Examples:
      cunet report runs/isbi2012-1
      cunet report runs/isbi2012-1 runs/isbi2012-2 -o wider.html
    """
    from cunet.reporting import write_report
    from cunet.segmentation.next_command import segment_command
    from cunet.training.run_folder import read_settings

    if len(runs) == 1 and out is None:
        path, said = common.report(runs[0], quiet), {"run": runs[0]}
    else:
        out, said = out or Path("compare.html"), {"runs": [*runs]}
        with common.claimed(out, overwrite):
            path = write_report(runs[0] if len(runs) == 1 else [*runs], out=out, overwrite=True)
    if as_json:
        common.print_json(said | {"report": str(path)})
    elif not quiet:
        common.show(str(path))
    common.next_command(segment_command(read_settings(runs[0]).get("data", ""), runs[0]), quiet)
