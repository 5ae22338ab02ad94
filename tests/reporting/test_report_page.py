"""The report as its readers meet it: order and folding, small screens, contrast, plain sentences.

What is looked for is read from the finished page alone.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from isbi_data import isbi_folder
from report_pages import VOID, page_of, train
from run_folders import log_of

import cunet
from cunet.pictures.charts import Line, line_chart
from cunet.reporting import write_report
from cunet.reporting.examples import pictures
from cunet.reporting.facts import collect
from cunet.reporting.pictures import Example
from cunet.reporting.setup import differences, settings
from cunet.training.presets import PRESETS

ORDER = [
    "pictures", "figures", "scores", "curves", "thresholds", "training", "settings", "size",
    "meaning",
]  # fmt: skip
NARROW = 390  # pixels of a telephone
SMALLEST_TEXT, LEAST_CONTRAST = 11, 4.5
DRAWN_IN = {"ink", "soft", "blue", "orange", "green", "purple", "olive"}
BEHIND = {"paper", "card", "alert"}


class Tree(HTMLParser):
    """Every element of a page in order: (tag, attributes, tags and classes around it, its text)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.stack = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.stack.append(self.elements[-1])

    def handle_startendtag(self, tag, attributes):
        around = [name for e in self.stack for name in (e[0], *e[1].get("class", "").split())]
        self.elements.append((tag, dict(attributes), around, []))

    def handle_endtag(self, tag):
        self.stack.pop()

    def handle_data(self, data):
        for element in self.stack:
            element[3].append(data)

    def all(self, tag, inside=None):
        return [e for e in self.elements if e[0] == tag and (inside is None or inside in e[2])]


def words(element):
    return " ".join(" ".join(element[3]).split())


