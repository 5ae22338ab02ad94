"""`cunet lesson`: backpropagation and the U-Net, one lesson after the other."""

import click
from click.shell_completion import CompletionItem

from cunet.cli import common
from cunet.lessons import LESSONS


class Name(click.ParamType):
    """A lesson's name, or its number; a shell completes names."""

    name = "lesson"

    def convert(self, value, option, context):
        return int(value) if value.isdecimal() and len(value) < 9 else value

    def shell_complete(self, context, option, incomplete):
        names = [name for name in LESSONS if name.startswith(incomplete)]
        return [CompletionItem(name, help=LESSONS[name]) for name in names]


@click.command()
@click.argument("name", required=False, type=Name())
@click.option("--answer", is_flag=True, help="The exercise of the lesson, with its answer.")
@common.quiet_option
def command(name, answer, quiet):
    """Lessons, from one convolution to the whole network; without NAME, which there are.

    Each is a page to read: the formula, an example small enough to check by hand, backward line by
    line, a check by finite differences, and an exercise. All numbers are computed when it is shown.
    No data and no other file are needed.

    \b
    Examples:
      cunet lesson
      cunet lesson conv
      cunet lesson conv --answer
      cunet lesson 2 | less
    """
    if name is None:
        for number, (name, title) in enumerate(LESSONS.items(), 1):
            common.show(f"{number:3}  {name:<18} {title}")
        common.next_command("cunet lesson conv", quiet)
        return
    from cunet.lessons.lesson import lesson

    found = lesson(name, answer)
    common.show(str(found))
    if not answer:
        common.next_command(f"cunet lesson {found.name} --answer", quiet)
    elif found.number < len(LESSONS):
        common.next_command(f"cunet lesson {[*LESSONS][found.number]}", quiet)
