"""How networks, parameters and solvers are shown."""

import re
from html.parser import HTMLParser

import pytest

import cunet
from cunet.net.figure1 import explain


def test_a_network_says_what_it_is():
    net = cunet.UNet(width=2, depth=1, dropout=0.25)
    count = sum(p.value.size for p in net.parameters())
    assert repr(net) == (
        f"UNet(width=2, depth=1, in_channels=1, classes=2, dropout=0.25: {count} parameters, "
        "float32 on cpu)"
    )
    other = cunet.UNet(2, 1, 3, padding="same", batch_norm=True, sigmoid=True, resize=64)
    for part in ("in_channels=3", "padding='same'", "batch_norm=True", "sigmoid=True", "resize=64"):
        assert part in repr(other)
    assert "float64 on cpu" in repr(cunet.UNet(1, 1, variant="release2015", dtype="float64"))
    assert "variant='release2015'" in repr(cunet.UNet(1, 1, variant="release2015"))


def test_the_papers_network_has_31_million_parameters():
    assert "31,030,658 parameters" in repr(cunet.UNet())


def test_a_parameter_says_what_it_is():
    filters, biases, *_ = cunet.UNet(width=2, depth=1).parameters()
    assert repr(filters) == (
        "Parameter(contract0.conv1.filters: 3 x 3 x 1 x 2 float32, lr_mult 1, decay_mult 1)"
    )
    assert repr(biases) == "Parameter(contract0.conv1.biases: 2 float32, lr_mult 2, decay_mult 0)"


def test_a_solver_says_how_far_it_is():
    net = cunet.UNet(width=1, depth=1)
    number = len(net.parameters())
    solver = cunet.SGD(net.parameters(), lr=0.5, momentum=0.9, clip=1)
    solver.step()
    assert repr(solver) == (
        "SGD(lr=0.5, momentum=0.9, weight_decay=0, clip=1, iter_size=1: "
        f"{number} arrays, 1 updates done)"
    )
    rate = cunet.LearningRate(1e-3, "cosine", max_iter=10)
    adam = repr(cunet.Adam(net.parameters(), lr=rate))
    assert adam.startswith("Adam(lr=0.001 (cosine), momentum=0.9, momentum2=0.999, delta=1e-08")


class Table(HTMLParser):
    """The cells of a page's table by row, and that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.open, self.attributes = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += text


@pytest.mark.parametrize("more", [{}, {"padding": "same", "batch_norm": True, "in_channels": 3}])
def test_a_notebook_shows_fig_1(more):
    net = cunet.UNet(width=2, depth=2, **more)
    page = net._repr_html_()
    table = Table(page)
    layers = explain(net.shape, int(re.search(r"tile of (\d+)", page)[1]))["layers"]
    head, *rows = table.rows
    assert head == ["layer", "kind", "output", "parameters", "GFLOP", "MB"]
    assert [row[0] for row in rows] == [one["name"] for one in layers]
    assert rows[1][2] == " x ".join(map(str, layers[1]["shape"]))
    total = sum(int(row[3].replace(",", "")) for row in rows if row[3])
    assert total == sum(p.value.size for p in net.parameters())
    # in light and dark notebooks: no colour of its own; nothing is fetched
    assert not re.search(r"color|background|#[0-9a-f]{3}|https?:|src=|url\(", page, re.I)
    assert {name for name, _ in table.attributes} <= {"style", "open"}
