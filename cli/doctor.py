"""`cunet doctor`: whether this installation and the GPU work."""

import click

from cunet.cli import common


@click.command()
@common.quiet_option
@common.json_option
def command(quiet, as_json):
    """Try what cunet needs: Python, BLAS, a convolution, and CuPy with the GPU if there is one.

    Whatever is wrong comes with the command that fixes it. Exit code 0: all that is installed works
    (a machine without a GPU is fine); 4: something installed is broken.

    \b
    Example:
      cunet doctor
    """
    from cunet.doctor import examine, healthy
    from cunet.doctor.finding import BROKEN, OK

    findings = examine()
    well = healthy(findings)
    if as_json:
        # the key "mend" is what programs read since the first version
        listed = [
            {"name": one.name, "state": one.state, "found": one.found, "mend": one.fix}
            for one in findings
        ]
        common.print_json({"healthy": well, "findings": listed})
    else:
        for one in findings:
            if not quiet or one.state == BROKEN:
                common.show(f"{one.state:<7} {one.name:<16} {one.found}")
                if one.fix and one.state != OK:
                    common.show(f"{'':<24} fix:  {one.fix}")
    fixes = [one.fix for one in findings if one.state == BROKEN and one.fix]
    commands = [fix for fix in fixes if not fix.startswith("use ")]  # the others are advice
    common.next_command(commands[0] if commands else "cunet demo", quiet)
    return 0 if well else 4
