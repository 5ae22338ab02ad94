"""Settings: presets, files, precedence, and what is refused."""

import os
from dataclasses import asdict, fields

import numpy as np
import pytest

from cunet.errors import CunetError
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.training import config as configs
from cunet.training.config import Config
from cunet.training.limits import parse_fold


def write(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def write_bytes(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_bytes(text.encode())  # no line ends are translated
    return path


def test_the_paper_preset_is_the_papers():
    config = configs.make("paper")
    assert (config.width, config.depth, config.tile, config.batch) == (64, 4, 572, 1)
    assert (config.variant, config.dropout, config.solver) == ("paper", 0.5, "sgd")
    assert config.weight_map == "paper"  # its 10 and 5 pixels: test_prepared.py
    assert (config.augment, config.elastic, config.elastic_sigma) == (True, "grid", 10)
    solver = config.make_solver([])
    assert type(solver) is SGD and solver.momentum == 0.99


def test_the_cpu_preset_is_smaller():
    config, paper = configs.make("cpu"), configs.make("paper")
    assert config.width < paper.width and config.tile < paper.tile
    solver = config.make_solver([])
    assert type(solver) is Adam and (solver.momentum, solver.clip) == (0.9, None)


@pytest.mark.parametrize("name", configs.PRESETS)
def test_every_preset_is_valid_and_survives_a_file(tmp_path, name):
    config = configs.make(name, options={"data": "somewhere"})
    assert configs.make(file=write(tmp_path, configs.write_toml(config))) == config


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    path = write(tmp_path, "width = 8\nlr = 0.5\n")
    config = configs.make("cpu", path, {"lr": 0.25})
    assert (config.width, config.lr) == (8, 0.25)
    assert config.tile == configs.PRESETS["cpu"]["tile"]
    assert config.batch == Config().batch


def test_every_kind_of_value_survives_a_file(tmp_path):
    config = Config(
        data='C:\\data\\"quoted" Zellen µ',
        out="läuft = #1",
        fold="1/5",
        minutes=2.5,
        lr=3e-7,
        lr_policy="multistep",
        step_values=(100, 2000),
        momentum=0.5,
        augment=False,
        threads=3,
        depth=3,
        tile=108,
    )
    again = configs.make(file=write(tmp_path, configs.write_toml(config)))
    assert again == config
    assert {f.name for f in fields(again)} == set(asdict(config))


def test_a_name_with_a_line_break_survives_a_file(tmp_path):
    config = Config(data="two\nlines\tand a tab")
    assert configs.read_toml(write(tmp_path, configs.write_toml(config)))["data"] == config.data


def test_no_clipping_survives_a_file(tmp_path):
    text = configs.write_toml(Config(clip=0.0))
    assert configs.make(file=write(tmp_path, text)).make_solver([]).clip is None


def test_whole_numbers_are_taken_for_floats(tmp_path):
    found = configs.read_toml(write(tmp_path, "lr = 1\nclip = 2\nminutes = 5\nstep_values = [1]\n"))
    assert found == {"lr": 1.0, "clip": 2.0, "minutes": 5.0, "step_values": (1,)}
    assert [type(v) for v in found.values()] == [float, float, float, tuple]


@pytest.mark.parametrize(
    "text,reported",
    [
        ("widht = 3", ["'widht'", "unknown key", "width"]),
        ("[train]\nwidth = 3", ["'train'", "unknown key"]),
        ("width = 'wide'", ["width", "int", "'wide'"]),
        ("width = 3.0", ["width", "int", "3.0"]),
        ("width = true", ["width", "int", "True"]),
        ("augment = 1", ["augment", "bool", "1"]),
        ("lr = '1e-3'", ["lr", "float", "1e-3"]),
        ("momentum = 'high'", ["momentum", "float", "high"]),
        ("fold = 5", ["fold", "str", "5"]),
        ("step_values = 3", ["step_values", "tuple", "3"]),
        ("step_values = ['a']", ["step_values", "'a'"]),
        ("step_values = [1.5]", ["step_values", "1.5"]),
        ("width = 3\nlr = \ntile = 4", ["not valid TOML", "line 2"]),
    ],
)
def test_a_file_that_is_refused(tmp_path, text, reported):
    path = write(tmp_path, text)
    with pytest.raises(CunetError) as caught:
        configs.make(file=path)
    for part in [str(path), *reported]:
        assert part in str(caught.value), str(caught.value)
    assert caught.value.exit_code == 2


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"data = '\xe4'")
    for path in (tmp_path / "missing.toml", tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(CunetError, match=str(path)) as caught:
            configs.make(file=path)
        assert caught.value.exit_code == 2


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(CunetError, match="paper, cpu.*found 'gpu'"):
        configs.make("gpu")


@pytest.mark.parametrize(
    "options",
    [
        {"tile": 570},
        {"solver": "rmsprop"},
        {"lr_policy": "stairs"},
        {"weight_map": "border"},
        {"precision": "float8"},
        {"batch": 0},
        {"steps": 0},
        {"iter_size": 0},
        {"validate_every": 0},
        {"step_size": 0},
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"minutes": 0.0},
        {"fold": "5/5"},
        {"fold": "0/1"},
        {"fold": "-1/3"},
        {"fold": "half"},
        {"fold": "1/2/3"},
        {"width": 0},
        {"depth": 0},
        {"dropout": 1.0},
        {"variant": "2016"},
        {"normalize": "mean"},
        {"elastic": "rubber"},
        {"clip": -1.0},
        {"momentum": 1.0},
        {"momentum": -0.5},
        {"weight_decay": -0.1},
        {"threads": 0},
        {"seed": -1},
        {"padding": "zeros"},
        {"resize": 15},
        {"resize": -1},
        {"zoom": -0.1},
        {"shear": 1.0},
        {"blur": -1.0},
    ],
    ids=str,
)
def test_values_that_no_training_has_are_refused_before_any_work(options):
    with pytest.raises(CunetError) as caught:
        Config(**options)
    ((name, value),) = options.items()
    assert name in str(caught.value).replace(" ", "_") or str(value) in str(caught.value)
    assert caught.value.exit_code == 2


BIG, NAN, INF = 10**400, float("nan"), float("inf")
WRONG = {
    "width": [BIG, 2.5, True, "8"],
    "depth": [99999, BIG, 13],
    "tile": [BIG, 10**9, 572.0],
    "batch": [BIG, 5000, 1.5],
    "steps": [10**30, BIG, True],
    "minutes": [1e300, INF, NAN, -1],
    "validate_every": [BIG, 0],
    "iter_size": [BIG, 10**5],
    "threads": [10**9],
    "seed": [2**63, BIG, 0.5],
    "warmup": [-1, 0.5, BIG, True],
    "resize": [4097, BIG],
    "lr": [INF, NAN],
    "momentum": [NAN, BIG],
    "weight_decay": [1e300, INF, NAN],
    "clip": [1e300, "1"],
    "dropout": [NAN, INF, "0.5"],
    "w0": [1e300, NAN],
    "border_sigma": [1e300, 0.0],
    "brightness": [1e300, NAN, -1e-9],
    "noise": [1e300],
    "zoom": [1e6, 9.0],
    "blur": [1e6],
    "elastic_sigma": [1e9, 999.0],
    "device": ["[pu", "", "cuda:", "CPU", "cuda:1000000000000", "gpu"],
    "train_share": [NAN, 0.0, 1.0],
    "step_values": [tuple(range(1, 2000))],
    "data": ["a\0b"],
    "out": ["\0"],
}


@pytest.mark.parametrize("name", WRONG)
def test_values_that_would_hang_or_fill_the_memory(name):
    for value in WRONG[name]:
        with pytest.raises(CunetError) as caught:
            Config(**{name: value})
        assert name in str(caught.value) and len(str(caught.value)) < 200, value


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        ("exp", {"gamma": 2.0}),  # 2^30000 is no float
        ("step", {"gamma": 10.0, "step_size": 10}),
        ("multistep", {"gamma": -0.5, "step_values": (1, 2)}),
        ("inv", {"gamma": -1e-3}),  # 1 / 0 at step 1000
        ("inv", {"gamma": 1.0, "power": -500.0}),
        ("poly", {"power": -900.0}),
    ],
)
def test_learning_rates_that_leave_the_numbers(policy, more):
    with pytest.raises(CunetError, match="gamma"):
        Config(lr_policy=policy, **more)


