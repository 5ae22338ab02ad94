"""Fig. 1 as numbers, and `cunet explain`: against the paper, a network, and a measured peak."""

import json
import subprocess
import sys

import numpy as np
import pytest

import cunet
from cunet.net.figure1 import memory_bytes, rows
from cunet.net.shape import Shape


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


def test_memory_that_is_announced_is_near_the_measured_peak(tmp_path):
    """A training step in a process of its own, against explain's figure for it."""
    script = (
        "import numpy as np, cunet\n"
        "from cunet.bench.cpu_side import peak_of_process\n"
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
    assert 0.8 * peak < memory_bytes(Shape(16), 572)["training"] < 1.2 * peak


def test_explain_counts_the_parameters_of_the_network_itself():
    for variant in ("paper", "release2015"):
        net = cunet.UNet(3, 3, 2, 4, variant=variant)
        counted = {p.name.rpartition(".")[0]: 0 for p in net.parameters()}
        for p in net.parameters():
            counted[p.name.rpartition(".")[0]] += p.value.size
        table = rows(Shape(3, 3, 2, 4, variant=variant), 140)
        assert {r.name: r.parameters for r in table if r.parameters} == counted
        logits = net(np.zeros((1, 140, 140, 2), "f4"), remember=False)
        assert table[-1].shape == logits.shape[1:]
