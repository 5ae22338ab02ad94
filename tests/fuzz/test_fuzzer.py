"""The fuzzer itself: it finds faults that are planted, and only those."""

import sys
import zlib

import pytest
from fuzzer import png
from fuzzer.case import Finding
from fuzzer.search import nursery, search
from planted import FAULTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


@pytest.fixture(scope="module")
def planted():
    return search("planted:Planted", 266, 40)  # of seeds one that comes to every fault early


def test_every_planted_fault_is_found(planted):
    findings, codes = planted
    assert sum(codes.values()) == 40
    for story, (_, sort) in FAULTS.items():
        assert sort in {f.sort for f in findings if f.story == story} or sort is None, story


def test_nothing_else_is_found(planted):
    along = {"exit code": ["no error line"], "disk": ["nameless", "leftover"]}  # wrong twice
    for finding in planted[0]:
        sort = FAULTS[finding.story][1]
        assert finding.sort == sort or finding.sort in along.get(sort, []), finding


@pytest.mark.parametrize(
    ("kind", "cases", "found"),
    [
        ("planted:ShiftedRows", 40, "not those that others read"),
        ("planted:UncheckedWeights", 200, "not finite"),
        ("planted:HalfSizes", 40, "pixel size along X"),
    ],
)
def test_wrong_results_are_found(kind, cases, found):
    findings, _ = search(kind, 0, cases)
    assert sum(found in finding.found for finding in findings if finding.sort == "silent") > 3


def test_a_finding_says_how_to_try_it_again():
    text = str(Finding("images", 3, 17, "hang", "stopped", "cut", ("segment", "a.tif")))
    assert "alone.py images 17 --seed 3" in text and "cunet segment a.tif" in text


def test_a_case_does_not_depend_on_where_and_when_it_is_made(tmp_path):
    files, folders = [], [tmp_path / name for name in ("one", "a-folder-of-another-name")]
    for process in [nursery("runs", 0, 5, 1, str(folder)) for folder in folders]:
        out, err = process.communicate()
        assert not err and '"story"' in out
    for folder in folders:
        made = folder / "files"
        files.append({p.relative_to(made): p.read_bytes() for p in made.rglob("*") if p.is_file()})
    assert files[0] == files[1] != {}


def test_unsound_pngs_are_known(tmp_path):
    good = png.png_of(
        [(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0"), (b"IDAT", zlib.compress(b"\0\7"))]
    )
    assert png.unsound(good) == ""
    place = good.index(b"IDAT") + 6
    broken = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    assert png.unsound(good + b"\0\0\1\0tEXtcut") == ""
    assert "check sum" in png.unsound(broken) and "cut" in png.unsound(good[:-9])