def test_an_update_of_too_many_samples():
    with pytest.raises(CunetError, match="batch x iter_size.*4,096.*found 5,000"):
        Config(batch=100, iter_size=50)


def test_a_rate_that_would_never_have_risen():
    assert Config(steps=200, warmup=199).warmup == 199
    with pytest.raises(CunetError, match="warmup: .*the 200 of the training, found 200"):
        Config(steps=200, warmup=200)


def test_learning_rates_that_do_not():
    Config(lr_policy="sigmoid", gamma=-0.01)  # falls
    Config(lr_policy="fixed", gamma=-1.0)  # not used
    Config(lr_policy="exp", gamma=1.0001)


def test_minus_nothing_is_nothing():
    how = Config(brightness=-0.0, noise=-0.0, zoom=-0.0).augmentation()
    assert str(how.brightness) == str(how.noise) == str(how.zoom) == "0.0"


@pytest.mark.parametrize(
    "text",
    [
        "steps = 1" + "0" * 5000,
        "lr = 1" + "0" * 400,
        "step_values = " + "[" * 5000 + "]" * 5000,
        "step_values = [[1]]",
        "steps = 1979-05-27",
        "lr = 07:32:00",
        "data.more = 1",
        "[[data]]\nx = 1",
        "data = {x = 1}",
        "lr = inf",
        "lr = nan",
        'data = "\\u0000"',
        'data = "' + "x" * 2_000_000 + '"',
        "width = 1\nwidth = 2",
        "#" * 1_100_000,
    ],
    ids=range(15),
)
def test_files_made_to_do_harm(tmp_path, text):
    with pytest.raises(CunetError) as caught:
        configs.make(file=write(tmp_path, text))
    assert caught.value.exit_code == 2 and len(str(caught.value)) < 1500


