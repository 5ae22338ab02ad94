"""The command line: argument parsing and printing, one file per command.

Errors become one clean line and the exit code of their kind; see cunet/errors.py.
"""

import io
import sys
import traceback
from importlib import import_module

import click

from cunet.cli import common
from cunet.cli.commands import COMMANDS, file_of
from cunet.errors import CunetError, DeviceError, of_system
from cunet.process import limits, signals, streams
from cunet.terminal import printable, shell_line

LONGEST = 2000  # characters of an error


class Lazy(common.Group):
    """A group that imports a command's file only when that command is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return import_module(f"{__name__}.{file_of(name)}").command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cunet", message="cunet %(version)s")
def cli() -> None:
    """The original U-Net (Ronneberger, Fischer, Brox 2015), written by hand on arrays.

    \b
    Start here:
      cunet demo                              no data needed, about two minutes
      cunet train --data isbi2012/            learn from a folder of images and labels
      cunet segment big.tif --tile 572        apply what was learned

    \b
    The Tab key completes commands, options, choices and files after this line (in ~/.bashrc):
      eval "$(_CUNET_COMPLETE=bash_source cunet)"    zsh, in ~/.zshrc: with zsh_source
      _CUNET_COMPLETE=fish_source cunet | source     in ~/.config/fish/config.fish
    """


def main() -> None:
    """Run the command line and exit with the contract's code."""
    try:
        streams.prepare()
        signals.install()
        code = run()
    except KeyboardInterrupt:  # while an error was being printed
        code = 130
    signals.ignore()
    streams.finish()
    limits.finished(code)
    sys.exit(code)


def run() -> int:
    """Run the command line; returns the exit code."""
    try:
        limits.prepare()
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except SystemExit:  # click's answer to EPIPE
        if len(sys.argv) == 1 or limits.ONLY_WORDS & set(sys.argv):
            return 0  # the reader of its help has left
        return failed(DeviceError("a file could not be written: the reader of a pipe has left"))
    except click.ClickException as error:
        streams.message(usage(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # click takes it for an interruption
            return bug()
        streams.message("interrupted")
        return 130
    except CunetError as error:
        return failed(error)
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        line = shell_line(["cunet", *sys.argv[1:]])
        advice = "use a smaller --tile or --width, or fewer --threads"
        return failed(DeviceError(f"out of memory{why} in {line}; {advice}"))
    except OSError as error:
        return failed(of_system(error))
    except Exception as error:
        if (known := limits.explained(error)) is not None:
            return failed(known)
        return bug()


def bug() -> int:
    """Print what went wrong in cunet itself; returns the exit code."""
    for line in traceback.format_exc().splitlines():
        streams.message(printable(line))
    streams.message("This is a bug in cunet; please report the lines above.")
    return 1


def failed(error: CunetError) -> int:
    """Print an error, after what was noted beside it; returns its exit code."""
    for note in getattr(error, "__notes__", ()):
        for line in note.splitlines():
            streams.message(printable(line))
    text = printable(error)
    if len(text) > LONGEST:  # it repeats a value from a file
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"
    streams.message(f"Error: {text}")
    return error.exit_code


def usage(error: click.ClickException) -> str:
    """What click prints of wrong usage; names and values that it repeats are made printable."""
    text = io.StringIO()
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    message = printable(error.format_message())
    error.format_message = lambda: message  # type: ignore[method-assign]
    error.show(text)
    return text.getvalue().rstrip("\n")
