"""The command line: what a person types, what comes back, and what happens to bad input."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

import cunet
from cunet import cli
from cunet.data.synthetic import membranes
from cunet.segmentation.tiling import segment

TINY = "--width 2 --depth 2 --tile 76 --steps 6 --validate-every 3 --device cpu --threads 1".split()


def write_isbi(folder, slices=4, side=64):
    """A small synthetic data set in the ISBI 2012 layout."""
    images, labels = membranes(slices, side, side, seed=3)
    folder.mkdir()
    tifffile.imwrite(folder / "train-volume.tif", images, photometric="minisblack")
    tifffile.imwrite(folder / "train-labels.tif", labels, photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set and a finished run on it, made through the installed command."""
    base = tmp_path_factory.mktemp("cli")
    data = write_isbi(base / "data")
    command = [sys.executable, "-m", "cunet", "train", "--data", data, "--out", base / "run"]
    command += ["--fold", "0/2", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, cwd=base)
    assert done.returncode == 0, done.stderr
    return data, base / "run", done


def test_train_says_preset_checks_scores_and_the_next_command(trained):
    data, folder, done = trained
    lines = done.stderr.splitlines()
    assert lines[0].startswith("preset cpu")
    assert any("255 is class 1" in line for line in lines)
    assert sum("pixel error" in line for line in lines) == 2  # after steps 3 and 6
    assert lines[-1].strip() == f"cunet segment {data / 'train-volume.tif'} --model {folder}"
    assert done.stdout == ""


def test_a_run_folder_holds_what_the_contract_names(trained):
    _, folder, _ = trained
    names = {"run.toml", "env.json", "log.csv", "last.npz", "best.npz", "report.html"}
    assert names | {"metrics.json"} == {p.name for p in folder.iterdir()}
    settings = tomllib.loads((folder / "run.toml").read_text())
    assert settings["width"] == 2 and settings["steps"] == 6 and settings["solver"] == "adam"
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["last"]["val_pixel_error"] == float(rows[-1]["val_pixel_error"])
    assert len(json.loads((folder / "env.json").read_text())["data"]["train-volume.tif"]) == 64


def test_stop_and_resume_equals_a_run_without_a_stop(trained, run, tmp_path):
    data, straight, _ = trained
    out = tmp_path / "stopped"
    code, _, err = run(
        "train", "--data", data, "--out", out, "--fold", "0/2", *TINY, "--stop-after", 4
    )
    assert code == 130
    assert err.splitlines()[-1].strip() == f"cunet train --resume {out}"
    code, _, err = run("train", "--resume", out)
    assert code == 0, err
    for name in ("last.npz", "best.npz"):
        with np.load(straight / name) as a, np.load(out / name) as b:
            arrays = sorted(set(a.files) - {"header"})
            assert arrays == sorted(set(b.files) - {"header"})
            assert all(np.array_equal(a[key], b[key]) for key in arrays)


def test_dry_run_trains_nothing_and_answers_json(trained, run, tmp_path):
    data, _, _ = trained
    out = tmp_path / "dry"
    code, text, err = run("train", "--data", data, "--out", out, *TINY, "--dry-run", "--json")
    assert code == 0 and not out.exists()
    answer = json.loads(text)
    assert answer["training_slices"] == 4 and answer["held_out_slices"] == 0
    assert answer["expected_seconds"] == pytest.approx(6 * answer["seconds_per_step"])
    assert "--dry-run" not in err.splitlines()[-1]


def test_an_existing_run_is_not_overwritten(trained, run):
    data, folder, _ = trained
    before = (folder / "last.npz").read_bytes()
    code, _, err = run("train", "--data", data, "--out", folder, *TINY)
    assert code == 2 and "exists" in err and "--resume" in err
    assert (folder / "last.npz").read_bytes() == before


