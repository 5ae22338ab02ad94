"""`cunet evaluate`: how probability maps and truths are read, and what is printed."""

import json

import numpy as np
import pytest
from lazy_imports import HEAVY, loaded_by
from PIL import Image
from predictions import stack

from cunet.errors import DataError
from cunet.evaluation.probability import read_pair

KEYS = ["precision", "recall", "f1", "iou", "accuracy", "auc_roc", "average_precision"]
KEYS += ["threshold", "pr_curve", "roc_curve"]


@pytest.fixture
def run(run):
    """run("pixels", ...) -> (exit code, stdout, stderr) of `cunet evaluate`."""
    return lambda *arguments: run("evaluate", *arguments)


def test_the_output_is_one_json_document_and_the_next_command_comes_last(run, save):
    probability, labels = stack()
    prob, truth = save("my prob.tif", probability), save("truth.tif", labels)
    code, out, err = run("pixels", prob, truth, "--threshold", 0.6, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert list(document) == KEYS and document["threshold"] == 0.6
    found, white = probability.astype(float) > 0.6, labels > 0
    tp, fp, fn = (found & white).sum(), (found & ~white).sum(), (~found & white).sum()
    assert document["precision"] == pytest.approx(tp / (tp + fp), rel=1e-14)
    assert document["recall"] == pytest.approx(tp / (tp + fn), rel=1e-14)
    assert document["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn), rel=1e-14)
    assert document["iou"] == pytest.approx(tp / (tp + fp + fn), rel=1e-14)
    assert document["accuracy"] == pytest.approx((found == white).mean(), rel=1e-14)
    pairs = probability[white][:, None] - probability[~white]
    assert document["auc_roc"] == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean(), rel=1e-12)
    assert set(document["pr_curve"][0]) == {"threshold", "precision", "recall"}
    roc = {"threshold", "false_positive_rate", "true_positive_rate"}
    assert set(document["roc_curve"][0]) == roc and document["roc_curve"][-1]["threshold"] is None
    assert err.splitlines()[-1].strip() == f"cunet evaluate isbi '{prob}' {truth}"
    assert "255 is class 1" in err


def test_the_table_says_what_each_score_is(run, save):
    probability, labels = stack()
    prob, truth = save("p.tif", probability), save("t.tif", labels)
    code, out, _ = run("pixels", prob, truth)
    assert code == 0
    document = json.loads(run("pixels", prob, truth, "--json")[1])
    lines = out.splitlines()
    assert f"5 pages, 540 pixels, {100 * (labels > 0).mean():.1f} % white" in lines[0]
    row = next(line for line in lines if line.startswith("IoU"))
    assert row.split()[1] == f"{document['iou']:.4f}" and row.endswith("TP / (TP + FP + FN)")
    places = {
        line.index(f"{document[key]:.4f}") for key, line in zip(KEYS, lines[2:], strict=False)
    }
    assert len(lines) == 9 and len(places) == 1
    assert run("pixels", prob, truth, "--quiet")[1:] == ("", "")


@pytest.mark.parametrize("pages", ["0,2-3", "3", "4,1"])
def test_pages_are_those_of_the_truth(run, save, pages):
    """A map of the chosen pages alone and one of all pages score the same."""
    probability, labels = stack()
    chosen = {"0,2-3": [0, 2, 3], "3": [3], "4,1": [4, 1]}[pages]
    truth = save("t.tif", labels)
    files = [save("all.tif", probability), save("some.tif", probability[chosen])]
    results = [run("pixels", f, truth, "--pages", pages, "--json") for f in files]
    assert [code for code, *_ in results] == [0, 0]
    assert results[0][1] == results[1][1]
    found, white = probability[chosen] > 0.5, labels[chosen] > 0
    assert json.loads(results[0][1])["accuracy"] == (found == white).mean()
    assert results[1][2].splitlines()[-1].endswith(f"--pages {pages}")
    for file in files:
        pair = read_pair(file, truth, pages)
        assert np.array_equal(pair.probability, probability[chosen])
        assert pair.probability.dtype == np.float32
        assert np.array_equal(pair.white, white) and pair.white.dtype == bool
        assert pair.counted is None and pair.pages == chosen


def test_all_pages_need_no_choice(save):
    probability, labels = stack()
    prob, truth = save("p.tif", probability), save("t.tif", labels)
    assert np.array_equal(read_pair(str(prob), str(truth)).probability, probability)
    assert read_pair(prob, truth, "0-4").pages == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "held, pages, code, reported",
    [
        (3, None, 3, ["p.tif' has 3 pages", "t.tif' has 5", "expected 5 in both", "--pages"]),
        (3, "0,1", 3, ["p.tif' has 3", "t.tif' has 5", "expected 2, those of --pages 0,1, or all"]),
        (1, "0,1", 3, ["p.tif' has 1 page", "expected 2"]),
        (6, None, 3, ["p.tif' has 6 pages", "t.tif' has 5"]),
        (5, "5", 2, ["t.tif' has pages 0 to 4"]),
        (5, "1,x", 2, ["--pages: expected 0,5,10-12, found '1,x'"]),
        (2, "1,1", 2, ["names a page twice"]),
        (5, "4,3,2,1,0", 2, ["in another order", "p.tif", "t.tif"]),
    ],
)
def test_pages_that_do_not_fit_are_refused(run, save, held, pages, code, reported):
    probability, labels = stack(6)
    prob, truth = save("p.tif", probability[:held]), save("t.tif", labels[:5])
    options = [] if pages is None else ["--pages", pages]
    found, out, err = run("pixels", prob, truth, *options)
    assert found == code and out == ""
    assert all(text in err for text in reported), err


