"""What a training keeps of its images: their pixel size, said or given, and their polarity."""

import re

import numpy as np
import pytest
import tifffile

import cunet
from cunet.data.synthetic import membranes
from cunet.errors import CunetError
from cunet.training.prepared import prepare


@pytest.fixture
def folder(tmp_path):
    """make(sizes in nm, None where the file has none) -> a folder of images and labels."""

    def make(*sizes):
        images, labels = membranes(len(sizes), 48, 48, seed=1)
        for name, pages in (("images", images), ("labels", labels)):
            (tmp_path / name).mkdir()
            for i, (page, nm) in enumerate(zip(pages, sizes, strict=True)):
                more = {}
                if nm is not None and name == "images":
                    more = dict(imagej=True, resolution=(1 / nm, 1 / nm), metadata={"unit": "nm"})
                tifffile.imwrite(tmp_path / name / f"{i}.tif", page, **more)
        return tmp_path

    return make


def prepared(data, **settings):
    return prepare(cunet.Config(data=str(data), width=1, depth=1, tile=20, **settings))


@pytest.mark.parametrize(
    ("sizes", "settings", "expected", "note"),
    [
        ((4, 4.01), {}, "4 nm", "pixel size 4 nm"),
        ((None, None), {}, None, ""),
        ((4, 8), {}, None, "several pixel sizes, 4 nm, 8 nm"),
        ((4, None), {}, None, "of 2 training images 1 do not name their pixel size"),
        ((4, 8), {"pixel_size": "4nm"}, "4 nm", "warning: pixel size 4 nm as given.*say 4 nm, 8"),
        ((None, None), {"pixel_size": "0.5um"}, "0.5 um", "pixel size 0.5 um, as given"),
        ((4, 8), {"fold": "0/2"}, "8 nm", "pixel size 8 nm"),  # of what is trained on
        ((4, 4), {"resize": 32}, None, ""),
    ],
)
def test_one_pixel_size_of_all_training_images_is_kept(folder, sizes, settings, expected, note):
    made = prepared(folder(*sizes), **settings)
    found = made.trained_on.pixel_size
    assert (None if found is None else str(found)) == expected
    said = [text for text in made.dataset.notes if "pixel size" in text]
    assert len(said) == bool(note)
    if note:
        assert re.search(note, said[0])


def test_a_size_is_given_with_its_unit_and_without_a_square():
    with pytest.raises(CunetError, match="pixel_size: .*without a unit"):
        cunet.Config(pixel_size="8")
    with pytest.raises(CunetError, match="pixel_size: with resize 64.*leave one"):
        cunet.Config(pixel_size="8nm", resize=64)


def test_train_writes_it_into_the_network_and_info_shows_it(folder, run, tmp_path):
    data = folder(4, 4)
    code, _, err = run(
        "train", "--data", data, "--steps", "1", "--width", "1", "--depth", "1", "--tile", "20",
        "--device", "cpu", "--out", tmp_path / "run", "--pixel-size", "0.004 um",
    )  # fmt: skip
    assert code == 0 and "pixel size 0.004 um, as given" in err, err
    net = cunet.load(tmp_path / "run")
    assert str(net.trained_on.pixel_size) == "0.004 um"
    low, high = net.trained_on.skewness
    assert low <= high < 0  # dark membranes
    code, out, _ = run("models", "info", tmp_path / "run")
    assert code == 0 and "pixel size  0.004 um\n" in out
    code, out, _ = run("explain", "--model", tmp_path / "run")
    assert code == 0 and "pixel size of its training images: 0.004 um\n" in out


def test_arrays_have_none_but_what_is_given(tmp_path):
    images, labels = membranes(2, 48, 48, seed=1)
    given = dict(steps=1, width=1, depth=1, tile=20, quiet=True)
    net, _ = cunet.fit(images, labels, **given)
    assert net.trained_on.pixel_size is None and net.trained_on.skewness is not None
    net, _ = cunet.fit(images, labels, pixel_size="4x5nm", **given)
    assert str(net.trained_on.pixel_size) == "4 x 5 nm"
    assert np.isfinite(net.trained_on.skewness).all()
