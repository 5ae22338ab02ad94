"""The report of runs on numbered cells and on several classes."""

import re

import numpy as np
import pytest
import tifffile
from PIL import Image
from report_pages import TRAINED_ON, page_of, picture_of, train
from scipy import ndimage

import cunet
from cunet.data.dataset import Dataset
from cunet.metrics.curves import Counts
from cunet.pictures.colours import class_colours
from cunet.reporting import write_report
from cunet.reporting.cells import NO_BOWL, caption, cards, section
from cunet.reporting.examples import pictures
from cunet.reporting.facts import collect
from cunet.reporting.pictures import (
    CONFUSED,
    IGNORED,
    MAX_SIDE,
    TRUE_BORDER,
    UNKNOWN,
    Example,
    cells_picture,
    error_picture,
    found_picture,
    image_picture,
    label_picture,
    weight_picture,
)
from cunet.reporting.slices import Cells, Segmented, in_order


def discs(height, width, centres, radius):
    """Cell numbers (H, W): a disc around each centre, the later one on top."""
    cells = np.zeros((height, width), np.uint16)
    rows, columns = np.mgrid[:height, :width]
    for number, (y, x) in enumerate(centres, start=1):
        cells[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 3 * number  # with gaps
    return cells


def frames(count, seed=0):
    """Bright discs, some of which touch: images uint8 and cell numbers uint16, (H, W) each."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        cells = discs(72, 80, rng.uniform((8, 8), (64, 72), (7, 2)), 9)
        noise = rng.normal(0, 20, cells.shape)
        yield np.clip(60 + 120 * (cells > 0) + noise, 0, 255).astype(np.uint8), cells


@pytest.fixture(scope="module")
def ctc_run(tmp_path_factory):
    """A short run on two sequences; of the held-out 02 the last frame is annotated in part."""
    folder = tmp_path_factory.mktemp("ctc")
    for sequence, seed in (("01", 1), ("02", 2)):
        truth = folder / "data" / f"{sequence}_GT" / "SEG"
        truth.mkdir(parents=True)
        (folder / "data" / sequence).mkdir()
        for i, (image, cells) in enumerate(frames(3, seed)):
            if (sequence, i) == ("02", 2):
                cells[cells > 6] = 0
            tifffile.imwrite(folder / "data" / sequence / f"t{i:03}.tif", image)
            tifffile.imwrite(truth / f"man_seg{i:03}.tif", cells)
    settings = {"fold": None, "hold_out": "02", "steps": 30, "validate_every": 15, "lr": 1e-2}
    return train(folder / "run", folder / "data", **settings)


@pytest.fixture(scope="module")
def ctc_page(ctc_run):
    return page_of(ctc_run)


def seg_by_hand(truth, found):
    """J of every true object, by comparing sets of pixels."""
    scores = []
    for number in np.unique(truth[truth > 0]):
        cell = truth == number
        inside = found[cell]
        best = [n for n in np.unique(inside[inside > 0]) if 2 * (inside == n).sum() > cell.sum()]
        scores.append((cell & (found == best[0])).sum() / (cell | (found == best[0])).sum()
                      if best else 0.0)  # fmt: skip
    return scores


def held_out(run):
    """(name, image, labels, true cells, probability of white) of a run's held-out slices."""
    facts, net = collect(run), cunet.load(run / "last.npz")
    names, data = facts.data.dataset.slice_names, facts.data.dataset
    for one in facts.found.slices:
        i = names.index(one.name)
        probability = cunet.segment(data.images[i], net, tile=108)
        yield one.name, data.images[i], data.labels[i], data.instances[i], probability[..., 1]


def test_the_scores_of_cells_on_the_page(ctc_run, ctc_page):
    page = ctc_page
    scores, both, either, lines = [], 0, 0, []
    for name, _, labels, truth, white in held_out(ctc_run):
        found = ndimage.label(white > 0.5)[0]
        alone, mask, counted = seg_by_hand(truth, found), white > 0.5, labels != 255
        scores += alone
        shared, united = (mask & (truth > 0)).sum(), (counted & (mask | (truth > 0))).sum()
        both, either = both + shared, either + united
        matched = sum(score > 0 for score in alone)
        lines.append(
            f"{name} {np.mean(alone):.4f} {matched} of {len(alone)} {found.max()} "
            f"{shared / united:.4f}"
        )
    assert len(lines) == 3 and 0.05 < np.mean(scores) < 1
    assert f"SEG {np.mean(scores):.4f} held out, step 30" in page.words
    assert f"Foreground IoU {both / either:.4f} held out, step 30" in page.words
    assert f"SEG {np.mean(scores):.4f} mean IoU of the annotated cells" in page.words
    good = sum(score > 0.5 for score in scores)
    assert f"Cells of IoU above 0.5 {good} of {len(scores)} annotated" in page.words
    assert f"Cells of IoU above 0.5 {good} of {len(scores)} held out, step 30" in page.words
    for line in lines:
        assert line in page.words
    assert "Over 3 held-out slices; last.npz, step 30. Found objects are the 4-conn" in page.words
    assert "Kaggle score" not in page.words


def test_the_pictures_of_cells_on_the_page(ctc_page):
    page = ctc_page
    shown = 3 * 6 - 1  # of one slice nothing but cells is annotated
    assert page.tags.count("img") == shown + TRAINED_ON
    assert "All labelled pixels of 02/t002 weigh the same" in page.words
    assert "All held-out slices, lowest SEG first" in page.words
    assert "every found object (4-connected, probability above 0.5)" in page.words
    assert "borders of the true objects" in page.words
    assert page.words.count("true objects matched") == 3
    assert page.words.count("annotated objects; grey: to be ignored") == 1
    shown = [float(value) for value in re.findall(r"02/t00\d: SEG ([\d.]+)", page.words)]
    assert len(shown) == 3 and shown == sorted(shown)


def test_without_held_out_slices_cells_are_those_of_training(ctc_run, tmp_path):
    data = ctc_run.parent / "data"
    words = page_of(train(tmp_path / "run", data, fold=None)).words
    assert "Over 3 training slices; last.npz, step 6." in words
    assert "training slices" in words[words.index("SEG") :][:40]
    assert "Nothing was held out" in words


@pytest.fixture(scope="module")
def bowl_run(tmp_path_factory):
    """A short run on nuclei in pictures of three channels, one of them stained."""
    folder = tmp_path_factory.mktemp("bowl")
    for i, (image, cells) in enumerate(frames(4, 5)):
        name = f"{i}" * 64
        for part in ("images", "masks"):
            (folder / "stage1_train" / name / part).mkdir(parents=True)
        colour = np.stack([image] * 3, axis=2)
        if i == 2:
            colour[..., 1] = 255 - colour[..., 1]
        Image.fromarray(colour).convert("RGBA").save(
            folder / "stage1_train" / name / "images" / f"{name}.png"
        )
        for number in np.unique(cells[cells > 0]):
            mask = np.where(cells == number, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(folder / "stage1_train" / name / "masks" / f"{number}.png")
    settings = {"steps": 30, "validate_every": 15, "lr": 1e-2}
    return train(folder / "run", folder / "stage1_train", **settings)


def test_the_scores_of_nuclei_on_the_page(bowl_run):
    page = page_of(bowl_run)
    kaggle, report, tp, fp, fn = [], [], 0, 0, 0
    for _, _, _, truth, white in held_out(bowl_run):
        found = ndimage.label(white > 0.5)[0]
        ious = []
        for t in np.unique(truth[truth > 0]):
            for f in range(1, found.max() + 1):
                a, b = truth == t, found == f
                ious.append((a & b).sum() / (a | b).sum())
        n, m = len(np.unique(truth)) - 1, found.max()
        hits = [sum(iou >= k / 20 for iou in ious) for k in range(10, 21)]
        kaggle.append(np.mean([h / (n + m - h) for h in hits[:10]]))
        report.append(np.mean([h / m for h in hits]))
        tp, fp, fn = tp + hits[0], fp + m - hits[0], fn + n - hits[0]
    assert len(kaggle) == 2 and tp > 0
    half = 2 * tp / (2 * tp + fp + fn)
    assert f"F1 at IoU 0.5 {half:.4f} held out, step 30" in page.words
    assert f"Kaggle score {np.mean(kaggle):.4f} held out, step 30" in page.words
    assert f"Mean precision (mAP) {np.mean(report):.4f} TP / (TP + FP)" in page.words
    assert "Objects that match, over that IoU" in page.words
    assert f"{'0' * 21}... " in page.words  # the table cuts the long name, the heading does not
    assert f"{'0' * 64}: SEG" in page.words


@pytest.mark.parametrize("run", ["ctc_run", "bowl_run", "classes_run"])
def test_nothing_of_membranes_where_there_are_none(run, request):
    text = write_report(request.getfixturevalue(run)).read_text(encoding="utf-8")
    words = re.sub(r"base64,[\w+/=]+", "", text)
    assert "Foreground" in words and "Cell Tracking Challenge" in words or run == "classes_run"
    assert not re.search("isbi|membrane|v_rand|v_info|warping|white in|all white", words, re.I)


def test_stained_nuclei_are_shown_in_colour(bowl_run):
    facts = collect(bowl_run)
    shown = {example.name[0]: pictures(example, 2) for example in facts.found.examples}
    assert set(shown) == {"0", "2"}
    for name, grey in (("0", True), ("2", False)):
        picture = picture_of(dict(shown[name])["image"]).astype(int)
        assert picture.shape == (72, 80, 3) and (np.ptp(picture, axis=2).max() < 3) == grey


def slice_of(white, labels, truth, name="a"):
    """A slice of cells as Segmented, by hand."""
    labels = np.asarray(labels, np.uint8)
    image = np.zeros((*labels.shape, 1), np.uint8)
    dataset = Dataset(
        "d", "dsb2018", [image], [labels], ("background", "cell"), (name,), instances=[truth]
    )
    return Segmented.of(dataset, 0, np.stack([1 - white, white], axis=2))


def test_cells_by_hand():
    truth = np.array([[1, 1, 2, 2, 0, 0, 0, 0]] * 2)
    white = np.array([[0.9, 0.9, 0.9, 0.9, 0.9, 0.2, 0.9, 0.9]] * 2)
    labels = (truth > 0).astype(np.uint8)
    labels[:, 6:] = 255
    one = slice_of(white, labels, truth).cells
    assert one.found.tolist() == [[1, 1, 1, 1, 1, 0, 2, 2]] * 2
    assert one.frame.scores.tolist() == [0.4, 0.4] and one.frame.found == 2
    assert one.pixels == Counts(tp=8, fp=2, fn=0, tn=2)  # ignored pixels are none of them
    assert one.tally is None
    whole = Cells.of(white, (truth > 0).astype(np.uint8), truth)
    assert whole.tally.found == 2 and whole.pixels == Counts(8, 6, 0, 2)


def test_ignored_pixels_leave_the_bowl_undefined():
    truth = np.array([[1, 1, 0, 2]] * 3)
    labels = (truth > 0).astype(np.uint8)
    whole = slice_of(labels * 0.9, labels, truth)
    labels = labels.copy()
    labels[0, 2] = 255
    parts = [whole, slice_of((labels == 1) * 0.9, labels, truth, "b")]
    assert [name for name, *_ in cards([whole], "here", True)] == [
        "Kaggle score", "F1 at IoU 0.5", "SEG", "Foreground IoU", "Cells of IoU above 0.5",
    ]  # fmt: skip
    assert NO_BOWL not in section([whole], "one slice", True)
    assert [name for name, *_ in cards(parts, "here", True)][:2] == ["SEG", "Foreground IoU"]
    text = section(parts, "two slices", True)
    assert NO_BOWL in text and "Kaggle" not in text and "mAP" not in text
    assert NO_BOWL not in section(parts, "two slices", False)


def test_slices_without_cells_come_last_and_many_are_folded_up():
    truth = np.array([[1, 1, 0, 2]] * 3)
    some, none = (truth > 0).astype(np.uint8), np.zeros((3, 4), np.uint8)
    empty = slice_of(none * 0.9, some, 0 * truth)  # no number, as where nothing is annotated
    good, bad = slice_of(some * 0.9, some, truth), slice_of(none * 0.9, some, truth)
    assert in_order([empty, good, bad]) == [bad, good, empty]
    assert "SEG undefined, 0 of 0" in caption(empty)
    assert "details" not in section([good] * 20, "20 slices", True)
    assert "<summary>All 21 slices</summary>" in section([good] * 21, "21 slices", True)


def test_found_objects_are_coloured_and_true_borders_drawn():
    truth, found = np.zeros((2, 30, 30), np.int32)
    truth[2:12, 2:12], truth[2:12, 12:22] = 4, 9  # they touch
    found[3:11, 3:24], found[25, 25] = 2, 1
    picture = found_picture(np.full((30, 30, 1), 7), truth, found)
    border = (picture == TRUE_BORDER).all(axis=2)
    expected = truth > 0
    expected[3:11, 3:11] = expected[3:11, 13:21] = False
    assert np.array_equal(border, expected)
    inside = picture[5, 5]
    assert (picture[(found == 2) & ~border] == inside).all() and inside.any()
    assert picture[25, 25].any() and not np.array_equal(picture[25, 25], inside)
    assert not picture[(found == 0) & ~border].any()
    nothing = found_picture(np.full((30, 30, 1), 7), 0 * truth, 0 * found)
    assert not nothing.any()
    large = np.zeros((20, 3 * MAX_SIDE), np.int32)
    large[5:15, 100:200] = 1
    drawn = (found_picture(np.zeros((*large.shape, 1)), large, 0 * large) == TRUE_BORDER).all(
        axis=2
    )
    assert np.array_equal(np.flatnonzero(drawn[:, 150]), [5, 6, 7, 12, 13, 14])


def test_annotated_cells_differ_and_what_is_ignored_is_grey():
    truth = np.array([[0, 70_000, 3, 3], [0, 70_000, 5, 0]])
    picture = cells_picture(truth, np.array([[0, 1, 1, 1], [255, 1, 1, 0]], np.uint8))
    assert picture[1, 0].tolist() == list(UNKNOWN) and not picture[0, 0].any()
    assert len({tuple(picture[place].tolist()) for place in ((0, 1), (0, 2), (1, 2))}) == 3
    assert np.array_equal(picture[0, 2], picture[0, 3])


def test_a_thin_line_of_the_weight_map_is_not_lost_in_a_large_image():
    weights = np.ones((1500, 1200))
    weights[:, 600] = 11
    small = Image.fromarray(weight_picture(weights, 11.0))
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    brightest = weight_picture(np.full((1, 1), 11.0), 11.0)[0, 0]
    assert (np.array(small) == brightest).all(axis=2).any(axis=1).all()


def test_colours_of_an_image_are_kept():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10, :, 0], image[10:, :, 2] = 200, 100
    picture = image_picture(image)
    assert picture[0, 0].tolist() == [255, 0, 0] and picture[19, 0].tolist() == [0, 0, 128]
    example = Example(
        "a", image, np.zeros((20, 20), np.uint8), np.ones((20, 20)), np.zeros((20, 20)), 0.0
    )
    assert np.array_equal(error_picture(example), picture)


@pytest.fixture(scope="module")
def classes_run(tmp_path_factory):
    """A short run on three classes, some pixels of which are ignored."""
    folder = tmp_path_factory.mktemp("classes") / "data"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(3)
    for i, (_, cells) in enumerate(frames(4, 7)):
        labels = (cells > 0).astype(np.uint8) + (cells > 9)
        image = 40 + 80 * labels + rng.normal(0, 20, labels.shape)
        labels[:3] = 255
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"images/{i}.png")
        Image.fromarray(labels).save(folder / f"labels/{i}.png")
    settings = {"steps": 30, "validate_every": 15, "lr": 1e-2}
    return train(folder.parent / "run", folder, **settings)


