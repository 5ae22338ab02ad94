"""A skip silenced is a network whose skip brings zeros."""

import numpy as np
import pytest
from random_nets import VARIANTS, random_net

import cunet
from cunet.engines import definition
from cunet.net.checkpoint import copy_of
from cunet.tracing.recording import Recorder


class Silent(Recorder):
    """An engine in which what comes along one skip is 0."""

    def __init__(self, number):
        super().__init__(definition)
        self.number, self.met = number, 0

    def conv_forward(self, x, *more, **named):
        if isinstance(x, tuple):
            if self.met == self.number:
                x = x[0], np.zeros_like(x[1])
            self.met += 1
        return super().conv_forward(x, *more, **named)


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_each_skip_silenced_is_the_network_with_zeros_in_its_place(settings):
    net = random_net(dtype="float64", **settings)
    channels = net.shape.in_channels
    image = np.random.default_rng(0).integers(0, 256, (19, 30, channels)).astype(np.uint8)
    traced = cunet.trace(net, image)
    assert [skip.level for skip in traced.skips] == [0, 1]
    cut = image[traced.down.seen][:, traced.across.seen]
    x = net.normalization.apply(cut, "float64")[None]
    usual = traced.probability
    for skip in traced.skips:
        # the levels are met from below
        copy = copy_of(net, Silent(1 - skip.level))
        by_hand = copy.probability(copy(x, remember=False))[0, :19, :30]
        np.testing.assert_allclose(skip.probability, by_hand, rtol=1e-7, atol=1e-10)
        assert np.abs(by_hand - usual).max() > 1e-6
        changed = total = 0
        for row, column in np.ndindex(19, 30):
            now, before = by_hand[row, column], usual[row, column]
            changed += int(now.argmax() != before.argmax())
            total += np.abs(now - before).sum() / 2
        assert skip.pixels == 19 * 30 and skip.changed == changed
        assert skip.change == pytest.approx(total / (19 * 30), rel=1e-6)


def test_of_two_classes_the_change_is_that_of_either_probability():
    net = random_net(dtype="float64")
    image = np.random.default_rng(0).integers(0, 256, (19, 30)).astype(np.uint8)
    traced = cunet.trace(net, image)
    skip = traced.skips[1]
    for k in (0, 1):
        change = np.abs(skip.probability[..., k] - traced.probability[..., k]).mean()
        assert skip.change == pytest.approx(change)


def test_a_network_that_ignores_its_skip_loses_nothing():
    net = random_net(dtype="float64")
    first = net.levels[1].expand[0]
    first.w.value[:, :, net.levels[1].up.w.value.shape[3] :] = 0
    image = np.random.default_rng(0).integers(0, 256, (19, 30)).astype(np.uint8)
    skips = cunet.trace(net, image).skips
    assert skips[1].changed == 0 and skips[1].change == 0
    assert skips[0].change > 0
