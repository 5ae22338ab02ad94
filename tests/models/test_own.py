"""Networks of one's own: adding, listing, describing, verifying; and names wherever a model is
taken."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.crossvalidation.runs import refuse_changed
from cunet.errors import CunetError, DataError
from cunet.models import record
from cunet.net import checkpoint, named
from cunet.solvers.sgd import SGD


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set of two slices, and a run on it that held out one."""
    base = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(3)
    (base / "data").mkdir()
    labels = np.where(rng.random((2, 40, 40)) > 0.5, 255, 0).astype(np.uint8)
    image = (rng.random((2, 40, 40)) * 255).astype(np.uint8)
    for name, array in (("volume", image), ("labels", labels)):
        tifffile.imwrite(base / "data" / f"train-{name}.tif", array, photometric="minisblack")
    config = cunet.Config(
        data=str(base / "data"), out=str(base / "run-7"), width=2, depth=1, tile=34, steps=4,
        validate_every=2, fold="0/2", device="cpu",
    )  # fmt: skip
    for _ in cunet.train(config):
        pass
    return base


def test_a_run_becomes_a_name(own, trained, run):
    code, out, err = run("models", "add", trained / "run-7", "--license", "CC-BY-4.0", "--json",
                         "--for", "dots")  # fmt: skip
    assert code == 0, err
    found, path = json.loads(out), own / "run-7.npz"
    best = checkpoint.model_file(trained / "run-7")
    assert path.read_bytes() == best.read_bytes() and found["path"] == str(path)
    assert (found["license"], found["for"]) == ("CC-BY-4.0", "dots")
    assert found["parameters"] == sum(p.value.size for p in cunet.load(path).parameters())
    assert found["sha256"] == record.digest(best) and found["place"] == "your folder"
    assert err.splitlines()[-1] == "  cunet models info run-7"
    card = path.with_suffix(".md").read_text()
    step = checkpoint.read_header(best)["progress"]["step"]
    for words in (
        f"| training | {step} steps |", "| made for | dots |", "width 2, depth 1",
        "train-volume.tif (SHA-256 ", "| license | CC-BY-4.0 |", "held out of its training",
        "| pixel size | not stated |", "what they are: not stated", "step, 4, had pixel error 0.",
        f"{found['parameters']:,} parameters", "1 channel of about",
    ):  # fmt: skip
        assert words in card, (words, card)
    kept = json.loads(path.with_suffix(".json").read_text())
    assert kept["source"] == "run-7/best.npz"
    for text in (card, json.dumps(kept)):  # they are passed on: nothing of this computer in them
        assert str(trained) not in text and os.path.expanduser("~") + "/" not in text


def test_a_file_says_less_and_the_card_says_so(own, net, run):
    net(Path("plain.npz"), batch_norm=True, padding="same", classes=3)
    code, _, err = run("models", "add", "plain.npz", "--name", "mito")
    assert code == 0 and "license: not stated" in err
    card = (own / "mito.md").read_text()
    for words in (
        "| trained on | not stated |", "| license | not stated |", "| made for | not stated |",
        "Not stated: no scores", "padding same, batch normalization", "3 classes",
    ):  # fmt: skip
        assert words in card, words


def test_a_card_of_ones_own(own, net, run):
    net(Path("a.npz"))
    Path("card.md").write_text("# Mine | all\n")
    assert run("models", "add", "a.npz", "--card", "card.md")[0] == 0
    assert (own / "a.md").read_text() == "# Mine | all\n"
    Path("bad.md").write_bytes(b"\xff")
    for card, expected in (("bad.md", 3), ("no.md", 2), (".", 2)):
        code, _, err = run("models", "add", "a.npz", "--name", "b", "--card", card)
        assert code == expected and "card" in err and not (own / "b.npz").exists()


