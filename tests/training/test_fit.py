"""cunet.fit: from arrays to a network, the same as from files; stopped, kept, resumed, refused."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from run_folders import log_without_time, same_arrays

import cunet
from cunet.data.arrays import dataset_of
from cunet.errors import CunetError, DataError
from cunet.training.config import make
from cunet.training.prepared import prepare

pytestmark = pytest.mark.usefixtures("threads_as_before", "usual_ctrl_c")

SMALL = {
    "width": 2, "depth": 1, "tile": 34, "steps": 9, "validate_every": 3, "device": "cpu",
    "threads": 1, "seed": 3, "quiet": True,
}  # fmt: skip
SETTINGS = {name: value for name, value in SMALL.items() if name != "quiet"}


@pytest.fixture(scope="module")
def arrays():
    """Four images (48, 40) uint8 and their masks of 0 and 255."""
    rng = np.random.default_rng(5)
    masks = np.zeros((4, 48, 40), np.uint8)
    for mask in masks:
        for _ in range(5):
            row, column = rng.integers(0, 36, 2)
            mask[row : row + 9, column : column + 9] = 255
    return (masks // 2 + rng.integers(0, 100, masks.shape)).astype(np.uint8), masks


def weights_of(net):
    return {p.name: p.value for p in net.parameters()}


def equal(one, other):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.fixture(scope="module")
def from_files(arrays, tmp_path_factory):
    """The run folder of the same training on files."""
    folder = tmp_path_factory.mktemp("files")
    for kind, stack in zip(("images", "labels"), arrays, strict=True):
        (folder / kind).mkdir()
        for i, page in enumerate(stack):
            tifffile.imwrite(folder / kind / f"{i}.tif", page)
    options = SETTINGS | {"data": str(folder), "hold_out": "1", "out": str(folder / "run")}
    list(cunet.train(make("cpu", None, options)))
    return folder / "run"


def test_arrays_give_the_network_that_files_give(arrays, from_files):
    net, run = cunet.fit(*arrays, held_out=[1], **SMALL)
    equal(net, cunet.load(from_files))
    image = arrays[0][1]
    expected = cunet.segment(image, cunet.load(from_files))
    np.testing.assert_array_equal(cunet.segment(image, net), expected)
    assert [record["step"] for record in run.records] == list(range(1, 10))
    assert run.finished and run.folder is None and run.held_out == [1]
    assert "9 of 9 steps" in repr(run) and "1 image held out: pixel error" in repr(run)
    assert f"{run.best['val_pixel_error']:.4f}" in repr(run)


def test_with_a_folder_it_is_the_same_run(arrays, from_files, tmp_path):
    net, run = cunet.fit(*arrays, held_out=[1], out=tmp_path / "run", **SMALL)
    assert run.folder == tmp_path / "run"
    for name in ("last.npz", "best.npz"):
        same_arrays(from_files / name, tmp_path / "run" / name)
    assert log_without_time(from_files) == log_without_time(tmp_path / "run")
    equal(net, cunet.load(tmp_path / "run"))
    assert cunet.report(tmp_path / "run").is_file()
    with pytest.raises(CunetError, match="exists"):
        cunet.fit(*arrays, out=tmp_path / "run", **SMALL)


def test_the_best_network_is_returned_and_without_held_out_images_the_last(arrays, monkeypatch):
    scores = iter([0.3, 0.1, 0.2])

    def scripted(net, prepared):
        scored = dict.fromkeys(("val_loss", "val_dice", "val_threshold"), 0.5)
        return scored | {"val_pixel_error": next(scores), "val_one_class": None}

    seen = []

    def watch(record, steps):
        assert steps == 9
        seen.append(record["step"])

    monkeypatch.setattr("cunet.training.loop.validate", scripted)
    best, run = cunet.fit(*arrays, held_out=[1], progress=watch, lr_policy="fixed", **SMALL)
    assert run.best["step"] == 6 and seen == list(range(1, 10))
    monkeypatch.undo()
    others = [0, 2, 3]
    shorter = SMALL | {"steps": 6}
    six, run = cunet.fit(arrays[0][others], arrays[1][others], lr_policy="fixed", **shorter)
    equal(best, six)  # drawn from the same three images
    assert run.best is None and "held out" not in repr(run)


@pytest.mark.parametrize("folder", [False, True])
def test_the_stop_button_returns_what_there_is(arrays, tmp_path, folder):
    def press(record, steps):
        if record["step"] == 5:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run" if folder else None
    more = SMALL | {"batch_norm": True, "padding": "same", "tile": 32}
    net, run = cunet.fit(*arrays, out=out, progress=press, **more)
    assert not run.finished and run.done == 5 and len(run.records) == 5
    assert "5 of 9 steps, stopped" in repr(run)
    straight, _ = cunet.fit(*arrays, **more | {"steps": 5, "lr_policy": "fixed"})
    assert weights_of(net).keys() == weights_of(straight).keys()
    if folder:
        same, again = cunet.fit(*arrays, resume=out, quiet=True)
        assert again.finished and [r["step"] for r in again.records] == [6, 7, 8, 9]
        whole, _ = cunet.fit(*arrays, **more)
        equal(same, whole)


def test_stopped_in_the_middle_of_a_step_it_returns_the_step_before(arrays, monkeypatch):
    from cunet.engines import cpu

    more = SMALL | {"lr_policy": "fixed", "batch_norm": True, "padding": "same", "tile": 32}
    five, _ = cunet.fit(*arrays, **more | {"steps": 5})
    real, calls = cpu.conv_backward, []

    def backward(*given):
        calls.append(None)
        if len(calls) == 5 * 7 + 4:  # in the sixth step, of a net with seven convolutions
            signal.raise_signal(signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(cpu, "conv_backward", backward)
    net, run = cunet.fit(*arrays, **more)
    assert run.done == 5
    equal(net, five)
    for name, value in five.statistics().items():
        np.testing.assert_array_equal(net.statistics()[name], value)
    assert all(not p.grad.any() for p in net.parameters())


def test_before_the_first_step_there_is_nothing_to_return(arrays, tmp_path, monkeypatch):
    def pressed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("cunet.data.samples.Samples.stacked", pressed)
    for out in (None, tmp_path / "run"):
        with pytest.raises(KeyboardInterrupt):
            cunet.fit(*arrays, out=out, **SMALL)


def test_labels_mean_what_they_mean_in_files(arrays):
    images, masks = arrays
    usual = dataset_of(images, masks)
    for same in (masks > 0, masks // 255, (masks // 255).astype(float), [*masks], masks.tolist()):
        other = dataset_of([*images], same)
        assert len(other.class_names) == 2
        for a, b in zip(usual.labels, other.labels, strict=True):
            np.testing.assert_array_equal(a, b)
    ignored = masks // 255
    ignored[:, :3] = 255
    ignored[:, 20:25] = 2
    assert len(dataset_of(images, ignored).class_names) == 3
    numbered = np.zeros((4, 48, 40), int)
    for k in range(1, 8):
        numbered[:, 6 * k - 5 : 6 * k - 1, 5:30] = k
    for i in range(4):
        numbered[i][numbered[i] > 7 - i] = 0  # each page has as many as it has cells
    cells = dataset_of(images, numbered)
    assert cells.class_names == ("background", "object")
    assert [int(page.max()) for page in cells.instances] == [7, 6, 5, 4]
    assert len(dataset_of(images, numbered, "classes").class_names) == 8
    colours = dataset_of(np.stack([images] * 3, axis=-1), masks)
    assert colours.images[0].shape == (48, 40, 3)
    sizes = dataset_of([images[0], images[1][:30]], [masks[0], masks[1][:30]])
    assert [image.shape for image in sizes.images] == [(48, 40, 1), (30, 40, 1)]


def test_the_arrays_given_stay_as_they_are(arrays):
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    cunet.fit(*arrays, **SMALL | {"steps": 2})
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
        a.flags.writeable = True


def test_minutes_become_steps_of_the_measured_speed(arrays):
    more = {k: v for k, v in SMALL.items() if k != "steps"}
    _, run = cunet.fit(*arrays, minutes=1e-4, **more)
    assert run.finished and run.steps >= 1


def test_what_is_printed(arrays, capsys):
    loud = SMALL | {"quiet": False}
    cunet.fit(*arrays, held_out=[1], **loud)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("step 9 of 9, loss ") and "held out: pixel error" in lines[-1]
    cunet.fit(*arrays, **SMALL)
    assert capsys.readouterr() == ("", "")


def wrong_calls(images, masks):
    return {
        "a path": (("images/", masks), {}, "images.*the text 'images/'.*read_image"),
        "one image": ((images[0], masks[0]), {}, r"images.*\[it\]"),
        "a list too short": (([*images], [*masks[:3]]), {}, "4 images and 3 labels"),
        "nothing": (([], []), {}, "images.*at least one"),
        "channels first": (
            (np.zeros((4, 3, 48, 40)), masks),
            {},
            r"images\[0\].*channels last.*transpose",
        ),
        "another size": ((images[:, :30], masks), {}, "48 x 40.*30 x 40"),
        "a probability": ((images, masks / 300), {}, r"labels\[0\].*whole numbers.*probability"),
        "complex": ((images.astype(complex), masks), {}, r"images\[0\].*real numbers"),
        "text": ((images.astype(str), masks), {}, r"images\[0\].*real numbers"),
        "masked": ((np.ma.masked_equal(images, 3), masks), {}, r"images.*masked.*filled"),
        "exchanged": ((masks, images.astype(float) / 7), {}, r"labels\[0\].*whole numbers"),
        "a NaN": ((np.where(images > 190, np.nan, images), masks), {}, r"images\[0\].*NaN"),
        "held_out beyond": ((images, masks), {"held_out": [4]}, "held_out.*0 to 3.*4"),
        "held_out text": ((images, masks), {"held_out": "0"}, "held_out.*numbers of images"),
        "held_out a number": ((images, masks), {"held_out": 1}, "held_out.*numbers of images"),
        "held_out negative": ((images, masks), {"held_out": [-1]}, "held_out.*0 or more"),
        "all held out": ((images, masks), {"held_out": range(4)}, "at least one of each"),
        "two splits": ((images, masks), {"held_out": [1], "fold": "0/2"}, "give one of them"),
        "data": ((images, masks), {"data": "x"}, "data.*arrays"),
        "a setting": ((images, masks), {"widht": 3}, "widht: no such setting"),
        "a type": ((images, masks), {"width": "8"}, "width.*whole number.*'8'"),
        "a config": ((images, masks), {"preset": cunet.Config()}, "preset.*text"),
        "both": ((images, masks), {"minutes": 1, "steps": 3}, "steps and minutes"),
        "no run": ((images, masks), {"resume": "nowhere"}, "nowhere.*not a run folder"),
    }


@pytest.mark.parametrize("what", wrong_calls(*np.zeros((2, 4, 48, 40), np.uint8)))
def test_what_is_wrong_is_said(arrays, what):
    given, more, message = wrong_calls(*arrays)[what]
    settings = {k: v for k, v in SMALL.items() if k not in ("steps", *more)}
    settings = {} if "resume" in more else settings
    with pytest.raises(CunetError, match=message):
        cunet.fit(*given, **settings | more)


def test_resuming_needs_the_same_arrays(arrays, tmp_path, from_files, run):
    images, masks = arrays
    out = tmp_path / "run"
    cunet.fit(images, masks, out=out, **SMALL)
    with pytest.raises(DataError, match=r"labels\[2\] has changed"):
        changed = masks.copy()
        changed[2, 0, 0] ^= 255
        cunet.fit(images, changed, resume=out)
    with pytest.raises(CunetError, match="beside it only.*found width"):
        cunet.fit(images, masks, resume=out, width=3)
    with pytest.raises(CunetError, match="cunet train --resume"):
        cunet.fit(images, masks, resume=from_files)
    code, _, err = run("train", "--resume", out)
    assert code == 2 and "cunet.fit(images, labels, resume=" in err and "arrays" in err
    _, longer = cunet.fit(images, masks, resume=out, steps=12, quiet=True)
    assert [record["step"] for record in longer.records] == [10, 11, 12]


def test_a_config_without_data_says_so():
    with pytest.raises(CunetError, match="data: expected the folder.*cunet.fit"):
        list(cunet.train(cunet.Config()))


def test_nothing_is_written_without_a_folder(arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cunet.fit(*arrays, **SMALL | {"steps": 2})
    assert os.listdir(tmp_path) == []


def test_prepared_from_arrays_equals_prepared_from_files(arrays, from_files):
    config = make("cpu", None, SETTINGS | {"hold_out": "1"})
    made = prepare(config, dataset_of(*arrays))
    files = prepare(replace(config, data=str(from_files.parent)))
    assert made.normalization == files.normalization and made.held_out == files.held_out == [1]
    for index in range(4):
        for a, b in zip(made.samples.sample(index), files.samples.sample(index), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_meaning_of_labels_is_asked_and_given():
    """As --labels of the command line does, which no argument of fit could be called."""
    from label_images import discs

    cells = [discs(n, n) for n in (2, 3, 2)]
    images = [page * np.uint8(60) for page in cells]
    options = SMALL | {"steps": 1}
    with pytest.raises(DataError, match="Give meaning='instances' if each.*meaning='classes' if"):
        cunet.fit(images, cells, **options)
    net, made = cunet.fit(images, cells, meaning="instances", **options)
    assert net.shape.classes == 2 and any("7 objects" in note for note in made.notes)
    assert cunet.fit(images, cells, meaning="classes", **options)[0].shape.classes == 4
    many, made = cunet.fit(images * 2, [discs(n, n) for n in (6, 7, 8)] * 2, **options)
    assert any("meaning='classes' reads classes" in note for note in made.notes)
    with pytest.raises(CunetError, match="'classes'.*found 'cells'|classes.*instances.*cells"):
        cunet.fit(images, cells, meaning="cells", **options)
