"""`python -m cunet` is the command line."""

from cunet.cli import main

main()
