"""The recipe: the preset paper is the paper's, and each setting that leaves it is marked."""

from dataclasses import replace

import pytest

from cunet.claims.recipe import DIFFERS, OURS, choices
from cunet.training.config import Config, make


def marked(config, average="rotations"):
    return {c.statement.name for c in choices(config, average) if c.verdict == DIFFERS}


def test_the_preset_paper_has_nothing_marked():
    assert marked(make("paper")) == set()
    silent = {c.statement.name for c in choices(make("paper"), "rotations") if c.verdict == OURS}
    assert {"learning rate", "steps", "weight decay"} <= silent


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"solver": "adam", "momentum": 0.99}, "solver"),
        ({"momentum": 0.9}, "momentum"),
        ({"batch": 2}, "batch"),
        ({"iter_size": 4}, "batch"),
        ({"tile": 412}, "tile"),
        ({"sigmoid": True}, "loss"),
        ({"weight_map": "balance"}, "weight map"),
        ({"weight_map": "falk2019"}, "weight map"),
        ({"w0": 50.0}, "weight map"),
        ({"border_sigma": 25.0}, "weight map"),
        ({"elastic": "simard"}, "elastic deformation"),
        ({"elastic_sigma": 2.0}, "elastic deformation"),
        ({"zoom": 0.25}, "other variation"),
        ({"dropout": 0.0}, "dropout"),
        ({"from_model": "bundled", "width": 16}, "starting weights"),
    ],
)
def test_a_setting_that_leaves_the_paper_is_marked(change, name):
    if "from_model" in change:
        assert name in marked(Config(**change))
        return
    assert marked(replace(Config(), **change)) == {name}


def test_mirror_images_are_not_said_to_be_the_papers():
    for config in (make("paper"), make("ucsd")):
        found = {c.statement.name: c for c in choices(config, "none")}["other variation"]
        assert "mirror images (the paper names none)" in found.found
        assert "mirror" not in found.statement.says


def test_what_is_given_as_the_paper_has_it_is_no_difference():
    given = {"momentum": 0.99, "w0": 10.0, "border_sigma": 5.0, "lr": 0.1, "steps": 7}
    assert marked(replace(Config(), **given)) == set()
    assert marked(Config(), "none") == {"test time"}
    same = marked(Config(padding="same", tile=576))
    assert same == {"tile", "image borders"}
    assert marked(Config(augment=False)) == {"elastic deformation", "other variation"}
    assert marked(make("cpu")) == {"solver", "momentum", "tile", "weight map", "dropout"}
