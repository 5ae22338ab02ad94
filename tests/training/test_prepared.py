"""What a training is shown: samples from seed and index, and nothing from held-out slices."""

import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from isbi_data import isbi_folder
from small_trainings import settings

from cunet.data.augment import apply
from cunet.data.weight_map import class_weights, components, paper_map
from cunet.errors import CunetError
from cunet.training import prepared as training

pytestmark = pytest.mark.usefixtures("threads_as_before")


def test_samples_follow_from_seed_and_index_alone(data):
    drawn = training.prepare(settings(data)).samples
    again = training.prepare(settings(data)).samples
    forwards = [drawn.sample(i) for i in range(6)]
    backwards = [again.sample(i) for i in reversed(range(6))][::-1]
    other = [replace(drawn, seed=4).sample(i) for i in range(6)]
    for a, b, c in zip(forwards, backwards, other, strict=True):
        for one, same in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, same)
        assert not np.array_equal(a[0], c[0])
    for i in range(1, 6):
        assert not np.array_equal(forwards[0][0], forwards[i][0])
    x, labels, weights = forwards[0]
    assert x.shape == (34, 34, 1) and labels.shape == weights.shape == (18, 18)
    assert x.dtype == weights.dtype == np.float32


def test_a_dataset_in_memory_takes_the_place_of_the_folder(data):
    config = settings(data, weight_map="paper")
    read = training.prepare(config)
    given = training.prepare(replace(config, data=""), read.dataset)
    assert given.dataset is read.dataset
    assert (given.training, given.held_out) == (read.training, read.held_out)
    assert given.normalization == read.normalization
    for one, same in zip(given.samples.sample(0), read.samples.sample(0), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_stream_gives_the_same_from_any_number_of_workers(data, workers):
    drawn = training.prepare(settings(data, batch=2)).samples
    stream = drawn.stream(3, 9, workers)
    for number, (batch, wait) in enumerate(stream, start=3):
        singles = [drawn.sample(2 * number + i) for i in range(2)]
        for array, parts in zip(batch, zip(*singles, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.stack(parts))
        assert wait >= 0
    assert number == 8
    assert list(drawn.stream(5, 5)) == []


def test_a_stream_of_records_describes_the_same_samples(data):
    """Made without noise they are those of a run without noise; nothing waits for them."""
    drawn = training.prepare(settings(data, batch=2)).samples
    quiet = replace(drawn, augmentation=replace(drawn.augmentation, noise=0))
    keys = set()
    for number, (batch, wait) in enumerate(drawn.stream(3, 9, records=True), start=3):
        assert wait == 0 and len(batch) == 2
        for i, record in enumerate(batch):
            arrays = (a[record.slice] for a in (drawn.images, drawn.labels, drawn.weights))
            found = apply(record.drawn, *arrays, drawn.input_size, drawn.output_size)
            for array, expected in zip(found, quiet.sample(2 * number + i), strict=True):
                np.testing.assert_array_equal(array, expected)
            assert 0 < record.drawn.deviation < drawn.augmentation.noise
            keys.add(record.key)
    assert number == 8 and len(keys) == 12
    assert {record.key for record in quiet.records(0)} == {0}


def test_a_stream_may_be_left_early(data):
    stream = training.prepare(settings(data)).samples.stream(0, 1000)
    next(stream)
    stream.close()


def test_held_out_slices_are_never_drawn_from_nor_measured(data):
    """Only the slices 0, 2 and 3 make the normalization, the class balance and the samples."""
    config = settings(data, weight_map="paper")
    prepared = training.prepare(config)
    assert (prepared.training, prepared.held_out) == ([0, 2, 3], [1])
    images, labels = tifffile.imread(os.path.join(data, "train-volume.tif")), []
    pixels = images[[0, 2, 3]].astype(np.float64)
    assert prepared.normalization.mean == pytest.approx((pixels.mean(),), rel=1e-12)
    assert prepared.normalization.deviation == pytest.approx((pixels.std(),), rel=1e-12)
    assert len(prepared.samples.images) == 3
    for i, image in zip((0, 2, 3), prepared.samples.images, strict=True):
        expected = (images[i] - pixels.mean()) / pixels.std()
        np.testing.assert_allclose(image[..., 0], expected, rtol=0, atol=1e-5)
    labels = (tifffile.imread(os.path.join(data, "train-labels.tif")) == 255).astype(np.uint8)
    balance = class_weights(list(labels[[0, 2, 3]]), 2)
    white = labels[[0, 2, 3]].mean()
    assert balance == pytest.approx([1 / (2 * (1 - white)), 1 / (2 * white)])
    for i, weights in zip((0, 2, 3), prepared.samples.weights, strict=True):
        expected = paper_map(labels[i], components(labels[i] > 0), balance, 10.0, 5.0)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    balanced = training.prepare(replace(config, weight_map="balance")).samples.weights[0]
    np.testing.assert_allclose(balanced, np.where(labels[0] > 0, balance[1], balance[0]), rtol=1e-6)
    plain = training.prepare(replace(config, weight_map="none")).samples.weights[0]
    np.testing.assert_array_equal(plain, np.ones(labels[0].shape))


@pytest.mark.parametrize("slices,fold", [(4, "4/5"), (1, "0/2")])
def test_a_fold_without_slices_is_refused(tmp_path, slices, fold):
    with pytest.raises(CunetError, match=f"fold {fold}") as caught:
        training.prepare(settings(isbi_folder(tmp_path, slices, 48, 40, seed=1), fold=fold))
    assert caught.value.exit_code == 2