def test_segment_writes_products_that_equal_the_python_call(trained, run, tmp_path):
    data, folder, _ = trained
    code, _, err = run(
        "segment",
        data / "train-volume.tif",
        "--model",
        folder,
        "--out",
        tmp_path,
        "--pages",
        "1,3",
        "--products",
        "prob,mask,labels,overlay",
        "--device",
        "cpu",
    )
    assert code == 0, err
    net = cunet.load(folder / "best.npz")
    pages = tifffile.imread(data / "train-volume.tif")[[1, 3]]
    expected = np.stack([segment(page, net, tile=net_tile(net))[..., 1] for page in pages])
    prob = tifffile.imread(tmp_path / "train-volume_prob.tif")
    mask = tifffile.imread(tmp_path / "train-volume_mask.tif")
    labels = tifffile.imread(tmp_path / "train-volume_labels.tif")
    assert prob.dtype == np.float32 and np.allclose(prob, expected, atol=1e-5)
    assert mask.dtype == np.uint8 and np.array_equal(mask, np.where(prob > 0.5, 255, 0))
    assert labels.dtype == np.uint16 and np.array_equal(labels > 0, mask > 0)
    for page, numbered in zip(mask, labels, strict=True):
        check_components(page > 0, numbered)
    for number in (1, 3):
        picture = np.asarray(Image.open(tmp_path / f"train-volume_overlay_{number:04}.png"))
        assert picture.shape == (64, 64, 3)


def net_tile(net):
    from cunet.net.sizes import tile_for_output

    return tile_for_output(64, net.depth)


def check_components(mask, numbered):
    """Neighbours above or beside share a number; the numbers run from 1 without a gap."""
    for a, b, la, lb in (
        (mask[1:], mask[:-1], numbered[1:], numbered[:-1]),
        (mask[:, 1:], mask[:, :-1], numbered[:, 1:], numbered[:, :-1]),
    ):
        assert (la[a & b] == lb[a & b]).all()
    assert set(np.unique(numbered)) <= set(range(numbered.max() + 1))
    assert len(np.unique(numbered[mask])) == numbered.max()