def test_what_is_no_model_is_not_added(own, net, run):
    Path("text.npz").write_text("hello")
    np.savez("arrays.npz", a=np.zeros(3))
    data = net(Path("cut.npz")).read_bytes()
    Path("cut.npz").write_bytes(data[:-30])
    Path("flipped.npz").write_bytes(data[:400] + bytes([data[400] ^ 255]) + data[401:])
    for name in ("text", "arrays", "cut", "flipped"):
        code, _, err = run("models", "add", f"{name}.npz")
        assert code == 3 and f"{name}.npz" in err, name
    for file, expected in (("no.npz", "does not exist"), ("nothing", "no model 'nothing'")):
        code, _, err = run("models", "add", file)
        assert code == 2 and expected in err
    assert not own.exists() or not list(own.iterdir())


def test_names_that_are_taken_or_none(own, net, run, monkeypatch, tmp_path):
    first = net(Path("mito.npz")).read_bytes()
    assert run("models", "add", "mito.npz")[0] == 0
    net(Path("mito.npz"), seed=8)
    code, _, err = run("models", "add", "mito.npz")
    assert code == 2 and "--overwrite" in err and (own / "mito.npz").read_bytes() == first
    assert run("models", "add", "mito.npz", "--overwrite")[0] == 0
    assert (own / "mito.npz").read_bytes() == Path("mito.npz").read_bytes()
    assert not record.differs(own / "mito.npz", record.read_record(own / "mito.npz"))
    for name in (
        "em",
        "nuclei",
        "isbi2012",
        "bundled",
        "../x",
        "a/b",
        "nul",
        "a.npz",
        "C:x",
        "index",
    ):
        code, _, err = run("models", "add", "mito.npz", "--name", name)
        assert code == 2 and "name: " in err, name
    for name in ("Mito", "EM"):
        code, _, err = run("models", "add", "mito.npz", "--name", name, "--overwrite")
        assert code == 2 and "in capitals alone" in err
    shutil.copy("mito.npz", "two words.npz")
    code, _, err = run("models", "add", "two words.npz")
    assert code == 2 and "--name" in err
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path / "share"))
    net(tmp_path / "share" / "er.npz")
    code, _, err = run("models", "add", "mito.npz", "--name", "er")
    assert code == 2 and "CUNET_MODELS" in err and "found first" in err
    code, _, err = run("models", "add", own / "mito.npz", "--name", "mito", "--overwrite")
    assert code == 2 and "is the model itself" in err and (own / "mito.npz").exists()
    code, _, err = run("models", "add", "mito.npz", "--name", "x", "--license", "l" * 501)
    assert code == 2 and "license" in err


def test_a_model_with_its_solver_is_told(own):
    net = cunet.UNet(width=2, depth=1)
    checkpoint.save("last.npz", net, SGD(net.parameters(), lr=1e-3), {"step": 1, "seconds": 1})
    assert "solver" in " ".join(named.add("last.npz", "x")[2])


def test_the_list(own, net, run, monkeypatch, tmp_path, entry, index_file):
    share = tmp_path / "share"
    net(share / "mito.npz"), net(own / "mito.npz"), net(share / "not a name.npz")
    monkeypatch.setenv("CUNET_MODELS", os.pathsep.join([str(share), str(tmp_path / "gone")]))
    path = index_file({"mito": entry("a.npz"), "er": entry("b.npz", license="")})
    code, out, err = run("models", "list", "--index", path)
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "em", "nuclei", "mito", "mito", "er"]
    assert "hidden by the one above" in lines[4] and "CUNET_MODELS" in lines[3]
    assert "not here: get it" in lines[5] and "mitochondria" in lines[5]
    assert str(tmp_path / "gone") in err and "bundled" in err
    assert err.splitlines()[-1] == f"  cunet models get er --index {path}"
    code, out, err = run("models", "list", "--index", path, "--json", "-q")
    document = json.loads(out)
    assert [(m["name"], m["here"], m["used"]) for m in document["models"]] == [
        ("em", True, True), ("nuclei", True, True), ("mito", True, True), ("mito", True, False),
        ("er", False, False),
    ]  # fmt: skip
    assert document["your_folder"] == str(own) and len(document["missing_folders"]) == 1
    code, out, err = run("models", "info", "er", "--index", path)
    assert code == 0 and "not here" in out and err.splitlines()[-1].endswith(f"--index {path}")
    monkeypatch.setenv("CUNET_INDEX", path)
    with pytest.raises(CunetError, match="'er' is not on this computer.*: cunet models get er"):
        cunet.load("er")


