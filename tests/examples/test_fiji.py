"""The script and the macro for Fiji: the script runs here with doubles of ImageJ's classes and the
real cunet; both are held against the options that `cunet segment` has."""

import ast
import os
import re
import sys
from pathlib import Path

import imagej_double
import numpy as np
import pytest
import tifffile
from example_scripts import EXAMPLES, example

import cunet
from cunet.cli.segment import command
from cunet.segmentation.how import PRODUCTS
from cunet.segmentation.views import AVERAGES

SCRIPT = EXAMPLES / "fiji" / "segment_with_cunet.py"
MACRO = EXAMPLES / "fiji" / "Segment_with_cunet.ijm"


@pytest.fixture
def script():
    return example("fiji/segment_with_cunet.py")


@pytest.fixture
def imagej(monkeypatch, tmp_path):
    """ "ImageJ", with cunet's path and a small model remembered, and temporary files of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(imagej_double.tempfile, "tempdir", str(tmp_path))
    state = imagej_double.install(monkeypatch)
    net = cunet.UNet(width=2, depth=1, seed=3)
    cunet.save(tmp_path / "klein ü.npz", net)
    program = tmp_path / "cunet of mine"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m cunet "$@"\n')
    program.chmod(0o755)
    state.prefs |= {"cunet.path": str(program), "cunet.model": str(tmp_path / "klein ü.npz")}
    return state


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


needs_sh = pytest.mark.skipif(os.name == "nt", reason="cunet is started through a script of sh")


@needs_sh
def test_a_file_is_segmented_and_what_is_made_is_opened(script, imagej, tmp_path):
    path = tmp_path / "Zellen ü 1.tif"
    tifffile.imwrite(path, noise(2, 40, 50), imagej=True, metadata={"axes": "ZYX"})
    imagej.front = imagej.open(path)
    imagej.prefs["cunet.products"] = "prob,mask,labels,rois,table"
    imagej.dialog["Threshold"] = 0.4
    script.main()
    assert imagej.errors == []
    start = str(tmp_path / "Zellen ü 1")
    titles = [image.title for image in imagej.shown]
    assert titles == [f"Zellen ü 1_{kind}.tif" for kind in ("prob", "mask", "labels")]
    assert imagej.rois == [start + "_rois.zip"]
    ((title, rows),) = imagej.tables
    assert title == "Zellen ü 1_table.csv" and rows[0].startswith("page,label,area")
    prob, mask, _ = (image.pages for image in imagej.shown)
    np.testing.assert_array_equal(mask == 255, prob > np.float32(0.4))
    assert imagej.prefs["cunet.threshold"] == "0.4"  # for the next time
    assert imagej.statuses[-1] == "cunet: done"
    assert not any(os.path.exists(path) for path in imagej.temporary)


@pytest.mark.parametrize("why", ["never saved", "changed", "another size", "not a TIFF"])
def test_what_is_not_on_the_disk_as_shown_is_saved_first(script, imagej, tmp_path, why):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(40, 50))
    image = imagej.open(path)
    image.pages = 255 - noise(1, 40, 50)
    if why == "never saved":
        image.info, image.title = None, 'a: "b" / c'
    elif why == "changed":
        image.changes = True
    elif why == "another size":
        image.pages = image.pages[:, :30]
    else:
        image.info.fileFormat = 1
    own = Path(script.saved(image))
    assert own.parent.parent == tmp_path
    np.testing.assert_array_equal(tifffile.imread(own), image.pages[0])
    assert own.name == ("a_ _b_ _ c.tif" if why == "never saved" else "a.tif")
    assert image.changes == (why == "changed")  # it is left as it was
    np.testing.assert_array_equal(tifffile.imread(path), noise(40, 50))


@needs_sh
def test_what_is_made_of_a_copy_goes_to_the_folder_that_is_given(script, imagej, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50))
    imagej.front = imagej.open(tmp_path / "a.tif")
    imagej.front.info = None  # as of an image that was never saved
    imagej.dialog["Save in (empty: beside the image)"] = str(tmp_path / "out")
    script.main()
    assert imagej.errors == []
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_labels.tif", "a_prob.tif"]


@needs_sh
def test_an_error_is_shown_in_cunets_own_words(script, imagej, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50))
    imagej.front = imagej.open(tmp_path / "a.tif")
    imagej.prefs["cunet.model"] = str(tmp_path / "no such.npz")
    script.main()
    (wrapped,) = imagej.errors
    text = " ".join(wrapped.split())
    assert "no such.npz" in text and "Traceback" not in text and not text.startswith("Error")
    assert max(map(len, text.splitlines())) <= 90 or str(tmp_path) in text
    assert imagej.shown == [] and sorted(p.suffix for p in tmp_path.iterdir()) == [
        "",
        ".npz",
        ".tif",
    ]


def test_a_wrong_path_of_cunet_says_how_to_find_the_right_one(script, imagej, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50))
    imagej.front = imagej.open(tmp_path / "a.tif")
    imagej.dialog["Path of cunet"] = str(tmp_path / "nowhere")
    script.main()
    (text,) = imagej.errors
    assert "which cunet" in text and "nowhere" in text


def test_cancel_and_nothing_ticked(script, imagej, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50))
    imagej.front = imagej.open(tmp_path / "a.tif")
    imagej.dialog["Cancel"] = True
    script.main()
    assert imagej.errors == [] and "cunet.folder" not in imagej.prefs
    imagej.dialog.clear()
    imagej.dialog.update({shown: False for shown in script.SHOWN})
    script.main()
    assert "tick" in imagej.errors[0]


@needs_sh
def test_escape_stops_it(script, imagej, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50))
    imagej.front = imagej.open(tmp_path / "a.tif")
    imagej.escape = lambda: True
    script.main()
    assert "stopped" in imagej.errors[0] and imagej.shown == []


def test_numbers_of_32_bits_get_colours(script, imagej, tmp_path):
    labels = np.arange(2 * 300 * 300, dtype=np.uint32).reshape(2, 300, 300)
    tifffile.imwrite(tmp_path / "a_labels.tif", labels)
    (tmp_path / "b_prob.tif").write_bytes(b"no TIFF")
    script.show(
        {"labels": [str(tmp_path / "a_labels.tif")], "prob": [str(tmp_path / "b_prob.tif")]}
    )
    assert imagej.luts == ["3-3-2 RGB"] and imagej.shown[0].range == (0, labels.max())
    assert "b_prob.tif" in imagej.logs[0] and "Bio-Formats" in imagej.logs[0]


def test_what_cunet_prints_is_understood(script):
    assert script.outputs("") is None and script.outputs("[]") is None
    assert script.outputs('{"images": [{"outputs": {"prob": ["a"]}}]}') == {"prob": ["a"]}
    assert script.warnings('{"images": [{"warnings": ["a", "b"]}]}') == "a\nb"
    assert script.warnings('{"images": [{"skipped": true}]}') == ""
    assert (
        script.own_words("12/40 rows\nError: no file 'a'.\nCheck it.") == "no file 'a'.\nCheck it."
    )
    assert script.own_words("Killed") == "Killed" and script.own_words(" ") != ""


@pytest.mark.parametrize(("given", "expected"), [("", []), (" em ", ["--model", "em"])])
def test_without_a_model_cunet_looks_at_the_image(script, given, expected):
    settings = script.USUAL | {"path": "cunet", "model": given}
    line = script.arguments("a.tif", "out", settings)
    found = line[line.index("--model") :][:2] if "--model" in line else []
    assert found == expected


def test_what_both_ask_cunet_for_is_there(script):
    known = {name for option in command.params for name in option.opts}
    for path in (SCRIPT, MACRO):
        used = set(re.findall(r'"(--[a-z-]+)"', path.read_text()))
        assert {"--model", "--out", "--json"} <= used <= known, path
    assert set(script.PRODUCTS) < set(PRODUCTS) and len(script.SHOWN) == len(script.PRODUCTS)
    assert script.AVERAGES == tuple(AVERAGES)
    macro = MACRO.read_text()
    (names,) = re.findall(r"names = newArray\((.*?)\)", macro)
    assert set(re.findall(r'"(\w+)"', names)) < set(PRODUCTS)
    assert ", ".join(f'"{name}"' for name in AVERAGES) in macro


def test_the_script_is_python_2_as_well():
    """As far as its text shows; Jython has none of these."""
    text = SCRIPT.read_bytes()
    assert text.isascii() and MACRO.read_bytes().isascii()
    new = ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.Starred, ast.YieldFrom
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, new), ast.unparse(node)
        if isinstance(node, ast.arg):
            assert node.annotation is None
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            assert not node.args.kwonlyargs
        if isinstance(node, ast.Raise):
            assert node.cause is None


def test_the_macro_closes_what_it_opens():
    text = re.sub(r'"(\\.|[^"\\])*"', '""', MACRO.read_text())
    text = re.sub(r"//.*", "", text)
    for a, b in ("{}", "()", "[]"):
        assert text.count(a) == text.count(b)
    assert '"' not in text.replace('""', "")
