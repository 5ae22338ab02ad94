"""Trainings on slices that stay on disk: the runs that the same slices in memory give."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from slices_on_disk import HELD, ON_DISK, cells, images, leave, masks, ome_zarr, tiffs
from small_trainings import settings

import cunet
from cunet.crossvalidation import plan as crossval
from cunet.data import on_disk, pages_on_disk, sums
from cunet.data.load import load
from cunet.data.on_disk import OnDisk
from cunet.data.resize import resized
from cunet.engines import gpu
from cunet.errors import CunetError, DataError
from cunet.net.normalization import Normalization
from cunet.reporting.parts import in_memory
from cunet.segmentation.tiling import whole_tile
from cunet.training import loop, plan
from cunet.training.cost import memory_needed
from cunet.training.on_disk import statistics
from cunet.training.prepared import prepare
from cunet.training.resolve import suited
from cunet.training.validation import segmented

pytestmark = pytest.mark.usefixtures("threads_as_before")
CASES = {
    "balance": (masks, {}),
    "none": (masks, {"weight_map": "none", "padding": "same", "tile": 48}),
    "image": (masks, {"normalization": "image"}),
    "cells": (cells, {"weight_map": "balance"}),
    "paper": (cells, {"weight_map": "paper", "batch": 2}),
    "falk2019": (cells, {"weight_map": "falk2019", "border_sigma": 3.0}),
    "float64": (masks, {"precision": "float64"}),
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Blocks of a few rows, and sums in small leaves, as of large slices."""
    monkeypatch.setattr(on_disk, "BLOCK", 2000)
    monkeypatch.setattr(pages_on_disk, "BAND", 4000)
    monkeypatch.setattr(sums, "LEAF", 2048)


def trained(config):
    """(the records without their times, the arrays of the network)."""
    prepared = prepare(config)
    training = loop.Training.new(config, prepared, loop.make_net(config, prepared))
    records = [
        {name: value for name, value in record.items() if name not in ("seconds", "wait")}
        for record in training.records()
    ]
    assert "val_loss" in records[-1]
    return prepared, records, {p.name: p.value for p in training.net.parameters()}


def same(one, other):
    assert one[1] == other[1]
    assert one[2].keys() == other[2].keys()
    for name, value in one[2].items():
        np.testing.assert_array_equal(value, other[2][name], err_msg=name)


@pytest.mark.parametrize("make", [tiffs, ome_zarr])
@pytest.mark.parametrize("case", CASES)
def test_the_run_is_that_of_slices_in_memory(tmp_path, monkeypatch, make, case):
    labels, more = CASES[case]
    name = "data" if make is tiffs else "data.ome.zarr"
    folder = make(tmp_path / name, images(channels=3), labels())
    config = settings(folder, **{"weight_map": "balance", "steps": 4, "validate_every": 2} | more)
    leave(monkeypatch, HELD)
    held = trained(config)
    leave(monkeypatch)
    read = trained(config)
    assert read[0].samples.on_disk and not held[0].samples.on_disk
    if case != "image":
        assert held[0].normalization == read[0].normalization
    same(held, read)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("shift", [0, 40_000])
def test_statistics_have_the_bits_of_arrays(tmp_path, monkeypatch, dtype, shift):
    """Shifted, the variance of floating point drowns in rounding and is found from differences."""
    pixels = images(3, channels=1, dtype=np.float64) / (1 + shift) + shift
    folder = ome_zarr(tmp_path / "a.ome.zarr", pixels.astype(dtype), masks(3), (2, 16, 32))
    leave(monkeypatch)
    read = load(folder)
    assert isinstance(read.images[0], OnDisk)
    expected = Normalization.of([np.asarray(image) for image in read.images])
    assert statistics(read.images) == expected
    for image in read.images:
        image.total = None  # as where no pass has formed it
    assert statistics(read.images) == expected