def test_segment_skips_what_is_finished_and_overwrites_on_request(trained, run, tmp_path):
    data, folder, _ = trained
    command = ("segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path)
    assert run(*command, "--pages", 0)[0] == 0
    target = tmp_path / "train-volume_prob.tif"
    before = target.stat().st_mtime_ns
    code, text, err = run(*command, "--pages", 0, "--json")
    assert code == 0 and json.loads(text)["images"][0]["skipped"] and "skipped" in err
    assert target.stat().st_mtime_ns == before
    for different in (["--pages", "0-1"], ["--pages", "0", "--threshold", "0.1"]):
        code, _, err = run(*command, *different)
        assert code == 2 and "train-volume_prob.tif' exists" in err and "--overwrite" in err
    assert target.stat().st_mtime_ns == before
    assert run(*command, "--pages", "0-1", "--overwrite")[0] == 0
    assert tifffile.imread(target).shape == (2, 64, 64)


def test_segment_png_in_and_out(trained, run, tmp_path):
    data, folder, _ = trained
    page = tifffile.imread(data / "train-volume.tif")[0]
    Image.fromarray(page).save(tmp_path / "one.png")
    out = tmp_path / "mask.png"
    code, _, err = run(
        "segment", tmp_path / "one.png", "--model", folder, "--products", "mask", "--out", out
    )
    assert code == 0, err
    assert set(np.unique(np.asarray(Image.open(out)))) <= {0, 255}


def test_segment_carries_the_calibration_over(trained, run, tmp_path):
    data, folder, _ = trained
    page = tifffile.imread(data / "train-volume.tif")[:1]
    tifffile.imwrite(
        tmp_path / "nm.tif",
        page,
        imagej=True,
        resolution=(0.25, 0.25),
        metadata={"unit": "nm", "spacing": 50.0, "axes": "ZYX"},
    )
    assert run("segment", tmp_path / "nm.tif", "--model", folder, "--out", tmp_path)[0] == 0
    with tifffile.TiffFile(tmp_path / "nm_prob.tif") as file:
        assert file.imagej_metadata["unit"] == "nm"
        assert file.pages[0].tags["XResolution"].value == (1, 4)


def test_far_intensities_and_one_class_are_said(trained, run, tmp_path):
    _, folder, _ = trained
    tifffile.imwrite(tmp_path / "far.tif", np.full((64, 64), 60000, np.uint16))
    code, text, err = run(
        "segment", tmp_path / "far.tif", "--model", folder, "--out", tmp_path, "--json"
    )
    assert code == 0 and "lie far from the training images'" in err
    warnings = json.loads(text)["images"][0]["warnings"]
    assert any("far.tif" in w for w in warnings)


def bad_files(folder):
    """Files that are no good, by name."""
    (folder / "text.tif").write_text("not an image")
    whole = folder / "whole.tif"
    tifffile.imwrite(whole, np.zeros((3, 64, 64), np.uint8), photometric="minisblack")
    (folder / "cut.tif").write_bytes(whole.read_bytes()[:9000])
    (folder / "empty.tif").write_bytes(b"")
    tifffile.imwrite(folder / "two.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 nothing behind it")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["text.tif", "--model", "RUN"], 3, ["text.tif"]),
        (["cut.tif", "--model", "RUN"], 3, ["cut.tif"]),
        (["empty.tif", "--model", "RUN"], 3, ["empty.tif", "empty"]),
        (["two.tif", "--model", "RUN"], 3, ["two.tif", "3 channel", "made for 1"]),
        (["missing.tif", "--model", "RUN"], 2, ["missing.tif"]),
        (["whole.tif", "--model", "nothing.npz"], 2, ["nothing.npz"]),
        (["whole.tif", "--model", "damaged.npz"], 3, ["damaged.npz", "damaged"]),
        (["whole.tif", "--model", "RUN", "--tile", "77"], 2, ["tile 77", "76 and 80"]),
        (["whole.tif", "--model", "RUN", "--pages", "3"], 2, ["pages 0 to 2"]),
        (["whole.tif", "--model", "RUN", "--products", "masks"], 2, ["masks", "prob, mask"]),
        (["whole.tif", "--model", "RUN", "--out", "one.tif"], 2, ["one product"]),
        (["whole.tif", "--model", "RUN", "--device", "tpu"], 2, ["tpu", "auto, cpu, cuda"]),
    ],
)
def test_bad_input_to_segment(trained, run, tmp_path, monkeypatch, arguments, code, words):
    bad_files(tmp_path)
    before = set(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    given = [str(trained[1]) if a == "RUN" else a for a in arguments]
    found, out, err = run("segment", *given)
    assert found == code, err
    assert out == "" and "Traceback" not in err
    assert all(word in err for word in words), err
    assert set(tmp_path.iterdir()) == before  # nothing half-written


def test_two_inputs_of_one_name_are_refused(trained, run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "x.tif", np.zeros((8, 8), np.uint8))
    code, _, err = run("segment", tmp_path / "a", tmp_path / "b", "--model", trained[1])
    assert code == 2 and "one name" in err


def test_a_full_disk_leaves_nothing_behind(trained, run, tmp_path, monkeypatch):
    data, folder, _ = trained

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run(
        "segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path / "o"
    )
    assert code == 4 and "no room" in err
    assert list((tmp_path / "o").iterdir()) == []


def test_a_model_of_another_width_is_refused(trained, run, tmp_path):
    _, folder, _ = trained
    with np.load(folder / "best.npz") as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays["header"]))
    header["net"]["width"] = 4
    arrays["header"] = np.array(json.dumps(header))
    np.savez(tmp_path / "wide.npz", **arrays)
    code, _, err = run("segment", trained[0] / "train-volume.tif", "--model", tmp_path / "wide.npz")
    assert code == 2 and "another width" in err and "wide.npz" in err


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        ("grey", 3, ["train-labels.tif"]),
        ("size", 3, ["train-labels.tif", "64", "60"]),
        ("page", 3, ["train-labels.tif", "4", "3"]),
        ("cut", 3, ["train-labels.tif"]),
        ("gone", 2, ["train-labels.tif"]),
    ],
)
def test_bad_labels(run, tmp_path, spoil, code, words):
    data = write_isbi(tmp_path / "data")
    path = data / "train-labels.tif"
    labels = tifffile.imread(path)
    if spoil == "grey":
        labels = (labels * np.linspace(0.2, 1, 64)[:, None]).astype(np.uint8)
    elif spoil == "size":
        labels = labels[:, :60, :60]
    elif spoil == "page":
        labels = labels[:3]
    tifffile.imwrite(path, labels, photometric="minisblack")
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif spoil == "gone":
        path.unlink()
    found, out, err = run("train", "--data", data, "--out", tmp_path / "run", *TINY)
    assert found == code, err
    assert all(word in err for word in words) and "Traceback" not in err, err
    assert out == "" and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tile", "570", "--depth", "4"], ["tile 570", "556 and 572"]),
        (["--fold", "5/5"], ["fold", "5/5"]),
        (["--solver", "rmsprop"], ["solver", "sgd, adam"]),
        (["--preset", "fast"], ["preset", "paper, cpu"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--config", "CONFIG"], ["bad.toml", "widht"]),
        (["--resume", "RUN", "--width", "8"], ["--width", "--resume"]),
        (["--resume", "RUN", "--no-augment"], ["--augment", "--resume"]),
        (["--resume", "RUN", "--clip", "0"], ["--clip", "--resume"]),
        (["--steps", "0"], ["steps", "1 or more"]),
        (["--lr-policy", "sometimes"], ["lr policy", "sometimes"]),
        (["--device", "cuda:99"], []),
    ],
)
def test_bad_settings(trained, run, tmp_path, options, words):
    data, folder, _ = trained
    (tmp_path / "bad.toml").write_text("widht = 8\n")
    names = {"CONFIG": tmp_path / "bad.toml", "RUN": folder}
    given = [names.get(option, option) for option in options]
    if "--resume" not in options:
        given = ["--data", data, "--out", tmp_path / "run", *given]
    code, _, err = run("train", *given)
    assert code == (4 if "cuda:99" in options else 2), err
    assert all(word in err for word in words) and "Traceback" not in err, err
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_with_code_5_and_keeps_the_batch(trained, run, tmp_path):
    out = tmp_path / "run"
    code, _, err = run(
        "train", "--data", trained[0], "--out", out, *TINY, "--solver", "sgd", "--lr", 1e18
    )
    assert code == 5, err
    assert "step" in err and "first bad layer" in err
    with np.load(out / "nonfinite_batch.npz") as batch:
        assert batch["x"].shape == (1, 76, 76, 1)


