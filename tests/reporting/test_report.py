"""The report of small runs on synthetic membranes."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from isbi_data import isbi_folder
from lazy_imports import loaded_by
from report_pages import TRAINED_ON, Page, page_of, train
from run_folders import log_of

import cunet
from cunet.cli.report import command
from cunet.data.synthetic import membranes
from cunet.errors import CunetError
from cunet.metrics import isbi2012
from cunet.metrics.isbi2012 import SCORES
from cunet.reporting import write_report
from cunet.reporting.alerts import alerts
from cunet.reporting.facts import collect
from cunet.reporting.isbi import NAMES, score, why_none
from cunet.reporting.page import duration


def five_slices(folder):
    """Five slices of 72 x 80 pixels in the challenge's layout."""
    return isbi_folder(folder, 5, 72, 80, seed=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return five_slices(tmp_path_factory.mktemp("report") / "stack")


@pytest.fixture(scope="module")
def finished(data):
    return train(data.parent / "finished", data)


def change_log(run, **values):
    """The same log with other values at every validated step."""
    rows = log_of(run)
    for row in rows:
        row.update({name: value for name, value in values.items() if row[name]})
    with open(run / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_page_is_well_formed_and_needs_nothing_else(finished):
    path = write_report(finished)
    assert path == finished / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 21 + TRAINED_ON and page.tags.count("svg") == 11
    assert "script" not in page.tags and "link" not in page.tags
    assert all(
        a.startswith(("data:image/png;base64,", "data:image/jpeg;base64,", "#"))
        for a in page.addresses
    )
    assert not re.search(r"https?:|url\((?!#)|@import", text)
    targets = {a[1:] for a in page.addresses if a.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"#0[1-4]0[1-4]0[1-4]", text)  # the stand-ins for the page's colours


def test_the_figures_are_those_of_the_log(finished):
    words, rows = page_of(finished).words, log_of(finished)
    validated = [row for row in rows if row["val_pixel_error"]]
    errors = [float(row["val_pixel_error"]) for row in validated]
    best = validated[errors.index(min(errors))]
    assert f"Pixel error {errors[-1]:.4f} held out, step 6" in words
    another = f"Pixel error, best {min(errors):.4f} held out, step {best['step']} "
    assert (another in words) == (best["step"] != "6")
    assert f"Dice {float(validated[-1]['val_dice']):.4f} held out, step 6" in words
    assert "Published held-out figures are those of last.npz" in words
    assert "Steps 6 of 6" in words
    parameters = sum(p.value.size for p in cunet.load(finished).parameters())
    assert f"Parameters {parameters:,} width 2, depth 2" in words


def test_the_recomputed_error_is_the_logged_one(finished):
    facts = collect(finished)
    assert facts.found.counts.pixel_error() == float(log_of(finished)[-1]["val_pixel_error"])
    assert (facts.data.training, facts.data.held_out, len(facts.found.examples)) == (2, 3, 3)


def test_the_constant_error_is_that_of_calling_all_white(finished, data):
    white = (tifffile.imread(data / "train-labels.tif")[0::2] == 255).mean()
    precision, recall = white, 1.0
    expected = 1 - 2 * precision * recall / (precision + recall)
    assert collect(finished).constant_error == pytest.approx(expected, rel=1e-12)


def test_settings_that_differ_are_marked(finished):
    text = write_report(finished).read_text(encoding="utf-8")
    rows = re.findall(
        r'<tr class="changed"><th scope="row">(\w+)</th><td>(.*?)</td><td>(.*?)</td>', text
    )
    changed = {name: (value, usual) for name, value, usual in rows}
    assert changed["width"] == ("2", "16") and changed["steps"] == ("6", "4800")
    assert not {"solver", "lr", "data", "seed", "fold"} & changed.keys()


@pytest.mark.parametrize(("factor", "warned"), [(1.0, True), (0.98, False)])
def test_never_better_than_calling_all_white_is_reported(finished, tmp_path, factor, warned):
    run = shutil.copytree(finished, tmp_path / "run")
    change_log(run, val_pixel_error=factor * collect(run).constant_error)
    assert ("Undertrained: at no validation was the network better" in page_of(run).words) == warned


@pytest.mark.parametrize(("threshold", "warned"), [(0.0, True), (0.3, False)])
def test_without_data_the_thresholds_show_the_same(finished, tmp_path, threshold, warned):
    run = shutil.copytree(finished, tmp_path / "run")
    change_log(run, val_threshold=threshold)
    (run / "last.npz").unlink()
    assert ("Undertrained: at no validation" in page_of(run).words) == warned


def test_one_class_only_is_reported(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    net = cunet.load(run / "last.npz")
    net.head.w.value[...] = 0
    net.head.b.value[...] = (0, 8)  # white everywhere
    cunet.save(run / "last.npz", net, progress={"step": 6})
    assert "One class only: at threshold 0.5 the last network calls every pixel 'cell'" in (
        page_of(run).words
    )


def test_no_warning_for_a_net_that_learned(finished):
    facts = collect(finished)
    facts.log.val_pixel_error[:] = 0.5 * facts.constant_error
    truth = facts.found.counts.shares()[0]
    facts.found.counts.positive[:] = facts.found.counts.pixels * truth
    assert alerts(facts) == []


def test_without_held_out_slices(data, tmp_path):
    page = page_of(train(tmp_path / "run", data, fold=None))
    assert "Nothing was held out: no figure" in page.words and "--fold 0/5" in page.words
    assert page.words.count("held out") == 2  # in the head, and there
    assert "3 training slices, segmented with last.npz" in page.words
    assert page.tags.count("img") == 21 + TRAINED_ON and page.tags.count("svg") == 8
    assert "over 3 training slices of these data; last.npz, step 6" in page.words


def test_without_the_data(tmp_path):
    away = five_slices(tmp_path / "data")
    run = train(tmp_path / "run", away)
    away.rename(tmp_path / "elsewhere")
    page = page_of(run)
    assert page.tags.count("img") == 0 and page.tags.count("svg") == 6
    assert "No pictures, no scores and no threshold curve" in page.words
    assert "Check the path" in page.words
    assert "Scores" not in page.words and "V_Rand" not in page.words
    error = float(log_of(run)[-1]["val_pixel_error"])
    assert f"Pixel error {error:.4f} held out, step 6" in page.words


def test_changed_data_are_reported(tmp_path):
    data = five_slices(tmp_path / "data")
    run = train(tmp_path / "run", data)
    labels = tifffile.imread(data / "train-labels.tif")
    tifffile.imwrite(data / "train-labels.tif", 255 - labels)
    assert "The data changed since this training: train-labels.tif" in page_of(run).words


def test_an_interrupted_run(data, tmp_path):
    run = train(tmp_path / "run", data, stop=5)
    (run / "best.npz").unlink()
    words = page_of(run).words
    assert "Not finished: stopped after step 5 of 6" in words
    assert f"cunet train --resume {run}" in words
    last = log_of(run)[3]
    error, dice = (float(last[f"val_{name}"]) for name in ("pixel_error", "dice"))
    assert (
        "last.npz is of step 5, after the last validation, which gave pixel error "
        f"{error:.4f}, Dice {dice:.4f} after step 4." in words
    )
    error = collect(run).found.counts.pixel_error()
    assert f"Pixel error {error:.4f} held out, step 5" in words


def test_interrupted_before_any_validation(data, tmp_path):
    words = page_of(train(tmp_path / "run", data, stop=1)).words
    assert "No validation was reached yet" in words and "Steps 1 of 6" in words


def test_a_damaged_model_costs_the_pictures_only(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "last.npz").write_bytes(b"not a model")
    (run / "env.json").write_text("{")
    page = page_of(run)
    assert "damaged or not a cunet model" in page.words and "env.json could not be" in page.words
    assert page.tags.count("img") == 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metrics.json", '{"last": null}', "metrics.json is damaged: its 'last' is left out"),
        ("metrics.json", "NaN", "metrics.json could not be read"),
        ("metrics.json", "[" * 100_000, "metrics.json could not be read"),
        ("env.json", '{"blas": [1, {}]}', "env.json is damaged: its 'blas'"),
        ("env.json", '{"versions": [], "data": 1}', "its 'versions'"),
        ("env.json", '{"command": "x", "started": {}, "threads": []}', "its 'command'"),
        ("env.json", "\udcff", "env.json could not be read"),
    ],
)
def test_damaged_facts_are_left_out(finished, tmp_path, name, text, words):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    page = page_of(run)
    assert words in page.words and "Dice 0." in page.words


def test_spoilt_lines_of_the_log_are_left_out(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    lines = (run / "log.csv").read_bytes().splitlines(keepends=True)
    lines[2] = b"2,nan,nan,nan,nan,,,,\n"
    lines[4] = lines[4].replace(b".", b"\xff")
    lines[-1] = lines[-1].replace(b",", b",nan,", 1)
    (run / "log.csv").write_bytes(b"".join(lines))
    assert "log.csv lacks steps 2, 4" in page_of(run).words
    (run / "log.csv").write_bytes(lines[0])
    assert "No step was logged" in page_of(run).words
    (run / "log.csv").write_bytes(b"".join(lines[1:]))
    with pytest.raises(CunetError, match="log.csv' is damaged") as caught:
        write_report(run)
    assert caught.value.exit_code == 3


def test_text_from_outside_is_escaped(tmp_path):
    data = five_slices(tmp_path / "<i>data & more")
    run = train(tmp_path / "<b>run & 'all'", data)
    text = write_report(run).read_text(encoding="utf-8")
    assert "<b>" not in text and "<i>" not in text
    page = Page(text)
    assert "<b>run & 'all'" in page.words and "<i>data & more" in page.words


def test_the_scores_are_those_of_the_metrics(finished):
    facts = collect(finished)
    examples = sorted(facts.found.examples, key=lambda example: example.name)
    probability, labels = (
        np.stack([getattr(example, name) for example in examples])
        for name in ("probability", "labels")
    )
    expected = isbi2012.evaluate(probability, labels == 1)
    assert facts.found.scores.result == expected
    assert facts.found.scores.names == [example.name for example in examples]
    words = page_of(finished).words
    assert "over 3 held-out slices of these data; last.npz, step 6" in words
    assert "not over the challenge's test set" in words
    for key, (_, decimals, meaning) in SCORES.items():
        value, threshold = expected[key], expected["thresholds"][key]
        assert f"{NAMES[key]} {value:.{decimals}f} {threshold:.1f} {meaning}" in words
    for key, name in (("v_rand", "V_Rand"), ("v_info", "V_Info"), ("rand_error", "Rand error")):
        assert f"{name} {expected[key]:.4f} held out, step 6" in words
    for name, one in zip(facts.found.scores.names, expected["per_slice"], strict=True):
        values = " ".join(f"{one[key]:.{decimals}f}" for key, (_, decimals, _) in SCORES.items())
        assert f"{name} {values}" in words
    for kind, number in expected["warping_pixels"].items():
        assert f"{kind.replace('_', ' ')} {number:,} " in words


def test_slices_of_differing_size_are_scored_together():
    images, labels = membranes(2, 50, 60, seed=2)
    cut = [(images[0] / 255.0, labels[0] > 0), (images[1, :40] / 255.0, labels[1, :40] > 0)]
    found = score([("a", *cut[0]), ("b", *cut[1])]).result
    alone = [isbi2012.evaluate(p[None], truth[None]) for p, truth in cut]
    for i in range(2):
        assert found["per_slice"][i] == alone[i]["per_slice"][0] | {"slice": i}
    together = isbi2012.summary([isbi2012.Tally.of(p, truth) for p, truth in cut])
    assert found == together | {"per_slice": found["per_slice"]}


@pytest.mark.parametrize(
    ("labels", "classes", "reason"),
    [
        ([0, 1, 2], 3, "these data have 3"),
        ([0, 1, 255], 2, "some pixels are marked to be ignored"),
        ([0, 1, 1], 2, ""),
    ],
)
def test_what_has_no_scores(labels, classes, reason):
    why = why_none([np.zeros((4, 3), np.uint8), np.array([labels], np.uint8)], classes)
    assert reason in why and bool(why) == bool(reason)


def test_too_many_pixels_are_not_scored(finished, monkeypatch):
    monkeypatch.setattr("cunet.reporting.isbi.MAX_SCORED_PIXELS", 3 * 72 * 80 - 1)
    page = page_of(finished)
    assert page.tags.count("img") == 15 + TRAINED_ON and page.tags.count("svg") == 8
    assert "No scores of the ISBI 2012 challenge: for 17,280 pixels" in page.words
    assert "cunet evaluate isbi" in page.words and "merge:" not in page.words
    monkeypatch.setattr("cunet.reporting.isbi.MAX_SCORED_PIXELS", 3 * 72 * 80)
    assert collect(finished).found.scores


def test_numba_is_not_loaded_before_something_is_scored():
    assert "numba" not in loaded_by("import cunet.reporting")


def test_several_classes_and_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(2):
        image = rng.integers(0, 255, (50, 60, 3)).astype(np.uint8)
        labels = rng.integers(0, 3, (50, 60)).astype(np.uint8)
        labels[:9] = 255
        tifffile.imwrite(tmp_path / f"data/images/{i}.tif", image, photometric="rgb")
        tifffile.imwrite(tmp_path / f"data/labels/{i}.tif", labels)
    page = page_of(train(tmp_path / "run", tmp_path / "data"))
    assert page.tags.count("img") == 5 + TRAINED_ON
    assert "The held-out slice, segmented" in page.words
    assert "ISBI" not in page.words and "V_Rand" not in page.words


def test_matplotlib_is_left_as_it_was(finished):
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 31;"
        "before = dict(matplotlib.rcParams.copy());"
        f"from cunet.reporting import write_report; write_report({str(finished)!r});"
        "assert dict(matplotlib.rcParams.copy()) == before;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_page_is_the_same_twice(finished):
    first = write_report(finished).read_bytes()
    assert write_report(finished).read_bytes() == first


def test_durations():
    spans = [0.25, 42.4, 59.6, 725, 11_040]
    assert [duration(s) for s in spans] == [
        "0.25 s",
        "42 s",
        "1 min 0 s",
        "12 min 5 s",
        "3 h 4 min",
    ]


def test_the_command(finished):
    done = CliRunner().invoke(command, [str(finished)], standalone_mode=False)
    assert done.stdout == f"{finished / 'report.html'}\n"
    assert done.stderr.splitlines()[-1].strip() == (
        f"cunet segment {finished.parent / 'stack' / 'train-volume.tif'} --model {finished}"
    )
    done = CliRunner().invoke(command, [str(finished), "--json", "-q"], standalone_mode=False)
    assert json.loads(done.stdout)["report"] == str(finished / "report.html")
    assert done.stderr == ""


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(CunetError, match="not a run folder"):
        write_report(tmp_path)
