"""The page that compares several runs: what is read from it, against the run folders."""

import os
import re
import shutil
import sys
import tomllib
from dataclasses import replace
from subprocess import run as call

import numpy as np
import pytest
import tifffile
from isbi_data import isbi_folder
from report_pages import Page, train
from run_folders import log_of

import cunet
from cunet.errors import CunetError
from cunet.reporting.compared import read_runs, warnings
from cunet.reporting.compared_curves import DASHES, look


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one stack: another width, rate and weight map; the second stopped early."""
    folder = tmp_path_factory.mktemp("compared")
    data = isbi_folder(folder / "stack", 4, 72, 80, seed=1)
    first = train(folder / "one", data)
    second = train(folder / "two", data, stop=4, width=3, lr=2e-3, weight_map="paper")
    return first, second


@pytest.fixture(scope="module")
def text(runs):
    out = runs[0].parent / "compare.html"
    assert cunet.report(list(runs), out=out) == out
    return out.read_text(encoding="utf-8")


def rows_of(text, title):
    """The rows of the table below a heading, as lists of text."""
    part = text[text.index(f"<h2>{title}</h2>") :]
    part = part[: part.index("</table>")]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", part)
    return [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows]


def test_the_page_needs_nothing_but_itself(text):
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    inside = [a for a in page.addresses if a.startswith("#")]
    assert {a[1:] for a in inside} <= set(page.ids)
    assert [a for a in page.addresses if not a.startswith("#")] == []  # no run has a report yet


def test_only_what_differs_in_the_settings_is_listed(runs, text):
    one, two = (tomllib.loads((run / "run.toml").read_text()) for run in runs)
    expected = {k for k in one.keys() | two.keys() if one.get(k) != two.get(k)} - {"out"}
    head, *rows = rows_of(text, "What differs")
    assert head == ["Setting", "one", "two"] and {row[0] for row in rows} == expected
    assert {"width", "lr", "weight_map"} <= expected
    assert next(row for row in rows if row[0] == "width") == ["width", "2", "3"]


def test_the_scores_are_those_of_the_logs(runs, text):
    _, *rows = rows_of(text, "Scores")
    for run, row in zip(runs, rows, strict=True):
        log = log_of(run)
        validated = [line for line in log if line["val_pixel_error"]]
        errors = [float(line["val_pixel_error"]) for line in validated]
        dice = [float(line["val_dice"]) for line in validated]
        best = validated[errors.index(min(errors))]["step"]
        assert row[:7] == [run.name, str(len(log)), f"{errors[-1]:.4f}", f"{min(errors):.4f}",
                           best, f"{dice[-1]:.4f}", f"{max(dice):.4f}"]  # fmt: skip
        assert row[7] == f"{float(validated[-1]['val_loss']):.4g}"


def test_the_lines_of_a_chart_differ_by_colour_and_dashes(text):
    chart = next(
        c for c in re.findall(r'<svg class="chart".*?</svg>', text, re.S) if "Dice, held" in c
    )
    assert "one and two" in chart
    paths = re.findall(r'style="fill: none;([^"]*)"', chart)
    looks = {
        colour: re.search("dasharray: ([^;]+)", style) is not None
        for style in paths
        for colour in re.findall(r"--(blue|orange)", style)
    }
    assert looks == {"blue": False, "orange": True}
    assert len({look(n) for n in range(36)}) == 36 and len(set(DASHES)) == 6


def test_a_validation_says_its_run_and_figures(runs, text):
    chart = next(
        c for c in re.findall(r'<svg class="chart".*?</svg>', text, re.S) if "Pixel error, h" in c
    )
    found = re.findall("<title>(.*?)</title>", chart)
    expected = [
        f"{run.name}, step {line['step']}: loss {float(line['val_loss']):.4g}, pixel error "
        f"{float(line['val_pixel_error']):.4f} at threshold {float(line['val_threshold']):.1f}, "
        f"Dice {float(line['val_dice']):.4f}"
        for run in runs
        for line in log_of(run)
        if line["val_pixel_error"]
    ]
    assert found == expected and len(found) == 5


def test_what_cannot_be_compared_is_said(runs, text, tmp_path):
    words = Page(text).words
    assert "Training losses are weighed differently (weight_map)" in words
    assert "two: not finished: 4 of 6 steps were made" in words
    assert "The data sets differ" not in words and "Lowest pixel error" in words
    pixels = np.tile(np.arange(40, dtype=np.uint8) % 3, (40, 1))
    for name, factor in (("images", 50), ("labels", 1)):
        (tmp_path / name).mkdir()
        for i in range(2):
            tifffile.imwrite(tmp_path / name / f"{i}.tif", factor * pixels)
    other = train(tmp_path / "other", tmp_path, labels="classes", fold=None, steps=2)
    out = cunet.report([runs[0], other], out=tmp_path / "c.html")
    words = Page(out.read_text(encoding="utf-8")).words
    assert "The data sets differ" in words
    assert "The numbers of classes differ (one 2, other 3)" in words
    assert "other: no validation" in words and "Lowest pixel error" not in words


def test_other_slices_held_out_are_said(runs, tmp_path):
    again = train(tmp_path / "again", runs[0].parent / "stack", fold="1/2")
    out = cunet.report([runs[0], again], out=tmp_path / "c.html")
    words = Page(out.read_text(encoding="utf-8")).words
    assert "The slices held out differ" in words and "Lowest pixel error" not in words


def test_curves_over_time_where_a_step_takes_one_run_longer(runs, tmp_path):
    slow = tmp_path / "slow"
    shutil.copytree(runs[0], slow)
    lines = (slow / "log.csv").read_text().splitlines()
    where = lines[0].split(",").index("seconds")

    def with_seconds(each):
        rows = [line.split(",") for line in lines[1:]]
        for number, row in enumerate(rows, start=1):
            row[where] = str(each * number)
        return "\n".join([lines[0], *(",".join(row) for row in rows)]) + "\n"

    pages = []
    for each in (1.0, 60.0):
        (slow / "log.csv").write_text(with_seconds(each))
        same = tmp_path / f"same-{each}"
        shutil.copytree(slow, same)
        (same / "log.csv").write_text(with_seconds(1.0))
        out = cunet.report([same, slow], out=tmp_path / f"{each}.html")
        pages.append(out.read_text(encoding="utf-8"))
    assert "A step takes about as long in every run" in pages[0] and "Over time" not in pages[0]
    assert "<h3>Over time</h3>" in pages[1] and "Dice, held out over minutes" in pages[1]


def test_a_run_with_a_report_is_linked_to_it(runs, tmp_path):
    folder = tmp_path / "a run"
    shutil.copytree(runs[0], folder)
    (folder / "report.html").write_text("here")
    (tmp_path / "pages").mkdir()
    out = cunet.report([folder, runs[1]], out=tmp_path / "pages" / "c.html")
    page = Page(out.read_text(encoding="utf-8"))
    links = [a for a in page.addresses if not a.startswith("#")]
    assert links == ["../a%20run/report.html"]
    assert f"cunet report {runs[1]}" in page.words


def test_damaged_runs_are_compared_as_far_as_they_go(runs, tmp_path):
    """No network, no machine; hashes that are none; a log of one step with impossible times."""
    first, second = tmp_path / "first", tmp_path / "second"
    for run in (first, second):
        shutil.copytree(runs[0], run)
    (first / "last.npz").write_bytes(b"none")
    (first / "env.json").write_text("{")
    (second / "env.json").write_text('{"data": {"a": [1]}, "versions": 3, "device": ["x"]}')
    lines = (second / "log.csv").read_text().splitlines()
    values = lines[1].split(",")
    values[1] = "-5.0"
    (second / "log.csv").write_text("\n".join([lines[0], ",".join(values)]) + "\n")
    out = cunet.report([first, second], out=tmp_path / "c.html")
    words = Page(out.read_text(encoding="utf-8")).words
    assert "first: its network is not known" in words and "first: env.json could not" in words
    assert "second: env.json is damaged: its 'versions' is left out" in words
    assert "second: not finished: 1 of 6 steps were made" in words
    (first / "log.csv").write_text(lines[0] + "\n")
    shutil.copy(first / "log.csv", second / "log.csv")
    out = cunet.report([first, second], out=out, overwrite=True)
    assert "No step was logged" in Page(out.read_text(encoding="utf-8")).words


def test_lines_that_a_log_lacks_are_said(runs, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(runs[0], folder)
    lines = (folder / "log.csv").read_text().splitlines()
    del lines[2:4]  # of the steps 2 and 3
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    (folder / "env.json").unlink()
    out = cunet.report([folder, runs[1]], out=tmp_path / "c.html")
    words = Page(out.read_text(encoding="utf-8")).words
    assert "torn: log.csv lacks steps 2-3" in words
    assert "torn: env.json could not be read: No such file or directory" in words


def test_numbers_that_no_training_has_are_damage(runs, tmp_path):
    folder = tmp_path / "vast"
    shutil.copytree(runs[0], folder)
    whole = (folder / "log.csv").read_text().splitlines()
    for large, kept in (("1e50", 6), ("1e308", 3)):
        lines = [line.split(",") for line in whole]
        for values in lines[4:]:
            values[lines[0].index("loss")] = large
        (folder / "log.csv").write_text("\n".join(map(",".join, lines)) + "\n")
        out = cunet.report([folder, runs[1]], out=tmp_path / f"{large}.html")
        _, row, _ = rows_of(out.read_text(encoding="utf-8"), "Scores")
        assert row[1] == str(kept)
        assert cunet.report(folder) == folder / "report.html"


def test_a_border_term_is_compared_as_it_is_used(runs):
    """One of the usual height is no other for being given; without a border term none counts."""
    first, second = (read_runs(runs)[i] for i in (0, 1))

    def said(**settings):
        pair = [replace(run, config=replace(first.config, **settings)) for run in (first, second)]
        pair[1] = replace(pair[1], config=replace(pair[1].config, w0=10.0))
        return [one for one in warnings(pair) if "weighed" in one]

    assert said(weight_map="paper") == said(weight_map="balance", w0=3.0) == []
    assert "(w0)" in said(weight_map="falk2019")[0]


def test_names_that_are_markup_are_text(runs, tmp_path):
    folder = tmp_path / "<b>&run"
    shutil.copytree(runs[0], folder)
    out = cunet.report([folder, runs[1]], out=tmp_path / "c.html")
    page = Page(out.read_text(encoding="utf-8"))
    assert "b" not in page.tags and "<b>&run" in page.words


def test_what_is_refused(runs, tmp_path):
    one, two = runs
    there = tmp_path / "there.html"
    there.write_text("mine")
    cases = {
        "expected 2 to 36 run folders.*found 1": ([one], tmp_path / "a.html"),
        "is named twice": ([one, two, one.parent / "." / "one"], tmp_path / "a.html"),
        "exists": ([one, two], there),
        "ends in .html": ([one, two], tmp_path / "a.txt"),
        "is not a run folder": ([one, tmp_path], tmp_path / "a.html"),
        "report of one run is report.html": (one, tmp_path / "a.html"),
        "belongs; give the page another name": ([one, two], two / "report.html"),
    }
    for message, (given, out) in cases.items():
        with pytest.raises(CunetError, match=message):
            cunet.report(given, out=out)
    assert not (two / "report.html").exists()
    assert there.read_text() == "mine" and os.listdir(tmp_path) == ["there.html"]
    assert cunet.report([one, two], out=there, overwrite=True) == there
    assert "2 runs compared" in there.read_text(encoding="utf-8")


def test_the_command(runs, tmp_path):
    command = [sys.executable, "-P", "-m", "cunet", "report", *map(str, runs)]
    first, again = (call(command, cwd=tmp_path, capture_output=True, text=True) for _ in "ab")
    assert (first.returncode, first.stdout) == (0, "compare.html\n")
    assert again.returncode == 2 and "give --overwrite" in again.stderr
    one = call([*command[:6], "-o", "x.html"], cwd=tmp_path, capture_output=True, text=True)
    assert one.returncode == 2 and "report of one run" in one.stderr
