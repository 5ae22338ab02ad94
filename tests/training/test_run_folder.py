"""A run folder: stopped and resumed, its log, and that nothing in it is overwritten."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_folders import arrays_of, header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.errors import CunetError, DataError
from cunet.net import checkpoint
from cunet.training import loop as loop_
from cunet.training import plan
from cunet.training.config import Config, make
from cunet.training.log_file import COLUMNS, missing_steps
from cunet.training.run_folder import RunFolder, read_log, read_settings
from cunet.training.run_names import claimed

pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd", "batch": 2, "lr_policy": "multistep", "step_values": (12, 22)},
        {"solver": "adam", "iter_size": 2, "lr_policy": "poly", "weight_decay": 0.01, "warmup": 20},
    ],
    ids=["sgd", "adam"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(data, tmp_path, more):
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    config = settings(data, out=str(straight), **more)
    records = list(cunet.train(config))
    assert [r["step"] for r in records] == list(range(1, 31))
    config = replace(config, out=str(halves))
    loop = cunet.train(config)
    first = [next(loop) for _ in range(15)]
    loop.close()
    assert header_of(halves / "last.npz")["progress"]["step"] == 15
    second = list(loop_.train(config, resume=True))
    assert [r["step"] for r in second] == list(range(16, 31))
    for a, b in zip(records, first + second, strict=True):
        for name in a.keys() - {"seconds", "wait"}:
            assert a[name] == b[name], (a["step"], name)
    same_arrays(straight / "last.npz", halves / "last.npz")
    same_arrays(straight / "best.npz", halves / "best.npz")
    rows = log_without_time(straight)
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 31)]
    assert rows == log_without_time(halves)
    assert [float(row["loss"]) for row in rows] == [r["loss"] for r in records]
    measured = [row["step"] for row in rows if row["val_pixel_error"]]
    assert measured == ["10", "20", "30"]
    seconds = [r["seconds"] for r in first + second]
    assert seconds == sorted(seconds)


def test_a_run_that_was_killed_resumes_from_its_last_model(data, tmp_path):
    """The log is ahead of the model and its last line is torn."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    config = settings(data, out=str(straight), steps=16, validate_every=8)
    list(cunet.train(config))
    loop = cunet.train(replace(config, out=str(killed)))
    for _ in range(10):
        next(loop)
    loop.close()
    with open(killed / "log.csv", "a") as file:
        file.write("11,1.5,0.001,0.7,0.1,,,,\n12,1.6,0.001,0.")
    resumed = list(loop_.train(replace(config, out=str(killed)), resume=True))
    assert [r["step"] for r in resumed] == list(range(11, 17))
    assert log_without_time(straight) == log_without_time(killed)
    same_arrays(straight / "last.npz", killed / "last.npz")


def test_a_stop_keeps_the_lines_of_the_log(data, tmp_path):
    loop = cunet.train(settings(data, out=str(tmp_path / "run")))
    for _ in range(3):
        next(loop)
    loop.close()
    assert len(log_without_time(tmp_path / "run")) == 3
    assert not [name for name in os.listdir(tmp_path / "run") if name.endswith(".part")]


def test_a_finished_run_that_is_resumed_stays_as_it_is(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=4)
    list(cunet.train(config))
    before, log = arrays_of(tmp_path / "run" / "last.npz"), log_without_time(tmp_path / "run")
    assert list(loop_.train(config, resume=True)) == []
    for name, array in arrays_of(tmp_path / "run" / "last.npz").items():
        np.testing.assert_array_equal(array, before[name])
    assert log_without_time(tmp_path / "run") == log


def test_resuming_without_a_run_is_a_usage_error(data, tmp_path):
    with pytest.raises(CunetError, match="last.npz") as caught:
        next(loop_.train(settings(data, out=str(tmp_path / "none")), resume=True))
    assert caught.value.exit_code == 2


def test_a_run_is_never_overwritten(data, tmp_path):
    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    before = (run / "last.npz").read_bytes()
    with pytest.raises(CunetError, match="exists") as caught:
        next(cunet.train(config))
    assert caught.value.exit_code == 2 and (run / "last.npz").read_bytes() == before


def test_the_run_folder_tells_settings_and_data(data, tmp_path):
    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    assert make(options=read_settings(run)) == replace(config, precision="float32")
    environment = json.loads((run / "env.json").read_text())
    assert set(environment["data"]) == {"train-volume.tif", "train-labels.tif"}


