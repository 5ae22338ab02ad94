"""The page as its reader meets it: whole in itself, links that lead somewhere, true figures."""

import base64
import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from random_nets import VARIANTS, random_net
from report_pages import Page, picture_of

import cunet
from cunet.files.json_file import json_text
from cunet.tracing.pictures import ABOVE, BELOW, signed_uri


def traced(net, truth=None, seed=0, **more):
    image = np.random.default_rng(seed).integers(0, 256, (30, 34, net.shape.in_channels))
    return cunet.trace(net, image.astype(np.uint8), truth=truth, **more)


def page_of(trace, folder):
    trace.save(folder / "trace.html")
    text = (folder / "trace.html").read_text(encoding="utf-8")
    return Page(text), text


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_a_page_needs_nothing_but_itself(settings, tmp_path):
    trace = traced(random_net(**settings))
    page, text = page_of(trace, tmp_path)
    assert "script" not in page.tags and "http" not in text.replace("http-equiv", "")
    assert page.addresses and all(a.startswith(("#", "data:image/png;")) for a in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    links = [a[1:] for a in page.addresses if a.startswith("#") and "glyph" not in a]
    assert set(links) <= set(page.ids)
    assert {layer.name for layer in trace.layers} <= set(links)  # along the U
    assert page.tags.count("h1") == 1 and "nan" not in page.words.lower().split()
    assert not list(tmp_path.glob("*.part"))


def test_what_was_passed_stands_at_the_top(tmp_path):
    labels = np.random.default_rng(3).integers(0, 2, (30, 34)).astype(np.uint8)
    trace = traced(random_net(), labels, pixel=(7, 9))
    words = page_of(trace, tmp_path)[0].words
    top = words[: words.index("The tile went through")]
    assert "30 x 34 pixels" in top and "output pixel: row 7, column 9" in top
    assert f"a tile of {trace.down.tile} x {trace.across.tile} from row {trace.down.first}" in top
    assert "cross-entropy, each pixel of weight 1, against the truth" in top
    assert f"{trace.loss:.4g}" in words
    own = page_of(traced(random_net()), tmp_path)[0].words
    assert "against the network's own most probable classes, as there is no truth" in own
    sigmoid = page_of(traced(random_net(sigmoid=True)), tmp_path)[0].words
    assert "loss: binary cross-entropy against" in sigmoid


def test_the_table_and_the_skips_show_the_numbers_of_the_document(tmp_path):
    trace = traced(random_net())
    words, document = page_of(trace, tmp_path)[0].words, trace.document()
    for layer in document["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        assert f"{layer['name']} {shape} {layer['output']['mean']:.3g}" in words
        assert f"{layer['gradient']['norm']:.3g}" in words
    for skip in document["skips"]:
        assert f"Skip {skip['level']} silenced. {skip['changed']:,} pixel" in words
    field = document["receptive_field"]
    rows, columns = field["formula"]["rows"], field["formula"]["columns"]
    assert f"rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}" in words


def test_a_page_says_why_measure_and_formula_differ(tmp_path):
    net = random_net(depth=1)
    same = page_of(traced(cunet.UNet(width=8, depth=1)), tmp_path)[0].words
    assert ", the same." in same and "smaller than the formula's" not in same
    for layer in net.levels[1].contract[:2]:
        layer.b.value[:] = -1e6
    smaller = page_of(traced(net), tmp_path)[0].words
    assert "smaller than the formula's" in smaller and "a ReLU that is at 0 passes" in smaller
    net.levels[0].expand[1].b.value[:] = -1e6
    nothing = page_of(traced(net), tmp_path)[0].words
    assert "no input pixel has any influence here" in nothing


def test_a_network_that_learns_nothing_has_a_page(tmp_path):
    """All ReLUs dead, all gradients 0: no logarithm of 0, no chart of nothing."""
    net = random_net(depth=1)
    for p in net.parameters():
        p.value[...] = 0
    trace = traced(net)
    assert "0 on all of this tile" in page_of(trace, tmp_path)[0].words
    assert "NaN" not in json_text(trace.document())


def test_names_are_text_and_no_markup(tmp_path):
    path = tmp_path / "a<b>&c.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8))
    trace = cunet.trace(random_net(), path)
    page, text = page_of(trace, tmp_path)
    assert "a<b>&c.tif" in page.words and "a<b>" not in text


def test_a_channel_is_black_at_0_and_coloured_on_both_sides():
    plane = np.zeros((8, 8))
    plane[0, 0], plane[7, 7] = 3.0, -3.0
    uri, full = signed_uri(plane)
    assert full == 3.0
    picture = picture_of(uri)  # places in the palette
    assert len(np.unique(picture)) == 3
    file = io.BytesIO(base64.b64decode(uri.partition(",")[2]))
    shown = np.array(Image.open(file).convert("RGB"))
    assert tuple(shown[0, 0]) == ABOVE and tuple(shown[7, 7]) == BELOW
    assert not shown[1:7].any()
    dead, nothing = signed_uri(np.zeros((4, 4)))
    assert nothing == 0 and len(np.unique(picture_of(dead))) == 1


def test_a_page_of_many_channels_is_no_large_file(tmp_path):
    trace = traced(random_net(width=16, depth=3))
    trace.save(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 3_000_000
