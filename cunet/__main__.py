"""The command `cunet`; `python -m cunet` is the same."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is answered while its parts are still being loaded, too."""
    try:
        from cunet.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
