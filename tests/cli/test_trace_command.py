"""`cunet trace`: the page, the document, and what it refuses."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from random_nets import random_net

import cunet

KEYS = {
    "model", "net", "image", "page", "size", "scaled_to", "truth", "pixel", "tile", "output",
    "loss", "loss_against", "lr", "lr_from", "layers", "receptive_field", "skips", "notes",
}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.npz"
    cunet.save(path, random_net())
    return path


@pytest.fixture
def image(save):
    return save("a.tif", np.random.default_rng(0).integers(0, 256, (3, 30, 34)).astype(np.uint8))


def test_the_page_and_the_document(run, model, image, save, tmp_path):
    truth = save("t.tif", np.random.default_rng(1).integers(0, 2, (3, 30, 34)).astype(np.uint8))
    out = tmp_path / "o.html"
    code, said, told = run("trace", model, image, "-o", out, "--truth", truth, "--page", 1,
                           "--pixel", "4,30", "--lr", "0.5", "--json")  # fmt: skip
    assert code == 0 and out.stat().st_size > 10_000 and "loss" in told
    document = json.loads(said)
    assert document.keys() == KEYS
    assert document["pixel"] == [4, 30] and document["page"] == 1 and document["size"] == [30, 34]
    assert document["loss_against"] == "truth" and document["truth"] == str(truth)
    assert (document["lr"], document["lr_from"]) == (0.5, "as given")
    pages = cunet.read_image(image)
    labels = cunet.read_image(truth)[1, ..., 0]
    by_hand = cunet.trace(random_net(), pages[1], (4, 30), labels, lr=0.5)
    assert document["loss"] == by_hand.loss
    for one, other in zip(document["layers"], by_hand.document()["layers"], strict=True):
        assert one == other
    for key in ("tile", "output", "receptive_field", "skips"):
        assert document[key] == by_hand.document()[key]
    numbers = document["layers"][1]
    assert numbers.keys() == {"name", "kind", "shape", "output", "gradient", "weights"}
    assert numbers["output"].keys() == {"mean", "deviation", "zeros", "dead_channels"}
    assert numbers["weights"].keys() == {"norm", "gradient_norm", "relative_update"}


def test_a_file_is_not_replaced_unasked(run, model, image, tmp_path):
    out = tmp_path / "o.html"
    out.write_text("mine")
    code, _, told = run("trace", model, image, "-o", out)
    assert code == 2 and "exists" in told and out.read_text() == "mine"
    assert run("trace", model, image, "-o", out, "--overwrite", "-q") == (0, "", "")
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_the_learning_rate_of_a_run_is_taken(run, trained, save, tmp_path):
    _, folder, _ = trained
    image = save("a.tif", np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8))
    for model in (folder, folder / "best.npz"):
        out = tmp_path / f"{model.name}.html"
        code, said, _ = run("trace", model, image, "-o", out, "--json")
        lr = tomllib.loads((folder / "run.toml").read_text())["lr"]
        document = json.loads(said)
        assert code == 0 and document["lr"] == lr and document["lr_from"] == "of its run"
        first = document["layers"][1]["weights"]
        assert first["relative_update"] == pytest.approx(
            lr * first["gradient_norm"] / first["norm"]
        )


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["MISSING.npz", "IMAGE"], 2, "MISSING.npz"),
        (["MODEL", "missing.tif"], 2, "no file"),
        (["MODEL", "IMAGE", "--pixel", "5"], 2, "a row and a column"),
        (["MODEL", "IMAGE", "--pixel", "30,0"], 2, "a row from 0 to 29 and a column from 0 to 33"),
        (["MODEL", "IMAGE", "--page", "3"], 2, "pages 0 to 2"),
        (["MODEL", "IMAGE", "-o", "o.txt"], 2, "a file that ends in .html"),
        (["MODEL", "IMAGE", "--lr", "0"], 2, "lr: expected a number above 0"),
        (["MODEL", "IMAGE", "--lr", "nan"], 2, "lr"),
        (["MODEL", "IMAGE", "--tile", "45"], 2, "sizes that do are 44 and 48"),
        (["MODEL", "COLOUR"], 3, "3 channels"),
        (["MODEL", "IMAGE", "--truth", "SMALL"], 3, "expected 30 x 34 pixels.*found 5 x 6"),
        (["MODEL", "IMAGE", "--truth", "TWO"], 3, "2 pages, the image 3"),
        (["MODEL", "IMAGE", "--truth", "THREE"], 3, "has 3 classes, the network 2"),
        (["MODEL", "IMAGE", "--truth", "GAPS"], 3, "found 0, 1, 7"),
        (["MODEL", "IMAGE", "--truth", "IGNORED"], 3, "all pixels of the tile are 255"),
        (["MODEL", "BROKEN"], 3, "no image"),
        (["BROKEN", "IMAGE"], 3, "model"),
        (["MODEL", "NAN"], 3, "NaN"),
        (["MODEL", "IMAGE", "--device", "tpu"], 2, "device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_refused(options, code, said, run, model, image, save, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    gaps = rng.choice(np.array([0, 1, 7], np.uint8), (30, 34))
    ignored = rng.integers(0, 2, (3, 30, 34)).astype(np.uint8)
    ignored[0] = 255
    files = {
        "MODEL": model,
        "IMAGE": image,
        "COLOUR": save("c.png", rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)),
        "SMALL": save("s.tif", rng.integers(0, 2, (5, 6)).astype(np.uint8)),
        "TWO": save("2.tif", rng.integers(0, 2, (2, 30, 34)).astype(np.uint8)),
        "THREE": save("3.tif", rng.integers(0, 3, (30, 34)).astype(np.uint8)),
        "GAPS": save("7.tif", gaps),
        "IGNORED": save("i.tif", ignored),
        "NAN": save("n.tif", np.full((9, 9), np.nan, np.float32)),
        "BROKEN": tmp_path / "broken.npz",
    }
    files["BROKEN"].write_bytes(b"nothing of the kind")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    found, answer, told = run("trace", *(files.get(option, option) for option in options))
    assert found == code and not answer
    assert re.search(said, " ".join(told.split())), told
    assert sorted(tmp_path.iterdir()) == before


def test_masks_and_objects_are_taken_for_what_they_are(run, model, save, tmp_path):
    image = save("a.tif", np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8))
    objects = np.zeros((40, 40), np.uint16)
    for number in range(16):
        row, column = 10 * (number // 4) + 2, 10 * (number % 4) + 2
        objects[row : row + 6, column : column + 6] = number + 1
    white = (objects > 0).astype(np.uint8)
    losses = []
    for name, labels in (("0", white), ("1", 255 * white), ("2", objects)):
        truth = save(f"t{name}.tif", labels)
        code, said, told = run("trace", model, image, "--truth", truth, "-o",
                               tmp_path / f"{name}.html", "--json")  # fmt: skip
        assert code == 0, told
        losses.append(json.loads(said)["loss"])
    assert losses[0] == losses[1] == losses[2]


def test_it_runs_as_a_user_runs_it(model, image, tmp_path):
    command = [sys.executable, "-P", "-m", "cunet", "trace", model, image, "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace.html").is_file()
    assert "against its own most probable classes" in done.stderr and "Next:" in done.stderr


def test_files_that_are_read_are_not_overwritten(run, model, image, tmp_path):
    for option, source in (("image", image), ("model", model)):
        same = tmp_path / f"{option}.html"
        same.hardlink_to(source)
        before = same.read_bytes()
        code, _, told = run("trace", model, image, "-o", same, "--overwrite")
        assert code == 2 and "is read by this command" in told and same.read_bytes() == before


def test_numbers_of_no_use_are_told(run, model, image, tmp_path):
    for options, words in (
        (("--pixel", "9" * 5000 + ",1"), "expected a row and a column"),
        (("--tile", "0"), "tile 0 does not fit"),
    ):
        code, _, told = run("trace", model, image, "-o", tmp_path / "o.html", *options)
        assert code == 2 and words in told


def test_a_loss_of_nothing_has_no_sign():
    net = cunet.UNet(2, 1, dropout=0)
    net.head.b.value[...] = 1000, -1000
    image = np.random.default_rng(0).integers(0, 60_000, (1, 1)).astype(np.uint16)
    loss = cunet.trace(net, image).loss
    assert loss == 0 and not np.signbit(loss)
