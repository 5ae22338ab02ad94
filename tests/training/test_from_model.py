"""Training that starts from a trained network: what it takes over, what is new, what is refused."""

import copy
import hashlib
import inspect
import json
import pickle
import shutil
import sys
from dataclasses import asdict, fields, replace

import cupy_double
import numpy as np
import pytest
import tifffile
from run_folders import arrays_of, header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.crossvalidation import plan as crossvals
from cunet.crossvalidation.runs import train_run
from cunet.errors import CunetError, DataError
from cunet.models.places import BOX
from cunet.net.normalization import Normalization
from cunet.reporting import setup
from cunet.reporting.facts import Facts, Log
from cunet.training import config as configs
from cunet.training import loop, prepared
from cunet.training import plan as plans
from cunet.training.config import Config
from cunet.training.from_model import SHAPE
from cunet.training.run_folder import read_settings

pytestmark = pytest.mark.usefixtures("threads_as_before")

FEW = {"tile": 34, "steps": 6, "validate_every": 3, "fold": "1/4", "seed": 3}
FEW |= {"device": "cpu", "threads": 1}


def model(path, seed=9, **shape):
    """A model file of a small network whose every number is random, and that network."""
    net = cunet.UNet(**{"width": 3, "depth": 1, "seed": seed, "dropout": 0.0} | shape)
    rng = np.random.default_rng(seed)
    for parameter in net.parameters():
        parameter.value += rng.normal(0, 0.1, parameter.value.shape).astype("float32")
    for name, array in net.statistics().items():
        array[...] = rng.uniform(0.5, 2, array.shape) if "variance" in name else 0.25
    net.normalization = Normalization((90.0,), (30.0,), (10.0,), (200.0,))
    cunet.save(path, net)
    return path


@pytest.fixture
def trained(tmp_path):
    return model(tmp_path / "trained.npz")


def without_shape(data, **more):
    """The settings of small_trainings.py without those that a model decides."""
    usual = asdict(settings(data, dropout=0.0))
    decided = {*SHAPE, "sigmoid", "resize", "normalization"}
    return {k: v for k, v in usual.items() if k not in decided and v is not None} | more


def start_of(data, **more):
    """The network before its first step, by name of the array; and the settings."""
    config = Config(**without_shape(data, **more))
    net = loop.make_net(config, prepared.prepare(config))
    arrays = {p.name: p.value for p in net.parameters()} | net.statistics()
    return arrays, net, config


