"""`cunet evaluate pixels` of more than two classes."""

import json

import numpy as np
import pytest
from PIL import Image

KEYS = ["precision", "recall", "f1", "iou"]


@pytest.fixture
def run(run):
    """run(PROB, TRUTH, ...) -> (exit code, stdout, stderr) of `cunet evaluate pixels`."""
    return lambda *arguments: run("evaluate", "pixels", *arguments)


def stack(pages=3, classes=3, seed=1):
    """Probabilities (pages, K, H, W) float32, and class ids (pages, H, W) that they mostly fit."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (pages, 12, 9)).astype(np.uint8)
    raw = rng.random((pages, 12, 9, classes)) + 0.6 * np.eye(classes)[truth]
    probability = raw / raw.sum(axis=3, keepdims=True)
    return np.moveaxis(probability, 3, 1).astype(np.float32), truth


@pytest.fixture
def save_prob(save):
    """A file of probabilities as `cunet segment` writes it: a channel per class, axes ZCYX."""
    return lambda name, p: save(name, p, imagej=True, metadata={"axes": "ZCYX"})


def expected(found, truth, counted, k):
    """Precision, recall, F1 and IoU of class k by comparing every pixel."""
    a, b = (truth == k) & counted, (found == k) & counted
    both = (a & b).sum()
    return [both / b.sum(), both / a.sum(), 2 * both / (a.sum() + b.sum()), both / (a | b).sum()]


@pytest.mark.parametrize("options", [(), ("--classes", 3)])
def test_mask_and_probabilities_score_the_same(run, save, save_prob, options):
    probability, truth = stack()
    found = probability.argmax(axis=1).astype(np.uint8)
    truth[:, 4:6] = 255
    files = [save_prob("p.tif", probability), save("m.tif", found), save("m2.tif", found + 0.0)]
    labels = save("t.tif", truth)
    outs = [run(file, labels, "--json", *options) for file in files[:2]]
    assert [code for code, *_ in outs] == [0, 0] and outs[0][1] == outs[1][1]
    document = json.loads(outs[0][1])
    assert list(document) == ["classes", "accuracy", "mean_iou", "confusion"]
    counted = truth != 255
    for k, one in enumerate(document["classes"]):
        assert list(one) == ["class", *KEYS, "pixels"] and one["class"] == k
        values = expected(found, truth, counted, k)
        np.testing.assert_allclose([one[key] for key in KEYS], values, rtol=1e-14)
        assert one["pixels"] == (truth == k).sum()
    assert document["accuracy"] == pytest.approx((found == truth)[counted].mean(), rel=1e-14)
    assert document["mean_iou"] == pytest.approx(np.mean([c["iou"] for c in document["classes"]]))
    assert document["confusion"][1][2] == ((truth == 1) & (found == 2)).sum()
    assert "a probability for each class" in outs[0][2] and "class ids" in outs[1][2]
    assert outs[0][2].splitlines()[-1].endswith("cunet train --help")
    code, _, err = run(files[2], labels, "--classes", 3)
    assert code == 3 and "1 channel of float64" in err


def test_the_table(run, save):
    probability, truth = stack()
    truth[:, 0] = 255
    files = save("m.tif", probability.argmax(axis=1).astype("u1")), save("t.tif", truth)
    code, out, err = run(*files)
    document = json.loads(run(*files, "--json")[1])
    lines = out.splitlines()
    assert code == 0 and len(lines) == 9
    assert lines[0].startswith("3 pages, 297 pixels, 3 classes; 27 ignored.")
    assert lines[2].split() == ["class", "precision", "recall", "F1", "IoU", "pixels"]
    for line, one in zip(lines[3:6], document["classes"], strict=True):
        values = [f"{one[key]:.4f}" for key in KEYS]
        assert line.split() == [str(one["class"]), *values, str(one["pixels"])]
    assert lines[7].split()[:2] == ["accuracy", f"{document['accuracy']:.4f}"]
    assert lines[8].split()[:3] == ["mean", "IoU", f"{document['mean_iou']:.4f}"]
    assert err.splitlines()[-1].strip() == (
        f"cunet evaluate pixels {files[0]} {files[1]} --classes 3 --json"
    )
    assert run(*files, "--quiet")[1:] == ("", "")


def test_pages_are_those_of_the_truth(run, save, save_prob):
    probability, truth = stack(4)
    labels, chosen = save("t.tif", truth), [3, 1]
    every, some = save_prob("a.tif", probability), save_prob("s.tif", probability[chosen])
    outs = [run(file, labels, "--pages", "3,1", "--json") for file in (every, some)]
    assert [code for code, *_ in outs] == [0, 0] and outs[0][1] == outs[1][1]
    found = probability[chosen].argmax(axis=1)
    assert json.loads(outs[0][1])["accuracy"] == (found == truth[chosen]).mean()
    assert run(some, labels)[0] == 3


def test_a_class_that_does_not_occur(run, save):
    """Where the files do not say how many classes there are, they are asked for."""
    found = save("m.tif", np.array([[0, 2, 3, 3]], "u1"))
    truth = save("t.tif", np.array([[0, 2, 2, 255]], "u1"))
    code, _, err = run(found, truth)
    assert code == 3 and "holds the class ids 0, 2," in err and "as in --classes 4" in err
    document = json.loads(run(found, truth, "--classes", 4, "--json")[1])
    ious = [one["iou"] for one in document["classes"]]
    assert ious == [1, None, 0.5, 0] and document["mean_iou"] == 0.5
    assert document["classes"][1] == {
        "class": 1, "precision": None, "recall": None, "f1": None, "iou": None, "pixels": 0,
    }  # fmt: skip
    assert "undefined" in run(found, truth, "--classes", 4)[1]
    gapless = save("t2.tif", np.array([[0, 1, 2, 2]], "u1"))
    code, _, err = run(found, gapless)  # ids up to 3 beside classes 0 to 2
    assert code == 3 and "ids up to 3" in err and "not its labels" in err


def test_two_classes_stay_what_they_were(run, save):
    """White against the rest: for a mask of 0 and 255, a map of one channel, and --classes 2."""
    probability, truth = stack()
    white = probability[:, 1:].sum(axis=1)
    labels = save("t.tif", truth)
    files = [
        save("f.tif", white),
        save("i.tif", np.round(255 * white).astype("u1")),
        save("m.tif", np.where(white > 0.5, 255, 0).astype("u1")),
    ]
    for file in files:
        code, out, _ = run(file, labels, "--json")
        document = json.loads(out)
        assert code == 0 and "auc_roc" in document and "classes" not in document
        assert document["accuracy"] == pytest.approx(
            ((white > 0.5) == (truth > 0)).mean(), abs=0.02
        )
    ids = save("ids.tif", truth)
    code, out, err = run(ids, labels, "--classes", 2, "--json")
    assert code == 0 and "auc_roc" in json.loads(out) and "--classes" in err
    assert json.loads(run(ids, labels, "--json")[1])["accuracy"] == 1
    bits = save("bits.tif", truth > 0)  # a bit has no ids of three classes
    assert json.loads(run(bits, labels, "--json")[1])["recall"] == 1


@pytest.mark.parametrize("option", [("--threshold", "0.5"), ("--plot", "curves.png")])
def test_what_only_two_classes_have_is_refused(run, save, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    _, truth = stack()
    code, _, err = run(save("m.tif", truth), save("t.tif", truth), *option)
    assert code == 2 and option[0] in err and "--classes 2" in err
    assert not (tmp_path / "curves.png").exists()


def test_what_does_not_fit_is_refused(run, save, save_prob):
    probability, truth = stack()
    labels, prob = save("t.tif", truth), save_prob("p.tif", probability)
    colours = np.arange(12 * 9 * 3, dtype="u2").astype("u1").reshape(12, 9, 3)
    rgb = save("rgb.tif", colours, photometric="rgb")
    high, logits, pages = truth.copy(), 9 * probability, probability.copy()
    high[1, 2, 3] = 7
    pages[2, :, 5, 6] = 0.9
    mask = save("mask.tif", np.where(truth > 1, 255, 0).astype("u1"))
    cases = [
        (rgb, labels, [], ["rgb.tif' has 3 channels of uint8", "picture in colour"]),
        (prob, labels, ["--classes", 4], ["p.tif' has 3 channels of float32", "of 4 classes"]),
        (save("h.tif", high), labels, ["--classes", 3], ["page 1 holds 7 at row 2, column 3"]),
        (save_prob("l.tif", logits), labels, [], ["page 0 holds", "logits"]),
        (save_prob("q.tif", pages), labels, [], ["page 2", "row 5, column 6 sum to 2.7"]),
        (prob, mask, [], ["mask.tif' holds nothing but 0 and 255", "of 3 classes"]),
        (prob, save("ht.tif", high), [], ["ht.tif' page 1 holds 7", "from 0 to 2"]),
        (prob, save("s.tif", truth[:, 1:]), [], ["p.tif' is 12 x 9 but", "s.tif' is 11 x 9"]),
        (prob, save("i.tif", np.full_like(truth, 255)), [], ["nothing but 0 and 255"]),
    ]
    for file, against, options, reported in cases:
        code, out, err = run(file, against, *options)
        assert code == 3 and out == "", (file, err)
        assert all(text in err for text in reported), err
    assert run(prob, labels, "--classes", 1)[0] == 2


def test_pages_that_do_not_count_at_all(run, save):
    _, truth = stack()
    truth[1] = 255
    files = save("m.tif", np.zeros_like(truth)), save("t.tif", truth)
    code, _, err = run(*files, "--pages", "1")
    assert code == 3 and "every pixel of the chosen pages is 255" in err
    assert run(*files)[0] == 0


def test_a_mask_in_png_with_a_colour_table(run, save, tmp_path):
    _, truth = stack(1)
    picture = Image.fromarray(truth[0])
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "m.png")
    code, out, _ = run(tmp_path / "m.png", save("t.png", truth[0]), "--json")
    assert code == 0 and json.loads(out)["mean_iou"] == 1
