"""`cunet paper`: the paper's claims against a cross-validation."""

import click

from cunet.cli import common


@click.command()
@click.argument("folder", metavar="CROSSVAL", type=common.PATH)
@click.option("-o", "--out", type=common.PATH, help="The page (default: CROSSVAL/paper.html).")
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(folder, out, overwrite, quiet, as_json):
    """The paper's claims beside a run of one's own, as a page: network, recipe, scores, cost.

    CROSSVAL is a finished folder of `cunet crossval`. A network like its own is made and checked
    against the paper's Fig. 1, its settings are compared with what the paper states, and its scores
    stand beside Table 1 where the data are those of the ISBI 2012 challenge. Everything is computed
    when it is shown. --json prints the same as a document; it writes a page only with -o.

    \b
    Examples:
      cunet paper runs/isbi2012-crossval-1
      cunet paper runs/isbi2012-crossval-1 -o page.html --overwrite
      cunet paper runs/isbi2012-crossval-1 --json
    """
    from cunet.claims import paper

    page = None if as_json and out is None else paper.page_path(folder, out)
    if page is not None:
        common.refuse_existing(page, overwrite)
    with common.busy("checking the network and reading the runs", quiet):
        document = paper.document(folder)
    common.notes((f"warning: {problem}" for problem in document["problems"]), quiet)
    if page is not None:
        with common.claimed(page, overwrite):
            paper.write(document, page)
    if as_json:
        common.print_json(document)
    elif not quiet:
        common.show(str(page))
    common.next_command(["explain", "--model", document["first_run"]], quiet)
