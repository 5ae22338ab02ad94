"""Fig. 1 as SVG: every label legible and true, boxes to scale, against the network's own layers."""

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest
from PIL import ImageFont

from cunet.net.figure1 import explain
from cunet.net.shape import Shape
from cunet.net.tiles import smallest_tile, usual_tile, valid_tiles
from cunet.pictures.figure1 import svg

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
# A wide font among those that system-ui may be; letters are measured, not estimated
FONT = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)


def drawn(shape, tile=None):
    """The figure, parsed, and what it was drawn from."""
    document = explain(shape, tile or usual_tile(shape.depth, shape.padding))
    return ET.fromstring(svg(document)), document


def text_box(text):
    """(left, top, right, bottom) of a text, from its height without descenders to its baseline."""
    x, y, width = float(text.get("x")), float(text.get("y")), FONT.getlength(text.text)
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
    return left, y - 10, left + width, y


def rect_box(rect):
    x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def arrow_box(arrow):
    points = [tuple(map(float, point.split(","))) for point in arrow.get("points").split()]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def meet(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def tiles_of(depth, padding):
    """The smallest, one near the paper's and one near 2,000 pixels."""
    large = max(valid_tiles(depth, 1, 2000, padding))
    return smallest_tile(depth, padding), usual_tile(depth, padding), large


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_no_label_meets_another_or_anything_drawn(depth, padding):
    for width, tile in itertools.product((1, 7, 64, 256), tiles_of(depth, padding)):
        shape = Shape(width, depth, 3, padding=padding, batch_norm=padding == "same")
        root, _ = drawn(shape, tile)
        _, _, right, bottom = map(float, root.get("viewBox").split())
        texts = [(one.text, text_box(one)) for one in root.iter(f"{SVG}text")]
        shapes = [rect_box(one) for one in root.iter(f"{SVG}rect")]
        shapes += [arrow_box(one) for one in root.iter(f"{SVG}polygon")]
        for (word, box), (other, its) in itertools.combinations(texts, 2):
            assert not meet(box, its), (shape, tile, word, other)
        for word, box in texts:
            assert box[0] >= 0 and box[1] >= 0 and box[2] <= right and box[3] < bottom, word
            assert not any(meet(box, one) for one in shapes), (shape, tile, word)


def test_every_label_is_that_of_a_layer():
    for shape in (Shape(), Shape(3, 2, 3, 5), Shape(8, 3, variant="release2015")):
        root, document = drawn(shape)
        texts = [one.text for one in root.iter(f"{SVG}text") if one.get("text-anchor") == "middle"]
        layers = [one for one in document["layers"] if not one["name"].endswith(".up")]
        wanted = [(str(c), f"{side}²") for side, _, c in (one["shape"] for one in layers)]
        assert sorted(zip(texts[::2], texts[1::2], strict=True)) == sorted(wanted)
        said = [one.text for one in root.iter(f"{SVG}title")][1:]
        assert sorted(text.partition(",")[0] for text in said) == sorted(
            one["name"] for one in layers
        )


def test_the_papers_boxes_are_to_scale():
    root, _ = drawn(Shape(), 572)
    found = {}
    for group in root.iter(f"{SVG}g"):
        name = group.find(f"{SVG}title").text.partition(",")[0]
        boxes = [rect_box(one) for one in group.iter(f"{SVG}rect")]
        found[name] = boxes[-1][2] - boxes[0][0], boxes[0][3] - boxes[0][1], boxes
    wide, tall, _ = found["input"]
    assert found["contract4.conv2"][1] / tall == pytest.approx(28 / 572, abs=1e-3)
    assert found["head"][1] / tall == pytest.approx(388 / 572, abs=1e-3)
    assert found["contract4.conv2"][0] / wide == pytest.approx(1024**0.5, rel=0.03)
    copied, up = found["expand3.concat"][2]  # 512 of 1,024 channels were copied
    assert copied[2] - copied[0] == pytest.approx(up[2] - up[0], abs=0.2)
    frames = [rect_box(one) for one in root.iter(f"{SVG}rect") if one.get("class") == "crop"]
    assert len(frames) == 4
    for i, frame in enumerate(frames):
        assert frame[3] - frame[1] == pytest.approx(found[f"expand{i}.concat"][1], abs=0.2)
        (left, _, right, _), _ = found[f"contract{i}.conv2"][2][0], None
        assert (frame[0], frame[2]) == pytest.approx((left, right), abs=0.2)


def test_there_is_an_arrow_for_every_operation():
    root, document = drawn(Shape(), 572)
    kinds = [one.get("class") for one in root.iter(f"{SVG}polygon")]
    count = {kind: kinds.count(kind) - 1 for kind in set(kinds)}  # but for one in the legend
    assert count == {"conv": 18, "copy": 4, "pool": 4, "up": 4, "head": 1}
    assert document["conv_layers"] == count["conv"] + count["up"] + count["head"]


def test_what_a_network_does_differently_is_said():
    def words(shape):
        return " ".join(one.text for one in drawn(shape)[0].iter(f"{SVG}text"))

    assert "copy and crop" in words(Shape()) and "Dashed" in words(Shape())
    same = Shape(8, 3, padding="same", batch_norm=True)
    assert "crop" not in words(same) and "batch norm, ReLU" in words(same)
    assert not [one for one in drawn(same)[0].iter(f"{SVG}rect") if one.get("class") == "crop"]
    assert "up-conv 2×2, ReLU" in words(Shape(variant="release2015"))
    assert "31,030,658 parameters" in words(Shape())


def test_the_figure_needs_nothing_from_elsewhere_and_reads_on_dark_pages():
    text = svg(explain(Shape()))
    root = ET.fromstring(text)
    assert root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text
    assert text.count("http") == 1 and "href" not in text and "url(" not in text


def test_the_example_is_what_is_drawn_today():
    """examples/fig1.svg, which the README shows: cunet explain --svg examples/fig1.svg."""
    kept = (ROOT / "examples" / "fig1.svg").read_text(encoding="utf-8")
    assert kept == svg(explain(Shape(), 572))