def test_the_list_sees_a_file_of_another_size(own, net, run):
    net(Path("x.npz"))
    run("models", "add", "x.npz")
    (own / "x.npz").write_bytes((own / "x.npz").read_bytes() + b"x")
    code, out, err = run("models", "list")
    assert code == 0 and "your folder, unusable" in out and "its record says" in err


def test_info(own, net, run):
    code, out, err = run("models", "info", "bundled")
    assert code == 0 and "1,940,834 parameters" in out and "non-commercial" in out
    assert "## How good it is\n" in out and "| output |" in out
    assert "75dc1b57475e890b" in out
    code, out, err = run("models", "info", net(Path("x.npz")))
    assert code == 0 and "license     not stated" in out and "no record of its hash" in err
    run("models", "add", "x.npz")
    code, out, err = run("models", "info", "x", "--json")
    document = json.loads(out)
    code, out, err = run("models", "info", "x")
    assert document["name"] == "x" and document["steps"] == 40 and document["net"]["width"] == 2
    assert f"delete {own / 'x.npz'} {own / 'x.md'} {own / 'x.json'}" in err
    code, _, err = run("models", "info", "y")
    assert code == 2 and "no model 'y'" in err


def test_a_card_can_do_nothing_to_a_terminal(own, net, run):
    net(own / "x.npz")
    (own / "x.md").write_text("# \x1b[31mred\x07\n\n| a\x1b]0;b | \u202ec |\n")
    code, out, _ = run("models", "info", "x")
    assert code == 0 and not any(c in out for c in "\x1b\x07\u202e") and "red" in out


