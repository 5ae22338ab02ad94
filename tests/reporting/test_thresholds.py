"""Precision and recall on the page: every point against pixels counted one by one."""

import re

import numpy as np
import pytest
from isbi_data import isbi_folder
from report_pages import train

from cunet.metrics.pixel import PixelCounts
from cunet.reporting import write_report
from cunet.reporting.facts import collect
from cunet.reporting.thresholds import recall_chart


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thresholds")
    data = isbi_folder(folder / "stack", 4, 72, 80, seed=1)
    return train(folder / "run", data, steps=12)


def counted(slices, dataset, threshold):
    """(precision, recall, F) over all pixels at a threshold, NaN where undefined."""
    tp = fp = fn = 0
    for one in slices:
        for p, label in zip(one.white.ravel().tolist(), dataset.labels[one.index].ravel().tolist(),
                            strict=True):  # fmt: skip
            found = p > threshold
            tp, fp, fn = (
                tp + (found and label > 0),
                fp + (found and not label),
                fn + (not found and label > 0),
            )
    nan = float("nan")
    return (tp / (tp + fp) if tp + fp else nan, tp / (tp + fn), 2 * tp / (2 * tp + fp + fn))


def test_every_threshold_has_its_point_and_its_row(run):
    facts = collect(run)
    text = write_report(run).read_text(encoding="utf-8")
    chart = next(c for c in re.findall(r"<svg.*?</svg>", text, re.S) if "Precision over rec" in c)
    titles = re.findall("<title>threshold (.*?): precision (.*?), recall (.*?), F-score (.*?)</ti",
                        chart)  # fmt: skip
    rows = re.findall(r'<th scope="row">(\d\.\d)</th>' + r"<td>([^<]*)</td>" * 3, text)
    assert [row[0] for row in rows] == [f"{k / 10:.1f}" for k in range(11)]
    shown = {title[0]: title for title in titles}
    for name, f_score, precision, recall in rows:
        threshold = float(np.cumsum([0.0] + [0.1] * 10)[round(10 * float(name))])
        expected = counted(facts.found.slices, facts.data.dataset, threshold)
        words = ["undefined" if e != e else f"{e:.4f}" for e in expected]
        assert [precision, recall, f_score] == words
        if expected[0] == expected[0]:
            assert shown.pop(name) == (name, *words)
    assert not shown and len(titles) >= 5
    best = max(rows, key=lambda row: float(row[1]))
    assert f"best F {best[1]}, threshold {best[0]}" in chart


def test_a_title_lies_on_its_point():
    chart = recall_chart(
        np.linspace(0.6, 0.8, 11), np.linspace(0.5, 0.9, 11), np.linspace(1.0, 0.4, 11)
    )
    titled = [(float(x), float(y)) for x, y in re.findall('<circle cx="(.*?)" cy="(.*?)"', chart)]
    marked = [
        (float(x), float(y)) for x, y in re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"', chart)
    ]
    assert len(titled) == 11
    for x, y in titled:
        assert min(np.hypot(x - a, y - b) for a, b in marked) < 0.1


def test_thresholds_at_which_nothing_is_found_have_no_point():
    counts = PixelCounts()
    counts.add(np.array([[0.35, 0.05, 0.25]]), np.array([[True, False, False]]))
    precision, recall = counts.precisions(), counts.recalls()
    np.testing.assert_array_equal(precision[:4], [1 / 3, 0.5, 0.5, 1])
    assert np.isnan(precision[4:]).all()
    np.testing.assert_array_equal(recall, [1] * 4 + [0] * 7)
    chart = recall_chart(counts.f_scores(), precision, recall)
    assert chart.count("<title>") == 4
    counts = PixelCounts()
    counts.add(np.array([[0.35]]), np.array([[False]]))
    assert np.isnan(counts.recalls()).all()
    assert "no precision-recall curve" in recall_chart(
        counts.f_scores(), counts.precisions(), counts.recalls()
    )