def test_settings_resolve_in_order(trained, run, tmp_path):
    (tmp_path / "c.toml").write_text("width = 3\nsteps = 2\nlr = 1\n")
    out = tmp_path / "run"
    code, _, err = run(
        "train",
        "--data",
        trained[0],
        "--out",
        out,
        "--preset",
        "cpu",
        "--config",
        tmp_path / "c.toml",
        "--depth",
        1,
        "--tile",
        44,
        "--lr",
        0.002,
        "--threads",
        1,
        "--device",
        "cpu",
    )
    assert code == 0, err
    settings = tomllib.loads((out / "run.toml").read_text())
    assert (settings["width"], settings["steps"], settings["lr"]) == (3, 2, 0.002)
    assert settings["solver"] == "adam" and settings["tile"] == 44


def test_sigterm_saves_and_says_how_to_go_on(trained, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-u", "-m", "cunet", "train", "--data", trained[0], "--out", out]
    options = [
        *TINY[:6],
        "--steps",
        "100000",
        "--validate-every",
        "5",
        "--fold",
        "0/2",
        "--threads",
        "1",
    ]
    command += options
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        for line in process.stderr:
            if "pixel error" in line:
                process.terminate()
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1].strip() == f"cunet train --resume {out}"
    header = json.loads(str(np.load(out / "last.npz")["header"]))
    with open(out / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["step"]) == header["progress"]["step"] >= 5