def test_a_slice_is_segmented_tile_by_tile_as_a_whole(tmp_path, monkeypatch):
    leave(monkeypatch)
    folder = ome_zarr(tmp_path / "a.ome.zarr", images(1, 1300, 90), masks(1, 1300, 90))
    config = settings(folder, fold=None, weight_map="none")
    prepared = prepare(config)
    net = loop.make_net(config, prepared)
    image = prepared.dataset.images[0]
    found = [*segmented(net, image)]
    assert len(found) > 1 and found[1][0] == len(found[0][1])
    expected = cunet.segment(np.asarray(image), net, whole_tile(image, net.shape))
    np.testing.assert_array_equal(np.concatenate([band for _, band in found]), expected)


def test_a_resumed_run_goes_on_and_refuses_changed_pixels(tmp_path, monkeypatch):
    folder = ome_zarr(tmp_path / "data.ome.zarr", images(), masks())
    config = settings(folder, weight_map="balance", steps=6, validate_every=3)
    leave(monkeypatch)
    whole = [*cunet.train(replace(config, out=str(tmp_path / "whole")))]
    records = cunet.train(replace(config, out=str(tmp_path / "run")))
    assert [next(records)["step"] for _ in range(4)] == [1, 2, 3, 4]
    records.close()
    rest = [*plan.make(resume=tmp_path / "run").train()]
    assert [record["loss"] for record in rest] == [record["loss"] for record in whole[4:]]
    one, other = (cunet.load(tmp_path / name) for name in ("whole", "run"))
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)
    shutil.rmtree(folder)
    pixels = images()
    pixels[2, 69, 60] += 1
    ome_zarr(folder, pixels, masks())
    with pytest.raises(DataError, match="image has changed since run"):
        plan.start(resume=tmp_path / "run")


def test_a_sample_reads_windows_and_no_slice(tmp_path, monkeypatch):
    folder = ome_zarr(tmp_path / "a.ome.zarr", images(1, 900, 380), cells(1, 900, 380))
    leave(monkeypatch)
    config = settings(folder, fold=None, labels="instances", weight_map="paper", elastic_sigma=2.0)
    samples, read = prepare(config).samples, []
    original = pages_on_disk.Source.window

    def counted(self, page, r0, r1, c0, c1):
        read.append((r1 - r0, c1 - c0))
        return original(self, page, r0, r1, c0, c1)

    monkeypatch.setattr(pages_on_disk.Source, "window", counted)
    for i in range(20):
        samples.sample(i)
    assert 40 <= len(read) <= 60  # the image, labels, and these again with what is around them
    # A tile of 34 turned by 45 degrees and bent, 32 pixels around it in which cells count, and up
    # to the lines of the grid.
    assert max(max(sides) for sides in read) <= 34 * 1.5 + 20 + 2 * 32 + 2 * 63


def test_a_gpu_does_not_make_the_samples(tmp_path, monkeypatch):
    folder = ome_zarr(tmp_path / "a.ome.zarr", images(), masks())
    config = settings(folder, weight_map="balance", elastic="none")
    for most, count in ((HELD, 3 * 70 * 61 * 9), (ON_DISK, 0)):
        leave(monkeypatch, most)
        assert gpu.sample_bytes(prepare(config).samples) == count


def test_the_plan_says_what_is_read_and_what_memory_it_takes(tmp_path, monkeypatch):
    needs = {HELD: [], ON_DISK: []}
    for count in (2, 8):
        folder = ome_zarr(tmp_path / f"{count}.ome.zarr", images(count), masks(count))
        for most, found in needs.items():
            leave(monkeypatch, most)
            config = settings(folder, fold="0/2", weight_map="balance", precision="float32")
            prepared = prepare(config)
            found.append(memory_needed(config, prepared))
    assert needs[HELD][1] - needs[HELD][0] >= 6 * 70 * 61 * 6
    assert needs[ON_DISK][1] == needs[ON_DISK][0]
    said = " ".join(prepared.dataset.notes)
    assert "read when samples are drawn: in memory they would take" in said
    assert "beside a GPU too" in said and "all slices were read once, to check them: 0 s" in said


