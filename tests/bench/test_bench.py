"""The benchmark: what it measures, the ratios, the comparison that comes first, and its errors."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import cupy_double
import numpy as np
import pytest
from click.testing import CliRunner

from cunet.bench import cpu, cpu_side, peers, worker
from cunet.cli import bench
from cunet.errors import CheckError, CunetError
from cunet.net.figure1 import explain
from cunet.net.shape import Shape
from cunet.net.unet import UNet

SMALL = ["--width", "2", "--tile", "188", "--pairs", "2", "--device", "cpu", "--threads", "1"]


def test_the_command_measures_a_network():
    result = CliRunner().invoke(bench.command, [*SMALL, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (measured,) = document["results"]
    assert document["threads"] == 1 and document["machine"]["torch"] is None
    assert document["foreign_load"] is None or document["foreign_load"] >= 0
    for job in ("forward", "step"):
        ours = measured[job]["cunet"]
        assert len(ours["seconds"]) == 2 and ours["median_s"] == np.median(ours["seconds"])
        assert ours["peak_bytes"] is None or ours["peak_bytes"] > 20e6
        assert "ratio" not in measured[job]
    # a step contains a forward pass and more
    assert measured["step"]["cunet"]["median_s"] > measured["forward"]["cunet"]["median_s"]
    rows = {row["name"]: row for row in explain(Shape(width=2), 188)["layers"]}
    assert [layer["name"] for layer in measured["layers"]] == [
        layer.name for layer in UNet(width=2).layers()
    ]
    for number, layer in enumerate(measured["layers"]):
        row = rows[layer["name"]]
        assert layer["shape"] == row["shape"]
        forward = layer["forward_gflops"] * layer["forward_s"] * 1e9
        backward = layer["backward_gflops"] * layer["backward_s"] * 1e9
        assert forward == pytest.approx(row["flops"])
        assert backward == pytest.approx(row["flops"] * (2 if number else 1))


def test_the_command_prints_a_table():
    result = CliRunner().invoke(bench.command, [*SMALL, "--no-layers"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert sum(line.split()[:2] in (["2", "forward"], ["2", "step"]) for line in lines) == 2
    assert "NumPy" in result.stdout and "contract0" not in result.stdout


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(CunetError, match="PyTorch is not installed.*pip install torch"):
        cpu.measure([2], 188, against="torch")


def test_a_process_that_ends_is_named():
    with cpu.workers(["nobody"], job="step", width=2) as made:
        with pytest.raises(CunetError, match="nobody, step, width 2 ended with code 1"):
            made["nobody"].ask()


class Fake:
    """Returns a list of seconds, one a turn."""

    def __init__(self, seconds):
        self.seconds = iter(seconds)

    def ask(self, line=""):
        return {"seconds": next(self.seconds), "peak_bytes": 7}


def test_a_process_is_ended_in_the_middle_of_a_turn_without_a_word(capfd):
    job = {"side": "cunet", "job": "step", "width": 64, "tile": 572, "threads": 1}
    one = cpu.Worker(**job, device="cpu")
    assert os.getsid(one.process.pid) == one.process.pid  # Ctrl-C does not reach it
    one.process.stdin.write("\n")
    one.process.stdin.flush()
    one.close()
    assert one.process.returncode == -signal.SIGKILL and capfd.readouterr() == ("", "")


def test_ratios_are_formed_in_pairs_to_the_better_of_the_others(monkeypatch):
    seconds = {
        "cunet": [9, 9, 1, 2, 4],
        "torch NCHW": [9, 9, 8, 8, 8],
        "torch channels last": [9, 9, 3, 4, 4],
    }

    @contextmanager
    def fake(sides, **job):
        yield {side: Fake(seconds[side]) for side in sides}

    monkeypatch.setattr(cpu, "workers", fake)
    monkeypatch.setattr(cpu, "REST_SECONDS", 0)
    found = cpu.time_in_turns(list(seconds), 3, {})
    assert found["cunet"] == {"median_s": 2, "seconds": [1, 2, 4], "peak_bytes": 7}
    expected = {"to": "torch channels last", "median": 2, "lowest": 1, "highest": 3}
    assert found["ratio"] == expected


@pytest.mark.parametrize("name", ["logits", "w"])
def test_outputs_that_differ_stop_the_benchmark(monkeypatch, name):
    rng = np.random.default_rng(0)
    outputs = {"logits": rng.standard_normal((1, 4, 4, 2)), "w": rng.standard_normal((3, 3))}

    def compared(factor):
        class Writer:
            def __init__(self, arrays):
                self.arrays = arrays

            def ask(self, path):
                np.savez(path, **self.arrays)

        @contextmanager
        def fake(sides, **job):
            other = outputs | {name: outputs[name] * factor}
            yield {side: Writer(outputs if side == "cunet" else other) for side in sides}

        monkeypatch.setattr(cpu, "workers", fake)
        return cpu.compare(["cunet", "torch NCHW"], {})["torch NCHW"]

    what = "logits" if name == "logits" else "gradients"
    assert compared(1 + 1e-6)[what] == pytest.approx(1e-6, rel=1e-3)
    for wrong in (1.02, np.nan):
        with pytest.raises(CheckError, match=f"the {what} of cunet and torch NCHW differ"):
            compared(wrong)


def test_a_turn_is_one_long_call_or_several_short_ones(monkeypatch):
    now = iter([0, 3])
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(now))
    assert worker.turn(lambda: None) == 3
    now = iter([0, 0.2, 1, 1.1, 2, 2.3])
    assert worker.turn(lambda: None) == pytest.approx(0.2)


def test_the_peak_of_a_process_grows_with_what_it_holds():
    code = (
        "import numpy as np; from cunet.bench.cpu_side import peak_of_process as peak\n"
        "before = peak(); a = np.ones(12_500_000); del a; print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert int(done.stdout) == pytest.approx(100e6, rel=0.1), done.stderr


def test_the_network_in_torch_is_ours():
    pytest.importorskip("torch")
    job = {"width": 2, "tile": 188, "threads": 1, "device": "cpu"}
    for side, errors in cpu.compare(["cunet", *peers.TORCH], job).items():
        assert errors["logits"] < 1e-5 and errors["gradients"] < 1e-3, side


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_network_in_other_programs_is_ours(name):
    peer = peers.PEERS[name]
    pytest.importorskip(peer.package)
    job = {"width": 2, "tile": 188, "threads": 1, "device": "cpu"}
    (errors,) = cpu.compare(["cunet", *peer.sides], job, peer.check).values()
    assert errors.keys() == {"probabilities"} and errors["probabilities"] < 1e-5
    with cpu.workers(list(peer.sides), job="predict", **job) as made:
        assert made[peer.sides[0]].ask()["seconds"] > 0


def test_a_side_on_a_device(monkeypatch):
    """The same numbers as on the host, in one process, on the device double."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_double)
    job = {"width": 2, "tile": 188, "threads": 1, "job": "step"}
    there, here = (cpu_side.Ours({**job, "device": device}) for device in ("cuda", "cpu"))
    assert there.device == "cuda:0"
    for side in (there, here):
        side.forward()
    outputs, expected = there.check(), here.check()
    for name, array in outputs.items():
        assert type(array) is np.ndarray
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-3 * largest)
    there.step()
    assert len(there.layers()) == 23