def test_explain_prints_the_papers_figures(run):
    code, text, _ = run("explain", "--json")
    answer = json.loads(text)
    assert code == 0
    assert answer["parameters"] == 31_030_658 and answer["conv_layers"] == 23
    assert answer["input"] == [572, 572, 1] and answer["output"] == [388, 388, 2]
    assert answer["receptive_field"] == [188, 204] and 556 in answer["valid_tiles"]
    shapes = {layer["name"]: layer["shape"] for layer in answer["layers"]}
    assert shapes["contract4.conv2"] == [28, 28, 1024] and shapes["expand0.up"] == [392, 392, 64]
    # by hand: 2 * 9 * 64 * 64 * 568^2
    flops = {layer["name"]: layer["flops"] for layer in answer["layers"]}
    assert flops["contract0.conv2"] == 2 * 9 * 64 * 64 * 568 * 568
    code, text, _ = run("explain", "--variant", "release2015", "--json")
    assert json.loads(text)["parameters"] == 31_100_354
    code, text, err = run("explain")
    assert "31,030,658" in text and err.splitlines()[-1].strip() == "cunet gradcheck"
    assert run("explain", "--tile", "570")[0] == 2


def test_gradcheck_passes_and_fails_with_code_6(run):
    code, text, _ = run("gradcheck", "--json")
    answer = json.loads(text)
    assert code == 0 and answer["passed"] and answer["worst"] < 1e-6
    arrays = {}
    for a in answer["arrays"]:
        arrays.setdefault(a["name"].removeprefix("U-Net, depth 2, "), set()).add(a["array"])
    assert len(arrays["paper"]) == len(arrays["release2015"]) == 27
    assert len(arrays["same, batch norm, sigmoid"]) == 37
    code, _, err = run("gradcheck", "-q", "--limit", "1e-30")
    assert code == 6 and "exceed" in err


def test_demo_end_to_end_with_few_steps(run, tmp_path):
    out = tmp_path / "demo"
    code, text, err = run("demo", "--out", out, "--steps", 3, "--json", "--threads", 1)
    assert code == 0, err
    answer = json.loads(text)
    assert set(answer["pixel_error"]) == {"U-Net", "blurred image", "all white"}
    assert (out / "run" / "report.html").stat().st_size > 10_000
    assert tifffile.imread(out / "held_out_prob.tif").shape == (4, 256, 256)
    assert run("demo", "--out", out, "--steps", 3)[0] == 2  # not overwritten


