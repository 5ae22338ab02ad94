"""The benchmark of a GPU: its stages on the emulated one, what fails or hangs, its tables."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from cuda_emulation import emulate

from cunet.bench import gpu, gpu_layers, gpu_side, problems
from cunet.bench.gpu import measure
from cunet.bench.gpu_side import Task, in_turns
from cunet.cli import bench
from cunet.engines.gpu import elements, tiles, weight_tiles
from cunet.errors import CunetError, DeviceError
from cunet.net.figure1 import rows
from cunet.net.shape import Shape
from cunet.net.unet import UNet

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"
REAL_STAGES = gpu.stages
SMALL = {"depth": 1, "pairs": 1, "turn": 0, "numbers": 20000, "calls": 1, "parts": (1, 2)}


@pytest.fixture
def xp(monkeypatch):
    return emulate(monkeypatch)


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    """What the script does from one end to the other: (document, Markdown, printed)."""
    folder = tmp_path_factory.mktemp("gpu")
    line = [sys.executable, str(SCRIPT), str(folder), "--dry-run"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["gpu-double.json", "gpu-double.md"]
    text = (folder / "gpu-double.md").read_text()
    return json.loads((folder / "gpu-double.json").read_text()), text, done.stdout


def test_the_script_goes_through_every_stage(dry):
    document, text, printed = dry
    assert printed.endswith(text + "\n")
    assert not document["failed"] and not document["skipped"] and "running" not in document
    layers = [layer.name for layer in UNet(width=8, depth=1).layers()[1:-1]]
    made = [f"layer {p} {layer}" for p in ("tf32", "bfloat16") for layer in layers]
    names, results = [*made, "alone tf32", "alone bfloat16"], document["results"]
    assert set(results) > {*names, "compile", "agreement float32", "small kernels tf32"}
    assert results["agreement float32"]["logits"] < 1e-5
    assert results["agreement tf32"]["gradients"] < 5e-3
    for name in made:
        for operation in results[name]["ours"].values():
            assert not operation["wrong"] and operation["best_ms"] <= operation["ms"]
            assert operation["best_ms"] == min(operation["tried"].values())
    held = results["alone tf32"]["bytes"]
    assert 0 < held["allocated"] <= held["reserved"]
    for width in (8, 16):
        training = results[f"train {width} float16"]
        assert training["steps"] == 4 and training["steps_per_second"] > 0
        assert training["step_ms"] > 0 and 0 <= training["wait"] <= 1
    assert "## Layers tf32" in text and "| logits float32 from the CPU's |" in text
    assert "## Training with the preset paper" in text
    tested = document["tests"]
    assert tested["exit_code"] == 0 and tested["skipped"] > 100 > tested["passed"]


def test_the_convolutions_are_those_of_the_net():
    found = {p.name: p for p in problems.problems(8, 3, 92)}
    layers = [layer for layer in UNet(width=8, depth=3).layers()[1:-1]]
    shapes = {row.name: row.shape for row in rows(Shape(8, 3), 92)}
    assert list(found) == [layer.name for layer in layers]
    for layer in layers:
        problem = found[layer.name]
        size, _, channels, outputs = layer.w.value.shape
        assert (sum(problem.channels), problem.outputs) == (channels, outputs)
        assert (problem.out, problem.out, outputs) == shapes[layer.name]
        assert problem.up == (size == 2)
        pair = layer.name.startswith("expand") and layer.name.endswith("conv1")
        assert len(problem.channels) == 1 + pair
        if pair:
            skip = shapes[layer.name.replace("expand", "contract").replace("conv1", "conv2")]
            assert (problem.outer, problem.channels[1]) == (skip[0], skip[2])


@pytest.fixture
def stages(monkeypatch):
    """stages(name=work, ...): these instead of the real ones; one second each."""

    def put(**works):
        made = [(name, 1, work) for name, work in works.items()]
        monkeypatch.setattr(gpu, "stages", lambda *a: iter(made))

    return put


def small(**options):
    return measure(8, 20, 24, **{**SMALL, **options})


def test_a_stage_that_fails_is_recorded_and_the_others_go_on(xp, stages):
    seen = []
    stages(one=lambda: 1, two=lambda: 1 / 0, three=lambda: 3)
    document = small(keep=lambda d: seen.append(json.dumps(d)))
    assert document["results"] == {"one": 1, "three": 3}
    assert document["failed"] == {"two": "ZeroDivisionError: division by zero"}
    kept = [json.loads(text) for text in seen]
    assert [d.get("running") for d in kept] == ["one", None, "two", None, "three", None, None]
    assert kept[1]["results"] == {"one": 1}
    # and an earlier document is gone on with
    stages(one=lambda: 0, two=lambda: 0, four=lambda: 4)
    again = small(document=kept[-1])
    assert again["results"] == {"one": 1, "three": 3, "four": 4} and "two" in again["failed"]


def test_stages_are_taken_in_the_order_asked_for(xp, stages):
    stages(**{"alone a": lambda: 1, "agreement a": lambda: 2, "alone b": lambda: 3})
    document = small(only=("agreement", "alone b"))
    assert list(document["results"].items()) == [("agreement a", 2), ("alone b", 3)]
    assert "more" in {name for name, *_ in real_stages(more=[("more", 1, None)])}


def real_stages(torch=False, more=()):
    task = Task(8, 20, 24, **SMALL)
    return list(REAL_STAGES(task, ("float16", "tf32", "bfloat16"), torch, True, more))


def test_the_most_telling_stages_come_first():
    names = [name for name, *_ in real_stages(True, [("train 64", 1, None)])]
    assert names[:5] == ["compile", *(f"agreement {p}" for p in ("float32", *gpu.TELLING_ORDER))]
    assert names[8:14] == [
        "beside eager tf32", "beside eager bfloat16", "beside eager float16",
        "beside compiled tf32", "beside compiled bfloat16", "train 64",
    ]  # fmt: skip


def test_a_stage_without_time_is_skipped(xp, stages):
    stages(one=lambda: time.sleep(0.3), two=lambda: 2)
    document = small(deadline_seconds=1.2)
    assert list(document["results"]) == ["one"] and list(document["skipped"]) == ["two"]


def test_a_gpu_that_is_lost_ends_it(xp, stages, monkeypatch):
    def lost(self):
        raise RuntimeError("cudaErrorIllegalAddress")

    stages(one=lambda: monkeypatch.setattr(xp.cuda.Device, "synchronize", lost), two=lambda: 2)
    document = {}
    with pytest.raises(DeviceError, match="after stage 'one' .*cudaErrorIllegalAddress"):
        small(document=document)
    assert list(document["results"]) == ["one"]


def test_what_cannot_be_measured_is_reported(xp, monkeypatch):
    with pytest.raises(CunetError, match="width 12 is not a multiple of 8"):
        measure(12, 20, 24, **SMALL)
    with pytest.raises(CunetError, match="tile 21 does not fit"):
        measure(8, 21, 24, **SMALL)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    with pytest.raises(CunetError, match="PyTorch is not installed"):
        small(against="torch")


def test_ratios_are_formed_in_pairs():
    ours, theirs = iter([1.0, 2, 3]), iter([2.0, 2, 12])
    task = Task(pairs=3, turn=0)
    found = in_turns({"cunet": lambda n: next(ours), "torch": lambda n: next(theirs)}, task)
    assert found["cunet"] == {"median": 2, "all": [1, 2, 3]}
    assert found["ratio"] == {"median": 0.5, "lowest": 0.25, "highest": 1}


def test_allocated_is_what_arrays_take_at_most(xp):
    with gpu_side.memory_watch() as held:
        a = xp.zeros(1000, np.float32)  # 4096 bytes with the pool's rounding
        b = xp.zeros(2000, np.float32)  # 8192
        del a
        c = xp.zeros(500, np.float32)  # 2048
        assert held.now == 8192 + 2048 and held.most == 4096 + 8192
        del b, c
    xp.zeros(10_000)
    assert (held.now, held.most) == (0, 4096 + 8192)


def test_the_network_in_torch_is_timed_beside_ours(xp, monkeypatch):
    """PyTorch on the CPU, ours on the emulated GPU: what is timed, not how long it takes."""
    pytest.importorskip("torch")
    from cunet.bench import gpu_pytorch

    monkeypatch.setattr(gpu_pytorch, "DEVICE", "cpu")
    task = Task(8, 20, 24, **SMALL)
    jobs = ["step", "step with transfers"]
    jobs += [f"forward {side}{more}" for side in (20, 24) for more in ("", " with transfers")]
    found = gpu.beside(task, "tf32")
    assert list(found["jobs"]) == jobs and not found["left_out"] and found["logits"] < 1e-5
    assert all(job["ratio"]["median"] > 0 for job in found["jobs"].values())
    assert list(gpu.beside(task, "tf32", seconds=0)["jobs"]) == jobs[:2]
    (problem, *_) = problems.problems(8, 1, 20)
    row = gpu_layers.layer(task, "tf32", problem, gpu.peer("layer_times"))
    assert row["torch"].keys() == row["ours"].keys()
    assert gpu.peer("products")(task)["tf32"] > 0


def test_repeats_fill_a_turn():
    assert gpu_side.repeats(lambda n: 2.0, 0.1) == 50
    assert gpu_side.repeats(lambda n: 1e-9, 1) == 1000
    assert gpu_side.repeats(lambda n: 500.0, 0.1) == 1


def test_wrong_results_and_failures_of_kernels_are_found(xp, monkeypatch):
    task = Task(8, 20, 24, **SMALL)
    problem = next(problems.problems(8, 1, 20))
    noise = xp.asarray(task.noise)
    data = gpu_layers.Data(problem, "tf32", noise)
    call, expected = data.calls()["forward"], data.expected()["forward"]
    nobody = tiles.Tile(96, 96, 256, 3, 0.01)
    narrow = tiles.TILES[2]
    monkeypatch.setattr(tiles, "TILES", (narrow,))
    monkeypatch.setattr(tiles, "available", lambda: (narrow, nobody))

    before = tiles.choose.function

    def swept(limit):
        clock = gpu_layers.Clock(task)
        return gpu_layers.sweep("forward", call, expected, clock, problem, limit)

    found = swept(1e-3)
    assert found["chosen"] == "64x64/1" and list(found["wrong"]) == ["96x96/1"] + [
        name for name in found["wrong"] if name == "96x96/2"
    ]
    assert "conv_96x96" in found["wrong"]["96x96/1"]
    assert "64x64/1" in swept(1e-9)["wrong"]  # no rounding would be this small
    assert tiles.choose.function is before  # all is put back
    y = elements.to_floats(call())
    y[0, 0, 0, 0] = np.nan
    assert np.isnan(gpu_layers.error(y, expected))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_every_way_of_a_card_with_a_copy_engine_is_tried(monkeypatch, precision):
    """Convolutions by boxes, both ways, and gradients of filters; each result is compared."""
    emulate(monkeypatch, 90)
    task = Task(8, 20, 24, **SMALL)
    conv, up = (next(p for p in problems.problems(8, 1, 20) if p.up == is_up) for is_up in (0, 1))
    row = gpu_layers.layer(task, precision, conv, None)["ours"]
    assert all(not found["wrong"] for found in row.values())
    assert {name.partition("/")[0] for name in row["forward"]["tried"]} >= {
        "box_1x128",
        "box_2x160",
    }
    kernels = weight_tiles.tiles(elements.DTYPES[precision].itemsize)
    tried = {name.partition("/")[0] for name in row["by weights"]["tried"]}
    assert tried == {tile.name for tile in kernels}
    row = gpu_layers.layer(task, precision, up, None)["ours"]
    assert set(row["forward"]["tried"]) == {"box_2x128/1", "box_2x192/1"}


# The script


class Child:
    """A process that is this Python code, given the path of the document."""

    def __init__(self, *codes):
        self.codes = list(codes)

    def __call__(self, *arguments, **options):
        path = str(arguments[1])
        code = (
            f"import json, os, sys, time\np = {path!r}\nd = json.load(open(p))\n{self.codes.pop(0)}"
        )
        return subprocess.Popen([sys.executable, "-c", code])


def watched(script, monkeypatch, path, *codes, longest=20):
    child = Child(*codes)
    monkeypatch.setattr(script, "start", child)
    path.write_text('{"tests": {}}')
    script.watch(path, time.monotonic() + 30, longest, [])
    assert not child.codes
    return json.loads(path.read_text())


KEEP = "json.dump(d, open(p + '.part', 'w')); os.replace(p + '.part', p)\n"  # in one step
DONE = "d.setdefault('results', {})['b'] = 1; " + KEEP
BEGUN = "d['running'] = 'a'; " + KEEP


def test_a_process_that_ends_has_failed_in_its_stage(script, monkeypatch, tmp_path):
    found = watched(script, monkeypatch, tmp_path / "d.json", BEGUN + "sys.exit(9)", DONE)
    assert found["results"] == {"b": 1} and "running" not in found
    assert found["failed"] == {"a": "the process ended, exit code 9"}


def test_a_stage_that_hangs_is_ended(script, monkeypatch, tmp_path):
    hanging = BEGUN + "time.sleep(60)"
    found = watched(script, monkeypatch, tmp_path / "d.json", hanging, DONE, longest=2)
    assert found["results"] == {"b": 1} and found["failed"]["a"].startswith("ended after")


def test_a_gpu_on_which_nothing_begins_is_not_tried_for_ever(script, monkeypatch, tmp_path):
    found = watched(script, monkeypatch, tmp_path / "d.json", "sys.exit(4)")
    assert "no stage could begin, exit code 4" in found["failed"]["start"]


def test_tests_that_hang_are_ended_with_all_their_processes(script, monkeypatch, tmp_path):
    child = "import time; print('FAILED a', flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    def start(*arguments, **options):
        return subprocess.Popen([sys.executable, "-c", code], **options)

    monkeypatch.setattr(script, "start", start)
    (tmp_path / "test_one.log").write_text("3 passed, 2 skipped in 1.50s\n")
    found = script.test(tmp_path, 2)
    assert (found["exit_code"], found["failed"]) == ("ended after 2 s", ["FAILED a"])
    assert (found["passed"], found["skipped"]) == (3, 2) and found["seconds"] < 20


def test_mistakes_come_first_and_set_the_exit_code(script, dry):
    document = json.loads(json.dumps(dry[0]))
    assert not script.mistakes(document)
    document["tests"] |= {"failed": ["FAILED test_x"], "exit_code": 1}
    document["failed"]["alone tf32"] = "RuntimeError: no"
    wrong = {"64x64/2": 0.5}
    document["results"]["layer tf32 expand0.up"]["ours"]["forward"]["wrong"] = wrong
    document["results"]["agreement tf32"]["logits"] = float("nan")
    found = script.mistakes(document)
    assert found == [
        "FAILED test_x", "stage alone tf32: RuntimeError: no",
        "layer tf32 expand0.up, forward: 64x64/2 0.5",
        "logits tf32 from the CPU's: nan, more than 0.003",
    ]  # fmt: skip
    text = script.markdown(document)
    assert text.index("* FAILED test_x") < text.index("## Goals")


# The command


def pair(ours, theirs):
    """A stage beside PyTorch."""
    ratio = {"median": ours / theirs, "lowest": 0.5, "highest": 2.0}
    job = {"cunet": {"median": ours}, "torch": {"median": theirs}, "ratio": ratio}
    memory = {
        "cunet": {"allocated": 2e9, "reserved": 9e9},
        "torch": {"allocated": 3e9, "reserved": 4e9},
    }
    return {"theirs": "tf32, eager", "bytes": memory, "jobs": {"step": job}, "logits": 4e-3}


@pytest.fixture
def fake(monkeypatch, xp, dry):
    """`cunet bench` with a measurement that is there already; the arguments that it got."""
    asked = []

    def measured(*args, **options):
        asked.append((args, options))
        document = json.loads(json.dumps(dry[0]))
        document["results"]["beside eager tf32"] = pair(4.0, 5.0)
        return document

    monkeypatch.setattr(gpu, "measure", measured)
    return asked


def test_the_command_measures_a_gpu(fake):
    line = ["--device", "cuda", "--against", "torch", "--width", "64", "--precision", "tf32"]
    result = CliRunner().invoke(bench.command, line)
    assert result.exit_code == 0, result.output
    ((arguments, options),) = fake
    assert arguments == (64, 572) and options["against"] == "torch"
    assert options["precisions"] == ("tf32",) and options["layers"]
    lines = result.stdout.splitlines()
    assert lines[0].startswith("double, 4 multiprocessors")
    (goal,) = [one for one in lines if one.startswith("step tf32 / PyTorch")]
    assert goal.split()[-5:] == ["0.8", "<=", "0.6", "x", "no"]
    (goal,) = [one for one in lines if one.startswith("memory of a step tf32")]
    assert goal.split()[-5:] == ["2", "<=", "3", "GB", "yes"]
    (goal,) = [one for one in lines if one.startswith("logits tf32")]
    assert goal.split()[-6:] == ["<=", "0.005", "of", "the", "largest", "yes"]
    result = CliRunner().invoke(bench.command, ["--device", "cuda", "--json", "--quiet"])
    (document,) = json.loads(result.stdout)["results"]
    assert document["card"]["name"] == "double"
    assert fake[1][1]["precisions"] == ("tf32", "float16", "bfloat16")


def test_what_the_command_does_not_take(fake, monkeypatch):
    def refused(*arguments):
        result = CliRunner().invoke(bench.command, arguments)
        assert isinstance(result.exception, CunetError) and not fake
        return str(result.exception)

    odd = CliRunner().invoke(bench.command, ["--device", "cuda", "--precision", "float8"])
    assert odd.exit_code == 2 and "one of tf32" in odd.output and not fake
    assert "--precision measures tensor cores: the CPU" in refused(
        "--device", "cpu", "--precision", "tf32"
    )
    monkeypatch.setattr("cupy_double.cuda.Device.compute_capability", "75")
    assert "compute capability is 7.5" in refused("--device", "cuda", "--against", "torch")