def test_the_log_is_written_in_pieces(tmp_path):
    """Twenty lines at a time, and the rest with flush()."""
    run = RunFolder.create(tmp_path / "run", Config(), {})
    for step in range(1, 24):
        run.log({"step": step, "seconds": 1, "lr": 0.1, "loss": 0.5, "wait": 0.5})
    assert len(log_without_time(tmp_path / "run")) == 20
    run.flush()
    rows = log_without_time(tmp_path / "run")
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 24)]
    run.close()
    reopened = RunFolder(tmp_path / "run")
    reopened.go_on(Config(), {}, 21)
    assert len(log_without_time(reopened.path)) == 21


def test_a_checkpoint_without_solver_cannot_be_resumed(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=2)
    list(cunet.train(config))
    checkpoint.save(tmp_path / "run" / "last.npz", cunet.load(tmp_path / "run"))
    with pytest.raises(CunetError, match="last.npz"):
        list(loop_.train(replace(config, steps=4), resume=True))


def test_the_log_says_where_it_is_torn(data, tmp_path):
    """Lines that a power cut took come back as step numbers alone, and the run says which."""
    straight, torn = tmp_path / "straight", tmp_path / "torn"
    config = settings(data, out=str(straight), steps=8, validate_every=4)
    list(cunet.train(config))
    loop = cunet.train(replace(config, out=str(torn)))
    for _ in range(4):
        next(loop)
    loop.close()
    lines = (torn / "log.csv").read_text().splitlines(keepends=True)
    (torn / "log.csv").write_text("".join(lines[:2]) + lines[3])  # steps 1 and 3 of 4
    start = plan.start(resume=str(torn))
    assert start.lost == "2, 4"
    list(loop_.train(replace(config, out=str(torn)), resume=True))
    rows = (torn / "log.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(k) for k in range(1, 9)]
    assert rows[1] == "2" + 8 * "," and rows[3] == "4" + 8 * ","
    found, whole = ({row["step"]: row["loss"] for row in read_log(run)} for run in (torn, straight))
    assert found == {step: loss for step, loss in whole.items() if step not in ("2", "4")}
    facts = json.loads((torn / "env.json").read_text())
    assert facts["resumed"][0]["log_lacks"] == "2, 4"
    assert (
        missing_steps(straight / "log.csv", 8) == ""
        and missing_steps(straight / "log.csv", 11) == "9-11"
    )


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_log_is_on_the_disk_before_the_model(data, tmp_path, monkeypatch):
    """Whenever last.npz gets its name, every line of its steps was synced before."""
    synced, seen = [], []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle):
        name = os.readlink(f"/proc/self/fd/{handle}")
        if name.endswith("log.csv"):
            synced.append(len((tmp_path / "run" / "log.csv").read_text().splitlines()) - 1)
        real_fsync(handle)

    def replaced(old, new):
        if str(new).endswith("last.npz"):
            step = header_of(old)["progress"]["step"]
            seen.append((step, synced[-1] if synced else 0))
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    list(cunet.train(settings(data, out=str(tmp_path / "run"), steps=9, validate_every=3)))
    assert [step for step, _ in seen] == [0, 3, 6, 9]
    assert all(lines >= step for step, lines in seen)


