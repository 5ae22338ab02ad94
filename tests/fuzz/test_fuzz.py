"""Hostile and damaged inputs of every kind: cunet makes sound products of them or says what is
wrong, and leaves nothing behind. 300 of each kind by default; `pytest -m fuzz` tries 10,000 others
of each, or CUNET_FUZZ_CASES of them, from CUNET_FUZZ_SEED (1)."""

import os
import sys

import pytest
from fuzzer.kinds import KINDS
from fuzzer.search import search

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


def assert_nothing_found(kind, seed, cases):
    findings, codes = search(kind, seed, cases)
    print(f"{kind}, seed {seed}: {cases} cases, exit codes {dict(sorted(codes.items()))}")
    assert codes["0"] > cases / 20
    assert codes["0"] < cases or kind == "calibration"  # decoration is hardly ever refused
    shown = "\n\n".join(map(str, findings[:20]))
    assert not findings, f"{len(findings)} findings in {cases} cases of {kind}:\n{shown}"


@pytest.mark.parametrize("kind", KINDS)
def test_some_of_each_kind(kind):
    assert_nothing_found(kind, 0, 300)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_many_of_each_kind(kind):
    seed, cases = (int(os.environ.get(f"CUNET_FUZZ_{name}", usual))
                   for name, usual in (("SEED", 1), ("CASES", 10_000)))  # fmt: skip
    assert_nothing_found(kind, seed, cases)