def test_version_and_help(run):
    assert run("--version")[1].strip() == f"cunet {cunet.__version__}"
    code, text, _ = run("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert name in text
        code, help_text, _ = run(name, "--help")
        assert code == 0 and "Example" in help_text
    assert run("sgment")[0] == 2


def test_the_wheel_holds_the_command_line_and_nothing_beside_cunet(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.exists(os.path.join(root, "pyproject.toml")):
        pytest.skip("no checkout to build a wheel from")
    copy = tmp_path / "copy"
    ignore = shutil.ignore_patterns(".git", "*.egg-info", "build", "runs", "__pycache__", ".venv")
    shutil.copytree(root, copy, ignore=ignore)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, copy], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "cunet/cli/train.py" in names and "cunet/ops/conv.py" in names
    assert {name.split("/")[0] for name in names} == {
        "cunet",
        f"cunet-{cunet.__version__}.dist-info",
    }


def test_more_steps_on_resume_are_remembered(trained, run, tmp_path):
    out = tmp_path / "run"
    assert run("train", "--data", trained[0], "--out", out, *TINY)[0] == 0
    code, _, err = run("train", "--resume", out, "--steps", 12, "--stop-after", 8)
    assert code == 130, err
    assert run("train", "--resume", out)[0] == 0
    assert json.loads((out / "metrics.json").read_text())["last"]["step"] == 12
    assert [r["step"] for r in json.loads((out / "env.json").read_text())["resumed"]] == [6, 8]
    code, _, err = run("train", "--resume", out, "--steps", 5)
    assert code == 2 and "12 steps already" in err


def test_changed_data_are_not_trained_on(run, tmp_path):
    data, out = write_isbi(tmp_path / "data"), tmp_path / "run"
    assert run("train", "--data", data, "--out", out, *TINY, "--stop-after", 2)[0] == 130
    images = tifffile.imread(data / "train-volume.tif")
    tifffile.imwrite(data / "train-volume.tif", images[::-1], photometric="minisblack")
    code, _, err = run("train", "--resume", out)
    assert code == 3 and "train-volume.tif has changed" in err


def test_the_demo_spares_files_that_are_there(run, tmp_path):
    data = write_isbi(tmp_path / "data")
    before = (data / "train-volume.tif").read_bytes()
    code, _, err = run("demo", "--out", tmp_path, "--steps", 1)
    assert code == 2 and "--overwrite" in err
    assert (data / "train-volume.tif").read_bytes() == before


def test_an_interrupted_overlay_is_completed(trained, run, tmp_path):
    data, folder, _ = trained
    command = ("segment", data / "train-volume.tif", "--model", folder, "--out", tmp_path)
    assert run(*command, "--products", "overlay,mask")[0] == 0
    missing = tmp_path / "train-volume_overlay_0002.png"
    mask = (tmp_path / "train-volume_mask.tif").stat().st_mtime_ns
    missing.unlink()
    assert run(*command, "--products", "overlay,mask")[0] == 0
    assert missing.exists()
    assert (tmp_path / "train-volume_mask.tif").stat().st_mtime_ns == mask  # was done already


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_pixel_that_is_no_number_is_named_by_page(trained, run, tmp_path, value):
    stack = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    stack[1, 33, 7] = value
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    out = tmp_path / "out"
    code, _, err = run("segment", tmp_path / "x.tif", "--model", trained[1], "--out", out)
    assert code == 3 and "x.tif' page 1 holds NaN or infinity" in err
    assert list(out.iterdir()) == []


def test_products_in_the_folder_are_not_segmented_again(trained, run, tmp_path):
    image = tifffile.imread(trained[0] / "train-volume.tif")[0]
    tifffile.imwrite(tmp_path / "a.tif", image)
    tifffile.imwrite(tmp_path / "b_mask.tif", image)  # an image of that name, not of "b"
    for _ in range(2):
        code, text, err = run(
            "segment", tmp_path, "--model", trained[1], "--out", tmp_path, "--json"
        )
        assert code == 0, err
        names = [os.path.basename(i["image"]) for i in json.loads(text)["images"]]
        assert names == ["a.tif", "b_mask.tif"]


def test_memory_that_is_announced_is_near_the_measured_peak(tmp_path):
    """A training step in a process of its own, against explain's figure for it."""
    from cunet.net.figure1 import memory_bytes

    script = (
        "import numpy as np, cunet\n"
        "from cunet.bench.worker import peak_of_process\n"
        "net = cunet.UNet(width=16, dropout=0.5)\n"
        "solver = cunet.SGD(net.parameters())\n"
        "for _ in range(2):\n"
        "    x, rng = np.ones((1, 572, 572, 1), 'f4'), np.random.default_rng(0)\n"
        "    logits, backward = net(x, rng, remember='once')\n"
        "    backward(cunet.softmax_loss(logits, np.ones((1, 388, 388), 'i8'))[1])\n"
        "    solver.step()\n"
        "print(peak_of_process())\n"
    )
    if sys.platform != "linux":
        pytest.skip("a process's own peak is known on Linux only")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    peak = int(done.stdout)
    assert 0.8 * peak < memory_bytes(16, 4, 572)["training"] < 1.2 * peak


def test_explain_counts_the_parameters_of_the_network_itself():
    from cunet.net.figure1 import rows

    for variant in ("paper", "release2015"):
        net = cunet.UNet(3, 3, 2, 4, variant=variant)
        counted = {p.name.rpartition(".")[0]: 0 for p in net.parameters()}
        for p in net.parameters():
            counted[p.name.rpartition(".")[0]] += p.value.size
        table = rows(3, 3, 140, 4, 2, variant)
        assert {r.name: r.parameters for r in table if r.parameters} == counted
        logits = net(np.zeros((1, 140, 140, 2), "f4"), remember=False)
        assert table[-1].shape == logits.shape[1:]
