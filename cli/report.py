"""`cunet report`: the HTML page of a run."""

import click

from cunet.cli import common


@click.command()
@click.argument("run", type=click.Path())
@common.quiet_option
@common.json_option
def command(run, quiet, as_json):
    """Write RUN/report.html: figures, curves, pictures and settings of a run on one page.

    The page needs no other file and no network. The held-out slices are segmented once more with
    last.npz for the scores and pictures; if the data are gone, the page is made without them and
    says so. An older report of the run is replaced.

    \b
    Example:
      cunet report runs/isbi2012-1
    """
    from cunet.training.run_folder import read_settings

    path = common.report(run, quiet)
    if as_json:
        common.print_json({"run": str(run), "report": str(path)})
    elif not quiet:
        common.show(str(path))
    data = read_settings(run).get("data", "")
    common.next_command(common.segment_command(data, str(run)), quiet)
