"""The student report's table: who trains and who is scored, what is kept, what is printed."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from documents_data import nuclei
from example_scripts import example
from isbi_data import isbi_folder
from PIL import Image
from run_folders import same_arrays

import cunet
from cunet.data.load import load
from cunet.metrics.dsb2018 import THRESHOLDS
from cunet.training.config import Config
from cunet.training.held_out import split
from cunet.training.run_folder import read_settings

student = example("paper/student_report.py")
SCORES = example("paper/student_report_table.py").SCORES
TINY = {"resize": 32, "tile": 32, "batch": 2, "width": 2, "depth": 1, "validate_every": 1}
NAMES = tuple(f"slice {i:02d}" for i in range(30))


@pytest.fixture
def call(tmp_path, monkeypatch, threads_as_before):
    """Runs the script on networks of a second; returns the folder of the figures."""
    tiny = {name: replace(row, settings=TINY) for name, row in student.ROWS.items()}
    monkeypatch.setattr(student, "ROWS", tiny)

    def run(out, *arguments):
        given = ["--out", str(tmp_path / out), *arguments]
        if "--data" in arguments:
            given += ["--device", "cpu", "--threads", "1"]
        assert student.main([*map(str, given)]) == 0
        return tmp_path / out

    return run


@pytest.mark.parametrize("seed", range(3))
def test_all_shares_are_scored_on_the_same_images_and_lie_within_each_other(seed):
    both = {share: student.parts(NAMES, share, seed) for share in student.SHARES}
    assert [len(training) for training, _ in both.values()] == [3, 6, 12, 24]
    assert len({tuple(scored) for _, scored in both.values()}) == 1
    assert both[80] == split(Config(train_share=0.8, seed=seed), NAMES)
    for (less, scored), (more, _) in zip(list(both.values())[:-1], list(both.values())[1:],
                                         strict=True):  # fmt: skip
        assert set(less) < set(more) and not set(more) & set(scored)


def test_a_testing_volume_is_what_is_scored():
    names = (*(f"training/{i:03}" for i in range(20)), *(f"testing/{i:03}" for i in range(7)))
    for share, count in ((10, 2), (80, 16)):
        training, scored = student.parts(names, share, 0)
        assert scored == list(range(20, 27)) and len(training) == count and max(training) < 20


def by_hand(masks, truth):
    """Pixel F1 of masks, counted."""
    masks, truth = np.stack(masks), np.stack(truth)
    both = np.count_nonzero(masks & truth)
    return 2 * both / (np.count_nonzero(masks) + np.count_nonzero(truth))


def test_shares_are_trained_scored_and_kept(call, tmp_path, capsys, monkeypatch):
    data = isbi_folder(tmp_path / "isbi2012", 10, 48, 40)
    given = ("--data", data, "--shares", "20", "80", "--steps", "3")
    out = call("out", *given)
    first = capsys.readouterr().out
    dataset, held_out = load(data), student.parts(NAMES[:10], 20, 0)[1]
    for share, count in ((20, 2), (80, 8)):
        found = json.loads((out / f"isbi2012-{share}.json").read_text())
        assert found["trained_on"] == count and found["images"] == 2 and found["steps"] == 3
        settings = read_settings(out / f"isbi2012-{share}")
        assert settings["hold_out"].split(",") == found["held_out"]
        assert found["held_out"] == [NAMES[i] for i in held_out] and settings["batch_norm"]
        dropped = settings.get("drop", "").split(",") if share < 80 else []
        assert len(dropped) == 8 - count and not set(dropped) & set(found["held_out"])

        net = cunet.load(out / f"isbi2012-{share}" / "last.npz")
        masks = [cunet.segment(dataset.images[i], net)[..., 1] > 0.5 for i in held_out]
        truth = [dataset.labels[i] == 1 for i in held_out]
        assert masks[0].shape == (48, 40) and any(mask.any() for mask in masks)
        assert found["pixel_f1"] == pytest.approx(by_hand(masks, truth))
        pages = [np.stack(pages).astype(np.uint8) for pages in (masks, truth)]
        expected = cunet.evaluate_objects(*pages)
        for key in SCORES:
            assert found[key] == pytest.approx(expected[key])
        cells = [f"{share} %: {count} images", "2", "3", f"{found['pixel_f1']:.3f}"]
        assert f"| ISBI 2012 | {' | '.join(cells)} |" in first
    assert "| ISBI 2012 | the report, a split of its own |  |  | 0.93 | 0.53 |  |" in first
    assert "NCMIR, mitochondria | not measured: `python examples/paper/student_report.py" in first
    with Image.open(out / "student_report.png") as picture:
        assert picture.format == "PNG" and picture.width > 800

    monkeypatch.setattr(cunet, "train", None)  # nothing is left to be done
    call("out", *given)
    assert capsys.readouterr().out == first
    call("out")  # the table alone
    assert capsys.readouterr().out == first
    with pytest.raises(SystemExit, match=re.escape("another experiment (steps: 3, asked for 4)")):
        call("out", *given[:-1], "4")
    with pytest.raises(SystemExit, match=r"another experiment \(seed: 0, asked for 1\)"):
        call("out", "--data", data, "--shares", "40", "--steps", "3", "--seed", "1")
    assert not (out / "isbi2012-40").exists()  # its row would be scored on other images


def test_an_interrupted_training_goes_on(call, tmp_path, capsys, monkeypatch):
    data = isbi_folder(tmp_path / "isbi2012", 10, 48, 40)
    given = ("--data", data, "--shares", "10", "--steps", "4")
    train = cunet.train

    def stopping(config, prepared, resume=False):
        records = train(config, prepared, resume)
        for record in records:
            yield record
            if record["step"] == 2:
                records.close()
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cunet, "train", stopping, raising=False)
        with pytest.raises(KeyboardInterrupt):
            call("parted", *given)
    assert not (tmp_path / "parted" / "isbi2012-10.json").exists()
    for other, why in (("--seed 1", "hold_out|seed"), ("--steps 5", "steps 4, asked for 5")):
        with pytest.raises(SystemExit, match=f"begun with ({why})"):
            call("parted", *given, *other.split())
    call("parted", *given)
    call("whole", *given)
    same_arrays(*(tmp_path / out / "isbi2012-10" / "last.npz" for out in ("parted", "whole")))


def test_nuclei_are_scored_one_by_one_at_their_own_size(call, tmp_path, capsys):
    data = tmp_path / "stage1_train"
    nuclei(data, 5)
    out = call("out", "--data", data, "--shares", "80", "--steps", "2")
    found = json.loads((out / "dsb2018-80.json").read_text())
    assert found["objects"] == 2 and found["images"] == 1  # two discs in the image held out
    assert [one["threshold"] for one in found["thresholds"]] == list(THRESHOLDS)
    assert "| Data Science Bowl 2018 | the report, a split of its own |  |  | 0.89 | 0.47 |  |" in (
        capsys.readouterr().out
    )


def test_touching_nuclei_are_two_in_the_truth(tmp_path):
    class Net:
        pass

    image, cells = np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8), np.int32)
    cells[2:6, 1:4], cells[2:6, 4:7] = 1, 2

    def segment(image, net):
        return np.stack([cells == 0, cells > 0], axis=2).astype(np.float32)

    dataset = replace(load(isbi_folder(tmp_path / "a", 1, 40, 40)), images=[image],
                      labels=[np.uint8(cells > 0)], instances=[cells])  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cunet, "segment", segment, raising=False)
        parted = student.scores(Net(), dataset, [0])
        joined = student.scores(Net(), replace(dataset, instances=None), [0])
    assert (parted["objects"], parted["found"], parted["pixel_f1"]) == (2, 1, 1)
    # the one found covers each of the two by half: a match at IoU 0.50 and at no other threshold
    assert parted["report_mean_average_precision"] == pytest.approx(1 / 11)
    assert parted["kaggle_dsb2018_score"] == pytest.approx(1 / 2 / 10)
    assert joined["objects"] == 1 and joined["report_mean_average_precision"] == 1


def test_a_set_in_the_layout_of_another_is_named(call, tmp_path, capsys):
    folder = tmp_path / "ncmir"
    folder.mkdir()
    masks = np.zeros((6, 32, 32), np.uint8)
    masks[:, 8:20, 8:20] = 255
    for name, array in (("training.tif", 255 - masks), ("training_groundtruth.tif", masks)):
        tifffile.imwrite(folder / name, array, photometric="minisblack")
    given = ("--data", folder, "--shares", "80", "--steps", "1")
    out = call("out", *given, "--name", "ncmir")
    assert json.loads((out / "ncmir-80.json").read_text())["images"] == 1
    assert "| NCMIR, mitochondria | 80 %: 5 images | 1 | 1 |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is of the kind epfl, name dsb2018; expected"):
        call("out", *given, "--name", "dsb2018")
    pairs = tmp_path / "pairs"
    for kind, array in (("images", 255 - masks), ("masks", masks)):
        (pairs / kind).mkdir(parents=True)
        for number, page in enumerate(array):
            tifffile.imwrite(pairs / kind / f"{number}.tif", page, photometric="minisblack")
    given = ("--data", pairs, *given[2:])
    with pytest.raises(SystemExit, match="is of the kind folder, name folder; expected"):
        call("pairs", *given)
    out = call("pairs", *given, "--name", "ncmir")
    assert json.loads((out / "ncmir-80.json").read_text())["images"] == 1


def test_without_figures_the_table_says_how_to_make_them(call, tmp_path, capsys):
    out = call("none")
    printed = capsys.readouterr().out
    commands = re.findall("`python examples/paper/student_report.py (.*)`", printed)
    assert len(commands) == len(student.ROWS) == 5 and not (out / "student_report.png").exists()
    assert [c for c in commands if "--name" in c] == [f"--data ncmir/ --name ncmir --out {out}"]


def test_a_score_that_is_undefined_is_said_to_be(call, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    scores = dict.fromkeys(SCORES) | {"kaggle_dsb2018_score": 0.0}
    facts = {"share": 10, "trained_on": 3, "images": 6, "steps": 1000}
    (tmp_path / "out" / "epfl-10.json").write_text(json.dumps(facts | scores))
    out = call("out")
    line = "| EPFL, mitochondria | 10 %: 3 images | 6 | 1,000 | undefined | undefined | 0.000 |"
    assert line in capsys.readouterr().out and (out / "student_report.png").exists()


@pytest.mark.parametrize("share", ["0", "81"])
def test_a_share_that_leaves_nothing_to_score_is_refused(share, tmp_path, capsys):
    with pytest.raises(SystemExit):
        student.main(["--data", "x", "--out", str(tmp_path), "--shares", share])
    assert f"expected 1 to 80 per cent, found [{share}]" in capsys.readouterr().err
