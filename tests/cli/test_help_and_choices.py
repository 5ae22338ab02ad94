"""Help below headings with the defaults of Config, choices, misspelt words, and completion."""

import os
import subprocess
import sys
from dataclasses import fields

import click
import pytest
from lazy_imports import HEAVY, loaded_by

from cunet import cli, engines
from cunet.cli import common, train_options
from cunet.data import load, meaning, weight_map
from cunet.errors import CunetError
from cunet.net import shape
from cunet.ops import softmax_loss
from cunet.segmentation import instances, tiling, views
from cunet.solvers import rates
from cunet.terminal import plural
from cunet.training import config as configs
from cunet.training.config import CHOICES, Config
from cunet.training.presets import PRESETS
from cunet.training.usual import usual


def options(command):
    """The options of a command by name, and its help."""
    found = cli.cli.get_command(click.Context(cli.cli), command)
    with click.Context(found, info_name=command) as context:
        return {option.name: option for option in found.params}, found.get_help(context)


def test_every_setting_of_config_is_an_option_below_a_heading():
    settings = {field.name for field in fields(Config)} - {"data"}
    assert settings == {name for names in train_options.SETTINGS.values() for name in names}
    found, text = options("train")
    assert settings < found.keys()
    places = [text.index(f"\n{heading}:\n") for heading in train_options.SETTINGS]
    assert places == sorted(places) and "\nOptions:" not in text
    empty = cli.cli.get_command(click.Context(cli.cli), "train").make_context("train", [])
    assert {empty.params[name] for name in settings} == {None}  # what is not given is not set


@pytest.mark.parametrize("name", [field.name for field in fields(Config)])
def test_defaults_are_those_of_config_and_the_presets(name):
    plain = getattr(Config(), name)
    text, others = usual(name), {p: s[name] for p, s in PRESETS.items() if name in s}
    if name in train_options.HEADINGS and text:
        assert f"[default: {text}]" in options("train")[0][name].help
    parts = text.split("; ") if text else []
    if plain not in (None, (), ""):
        first = parts.pop(0)
        if isinstance(plain, bool):
            assert first == ("yes" if plain else "no")
        else:
            assert first == plain or float(first) == plain
    for part in parts:
        presets, _, value = part.partition(": ")
        for preset in presets.split(", "):
            expected = others.pop(preset)
            if isinstance(expected, bool):
                expected = "yes" if expected else "no"
            assert value == str(expected) or float(value) == expected
    assert not others


def test_defaults_that_follow_from_another_setting():
    found, _ = options("train")
    for name, of in (("w0", "w0"), ("border_sigma", "sigma")):
        for form, border in weight_map.FORMS.items():
            assert f"{getattr(border, of):g} for {form}" in found[name].help
    for solver in CHOICES["solver"]:
        made = Config(solver=solver).make_solver([])
        assert f"{made.momentum} for {solver}" in found["momentum"].help


def test_choices_are_those_of_the_code_that_uses_them():
    assert CHOICES["dataset"] == (None, *load.KINDS)
    assert CHOICES["variant"] == shape.VARIANTS
    assert CHOICES["lr_policy"] == rates.POLICIES
    assert CHOICES["labels"] == (None, *meaning.MEANINGS)
    assert CHOICES["normalize"] == softmax_loss.NORMALIZE
    assert CHOICES["precision"] == (None, *engines.PRECISIONS)
    assert common.TENSOR_CORES == engines.TENSOR_CORES
    assert common.AVERAGES == tuple(views.AVERAGES) and common.STRIDES == tiling.STRIDES
    assert common.METHODS == instances.METHODS


@pytest.mark.parametrize("name", CHOICES)
def test_choices_work_and_others_are_refused_with_a_hint(run, name):
    for word in CHOICES[name]:
        tile = 576 if word == "same" else 572
        assert getattr(Config(**{name: word}, tile=tile), name) == word
    word = next(filter(None, CHOICES[name]))
    with pytest.raises(CunetError, match=f"^{name}: expected one of .*{word}.*'{word}x'; did you"):
        Config(**{name: f"{word}x"})
    flag = f"--{name.replace('_', '-')}"
    code, _, err = run("train", "--data", "x", flag, f"{word}x")
    assert code == 2 and f"did you mean '{word}'?" in err and flag in err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("segement x", "'segment'"),
        ("evaluate isbii", "'isbi'"),
        ("train isbi2012", "--data isbi2012"),
        ("crossval isbi2012 --folds 5", "--data isbi2012"),
        ("augment isbi2012 -o a.png", "--data isbi2012"),
        ("train --data x --foldd 0/5", "--fold"),
        ("train --preset papr", "'paper'"),
        ("train --weight-map papper", "'paper'"),
        ("segment x --average rotation", "'rotations'"),
        ("segment x --products prob,labls", "'labels'"),
        ("weights x -o w.tif --form falk", "'falk2019'"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_closest(run, line, meant):
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("Error: ") and "id you mean " in last and meant in last


def test_what_looks_like_nothing_gets_no_suggestion(run):
    for line in ("zzz", "train --data x y", "train --preset zzz"):
        code, _, err = run(*line.split())
        assert code == 2 and "did you mean" not in err and "'" in err.splitlines()[-1]


def test_a_misspelt_key_of_a_file(tmp_path):
    (tmp_path / "c.toml").write_text("widht = 3\n")
    with pytest.raises(CunetError, match="unknown key 'widht'.*did you mean 'width'"):
        configs.read_toml(tmp_path / "c.toml")


@pytest.mark.parametrize("command", ["train", "crossval", "segment", "demo", "weights", "augment"])
def test_everything_that_writes_takes_o(command):
    assert {"-o", "--out"} <= set(options(command)[0]["out"].opts)


def completed(*words):
    """What the shell is offered for the last of these words."""
    line = " ".join(words)
    environment = os.environ | {
        "_CUNET_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    code = "import sys; sys.argv[0] = 'cunet'; from cunet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_shell_completes_commands_options_choices_and_files():
    assert completed("cunet", "seg") == ["plain,segment"]
    assert completed("cunet", "evaluate", "is") == ["plain,isbi"]
    assert completed("cunet", "train", "--weight-m") == ["plain,--weight-map"]
    assert completed("cunet", "train", "--weight-map", "fa") == ["plain,falk2019"]
    assert completed("cunet", "train", "--data", "isb") == ["file,isb"]
    assert completed("cunet", "segment", "big") == ["file,big"]


def test_completion_loads_nothing_heavy():
    code = """
import os, sys
os.environ |= {"_CUNET_COMPLETE": "bash_complete", "COMP_WORDS": "cunet train --"}
os.environ["COMP_CWORD"] = "2"
sys.argv = ["cunet"]
from cunet.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    assert not loaded_by(code) & (HEAVY | {"numpy"})


def test_one_thing_is_no_plural():
    assert [plural(n, "slice") for n in (0, 1, 2, 1200)] == [
        "0 slices", "1 slice", "2 slices", "1,200 slices",
    ]  # fmt: skip
    assert plural(1, "nucleus", "nuclei") == "1 nucleus"
    assert plural(2, "mask is", "masks are") == "2 masks are"
