"""`cunet seams` as its users call it: numbers, a picture, and an exit code that means something."""

import json
import sys
from subprocess import run

import numpy as np
import pytest
import tifffile
from PIL import Image

import cunet
import cunet.cli
from cunet.net.unet import UNet
from cunet.segmentation import tiling


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stack of two pages, and a small network of three levels."""
    folder = tmp_path_factory.mktemp("seams")
    stack = np.random.default_rng(3).standard_normal((2, 60, 70)).astype(np.float32)
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    net = UNet(2, 3, dropout=0)
    for parameter in net.parameters():
        if parameter.name.endswith("biases"):
            parameter.value[...] = 0.2
    cunet.save(folder / "net.npz", net)
    return folder


def seams(folder, *options):
    command = [sys.executable, "-P", "-m", "cunet", "seams", str(folder / "stack.tif"), "--model",
               str(folder / "net.npz"), *options]  # fmt: skip
    return run(command, cwd=folder, capture_output=True, text=True)


def test_numbers_and_a_picture(folder):
    found = seams(folder, "--page", "1", "--tile", "108")
    assert found.returncode == 0, found.stderr
    assert (folder / "seams.png").read_bytes().startswith(b"\x89PNG")
    assert "exact, stride 16" in found.stdout and "the paper's, stride 20" in found.stdout
    assert "seams.png: no seam" in found.stderr and "Next:" in found.stderr
    image = tifffile.imread(folder / "stack.tif")[1]
    expected = cunet.seams(image, cunet.load(folder / "net.npz"), tile=108)
    document = seams(folder, "--page", "1", "--tile", "108", "-o", "again.png", "--json", "-q")
    facts = json.loads(document.stdout)
    assert facts["paper"]["largest"] == expected.paper.largest and facts["page"] == 1
    assert f"{expected.paper.largest:.1e}" in found.stdout


def test_the_image_is_not_overwritten(folder):
    image = folder / "read.png"
    Image.fromarray(np.zeros((60, 70), np.uint8)).save(image)
    before = image.read_bytes()
    command = [sys.executable, "-P", "-m", "cunet", "seams", str(image), "--model", "net.npz"]
    found = run([*command, "-o", "./read.png", "--overwrite"], cwd=folder, capture_output=True,
                text=True)  # fmt: skip
    assert found.returncode == 2 and "is read by this command" in found.stderr
    assert image.read_bytes() == before


def test_what_is_refused(folder):
    (folder / "mine.png").write_bytes(b"mine")
    cases = {
        ("-o", "mine.png"): "--overwrite",
        ("-o", "a.tif"): "ends in .png",
        ("--page", "2", "-o", "a.png"): "has pages 0 to 1, not 2",
        ("--tile", "100", "-o", "a.png"): "",
        ("--tile", "101", "-o", "b.png"): "does not fit",
    }
    for options, message in cases.items():
        found = seams(folder, *options)
        assert (found.returncode, message in found.stderr) == (2 if message else 0, True), options
    assert (folder / "mine.png").read_bytes() == b"mine" and not (folder / "b.png").exists()


def test_a_limit_below_rounding_fails_and_says_so(folder):
    found = seams(folder, "--limit", "1e-12", "-o", "rounding.png")
    assert found.returncode == 6 and "the limit is 1e-12" in found.stderr
    assert "below the usual limit, 0.0001, as rounding is" in found.stderr


def test_tiles_off_the_grid_have_exit_code_6(folder, monkeypatch, capsys):
    monkeypatch.setattr(tiling, "lattice", lambda depth: 1)  # the stride of the paper, named exact
    out = folder / "failed.png"
    words = [str(folder / "stack.tif"), "--model", str(folder / "net.npz"), "-o", str(out)]
    monkeypatch.setattr(sys, "argv", ["cunet", "seams", *words, "--tile", "108"])
    assert cunet.cli.run() == 6
    said = capsys.readouterr()
    assert "exact tiles differ from the whole by" in said.err and "please report it" in said.err
    assert out.exists() and "exact, stride 20" in said.out