def test_every_class_against_the_rest_on_the_page(classes_run):
    page = page_of(classes_run)
    facts, net = collect(classes_run), cunet.load(classes_run / "last.npz")
    found, truth = [], []
    for i in (0, 2):
        counted = facts.data.dataset.labels[i] != 255
        probability = cunet.segment(facts.data.dataset.images[i], net, tile=108)
        found.append(probability.argmax(axis=2)[counted])
        truth.append(facts.data.dataset.labels[i][counted])
    found, truth = np.concatenate(found), np.concatenate(truth)
    ious = []
    for k in range(3):
        tp = ((found == k) & (truth == k)).sum()
        precision, recall = tp / (found == k).sum(), tp / (truth == k).sum()
        ious.append(tp / ((found == k) | (truth == k)).sum())
        row = [precision, recall, 2 * tp / ((found == k).sum() + (truth == k).sum()), ious[-1]]
        shown = " ".join(f"{value:.4f}" for value in row)
        assert f"class {k} {shown} {(truth == k).sum():,}" in page.words
        taken = [100 * ((found == j) & (truth == k)).sum() / (truth == k).sum() for j in range(3)]
        assert f"class {k} {' '.join(f'{share:.1f} %' for share in taken)}" in page.words
    assert f"Mean IoU {np.mean(ious):.4f} held out, step 30" in page.words
    assert f"Accuracy {(found == truth).mean():.4f} held out, step 30" in page.words
    assert "Over 2 held-out slices; last.npz, step 30." in page.words
    assert "All held-out slices, lowest mean IoU first" in page.words


