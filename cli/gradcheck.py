"""`cunet gradcheck`: finite differences against every hand-written backward."""

import click

from cunet.cli import common


@click.command()
@click.option(
    "--depth", type=click.IntRange(1, 3), default=2, show_default=True, help="Poolings of the net."
)
@click.option(
    "--width",
    type=click.IntRange(1, 8),
    default=2,
    show_default=True,
    help="Channels of the net's first level.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="All random numbers follow from it.")  # fmt: skip
@click.option(
    "--limit", type=float, default=1e-6, show_default=True, help="Largest relative error."
)
@common.quiet_option
@common.json_option
def command(depth, width, seed, limit, quiet, as_json):
    """Check every gradient in float64: each operation, each algorithm, the whole net.

    The error of an array is ||a - n|| / (||a|| + ||n||), where a is the analytic gradient and n the
    numeric one. The exit code is 6 if an error is above the limit.

    \b
    Examples:
      cunet gradcheck
      cunet gradcheck --depth 3 --json
    """
    from itertools import chain

    from cunet.errors import CheckError
    from cunet.net.gradcheck import NETS, check_net, check_operations

    nets = (check_net(depth, width, seed, variant) for variant in NETS)
    results, heading = [], None
    for result in chain(check_operations(seed), *nets):
        results.append(result)
        if quiet or as_json:
            continue
        if result.name != heading:
            heading = result.name
            common.show(heading)
        mark = "ok" if result.error <= limit else "FAILED"
        shape = " x ".join(map(str, result.shape))
        common.show(
            f"    {result.array:<26}{shape:<18}{result.checked:>5} checked  "
            f"{result.error:.1e}  {mark}"
        )
    worst = max(results, key=lambda r: r.error)
    if as_json:
        common.print_json(
            {
                "limit": limit,
                "worst": worst.error,
                "passed": worst.error <= limit,
                "arrays": [vars(r) for r in results],
            }
        )
    # a NaN is above every limit
    failed = [r for r in results if not r.error <= limit]
    if failed:
        raise CheckError(
            f"gradient check: {len(failed)} of {len(results)} arrays exceed {limit:g}; first: "
            f"{failed[0].name}, {failed[0].array}: {failed[0].error:.1e}"
        )
    common.say(
        f"{len(results)} arrays, worst error {worst.error:.1e}, limit {limit:g}: "
        "all gradients agree",
        quiet,
    )
    common.next_command(common.LAST, quiet)