@pytest.mark.parametrize("dtype, highest", [("u1", 255), ("u2", 65535), ("i2", 32767)])
def test_integers_are_divided_by_the_largest_of_their_type(save, dtype, highest):
    probability, labels = stack()
    whole = np.round(probability * highest).astype(dtype)
    whole[0, 0, :2] = 0, highest
    prob, truth = save("p.tif", whole), save("t.tif", labels)
    read = read_pair(prob, truth).probability
    assert read.dtype == np.float64 and np.array_equal(read, whole / highest)
    assert read.min() == 0 and read.max() == 1


def test_a_fifth_of_255_is_not_above_a_fifth(run, save):
    _, labels = stack(1)
    prob, truth = save("p.tif", np.full(labels.shape, 51, "u1")), save("t.tif", labels)
    found = [
        json.loads(run("pixels", prob, truth, "--threshold", t, "--json")[1])["recall"]
        for t in (0.2, 0.19)
    ]
    assert found == [0, 1]


def test_bits_are_taken_as_they_are(save):
    _, labels = stack(1)
    truth = save("t.tif", labels)
    for name in ("bits.tif", "bits.png"):
        array = labels[0] > 0
        pair = read_pair(save(name, array), truth)
        assert np.array_equal(pair.probability[0], pair.white[0]), name
        assert pair.probability.max() == 1, name


def test_png_and_other_floats(save):
    probability, labels = stack(1)
    truth = save("t.png", labels[0])
    grey = np.round(probability[0] * 255).astype("u1")
    assert np.array_equal(read_pair(save("p.png", grey), truth).probability[0], grey / 255)
    for dtype, kept in (("f2", "f4"), ("f8", "f8")):
        read = read_pair(save("p.tif", probability.astype(dtype)), truth).probability
        assert np.array_equal(read, probability.astype(dtype)) and read.dtype == kept


@pytest.mark.parametrize(
    "value, text", [(np.nan, "nan"), (np.inf, "inf"), (1.5, "1.5"), (-0.25, "-0.25")]
)
def test_what_is_no_probability_is_named(run, save, value, text):
    probability, labels = stack()
    probability[3, 7, 2] = value
    prob, truth = save("p.tif", probability), save("t.tif", labels)
    code, _, err = run("pixels", prob, truth)
    assert code == 3 and f"p.tif' page 3 holds {text} at row 7, column 2" in err
    assert run("pixels", prob, truth, "--pages", "0-2")[0] == 0  # the page is not looked at


def test_negative_integers_are_no_probabilities(save):
    probability, labels = stack(1)
    whole = np.round(probability * 100).astype("i2")
    whole[0, 4, 5] = -3
    with pytest.raises(DataError, match="page 0 holds -3.* row 4, column 5; expected integers"):
        read_pair(save("p.tif", whole), save("t.tif", labels))