def test_settings_are_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")  # a reader would wait for a writer
    for path in (tmp_path / "pipe.toml", "/dev/zero"):
        with pytest.raises(CunetError, match="not a regular file"):
            configs.make(file=path)


def test_every_character_and_number_survives_a_file(tmp_path):
    text = "".join(map(chr, range(1, 256)))
    config = Config(data=text, lr=np.float64(0.1), w0=np.float32(0.5), steps=7, step_values=(3,))
    again = configs.make(file=write_bytes(tmp_path, configs.write_toml(config)))
    assert again == config and type(again.lr) is float


def test_folds():
    assert parse_fold(None) is None
    assert parse_fold("0/5") == (0, 5) and parse_fold("4/5") == (4, 5)


def test_the_solver_gets_the_settings():
    config = Config(
        lr=0.5, lr_policy="poly", power=2.0, steps=10, momentum=0.25, weight_decay=0.125,
        clip=3.0, iter_size=4,
    )  # fmt: skip
    solver = config.make_solver([])
    found = (solver.momentum, solver.weight_decay, solver.clip, solver.iter_size)
    assert found == (0.25, 0.125, 3.0, 4)
    assert solver.rate(5) == pytest.approx(0.5 * (1 - 5 / 10) ** 2)
    assert Config(clip=0.0).make_solver([]).clip is None


def test_without_augmentation_only_the_place_varies():
    how = Config(augment=False).augmentation()
    assert how.shift and not (how.rotate or how.mirror) and how.elastic == "none"
    assert how.contrast == how.brightness == how.curve == how.noise == 0
    how = Config(elastic="simard", elastic_sigma=4.0, contrast=0.125).augmentation()
    assert (how.elastic, how.sigma, how.contrast) == ("simard", 4.0, 0.125)
    assert how.rotate and how.mirror and how.shift