def text_of(run):
    return write_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three validations on slices of membranes, two of which are held out."""
    folder = tmp_path_factory.mktemp("page")
    data = isbi_folder(folder / "stack", 4, 72, 80, seed=1)
    return train(folder / "run", data)


@pytest.fixture(scope="module")
def text(run):
    return text_of(run)


@pytest.fixture(scope="module")
def tree(text):
    return Tree(text)


# What comes first


def test_three_cards_then_the_pictures_then_the_rest(tree):
    assert [e[1]["id"] for e in tree.all("section")] == ORDER
    main = [e for e in tree.all("dt") if "main" in e[2]]
    assert [words(e) for e in main] == ["Pixel error", "V_Rand", "V_Info"]
    assert all("section" not in e[2] for e in main)
    order = [
        e[1].get("id") or e[1].get("class") or e[0]
        for e in tree.elements
        if e[0] in ("h1", "nav", "section", "img") or e[1].get("class", "").startswith("cards")
    ]
    start = order.index("pictures")
    assert order[:start] == ["h1", "nav", "cards main"] and order[start + 1] == "img"
    assert order.index("cards") > order.index("figures")
    small = [words(e) for e in tree.all("dt", "cards") if "main" not in e[2]]
    assert {"Rand error", "Dice", "Steps", "Time", "Parameters"} <= set(small)


def test_the_contents_lead_to_every_section(tree):
    links = tree.all("a", "nav")
    assert [e[1]["href"] for e in links] == [f"#{name}" for name in ORDER]
    titles = [words(e) for e in tree.all("h2")]
    assert [words(e) for e in links] == titles


def test_thresholds_and_settings_are_folded_up(tree):
    folds = tree.all("details")
    assert len(folds) == 4 and not any("open" in e[1] for e in folds)
    summaries = [words(e) for e in tree.all("summary")]
    assert re.fullmatch(r"The best threshold is [\d.]+: pixel error [\d.]+", summaries[0])
    assert summaries[1] == "The first 6 training samples, augmented, seed 0"
    assert "settings differ from the nearest preset, cpu: width, depth" in summaries[2]
    assert tree.all("svg", "details") and len(tree.all("tr", "details")) > 40
    assert "script" not in {e[0] for e in tree.elements}


def test_what_a_screen_reader_needs(tree):
    html = tree.all("html")[0]
    assert html[1]["lang"] == "en"
    levels = [int(e[0][1]) for e in tree.elements if re.fullmatch("h[1-6]", e[0])]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    alts = [e[1]["alt"] for e in tree.all("img")]
    assert all(alts) and len(set(alts)) == len(alts)
    charts = tree.all("svg")
    assert all(e[1]["role"] == "img" and e[1]["aria-label"] for e in charts)
    assert len({e[1]["aria-label"] for e in charts}) == len(charts)
    assert all(e[1]["scope"] == ("col" if "thead" in e[2] else "row") for e in tree.all("th"))
    assert tree.all("nav")[0][1]["aria-label"]


def test_no_section_is_empty(tree):
    for section in tree.all("section"):
        assert len(words(section)) > 20, section[1]


# Small screens, dark screens


def test_the_text_of_charts_is_readable_on_a_telephone(text):
    sides = re.search(r"@media \(max-width: \d+px\) \{\s*body \{ padding: \S+ (\S+)rem", text)
    room = NARROW - 2 * 16 * float(sides[1])
    charts = re.findall(r'<svg class="chart" viewBox="0 0 ([\d.]+) .*?</svg>', text, re.S)
    assert len(charts) == 11
    for chart in re.finditer(r'<svg class="chart" viewBox="0 0 ([\d.]+) .*?</svg>', text, re.S):
        scale = room / float(chart[1])
        sizes = [float(size) for size in re.findall(r"([\d.]+)px", chart[0])]
        assert len(sizes) > 5 and scale * min(sizes) >= SMALLEST_TEXT


def test_wide_tables_move_in_a_box_of_their_own(tree):
    for i, element in enumerate(tree.elements):
        if element[0] != "table":
            continue
        box = tree.elements[i - 1]
        assert box[0] == "div" and box[1]["class"] == "scroll"
        later = [e[0] for e in tree.elements[i + 1 :]]
        row = later[later.index("tr") + 1 :]
        columns = next(k for k, name in enumerate(row) if name not in ("th", "td"))
        if columns >= 5:
            assert box[1]["tabindex"] == "0" and box[1]["role"] == "region"
            assert box[1]["aria-label"]


def contrast(one, other):
    """The ratio of WCAG 2: (lighter + 0.05) / (darker + 0.05) of the relative luminances."""

    def luminance(colour):
        digits = colour.lstrip("#")
        if len(digits) == 3:
            digits = "".join(2 * d for d in digits)
        channels = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_itself():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_every_colour_of_text_and_lines_stands_out(text):
    style = re.search("<style>(.*?)</style>", text, re.S)[1]
    themes = [dict(re.findall(r"--(\w+): (#\w+)", root))
              for root in re.findall(r":root \{(.*?)\}", style, re.S)]  # fmt: skip
    assert len(themes) == 3  # light, dark, paper
    for theme in themes:
        for front in DRAWN_IN:
            for back in BEHIND:
                assert contrast(theme[front], theme[back]) >= LEAST_CONTRAST, (front, back)
    used = re.findall(r"(?<![\w-])color: ([^;}]+)", style.replace("color-scheme: light", ""))
    assert len(used) > 5 and set(used) <= {f"var(--{name})" for name in DRAWN_IN}
    charts = "".join(re.findall(r'<svg class="chart".*?</svg>', text, re.S))
    drawn = set(re.findall(r"(?:stroke|fill): ([^;\"]+)", charts))
    assert drawn <= {"none", "currentColor", "var(--grid)"} | {f"var(--{n})" for n in DRAWN_IN}
    assert "opacity" not in charts.replace("stroke-opacity: 1", "")


def test_lines_differ_by_more_than_their_colour(text):
    chart = next(
        c for c in re.findall(r'<svg class="chart".*?</svg>', text, re.S) if "V_Rand and" in c
    )
    paths = re.findall(r'style="fill: none;([^"]*)"', chart)
    blue = [("dasharray" in p) for p in paths if "--blue" in p]
    orange = [("dasharray" in p) for p in paths if "--orange" in p]
    assert blue and orange and not any(blue) and all(orange)


# Runs of all kinds


def test_one_validation_is_a_sentence_and_no_chart(run, tmp_path):
    again = train(tmp_path / "one", run.parent / "stack", validate_every=6, lr_policy="fixed")
    row = log_of(again)[-1]
    tree = Tree(text_of(again))
    curves = words(next(e for e in tree.all("section") if e[1]["id"] == "curves"))
    assert (
        f"One validation, after step 6: loss {float(row['val_loss']):.4g}, pixel error "
        f"{float(row['val_pixel_error']):.4f}, Dice {float(row['val_dice']):.4f}." in curves
    )
    assert "Learning rate: 0.001 at every step." in curves
    titles = [e[1]["aria-label"] for e in tree.all("svg") if "details" not in e[2]]
    assert [title.split(" over ")[0] for title in titles] == [
        "Chart: Training loss", "Chart: Waiting for data, % of a step",
    ]  # fmt: skip


def test_one_step_is_a_sentence(run, tmp_path):
    again = train(tmp_path / "one", run.parent / "stack", steps=1)
    loss = float(log_of(again)[0]["loss"])
    tree = Tree(text_of(again))
    assert f"One step was made: training loss {loss:.4g}." in words(tree.all("body")[0])
    assert all("details" in e[2] for e in tree.all("svg"))


def test_nothing_held_out_is_said_in_one_line(run, tmp_path):
    tree = Tree(text_of(train(tmp_path / "run", run.parent / "stack", fold=None)))
    said = [words(e) for e in tree.all("p") if e[1].get("class") == "alert"]
    assert [line for line in said if "--fold 0/5" in line and line.startswith("Nothing was held")]
    assert "validation" not in words(next(e for e in tree.all("section") if e[1]["id"] == "curves"))
    for section in tree.all("section"):
        assert len(words(section)) > 20, section[1]
    main = [words(e) for e in tree.all("dd", "main")]
    assert main[1::2] == ["3 training slices"] * 3


def test_a_diverged_run_is_not_told_to_go_on(run, tmp_path):
    stopped = train(tmp_path / "run", run.parent / "stack", stop=5)
    (stopped / "failure.json").write_text('{"step": 5, "error": "loss is nan at step 6. Lower"}')
    page = page_of(stopped).words
    assert "Diverged after step 5 of 6: loss is nan at step 6." in page
    assert "--resume" not in page and "--clip 1" in page


def test_a_resumed_run_says_so(run, tmp_path):
    stopped = train(tmp_path / "run", run.parent / "stack", stop=3)
    config = cunet.Config(**cunet.training.run_folder.read_settings(stopped))
    assert list(cunet.train(config, resume=True))
    assert "Resumed after step 3 " in page_of(stopped).words


def test_a_run_that_begins_with_trained_weights_says_so(run, monkeypatch):
    facts = collect(run)
    object.__setattr__(facts.config, "from_model", "bundled")
    monkeypatch.setattr("cunet.reporting.collect", lambda *_: facts)
    assert "; trained from the weights of bundled; started" in page_of(run).words


# Settings


@pytest.mark.parametrize("preset", ["paper", "cpu", "ucsd"])
@pytest.mark.parametrize("precision", [None, "float32", "tf32"])
def test_what_a_preset_leaves_to_the_machine_is_no_difference(preset, precision):
    run = {"data": "d", "device": "cuda:1", "threads": 3, "fold": "0/5", "seed": 8, "out": "r"}
    config = cunet.Config(**PRESETS[preset] | run, precision=precision)
    assert differences(config, preset) == []
    assert f"All settings are those of the nearest preset, {preset}" in settings(config)
    assert differences(replace(config, precision="float64"), preset) == ["precision"]


def test_a_number_that_follows_from_other_settings_is_no_difference():
    cpu = cunet.Config(**PRESETS["cpu"], momentum=0.9)
    assert differences(cpu, "cpu") == []
    assert differences(replace(cpu, momentum=0.99), "cpu") == ["momentum"]
    paper = cunet.Config(w0=10.0, border_sigma=5.0, momentum=0.99, resize=0)
    assert differences(paper, "paper") == []
    assert differences(replace(paper, w0=50.0), "paper") == ["w0"]
    assert differences(replace(paper, weight_map="falk2019"), "paper") == [
        "weight_map", "w0", "border_sigma",
    ]  # fmt: skip


def test_the_preset_of_the_command_line_is_the_one_compared_with():
    config = cunet.Config(**PRESETS["cpu"] | {"width": 8})
    assert "1 setting differs from the nearest preset, cpu: width<" in settings(config)
    for given in (["--preset", "paper"], ["--preset=paper"]):
        page = settings(config, ["cunet", "train", *given, "-q"])
        assert "settings differ from preset paper: width, dropout, tile" in page
    assert "nearest preset, cpu" in settings(config, ["cunet", "train", "--preset"])


# Pictures


def example(weights, labels=None):
    labels = np.zeros(weights.shape, np.uint8) if labels is None else labels
    return Example("a", np.zeros((*weights.shape, 1)), labels, weights, labels * 0.5, 0.5)


def test_a_weight_map_of_one_colour_is_left_out():
    even, uneven = np.full((6, 7), 1.5, np.float32), np.full((6, 7), 1.5, np.float32)
    uneven[2, 3] = 4
    named = [caption for caption, _ in pictures(example(uneven), 2)]
    assert "weight map, 0 (dark) to 4" in named
    assert named[:3] + named[4:] == [caption for caption, _ in pictures(example(even), 2)]
    ignored = np.zeros((6, 7), np.uint8)
    ignored[:2] = 255
    even[:2] = 0
    assert not any("weight" in caption for caption, _ in pictures(example(even, ignored), 2))


def test_the_colour_of_ignored_pixels_is_named_where_there_are_some(run, tmp_path):
    assert "Label: to be ignored" not in page_of(run).words
    data = tmp_path / "data"
    for name, high in (("images", 200), ("labels", 1)):
        (data / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.zeros((64, 70), np.uint8)
            pixels[20:40, 10 + i : 50] = high
            pixels[:3] = 255
            tifffile.imwrite(data / name / f"{i}.tif", pixels)
    page = page_of(train(tmp_path / "run", data, steps=1))
    assert "Label: to be ignored" in page.words
    assert "No scores of the ISBI 2012 challenge: they follow cells" in page.words


def test_equal_weights_are_said_to_be_equal(run, tmp_path):
    again = train(tmp_path / "run", run.parent / "stack", weight_map="none", steps=2)
    page = page_of(again)
    assert "All labelled pixels weigh the same in the loss" in page.words
    assert page.tags.count("img") == 2 * 6 + 6 and "weight map, 0" not in page.words


def test_the_scale_of_a_weight_map_stands_below_it(tree):
    scales = [e for e in tree.all("span") if e[1].get("class") == "scale"]
    assert len(scales) == 4 and sum("figcaption" in e[2] for e in scales) == 3
    captions = [words(e) for e in tree.all("figcaption") if "weight map" in words(e)]
    assert all(re.fullmatch(r"weight map, 0 [\d.]+", caption) for caption in captions)


# Charts


def test_steps_are_whole_numbers_with_commas():
    steps = np.arange(1, 12_001, 100)
    chart = line_chart("a", [Line(steps, 1 / steps)], "step", "Title <&>")
    assert ">10,000</text>" in chart and ">5,000</text>" in chart
    assert 'aria-label="Chart: Title &lt;&amp;&gt; over step"' in chart


def test_a_logarithmic_axis_of_many_decades_has_fewer_labels():
    few, many = ([1.0, 0.02], [1e3, 1e-4])
    charts = [line_chart("a", [Line([1, 2], y)], "step", "t", log=True) for y in (few, many)]
    assert ">0.05</text>" in charts[0] and ">0.05</text>" not in charts[1]
    assert ">0.01</text>" in charts[1]