def test_verify(own, net, run):
    net(own / "good.npz"), net(own / "bare.npz")
    run("models", "add", "good", "--name", "copy")
    code, out, err = run("models", "verify", "--json")
    assert code == 0 and json.loads(out)["wrong"] == []
    states = {m["name"]: m["recorded"] for m in json.loads(out)["models"]}
    assert states == {"em": True, "nuclei": True, "bare": False, "copy": True, "good": False}
    data = bytearray((own / "bare.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (own / "bare.npz").write_bytes(data)
    code, out, err = run("models", "verify", "-q")
    assert code == 6 and "bare" in err and "good" not in err
    assert run("models", "verify", "good", "copy", "bundled")[0] == 0
    code, _, err = run("models", "verify", "goood")
    assert code == 2 and "did you mean 'good'" in err


# Wherever a model is taken


def test_a_name_is_taken_everywhere(own, trained, net, run, tmp_path):
    path = net(own / "mito.npz")
    image = np.random.default_rng(1).integers(0, 9, (30, 26)).astype(np.uint8)
    tifffile.imwrite("image.tif", image)
    expected = cunet.segment(image, cunet.load(path))[..., 1]
    code, _, err = run("segment", "image.tif", "--model", "mito")
    assert code == 0 and str(path) in err
    np.testing.assert_allclose(tifffile.imread("image_prob.tif"), expected, atol=1e-6)
    code, _, err = run("segment", "image.tif", "--model", "mito", "--out", "a.ome.zarr")
    assert code == 0 and str(path) in err
    found = cunet.segment_volume("image.tif", "b.ome.zarr", model="mito", device="cpu")
    assert found["finished"]
    code, out, err = run("plan", "image.tif", "--model", "mito", "--device", "cpu")
    assert code == 0 and str(path) in out
    for line, code in (
        ("segment image.tif --model mit", 2), ("plan image.tif --model mit", 2),
        ("segment image.tif --model mit --out c.ome.zarr", 2), ("train --data d --from mit", 2),
        ("crossval --data d --folds 2 --from mit", 2),
    ):  # fmt: skip
        got, _, err = run(*line.split())
        assert got == code and "no model 'mit'" in err and "did you mean 'mito'" in err, line
    with pytest.raises(CunetError, match="no model 'mit'"):
        cunet.segment_volume("image.tif", "c.ome.zarr", model="mit")
    assert not Path("c.ome.zarr").exists()


def test_what_a_run_starts_from_stays_the_same(own, trained, net, tmp_path, monkeypatch):
    """run.toml and env.json keep the file and its hash, so that a name may come to mean another."""
    path = net(own / "mito.npz")
    config = cunet.Config(
        data=str(trained / "data"), out="run", from_model="mito", width=2, depth=1, tile=34,
        steps=1, device="cpu",
    )  # fmt: skip
    for _ in cunet.train(config):
        pass
    assert f'from_model = "{path}"' in Path("run/run.toml").read_text()
    kept = json.loads(Path("run/env.json").read_text())["from_model"]
    assert kept == {"file": str(path), "sha256": record.digest(path)}
    monkeypatch.setenv("CUNET_MODELS", str(tmp_path / "share"))
    net(tmp_path / "share" / "mito.npz", seed=9)  # the name means another file now
    assert cunet.Config(from_model="mito").from_model == str(tmp_path / "share" / "mito.npz")
    refuse_changed(config.from_model, Path("run"))  # as crossval --resume does
    net(path, seed=5)  # and now the file itself is another one
    with pytest.raises(DataError, match="is not what run 'run' started from"):
        refuse_changed(config.from_model, Path("run"))


def test_terms_are_said_where_a_name_is_taken(own, net, run):
    net(Path("x.npz"))
    run("models", "add", "x.npz", "--name", "mito", "--license", "CC-BY-NC-4.0", "--for", "dots")
    tifffile.imwrite("image.tif", np.zeros((30, 30), np.uint8))
    code, _, err = run("segment", "image.tif", "--model", "mito")
    assert "model 'mito': license: CC-BY-NC-4.0; for dots" in err
    code, _, err = run("segment", "image.tif", "--model", "mito", "--out", "q", "-q")
    assert "CC-BY" not in err
    with pytest.raises(DataError):
        (own / "mito.json").write_text("{}")
        cunet.load("mito")


def test_a_folder_in_the_place_of_a_record_leaves_nothing_half_written(
    trained, monkeypatch, tmp_path
):
    monkeypatch.setenv("CUNET_CACHE", str(tmp_path))
    (tmp_path / "models" / "mine.json").mkdir(parents=True)
    with pytest.raises(CunetError, match="cannot write .*mine.json"):
        named.add(str(trained / "run-7"), "mine")
    assert os.listdir(tmp_path / "models") == ["mine.json"]


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_text_names_no_model(trained, monkeypatch, tmp_path, text):
    """As of a variable of the shell that is not set: neither the bundled network nor a run here."""
    from cunet.training.run_state import model_of

    monkeypatch.setenv("CUNET_CACHE", str(tmp_path))
    monkeypatch.chdir(trained / "run-7")
    for find in (model_of, checkpoint.load, checkpoint.model_file):
        with pytest.raises(CunetError, match="found the (empty )?text '"):
            find(text)
    with pytest.raises(CunetError, match="name: expected letters"):
        named.add(str(trained / "run-7"), text)


def test_terms_of_several_lines_are_one_line_of_the_list():
    row = {"name": "a", "here": True, "used": True, "place": "here", "problem": "", "bytes": 1}
    assert named.cells(row | {"license": "a\nb", "for": "c\td\n"})[3:] == ("a b", "c d")