def test_a_probability_per_class_is_no_probability_of_white(run, save):
    probability, labels = stack(2)
    classes = np.stack([probability, 1 - probability, 0 * probability], axis=1)
    prob = save("many.tif", classes, imagej=True, metadata={"axes": "ZCYX"})
    truth = save("t.tif", labels)
    for arguments in (("isbi",), ("pixels", "--classes", 2)):
        code, _, err = run(*arguments, prob, truth)
        assert code == 3
        assert "many.tif' has 3 channels (axes ZCYX); expected one" in err and "of its own" in err


def test_other_sizes_are_refused(run, save):
    probability, labels = stack()
    prob, truth = save("p.tif", probability[:, 1:]), save("t.tif", labels)
    code, _, err = run("pixels", prob, truth)
    assert code == 3 and "p.tif' is 11 x 9 but" in err and "t.tif' is 12 x 9" in err


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(run, save, tmp_path, missing):
    probability, labels = stack()
    files = [save("p.tif", probability), save("t.tif", labels)]
    files[missing] = tmp_path / "nothing.tif"
    code, _, err = run("pixels", *files)
    assert code == 2 and f"no file '{files[missing]}'" in err


def test_what_is_no_label_image_is_refused(run, save):
    probability, labels = stack()
    prob = save("p.tif", probability)
    code, _, err = run("pixels", save("t.tif", labels), prob)  # the wrong way round
    assert code == 3 and "p.tif', page 0: labels are whole numbers" in err
    grey = save("grey.tif", (np.arange(labels.size).reshape(labels.shape) % 256).astype("u1"))
    assert run("pixels", prob, grey)[0] == 3


CODINGS = {
    "0 and 1": ([0, 1], [False, True], None),
    "0 and 255": ([0, 255], [False, True], None),
    "three classes": ([0, 1, 2], [False, True, True], None),
    "ignore beside 0 and 1": ([0, 1, 255], [False, True, False], [True, True, False]),
    "ignore beside three": ([0, 1, 2, 255], [False, True, True, False], [True, True, True, False]),
    "nothing white": ([0], [False], None),
    "all 1": ([1], [True], None),
    "all 255": ([255], [True], None),
}


@pytest.mark.parametrize("name", CODINGS)
def test_codings_of_the_truth(save, name):
    values, white, counted = CODINGS[name]
    picked = np.random.default_rng(2).integers(0, len(values), (2, 12, 9))
    picked[:, 0, : len(values)] = range(len(values))
    labels = np.array(values, np.uint8)[picked]
    prob, truth = save("p.tif", stack(2)[0]), save("t.tif", labels)
    pair = read_pair(prob, truth)
    found, kept = pair.white, pair.counted
    assert np.array_equal(found, np.array(white)[picked])
    assert (kept is None) == (counted is None)
    assert kept is None or np.array_equal(kept, np.array(counted)[picked])


def test_a_page_means_what_the_whole_file_says(save):
    """255 alone on its page is white beside pages of 0 and 255, and ignored beside class ids."""
    probability, labels = stack(2)
    prob = save("p.tif", probability)
    labels[1] = 255
    assert read_pair(prob, save("t.tif", labels), "1").white.all()
    labels[0] = np.where(labels[0], 2, 1)
    labels[0, 0, :2] = 0, 255
    truth = save("t.tif", labels)
    with pytest.raises(DataError, match=r"t.tif': every pixel of the chosen pages is 255"):
        read_pair(prob, truth, "1")
    assert not read_pair(prob, truth).counted[1].any()


def test_ignored_pixels_change_nothing(run, save):
    probability, labels = stack(2)
    labels = (labels > 0).astype("u1")
    labels[:, 3:5] = 255
    truth = save("t.tif", labels)
    changed = probability.copy()
    changed[:, 3:5] = 1 - changed[:, 3:5]
    files = save("a.tif", probability), save("b.tif", changed)
    outs = [run("pixels", file, truth, "--json")[1] for file in files]
    assert outs[0] == outs[1] and json.loads(outs[0])["accuracy"] > 0.5
    assert "180 pixels" in run("pixels", files[0], truth)[1]
    assert "36 ignored" in run("pixels", files[0], truth)[1]


