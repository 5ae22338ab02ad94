"""A learning rate that rises over the first updates."""

import numpy as np
import pytest

import cunet
from cunet.net.layers import Parameter
from cunet.solvers.rates import LearningRate
from cunet.training.config import Config
from cunet.training.warmup import LinearWarmup

pytestmark = pytest.mark.usefixtures("threads_as_before")


def test_it_rises_in_equal_steps_to_the_policys_rate():
    rate = LinearWarmup(0.5, "step", gamma=0.1, stepsize=6, warmup=4)
    found = [rate(done) for done in range(8)]
    np.testing.assert_allclose(found, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.05, 0.05], rtol=1e-15)


@pytest.mark.parametrize("warmup", [0, 1])
def test_none_is_the_policys_rate_bit_for_bit(warmup):
    rising = LinearWarmup(1e-3, "cosine", max_iter=7, warmup=warmup)
    plain = LearningRate(1e-3, "cosine", max_iter=7)
    assert [rising(done) for done in range(9)] == [plain(done) for done in range(9)]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_training_makes_its_steps_with_it(solver):
    settings = {
        "width": 2, "depth": 1, "tile": 28, "steps": 6, "solver": solver, "lr": 0.01,
        "lr_policy": "fixed", "device": "cpu", "threads": 1,
    }  # fmt: skip
    images = np.random.default_rng(1).integers(0, 255, (2, 48, 48), np.uint8)
    labels = (images > 127).astype(np.uint8)
    _, run = cunet.fit(images, labels, quiet=True, warmup=3, **settings)
    expected = [0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01, 0.01]
    np.testing.assert_allclose([record["lr"] for record in run.records], expected, rtol=1e-12)


def test_the_first_update_is_as_much_shorter():
    """Adam's first step has the length of the rate, so a hundredth of it moves a weight as far."""
    moved = []
    for warmup in (0, 100):
        parameter = Parameter("p", np.array([1.0]), 1, 1)
        parameter.grad[...] = 3
        config = Config(solver="adam", steps=200, lr=0.1, clip=0.0, warmup=warmup)
        solver = config.make_solver([parameter])
        solver.step()
        moved.append(1 - parameter.value[0])
    np.testing.assert_allclose(moved[1], moved[0] / 100, rtol=1e-9)