def test_no_two_processes_write_to_a_run(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=6)
    loop = cunet.train(config)
    for _ in range(3):
        next(loop)
    for again in (
        lambda: next(loop_.train(config, resume=True)),
        lambda: next(cunet.train(config)),
        lambda: plan.start(resume=config.out),
    ):
        with pytest.raises(CunetError, match="in use by another process|exists") as caught:
            again()
        assert caught.value.exit_code == 2
    loop.close()
    assert [r["step"] for r in loop_.train(config, resume=True)] == [4, 5, 6]
    assert [row["step"] for row in log_without_time(tmp_path / "run")] == list("123456")
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("written", [[], ["env.json"], ["env.json", "log.csv"], None], ids=str)
def test_a_run_killed_before_its_first_model_starts_again(data, tmp_path, written):
    """None: everything but last.npz. Either --resume or --out takes such a folder."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    config = settings(data, out=str(straight), steps=4)
    list(cunet.train(config))
    names = ["env.json", "log.csv", "run.toml"] if written is None else written
    resumable = "run.toml" in names
    for how in ("resume", "out") if resumable else ("out",):
        loop = cunet.train(replace(config, out=str(killed)))
        next(loop)
        loop.close()
        for path in killed.iterdir():
            if path.name not in names:
                path.unlink()
        if "log.csv" in names:
            (killed / "log.csv").write_text(",".join(COLUMNS) + "\n")
        (killed / ".log.csv.0123456789abcdef.part").write_text("ste")
        if how == "resume":
            start = plan.start(resume=str(killed))
            assert start.done == 0 and "stopped before its first step" in start.source
            records = list(loop_.train(start.config, start.prepared, resume=True))
        else:
            start = plan.start(**vars(replace(config, out=str(killed))))
            records = list(loop_.train(start.config))
        assert [r["step"] for r in records] == [1, 2, 3, 4]
        same_arrays(straight / "last.npz", killed / "last.npz")
        assert log_without_time(straight) == log_without_time(killed)
        assert {p.name for p in killed.iterdir()} == {p.name for p in straight.iterdir()}
        shutil.rmtree(killed)


def test_a_run_of_cunet_0_1_0_has_what_later_settings_are_when_off(tmp_path):
    RunFolder.create(tmp_path / "run", Config(steps=9), {}).close()
    path = tmp_path / "run" / "run.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split(" = ")[0] not in ("devices", "warmup")]
    assert len(kept) == len(lines) - 2
    path.write_text("\n".join(kept), encoding="utf-8")
    assert Config(**read_settings(tmp_path / "run")) == Config(steps=9)


def test_a_folder_of_somebody_else_is_no_run_that_may_start_again(data, tmp_path):
    for name in ("env.json", "thesis.docx"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CunetError, match="is a folder with other files"):
        plan.start(str(data), out=str(tmp_path), device="cpu")


def test_data_that_were_moved_are_found_with_their_new_name(data, tmp_path):
    shutil.copytree(data, tmp_path / "here")
    config = settings(tmp_path / "here", out=str(tmp_path / "run"), steps=4)
    list(cunet.train(config))
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(CunetError, match="here', the data of run .* is not there; .* --data"):
        plan.start(resume=config.out, steps=6)
    start = plan.start(str(tmp_path / "there"), resume=config.out, steps=6)
    records = loop_.train(start.config, start.prepared, resume=True)
    assert [r["step"] for r in records] == [5, 6]
    assert read_settings(config.out)["data"] == str(tmp_path / "there")
    with open(tmp_path / "there" / "train-labels.tif", "ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="train-labels.tif has changed since run"):
        plan.start(resume=config.out, steps=8)


def test_every_plan_without_a_name_gets_a_folder_of_its_own(data, tmp_path, monkeypatch):
    """Both have chosen runs/isbi-1, and making a folder takes as long as on a network disk."""
    monkeypatch.chdir(tmp_path)
    real = Path.mkdir

    def slow(self, *given, **options):
        time.sleep(0.1)
        real(self, *given, **options)

    monkeypatch.setattr(Path, "mkdir", slow)
    plans = [plan.make(**vars(settings(data, steps=2))) for _ in range(3)]
    assert len({p.config.out for p in plans}) == 1
    with ThreadPoolExecutor(3) as pool:
        outs = [p.config.out for p in pool.map(lambda p: p.claimed(), plans)]
    assert sorted(outs) == [str(Path("runs") / f"{Path(data).name}-{k}") for k in (1, 2, 3)]
    shutil.rmtree("runs")
    for p in plans:
        list(p.train())
    assert sorted(path.parent.name for path in Path("runs").glob("*/last.npz")) == [
        f"{Path(data).name}-{k}" for k in (1, 2, 3)
    ]


def test_a_log_with_steps_is_never_thrown_away(data, tmp_path):
    """The models of a run are gone: nothing begins again without a word."""
    config = settings(data, out=str(tmp_path / "run"), steps=4)
    list(cunet.train(config))
    for name in ("last.npz", "best.npz", "metrics.json"):
        (tmp_path / "run" / name).unlink()
    log = (tmp_path / "run" / "log.csv").read_text()
    with pytest.raises(CunetError, match="last.npz' does not exist"):
        plan.start(resume=config.out)
    with pytest.raises(CunetError, match="exists"):
        plan.start(**vars(config))
    assert (tmp_path / "run" / "log.csv").read_text() == log


def test_files_that_a_run_has_not_written_are_not_replaced(data, tmp_path):
    for name, text in (("log.csv", "my own"), ("env.json", "{}")):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(CunetError, match="is a folder with other files"):
            plan.start(**vars(settings(data, out=str(folder))))
        assert (folder / name).read_text() == text


def test_a_run_starts_again_beside_notes_of_its_user(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=3)
    loop = cunet.train(config)
    next(loop)
    loop.close()
    (tmp_path / "run" / "last.npz").unlink()
    (tmp_path / "run" / "log.csv").write_text(",".join(COLUMNS) + "\n")
    (tmp_path / "run" / "notes.txt").write_text("a note")
    records = loop_.train(config, resume=True)
    assert [r["step"] for r in records] == [1, 2, 3]
    assert (tmp_path / "run" / "notes.txt").read_text() == "a note"


@pytest.mark.skipif(os.name != "posix", reason="needs the rights of folders")
def test_a_name_is_found_where_folders_cannot_be_listed(tmp_path, monkeypatch):
    for k in (1, 2):
        (tmp_path / f"isbi-{k}").mkdir()
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    assert claimed(tmp_path, "isbi") == tmp_path / "isbi-3"
