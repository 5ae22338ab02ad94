"""Validation against loops over single pixels."""

import math

import numpy as np
import pytest
from pixel_loops import counted_directly
from small_trainings import settings

import cunet
from cunet.data.labels import IGNORE
from cunet.engines.cpu import dropout
from cunet.training import loop as loop_
from cunet.training import prepared as training
from cunet.training import validation

pytestmark = pytest.mark.usefixtures("threads_as_before")


def test_dropout_is_off_in_validation(data, monkeypatch):
    config = settings(data, dropout=0.5)
    prepared = training.prepare(config)
    net = loop_.make_net(config, prepared)
    expected = validation.validate(net, prepared)
    monkeypatch.setattr(dropout, "mask", lambda *a: pytest.fail("dropout was used"))
    assert validation.validate(net, prepared) == expected


def test_validation_against_a_loop(data):
    config = settings(data, fold="0/2")
    prepared = training.prepare(config)
    prepared.dataset.labels[0][3:9, 5:12] = IGNORE
    net = loop_.make_net(config, prepared)
    found = validation.validate(net, prepared)
    slices, losses = [], []
    for i in prepared.held_out:
        image = prepared.dataset.images[i]
        p, y = cunet.segment(image, net, 572), prepared.dataset.labels[i]
        slices.append((p[..., 1], y == 1, y != IGNORE))
        losses += [-math.log(p[r, c, y[r, c]]) for r, c in np.ndindex(y.shape) if y[r, c] != IGNORE]
    assert found["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    tp, fp, fn = counted_directly(slices, 0.5)
    assert found["val_dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-3)
    f = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in
         (counted_directly(slices, t / 10) for t in range(10))]  # fmt: skip
    assert found["val_pixel_error"] == pytest.approx(1 - max(f), abs=1e-3)


def test_one_class_is_said(data):
    config = settings(data)
    prepared = training.prepare(config)
    net = loop_.make_net(config, prepared)
    head = net.parameters()[-1]
    for bias, expected in ((-50, 0), (50, 1)):
        head.value[...] = -bias, bias
        assert validation.validate(net, prepared)["val_one_class"] == expected
