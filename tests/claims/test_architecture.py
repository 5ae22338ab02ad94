"""The checks of the network: they hold for the paper's, and for no network that is another."""

import pytest

from cunet.claims import architecture, facts
from cunet.claims.architecture import checks
from cunet.net.shape import Shape


def failing(shape, tile, seed=0):
    return {one.statement.name for one in checks(shape, tile, seed) if not one.holds}


def found(shape, tile):
    return {one.statement.name: one.found for one in checks(shape, tile)}


def test_the_papers_network_is_the_papers():
    said = found(Shape(), 572)
    assert failing(Shape(), 572) == set()
    assert said["parameters"] == "31,030,658" and said["layers"].startswith("23 ")
    assert said["sizes"] == "572 -> 388; 188 -> 4 measured"
    assert said["channels going down"] == "64, 128, 256, 512, 1024"
    assert said["last layer"] == "1x1, 64 channels to 2 outputs"
    assert said["tile"].endswith("568, 280, 136, 64 pixels")


def test_a_relu_after_the_up_convolutions_is_said():
    """Only the network of the authors' release has one, and the paper names none."""
    own, theirs = (
        found(Shape(4, 2, variant=variant), 76)["up-convolutions"]
        for variant in ("paper", "release2015")
    )
    assert own == "16 -> 8, 8 -> 4"
    assert theirs == "16 -> 8, 8 -> 8; a ReLU after each, of which the paper says nothing"


@pytest.mark.parametrize(
    ("shape", "tile", "differs"),
    [
        (Shape(4), 412, {"last layer", "parameters"}),
        (Shape(4, 2), 76, {"layers", "sizes", "last layer", "parameters"}),
        (
            Shape(4, padding="same"),
            64,
            {"3x3 convolutions", "skips", "sizes", "last layer", "parameters"},
        ),
        (Shape(4, batch_norm=True), 188, {"3x3 convolutions", "last layer", "parameters"}),
        (Shape(4, variant="release2015"), 188, {"up-convolutions", "last layer", "parameters"}),
        (Shape(4, sigmoid=True), 188, {"last layer", "parameters"}),
    ],
)
def test_what_differs_is_found(shape, tile, differs):
    assert failing(shape, tile) == differs


def test_the_checks_look_at_the_network_and_not_at_its_settings(monkeypatch):
    """Networks with a mistake built in are told from those without."""
    usual, shape = architecture.UNet, Shape(4)

    def with_mistake(spoil):
        def make(**settings):
            net = usual(**settings)
            spoil(net)
            return net

        monkeypatch.setattr(architecture, "UNet", make)
        return failing(shape, 188) - {"last layer", "parameters"}

    def wrong_deviation(net):
        net.layers()[5].w.value *= 1.1

    def no_relu(net):
        net.layers()[3].relu = False

    def mean_pool(net):
        def mean(x):
            n, h, w, c = x.shape
            return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))

        pool = net.levels[0].pool
        type_ = type(pool)
        monkeypatch.setattr(type_, "__call__", lambda self, x, run=None: (mean(x), None))

    assert with_mistake(lambda net: None) == set()
    assert with_mistake(wrong_deviation) == {"initial weights"}
    assert with_mistake(no_relu) == {"3x3 convolutions"}
    assert with_mistake(mean_pool) == {"max pooling"}


def test_every_fact_has_a_place_and_a_status():
    for one in (*facts.ARCHITECTURE.values(), *facts.RECIPE.values()):
        assert one.status in (facts.STATED, facts.FOLLOWS, facts.SILENT)
        assert one.where or one.status == facts.SILENT
