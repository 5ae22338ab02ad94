"""`cunet train`: what a person types, what comes back, and what happens to bad input."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tifffile
from isbi_data import isbi_folder
from run_folders import header_of, log_of, same_arrays


def test_train_says_preset_checks_scores_and_the_next_command(trained):
    data, folder, done = trained
    lines = done.stderr.splitlines()
    assert lines[0].startswith("preset cpu")
    assert any("255 is class 1" in line for line in lines)
    assert sum("pixel error" in line for line in lines) == 2  # after steps 3 and 6
    volume = data / "train-volume.tif"
    assert lines[-1].strip() == f"cunet segment {volume} --model {folder} --pages 0,2"
    assert done.stdout == ""


def test_a_run_folder_holds_what_the_contract_names(trained):
    _, folder, _ = trained
    names = {"run.toml", "env.json", "log.csv", "last.npz", "best.npz", "report.html"}
    assert names | {"metrics.json"} == {p.name for p in folder.iterdir()}
    settings = tomllib.loads((folder / "run.toml").read_text())
    assert settings["width"] == 2 and settings["steps"] == 6 and settings["solver"] == "adam"
    rows = log_of(folder)
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["last"]["val_pixel_error"] == float(rows[-1]["val_pixel_error"])
    assert len(json.loads((folder / "env.json").read_text())["data"]["train-volume.tif"]) == 64


def test_stop_and_resume_equals_a_run_without_a_stop(trained, run, tmp_path, tiny):
    data, straight, _ = trained
    out = tmp_path / "stopped"
    code, _, err = run(
        "train", "--data", data, "--out", out, "--fold", "0/2", *tiny, "--stop-after", 4
    )
    assert code == 130
    assert err.splitlines()[-1].strip() == f"cunet train --resume {out}"
    code, _, err = run("train", "--resume", out)
    assert code == 0, err
    for name in ("last.npz", "best.npz"):
        same_arrays(straight / name, out / name)


def test_dry_run_trains_nothing_and_prints_json(trained, run, tmp_path, tiny):
    data, _, _ = trained
    out = tmp_path / "dry"
    code, text, err = run("train", "--data", data, "--out", out, *tiny, "--dry-run", "--json")
    assert code == 0 and not out.exists()
    document = json.loads(text)
    assert document["training_slices"] == 4 and document["held_out_slices"] == 0
    assert document["expected_seconds"] == pytest.approx(6 * document["seconds_per_step"])
    assert "--dry-run" not in err.splitlines()[-1]


def test_an_existing_run_is_not_overwritten(trained, run, tiny):
    data, folder, _ = trained
    before = (folder / "last.npz").read_bytes()
    code, _, err = run("train", "--data", data, "--out", folder, *tiny)
    assert code == 2 and "exists" in err and "--resume" in err
    assert (folder / "last.npz").read_bytes() == before


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
def test_bad_labels(run, tmp_path, spoil, code, words, tiny):
    data = isbi_folder(tmp_path / "data")
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
    found, out, err = run("train", "--data", data, "--out", tmp_path / "run", *tiny)
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
        (["--preset", "papr"], ["did you mean 'paper'?"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--config", "CONFIG"], ["bad.toml", "widht"]),
        (["--resume", "RUN", "--width", "8"], ["--width", "--resume"]),
        (["--resume", "RUN", "--no-augment"], ["--augment", "--resume"]),
        (["--resume", "RUN", "--clip", "0"], ["--clip", "--resume"]),
        (["--steps", "0"], ["steps", "1 or more"]),
        (["--lr-policy", "sometimes"], ["--lr-policy", "multistep, poly", "'sometimes'"]),
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


def test_a_loss_that_is_not_finite_ends_with_code_5_and_keeps_the_batch(
    trained, run, tmp_path, tiny
):
    out = tmp_path / "run"
    code, _, err = run(
        "train", "--data", trained[0], "--out", out, *tiny, "--solver", "sgd", "--lr", 1e18
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


def test_sigterm_saves_and_says_how_to_go_on(trained, tmp_path, tiny):
    out = tmp_path / "run"
    command = [sys.executable, "-u", "-m", "cunet", "train", "--data", trained[0], "--out", out]
    options = [
        *tiny[:6],
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
    saved = header_of(out / "last.npz")["progress"]["step"]
    assert int(log_of(out)[-1]["step"]) == saved >= 5


def test_more_steps_on_resume_are_remembered(trained, run, tmp_path, tiny):
    out = tmp_path / "run"
    assert run("train", "--data", trained[0], "--out", out, *tiny)[0] == 0
    code, _, err = run("train", "--resume", out, "--steps", 12, "--stop-after", 8)
    assert code == 130, err
    assert run("train", "--resume", out)[0] == 0
    assert json.loads((out / "metrics.json").read_text())["last"]["step"] == 12
    assert [r["step"] for r in json.loads((out / "env.json").read_text())["resumed"]] == [6, 8]
    code, _, err = run("train", "--resume", out, "--steps", 5)
    assert code == 2 and "12 steps already" in err


def test_changed_data_are_not_trained_on(run, tmp_path, tiny):
    data, out = isbi_folder(tmp_path / "data"), tmp_path / "run"
    assert run("train", "--data", data, "--out", out, *tiny, "--stop-after", 2)[0] == 130
    images = tifffile.imread(data / "train-volume.tif")
    tifffile.imwrite(data / "train-volume.tif", images[::-1], photometric="minisblack")
    code, _, err = run("train", "--resume", out)
    assert code == 3 and "train-volume.tif has changed" in err
