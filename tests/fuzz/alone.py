"""One case of the fuzzer again: makes its files, says what they are, runs and judges them.

    python tests/fuzz/alone.py images 17 --seed 0

The files stay, in --into or a new folder, to be looked at and run by hand.
"""

import argparse
import json
import shlex
import tempfile
from pathlib import Path

from fuzzer.case import Finding
from fuzzer.kinds import KINDS
from fuzzer.search import nursery


def main() -> None:
    parser = argparse.ArgumentParser(description="One case of the fuzzer again.")
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("number", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, help="a new folder for its files")
    given = parser.parse_args()
    into = given.into or Path(tempfile.mkdtemp(prefix=f"fuzz-{given.kind}-{given.number}-"))
    process = nursery(given.kind, given.seed, given.number, 1, str(into.resolve()))
    out, err = process.communicate()
    print(err, end="")
    *found, codes, case = map(json.loads, out.splitlines())
    print(case["story"], f"cd {into / 'files'} && cunet {shlex.join(case['command'])}", sep="\n")
    print(f"exit {', '.join(codes['codes'])}: {len(found)} findings")
    for one in found:
        print(Finding(**one))


if __name__ == "__main__":
    main()