def test_without_white_what_is_undefined_is_null(run, save):
    probability, labels = stack(1)
    prob, truth = save("p.tif", probability), save("t.tif", 0 * labels)
    code, out, err = run("pixels", prob, truth, "--json")
    document = json.loads(out)
    assert code == 0 and "no pixel is white" in err and "Warning" not in err
    assert [document[key] for key in ("recall", "auc_roc", "average_precision")] == [None] * 3
    assert document["precision"] == document["f1"] == document["iou"] == 0
    assert all(point["true_positive_rate"] is None for point in document["roc_curve"])
    assert run("pixels", prob, truth)[1].count("undefined") == 3


def test_a_mask_of_0_and_1_as_a_map_is_warned_of(run, save):
    _, labels = stack(1)
    code, out, err = run("pixels", save("p.tif", labels // 255), save("t.tif", labels), "--json")
    assert code == 0 and json.loads(out)["precision"] is None
    assert "warning" in err and "its highest value is 0.0039 of the largest" in err
    code, out, err = run("isbi", save("p.tif", labels // 255), save("t.tif", labels), "--json")
    assert code == 0 and "its highest value is 0.0039 of the largest" in err


def test_the_plot_is_a_png_and_spares_what_is_there(run, save, tmp_path):
    probability, labels = stack(1)
    prob, truth = save("p.tif", probability), save("t.png", labels[0])
    plot = tmp_path / "curves.png"
    assert run("pixels", prob, truth, "--plot", plot)[0] == 0
    with Image.open(plot) as picture:
        picture.load()
        assert picture.format == "PNG" and picture.width > 1.5 * picture.height
    before = plot.read_bytes()
    code, out, err = run("pixels", prob, truth, "--plot", plot, "--threshold", 0.9)
    assert code == 2 and "--overwrite" in err and out == "" and plot.read_bytes() == before
    again = ("--plot", plot, "--threshold", 0.9, "--overwrite")
    assert run("pixels", prob, truth, *again)[0] == 0 and plot.read_bytes() != before
    for name, text in (
        (tmp_path / "curves.tif", "ends in .png"),
        (tmp_path / "none" / "curves.png", "no folder"),
        (truth, "one of the input files"),
    ):
        code, _, err = run("pixels", prob, truth, "--plot", name, "--overwrite")
        assert code == 2 and text in err
    assert not list(tmp_path.glob(".*")) and np.array_equal(Image.open(truth), labels[0])


@pytest.mark.parametrize("threshold", ["1.5", "nan", "half"])
def test_a_threshold_is_a_number_from_0_to_1(run, save, threshold):
    probability, labels = stack(1)
    files = save("p.tif", probability), save("t.tif", labels)
    code, _, err = run("pixels", *files, "--threshold", threshold)
    assert code == 2 and "--threshold" in err


def test_help_has_an_example_and_loads_nothing_heavy(run):
    for arguments, example in (
        (["--help"], "cunet evaluate pixels train-volume_prob.tif"),
        (["pixels", "--help"], "--plot curves.png --json"),
    ):
        code, out, _ = run(*arguments)
        assert code == 0 and example in out
    code = "from cunet.cli import main\nimport sys\nsys.argv = ['cunet', 'evaluate', '--help']\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    assert not loaded_by(code) & (HEAVY | {"numpy"})


def test_the_next_command_is_one_that_works(run, save):
    probability, labels = stack(1)
    prob, plain = save("p.tif", probability), save("t.tif", labels)
    ids = (labels // 255).copy()
    ids[0, 0, :3] = [2, 1, 255]
    ignoring = save("i.tif", ids)
    for truth, word in ((plain, "isbi"), (ignoring, "pixels")):
        code, _, err = run("pixels", prob, truth)
        command = err.splitlines()[-1].split()
        assert code == 0 and command[:3] == ["cunet", "evaluate", word]
    folder = prob.parent / "folder.png"
    folder.mkdir()
    code, _, err = run("pixels", prob, plain, "--plot", folder, "--overwrite")
    assert code == 2 and "is a folder" in err
