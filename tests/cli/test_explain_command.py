"""`cunet explain --svg` and `--model`: what is not overwritten, what a model decides."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

import cunet


def test_the_figure_is_written_and_not_replaced_unasked(run, tmp_path):
    path = tmp_path / "fig1.svg"
    code, text, err = run("explain", "--width", 16, "--tile", 412, "--svg", path)
    assert code == 0 and "1,940,834" in text and f"figure: {path}" in err
    assert ET.fromstring(path.read_text()).tag.endswith("svg")
    before = path.read_text()
    code, _, err = run("explain", "--svg", path)
    assert code == 2 and "--overwrite" in err and path.read_text() == before
    assert run("explain", "--svg", path, "--overwrite", "--json")[0] == 0
    assert "31,030,658" in path.read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["fig1.svg"]
    code, _, err = run("explain", "--svg", tmp_path / "fig1.png")
    assert code == 2 and ".svg" in err and "fig1.png" in err
    code, _, err = run("explain", "--svg", tmp_path / "no" / "fig1.svg")
    assert code != 0 and "fig1.svg" in err


def test_a_run_brings_its_network_and_its_tile(run, trained):
    _, folder, _ = trained  # width 2, depth 2, tile 76
    for model in (folder, folder / "last.npz"):
        code, text, _ = run("explain", "--model", model, "--json")
        answer = json.loads(text)
        assert code == 0 and (answer["width"], answer["depth"]) == (2, 2)
        assert answer["input"] == [76, 76, 1]
    net = cunet.load(folder)
    assert answer["parameters"] == sum(p.value.size for p in net.parameters())
    code, text, _ = run("explain", "--model", folder, "--tile", 92, "--width", 2, "--json")
    assert code == 0 and json.loads(text)["input"] == [92, 92, 1]


def test_a_file_outside_a_run_has_the_usual_tile(run, tmp_path):
    cunet.save(tmp_path / "net.npz", cunet.UNet(2, 3, 3, 4, padding="same", batch_norm=True))
    code, text, _ = run("explain", "--model", tmp_path / "net.npz", "--json")
    answer = json.loads(text)
    assert code == 0 and answer["padding"] == "same" and answer["batch_norm"]
    assert answer["input"][2] == 3 and answer["output"] == [*answer["input"][:2], 4]
    assert json.loads(run("explain", "--model", "bundled", "--json")[1])["width"] == 16


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--width", 16), "width: 16.*has 2"),
        (("--padding", "same"), "padding: same.*has valid"),
        (("--batch-norm",), "batch_norm: True.*has False"),
        (("--classes", 3), "classes: 3.*has 2"),
        (("--tile", 77), "tile 77"),
    ],
)
def test_options_that_contradict_the_model_are_an_error(run, trained, more, said):
    code, text, err = run("explain", "--model", trained[1], *more)
    assert code == 2 and not text
    assert re.search(said, err), err


def test_a_model_that_is_not_there_is_named(run, tmp_path):
    code, _, err = run("explain", "--model", tmp_path / "no.npz")
    assert code == 2 and "no.npz" in err