def classes_folder(folder, classes, channels=1):
    """Four images of 48 x 40 pixels with labels 0 ... classes - 1."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for i in range(4):
        labels = np.kron(rng.integers(0, classes, (6, 5)), np.ones((8, 8))).astype(np.uint8)
        image = (labels * 60 + rng.integers(0, 40, labels.shape)).astype(np.uint8)
        if channels > 1:
            image = np.stack([image] * channels, axis=2)
        tifffile.imwrite(folder / "images" / f"{i}.tif", image)
        tifffile.imwrite(folder / "labels" / f"{i}.tif", labels)
    return folder


# What the model decides


def test_the_shape_is_the_models(trained, tmp_path):
    config = Config(from_model=str(trained), tile=34)
    assert (config.width, config.depth, config.dropout) == (3, 1, 0.0)
    other = model(
        tmp_path / "other.npz", width=2, depth=2, padding="same", batch_norm=True, sigmoid=True,
        resize=48, dropout=0.25,
    )  # fmt: skip
    config = configs.make("finetune", None, {"from_model": str(other)})
    found = (config.width, config.depth, config.padding, config.batch_norm, config.sigmoid)
    assert found == (2, 2, "same", True, True)
    assert (config.resize, config.dropout, config.tile) == (48, 0.25, 48)
    release = model(tmp_path / "release.npz", variant="release2015")
    assert Config(from_model=str(release), tile=34).variant == "release2015"
    bundled = Config(from_model="bundled")
    assert (bundled.width, bundled.depth, bundled.from_model) == (16, 4, "em")


@pytest.mark.parametrize(
    ("name", "value", "tile"),
    [("width", 64, 34), ("depth", 4, 572), ("depth", 2, 44), ("variant", "release2015", 34),
     ("padding", "same", 34), ("batch_norm", True, 34)],
)  # fmt: skip
def test_another_shape_is_refused_even_where_it_is_the_usual_one(
    trained, tmp_path, name, value, tile
):
    had = {"width": 3, "depth": 1, "variant": "paper", "padding": "valid", "batch_norm": False}
    for make in (
        lambda: Config(**{"from_model": str(trained), "tile": tile, name: value}),
        lambda: configs.make("cpu", None, {"from_model": str(trained), name: value}),
        lambda: configs.make("cpu", toml(tmp_path, name, value), {"from_model": str(trained)}),
        lambda: plans.start("no data", from_model=str(trained), device="cpu", **{name: value}),
    ):
        with pytest.raises(CunetError, match=f"^{name}: {value} is given.* has {had[name]}") as got:
            make()
        assert got.value.exit_code == 2 and str(trained) in str(got.value)


def toml(folder, name, value):
    file = folder / "settings.toml"
    text = f'"{value}"' if isinstance(value, str) else str(value).lower()
    file.write_text(f"{name} = {text}\n")
    return file


def test_what_a_preset_says_of_the_shape_gives_way(trained):
    for preset in configs.PRESETS:
        config = configs.make(preset, None, {"from_model": str(trained)})
        assert (config.width, config.depth, config.batch_norm) == (3, 1, False)
        assert (config.normalization, config.resize) == ("data", None)
        assert config.steps == configs.make(preset).steps
    config = configs.make("cpu", None, {"from_model": str(trained), "width": 3, "dropout": 0.5})
    assert (config.width, config.dropout) == (3, 0.5)


def test_what_else_is_the_models_can_be_chosen_anew(tmp_path):
    path = str(model(tmp_path / "m.npz", resize=32, sigmoid=True))
    assert Config(from_model=path, tile=34).resize == 32
    config = Config(from_model=path, tile=34, resize=0, sigmoid=False, normalization="data")
    assert (config.resize, config.sigmoid, config.normalization) == (0, False, "data")


def test_normalization_by_image_stays_by_image(tmp_path):
    net = cunet.UNet(width=2, depth=1)
    net.normalization = replace(Normalization.identity(1), per_image=True)
    cunet.save(tmp_path / "m.npz", net)
    given = {"from_model": str(tmp_path / "m.npz"), "tile": 34}
    assert Config(**given).normalization == "image"
    assert Config(**given, normalization="data").normalization == "data"
    assert configs.make("cpu", None, given).normalization == "image"


@pytest.mark.parametrize(
    ("shape", "tile"),
    [({"depth": 4}, 412), ({"depth": 3}, 412), ({"depth": 2}, 412), ({"depth": 5}, 412),
     ({"depth": 4, "padding": "same"}, 400), ({"depth": 5, "padding": "same"}, 384),
     ({"depth": 4, "padding": "same", "resize": 128}, 128),
     ({"depth": 4, "resize": 128}, 412), ({"depth": 6}, 764)],
)  # fmt: skip
def test_the_usual_tile_becomes_one_that_fits(tmp_path, shape, tile):
    """Sides are 2^d k + 4 + 8 + ... + 2^(d + 1) with valid convolutions and 2^d k with same; 764 is
    the smallest there is at depth 6."""
    path = str(model(tmp_path / "m.npz", width=1, **shape))
    assert configs.make("finetune", None, {"from_model": path}).tile == tile
    with pytest.raises(CunetError, match="tile 411 does not fit"):
        configs.make("finetune", None, {"from_model": path, "tile": 411})


def test_a_config_is_an_ordinary_record(trained):
    config = Config(from_model=str(trained), tile=34)
    for same in (copy.copy(config), pickle.loads(pickle.dumps(config)), replace(config)):
        assert same == config and vars(same).keys() == {f.name for f in fields(Config)}
    assert replace(config, seed=1) == Config(from_model=str(trained), tile=34, seed=1)
    assert list(inspect.signature(Config).parameters) == [f.name for f in fields(Config)]


# The weights


def test_every_array_is_the_models(data, tmp_path):
    path = model(tmp_path / "m.npz", padding="same", batch_norm=True)
    arrays, net, config = start_of(data, from_model=str(path), tile=32)
    for name, array in arrays_of(path).items():
        np.testing.assert_array_equal(arrays.pop(name), array, err_msg=name)
    assert not arrays and net.seed == config.seed == 3


def test_the_bundled_networks_halves_are_widened(data):
    arrays, _, _ = start_of(data, from_model="bundled", tile=188)
    for name, array in np.load(BOX["em"]).items():
        if name != "header":
            assert array.dtype == np.float16 and arrays[name].dtype == np.float32
            np.testing.assert_array_equal(arrays[name], array.astype(np.float32))


@pytest.mark.parametrize("case", ["classes", "softmax", "sigmoid"])
def test_a_head_that_does_not_serve_is_drawn_by_the_seed(data, tmp_path, case):
    path = model(tmp_path / "m.npz", sigmoid=case == "softmax")
    folder = classes_folder(tmp_path / "three", 3) if case == "classes" else data
    more = {} if case == "classes" else {"sigmoid": case == "sigmoid"}
    outputs = {"classes": 3, "softmax": 2, "sigmoid": 1}[case]
    for seed in (3, 4):
        arrays, _, config = start_of(folder, from_model=str(path), seed=seed, **more)
        fresh = cunet.UNet(width=3, depth=1, classes=3 if case == "classes" else 2, seed=seed,
                           sigmoid=case == "sigmoid").head  # fmt: skip
        np.testing.assert_array_equal(arrays.pop("head.filters"), fresh.w.value)
        assert fresh.w.value.shape == (1, 1, 3, outputs) and not arrays.pop("head.biases").any()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, arrays_of(path)[name], err_msg=name)


def test_after_one_step_it_is_one_step_of_momentum_away(data, trained, tmp_path):
    """The first velocity is the gradient: nothing of an older solver."""
    run = tmp_path / "run"
    more = {"lr": 0.01, "lr_policy": "fixed", "clip": 0.0, "fold": None, "weight_decay": 0.0}
    config = Config(**without_shape(data, from_model=str(trained), out=str(run), steps=1) | more)
    ready = prepared.prepare(config)
    list(cunet.train(config, ready))
    net = cunet.load(trained)
    x, labels, weights = ready.samples.stacked(0)
    logits, backward = net(x)
    backward(cunet.softmax_loss(logits, labels, weights)[1])
    moved = arrays_of(run / "last.npz")
    for p in net.parameters():
        rate = 0.01 * (2 if p.name.endswith("biases") else 1)
        np.testing.assert_allclose(moved[p.name], p.value - rate * p.grad, rtol=1e-5, atol=1e-7)
        assert np.abs(p.grad).max() > 0


def test_images_are_normalised_by_their_own_numbers(data, trained):
    _, net, config = start_of(data, from_model=str(trained), fold=None)
    pixels = tifffile.imread(data / "train-volume.tif").astype(np.float64)
    assert net.normalization.mean == pytest.approx((pixels.mean(),))
    assert net.normalization.deviation == pytest.approx((pixels.std(),))


def test_on_a_gpu_it_starts_from_the_same(data, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    given = without_shape(data, from_model=str(trained), steps=2, fold=None)
    for device in ("cpu", "cuda"):
        out = str(tmp_path / device)
        list(cunet.train(Config(**given | {"device": device, "out": out, "lr": 1e-12})))
    there = arrays_of(tmp_path / "cuda" / "last.npz")
    for name, array in arrays_of(trained).items():
        np.testing.assert_allclose(there[name], array, atol=1e-8)


# The run


def tables(run):
    """What a report says of the settings and of the machine."""
    config = Config(**read_settings(run))
    env = json.loads((run / "env.json").read_text())
    facts = Facts(run, config, Log.read(run), env, {}, None, None, None, [])
    return setup.settings(config) + setup.size_and_machine(facts)


def test_resumed_without_the_model_it_equals_an_uninterrupted_run(
    data, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("whole", "parted"):
        plan = plans.make(data, from_model="trained.npz", out=str(tmp_path / name), **FEW)
        assert plan.config.solver == "adam" and plan.config.lr < 1e-3
        records = plan.train()
        for record in records:
            if (name, record["step"]) == ("parted", 4):
                break
        records.close()
    trained.unlink()
    monkeypatch.chdir(data)
    assert [r["step"] for r in plans.make(resume=tmp_path / "parted").train()] == [5, 6]
    for name in ("last.npz", "best.npz"):
        same_arrays(tmp_path / "whole" / name, tmp_path / "parted" / name)
    assert log_without_time(tmp_path / "whole") == log_without_time(tmp_path / "parted")


def test_it_keeps_what_it_started_from(data, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digest = hashlib.sha256(trained.read_bytes()).hexdigest()
    given = without_shape(data, from_model="trained.npz", steps=2)
    shape = {name: getattr(Config(**given), name) for name in SHAPE}
    for number, config in enumerate((Config(**given), Config(**given | shape))):
        run = tmp_path / str(number)
        records = cunet.train(replace(config, out=str(run)))
        next(records)
        records.close()
        list(cunet.train(replace(config, out=str(run)), resume=True))
        assert read_settings(run)["from_model"] == str(trained)
        facts = json.loads((run / "env.json").read_text())
        assert facts["from_model"] == {"file": str(trained), "sha256": digest}
    page = tables(run)
    assert f'<th scope="row">Started from</th><td>{trained}, SHA-256 {digest[:12]}...' in page
    assert "differ from the nearest preset, paper" in page  # by solver and rate


def test_a_run_is_a_model_too_by_its_best_network(data, trained, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    list(cunet.train(Config(**without_shape(data, from_model=str(trained), out=str(first)))))
    list(plans.make(data, from_model=first, out=str(second), **FEW).train())
    facts = json.loads((second / "env.json").read_text())["from_model"]
    assert facts["file"] == str(first / "best.npz")
    assert header_of(second / "last.npz")["net"]["width"] == 3
    page = tables(second)
    # FEW without what is not compared
    assert "3 settings differ from the nearest preset, finetune" in page


def test_the_command_says_what_it_takes_over(data, trained, run, tmp_path):
    options = [part for k, v in FEW.items() for part in (f"--{k.replace('_', '-')}", v)]
    code, text, err = run("train", "--data", data, "--from", trained, *options, "-n", "--json")
    assert code == 0, err
    lines = err.splitlines()
    assert lines[0].startswith(f"preset finetune (starts from {trained})")
    assert lines[1] == f"  weights of {trained}; the head is kept (2 classes)"
    pixels = tifffile.imread(data / "train-volume.tif")[[0, 2, 3]]
    numbers = f"mean {pixels.mean():.5g}, deviation {pixels.std():.5g}"
    assert lines[2] == f"  normalisation: {numbers} (the model: mean 90, deviation 30)"
    document = json.loads(text)
    assert document["from_model"] == str(trained)
    assert document["notes"] == [line.strip() for line in lines[1:3]]
    more = ["--preset", "cpu", "--steps", 2, "--tile", 34]
    code, _, err = run("train", "--data", data, "--from", trained, *more, "-n")
    assert code == 0 and err.startswith(f"preset cpu, starts from {trained}")


def test_a_new_head_is_said(trained, tmp_path):
    folder = classes_folder(tmp_path / "three", 3)
    start = plans.start(folder, from_model=str(trained), device="cpu")
    assert "the head is drawn anew: it had 2 classes, here 3" in start.notes[0]
    start = plans.start(folder, from_model=str(trained), device="cpu", normalization="image")
    assert start.notes[1].startswith("normalisation: each image by its own mean and deviation (the")


def test_a_sigmoid_for_more_classes_says_what_to_give(tmp_path):
    path = str(model(tmp_path / "m.npz", sigmoid=True))
    folder = classes_folder(tmp_path / "three", 3)
    with pytest.raises(CunetError, match="use softmax .--softmax"):
        plans.start(folder, from_model=path, device="cpu")
    start = plans.start(folder, from_model=path, device="cpu", sigmoid=False)
    assert "the head is drawn anew: it had 2 classes, here 3" in start.notes[0]


def test_a_model_without_normalisation_is_warned_of(data, tmp_path):
    cunet.save(tmp_path / "m.npz", cunet.UNet(width=2, depth=1))
    start = plans.start(data, from_model=str(tmp_path / "m.npz"), device="cpu")
    assert start.notes[2].startswith("warning: the model was saved without a normalisation")
    given = {"from_model": str(tmp_path / "m.npz"), "device": "cpu", "sigmoid": True}
    assert "it had a softmax, here a sigmoid" in plans.start(data, **given).notes[0]


@pytest.mark.parametrize(
    ("channels", "wanted", "advice"),
    [(3, 1, "grey saved as colour: save them in grey"), (1, 3, "three equal channels"),
     (1, 2, "save them with 2 channels")],
)  # fmt: skip
def test_other_channels_are_refused(tmp_path, channels, wanted, advice):
    net = cunet.UNet(width=2, depth=1, in_channels=wanted)
    cunet.save(tmp_path / "m.npz", net)
    folder = classes_folder(tmp_path / "data", 2, channels)
    given = {"from_model": str(tmp_path / "m.npz"), "device": "cpu", "tile": 34}
    words = f"{channels} channel.*made for {wanted}; .*{advice}"
    with pytest.raises(DataError, match=words):
        plans.start(folder, **given)
    with pytest.raises(DataError, match=words):
        next(cunet.train(Config(data=str(folder), **given)))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("missing.npz", CunetError, "does not exist"), ("folder", CunetError, "holds no best.npz"),
     ("outer", CunetError, "there is one in .*outer/inner'"),
     ("damaged.npz", DataError, "damaged.npz")],
)  # fmt: skip
def test_models_that_cannot_be_read(data, trained, tmp_path, name, kind, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "last.npz").touch()
    (tmp_path / "damaged.npz").write_bytes(trained.read_bytes()[:300])
    for make in (lambda g: Config(**g), lambda g: plans.start(data, device="cpu", **g)):
        with pytest.raises(kind, match=words):
            make({"from_model": str(tmp_path / name)})


def test_beside_resume_it_is_called_by_the_name_of_its_option(data, trained, tmp_path):
    with pytest.raises(CunetError, match="found --from$"):
        plans.start(resume="run", from_model=str(trained))


def test_the_folds_of_a_cross_validation_start_from_it(data, trained, tmp_path):
    given = {
        "folds": 2,
        "average": "none",
        "device": "cpu",
        "threads": 1,
        "lr": 1e-12,
        "steps": 2,
        "tile": 34,
    }
    made = crossvals.make(data, from_model=trained, out=tmp_path / "cv", **given)
    assert made.fold.source.startswith("preset finetune") and made.cv.config.width == 3
    cv = made.cv
    cv.path.mkdir()
    cv.save()
    for run in cv.runs[:1]:
        list(train_run(cv, run, "cpu", 1))
        for name, array in arrays_of(trained).items():
            moved = arrays_of(cv.folder(run) / "last.npz")[name]
            np.testing.assert_allclose(moved, array, atol=1e-8)
    shutil.copy(trained, tmp_path / "kept.npz")
    model(trained, seed=10)
    with pytest.raises(DataError, match="is not what run '.*fold0-seed0' started from"):
        crossvals.make(resume=tmp_path / "cv")
    shutil.copy(tmp_path / "kept.npz", trained)
    assert len(crossvals.make(resume=tmp_path / "cv").todo) == 2