def test_the_key_names_every_class(classes_run):
    text = write_report(classes_run).read_text(encoding="utf-8")
    for k, colour in enumerate(map(tuple, class_colours(3).tolist())):
        assert f'style="background: rgb{colour}"></span>class {k}</span>' in text
    assert f'style="background: rgb{IGNORED}"></span>ignored</span>' in text
    one = collect(classes_run).found.examples[0]
    shown = dict(pictures(one, 3))
    table = class_colours(3)
    assert np.array_equal(picture_of(shown["most probable class"]), table[one.classes])
    label = picture_of(shown["label"])
    assert np.array_equal(label[3:], table[one.labels[3:]]) and (label[:3] == IGNORED).all()


def test_a_class_taken_for_another_is_coloured():
    labels = np.array([[0, 1, 2, 2, 255, 1]] * 7, np.uint8)
    classes = np.array([[0, 2, 2, 0, 1, 1]] * 7, np.uint8)
    image = np.full((*labels.shape, 1), 9)
    example = Example("a", image, labels, image[..., 0], np.ones(labels.shape), 0.5, classes)
    confused = (error_picture(example) == CONFUSED).all(axis=2)
    assert np.array_equal(confused, np.array([[0, 1, 0, 0, 0, 0]] * 7, bool))


def test_two_classes_stay_black_and_white():
    labels = np.array([[0, 1, 255]], np.uint8)
    assert label_picture(labels, 2).tolist() == [[[0] * 3, [255] * 3, list(IGNORED)]]
    coloured = label_picture(np.arange(64, dtype=np.uint8)[None], 64)
    assert np.array_equal(coloured[0], class_colours(64))
