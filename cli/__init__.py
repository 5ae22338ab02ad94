"""The command line: argument parsing and printing, one file per command.

Errors become one clean line and the exit code of their kind; see cunet/errors.py.
"""

import errno
import signal
import sys
import traceback
from importlib import import_module

import click

COMMANDS = {
    "train": "train a network on a folder of images and labels",
    "crossval": "train and score every fold of a data set",
    "segment": "segment images of any size with a trained network",
    "evaluate": "score a segmentation against the truth",
    "explain": "the network as a table: sizes, parameters, memory",
    "gradcheck": "check every hand-written gradient by finite differences",
    "weights": "write the weight map of a label image",
    "augment": "show sixteen augmented training samples",
    "report": "make the HTML page of a run",
    "bench": "measure the speed of this machine, alone or beside PyTorch",
    "demo": "try everything on synthetic data: a small net and a report",
    "doctor": "check this installation and the GPU",
}


class Lazy(click.Group):
    """A group that imports a command's file only when that command is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return import_module(f"{__name__}.{name}").command

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
    """


def _terminate(number: int, frame: object) -> None:
    """SIGTERM ends a command like Ctrl-C, so that nothing half-written is left."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit with the contract's code."""
    from cunet.errors import CunetError

    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except CunetError as error:
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code
    except MemoryError as error:
        click.echo(f"Error: out of memory ({error}); use a smaller --tile or --width", err=True)
        code = 4
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone, so nobody would see a message
        code = 0
    except OSError as error:
        click.echo(f"Error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        code = 4 if error.errno in (errno.ENOSPC, errno.EIO) else 2
    except Exception:
        traceback.print_exc()
        click.echo("This is a bug in cunet; please report the lines above.", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
