"""What the report shows of the training data: the maps and samples of the training itself."""

import numpy as np
import pytest
import slices_on_disk
import tifffile
from isbi_data import isbi_folder
from report_pages import page_of, picture_of, train

import cunet
from cunet.pictures.colours import GOLD
from cunet.pictures.sheets import sample_strip
from cunet.reporting.facts import collect
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_settings


def folder_of(folder, channels, labels):
    """A data folder of two images (64, 70[, channels]) with these labels."""
    rng = np.random.default_rng(5)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for i in range(2):
        shape = (64, 70) if channels == 1 else (64, 70, channels)
        tifffile.imwrite(
            folder / "images" / f"{i}.tif",
            rng.integers(0, 255, shape, dtype=np.uint8),
            photometric="rgb" if channels == 3 else "minisblack",
        )
        tifffile.imwrite(folder / "labels" / f"{i}.tif", labels.astype(np.uint8))
    return folder


numbered = np.zeros((64, 70))
numbered[5:20, 5:25], numbered[5:20, 27:50], numbered[30:60, 10:40] = 1, 2, 3
classes = np.zeros((64, 70))
classes[:, 20:40], classes[30:, 40:] = 1, 2
classes[:4] = 255


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("stack", {"weight_map": "paper", "w0": 3.0, "border_sigma": 2.0}),
        ("cells", {"weight_map": "falk2019", "labels": "instances", "seed": 4}),
        ("classes", {"weight_map": "balance", "labels": "classes", "padding": "same"}),
        ("colour", {"weight_map": "paper", "labels": "instances", "augment": False}),
    ],
)
def test_maps_and_samples_are_those_of_the_training(kind, settings, tmp_path):
    data = {
        "stack": lambda: isbi_folder(tmp_path / "data", 4, 72, 80, seed=1),
        "cells": lambda: folder_of(tmp_path / "data", 1, numbered),
        "classes": lambda: folder_of(tmp_path / "data", 1, classes),
        "colour": lambda: folder_of(tmp_path / "data", 3, numbered),
    }[kind]()
    run = train(tmp_path / "run", data, steps=1, **settings)
    shown = collect(run).trained_on
    trained = prepare(cunet.Config(**read_settings(run)))
    np.testing.assert_array_equal(shown.weights, trained.samples.weights[0])
    np.testing.assert_array_equal(shown.labels, trained.samples.labels[0])
    np.testing.assert_array_equal(shown.image, trained.dataset.images[trained.training[0]])
    assert len(shown.samples) == 6
    for number, (name, sample) in enumerate(shown.samples):
        for found, expected in zip(sample, trained.samples.sample(number), strict=True):
            np.testing.assert_array_equal(found, expected)
        i = trained.samples.record(number).slice
        assert name == trained.dataset.slice_names[trained.training[i]]
    page = page_of(run)
    assert f"weight map {settings['weight_map']}" in page.words
    assert ("of 60 x 60 pixels (orange" in page.words) == (kind != "classes")
    strips = [a for a in page.addresses if a.startswith("data:image/jpeg")][1:]
    assert [picture_of(uri).shape for uri in strips] == [(176, 536, 3)] * 6
    assert sum(map(len, strips)) < 300_000


def test_of_slices_on_disk_the_middle_is_shown(tmp_path, monkeypatch):
    data = slices_on_disk.tiffs(
        tmp_path / "data", slices_on_disk.images(), slices_on_disk.cells().astype(np.uint16)
    )
    slices_on_disk.leave(monkeypatch)
    monkeypatch.setattr("cunet.reporting.parts.SIDE", 44)
    run = train(tmp_path / "run", data, steps=1, weight_map="paper")
    shown = collect(run).trained_on
    trained = prepare(cunet.Config(**read_settings(run)))
    weights = np.asarray(trained.samples.weights[0])
    assert shown.weights.shape == (44, 44) and weights.shape == (70, 61)
    np.testing.assert_array_equal(shown.weights, weights[13:57, 8:52])
    for found, expected in zip(shown.samples[3][1], trained.samples.sample(3), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_nothing_is_shown_without_data(tmp_path):
    run = train(tmp_path / "run", isbi_folder(tmp_path / "data", 4, 72, 80, seed=1), steps=1)
    (tmp_path / "data").rename(tmp_path / "gone")
    page = page_of(run)
    assert "What it was trained on" not in page.words and "img" not in page.tags


def test_a_strip_shows_tile_labels_and_weights():
    x = np.zeros((40, 40, 1), np.float32)
    labels, weights = np.zeros((20, 20), int), np.zeros((20, 20), np.float32)
    labels[:, 10:] = 1
    labels[15:, :5] = 255
    weights[:10] = 2.0
    strip = sample_strip((x, labels, weights), 2.0, 40)
    assert strip.shape == (40, 122, 3)
    assert strip[2, 2].tolist() == [128, 128, 128] and strip[10, 20].tolist() == list(GOLD)
    inside = strip[:, 41:81].astype(int)
    assert inside[5, 19, 0] > 200 > inside[5, 19, 1] + 100  # the boundary is red
    assert inside[38, 2, 2] > inside[38, 2, 0]  # ignored pixels are blue
    assert strip[2, 90].sum() > strip[35, 90].sum() + 200  # heavy pixels are bright