# What needs whole slices


def test_a_border_term_needs_numbered_cells(tmp_path, monkeypatch):
    folder = ome_zarr(tmp_path / "a.ome.zarr", images(), masks())
    leave(monkeypatch)
    for form in ("paper", "falk2019"):
        config = settings(folder, weight_map=form)
        with pytest.raises(CunetError, match=f"{form}: its border term needs.*balance"):
            prepare(config)
        dataset = load(folder)
        assert suited(config, {"weight_map"}, dataset).weight_map == form
        assert suited(config, set(), dataset).weight_map == "balance"
    numbered = load(ome_zarr(tmp_path / "b.ome.zarr", images(), cells()))
    assert suited(settings(folder, weight_map="balance"), set(), numbered).weight_map == "paper"


def test_scaled_slices_are_held(tmp_path, monkeypatch):
    folder, found = ome_zarr(tmp_path / "a.ome.zarr", images(), cells()), []
    for most in (HELD, ON_DISK):
        leave(monkeypatch, most)
        found.append(resized(load(folder), 32))
    for name in ("images", "labels", "instances"):
        for one, other in zip(*(getattr(data, name) for data in found), strict=True):
            assert isinstance(other, np.ndarray)
            if name == "instances":  # numbered from 1 in memory, as stored on disk
                one, other = one > 0, other > 0
            np.testing.assert_array_equal(one, other)


def test_what_holds_whole_slices_refuses(tmp_path, monkeypatch, run):
    folder = ome_zarr(tmp_path / "a.ome.zarr", images(), masks())
    leave(monkeypatch)
    with pytest.raises(CunetError, match="a cross-validation holds whole slices.*--fold"):
        crossval.make(folder, 2, device="cpu", steps=2, width=2, depth=1, tile=34)
    code, _, said = run("weights", folder, "-o", tmp_path / "w.tif", "--form", "balance")
    assert code == 2 and "a file of weight maps holds whole slices" in said


def test_a_report_shows_the_middle_of_some_slices(tmp_path, monkeypatch):
    pixels = images(9, 50, 40)
    leave(monkeypatch)
    data = load(ome_zarr(tmp_path / "a.ome.zarr", pixels, cells(9, 50, 40)))
    monkeypatch.setattr("cunet.reporting.parts.SIDE", 44)
    shown, chosen, remarks = in_memory(data, range(9))
    assert chosen[0] == 0 and chosen[-1] == 8 and len(chosen) == 8
    np.testing.assert_array_equal(shown.images[8], pixels[8, 3:47])
    assert shown.labels[8].shape == shown.instances[8].shape == (44, 40)
    assert "the middle of 44 x 44 pixels of 8 of 9 slices" in remarks[0]
    leave(monkeypatch, HELD)
    held = load(tmp_path / "a.ome.zarr")
    assert in_memory(held, [1, 2]) == (held, [1, 2], [])


def test_the_command_line_trains_on_a_label_image(tmp_path, monkeypatch, run):
    leave(monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = ome_zarr(tmp_path / "v.ome.zarr", images(), masks(), names=("cells", "nuclei"))
    small = "--device cpu --width 2 --depth 1 --tile 34 --steps 4 --fold 0/4 --weight-map balance"
    words = ("train", "--data", folder, *small.split(), "--out", "run")
    code, _, said = run(*words)
    assert code == 2 and "--label-image cells, --label-image nuclei" in said
    code, _, said = run(*words, "--label-image", "nuclei")
    assert code == 0 and "label image nuclei" in said and "slices are read when" in said
    assert f"cunet segment {folder} --model run --out run.ome.zarr" in said
    assert 'dataset = "folder:nuclei"' in (tmp_path / "run" / "run.toml").read_text()
    assert (tmp_path / "run" / "report.html").is_file()
