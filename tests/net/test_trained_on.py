"""What a network keeps of its training images: in its file, in a record, and what it tells."""

import json

import numpy as np
import pytest

import cunet
from cunet.errors import CunetError, DataError
from cunet.files.pixel_size import PixelSize
from cunet.models.record import Record, digest, record_path
from cunet.net import checkpoint
from cunet.net.card import make_card
from cunet.net.trained_on import UNKNOWN, TrainedOn, with_size

KNOWN = TrainedOn(PixelSize.parse("4x8nm"), (-0.3, -0.2))


@pytest.fixture
def saved(tmp_path):
    net = cunet.UNet(width=1, depth=1)
    net.trained_on = KNOWN
    cunet.save(tmp_path / "net.npz", net)
    return tmp_path / "net.npz"


def changed(path, **images):
    """The file with other facts in its header."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    header["images"] = images
    np.savez(path, **arrays | {"header": np.array(json.dumps(header))})


def test_a_file_gives_back_what_a_network_knows(saved):
    net = cunet.load(saved)
    assert net.trained_on == KNOWN
    assert checkpoint.copy_of(net).trained_on == KNOWN
    assert "| pixel size | 4 x 8 nm |" in make_card("x", saved, checkpoint.read_header(saved))


def test_what_is_not_known_is_not_written(tmp_path):
    cunet.save(tmp_path / "net.npz", cunet.UNet(width=1, depth=1))
    header = checkpoint.read_header(tmp_path / "net.npz")
    assert "images" not in header  # as in files of earlier versions
    assert cunet.load(tmp_path / "net.npz").trained_on == UNKNOWN
    assert "| pixel size | not stated |" in make_card("x", tmp_path / "net.npz", header)


@pytest.mark.parametrize(
    "images",
    [
        {"pixel_size": "4"},
        {"pixel_size": 4},
        {"skewness": [1]},
        {"skewness": "ab"},
        {"skewness": [0.1, None]},
        {"skewness": [float("nan"), 1]},
    ],
)
def test_a_damaged_header_is_refused(saved, images):
    changed(saved, **images)
    with pytest.raises(DataError, match="damaged"):
        cunet.load(saved)


def test_a_record_says_what_the_file_does_not(saved):
    changed(saved, skewness=[-0.3, -0.2])
    record = Record(digest(saved), saved.stat().st_size, pixel_size="6 nm", skewness=(1.0, 2.0))
    record_path(saved).write_text(record.text())
    assert Record.of(json.loads(record.text())) == record
    assert cunet.load(saved).trained_on == TrainedOn(PixelSize(6, 6, "nm"), (-0.3, -0.2))


FIELDS = [
    {"pixel_size": "6"}, {"skewness": [1]}, {"skewness": "a"}, {"skewness": [float("nan"), 1]},
    {"skewness": [1e9, 1]}, {"skewness": [10**400, 1]}, {"skewness": [True, 1]},
]  # fmt: skip


@pytest.mark.parametrize("fields", FIELDS)
def test_a_record_of_something_else_is_refused(saved, fields):
    text = json.dumps({"sha256": digest(saved), "bytes": saved.stat().st_size} | fields)
    record_path(saved).write_text(text)
    with pytest.raises(ValueError, match="|".join(fields)):
        Record.of(json.loads(text))


def test_the_bundled_network_knows_4_nm_from_its_record():
    known = cunet.load("bundled").trained_on
    assert known.pixel_size == PixelSize(4, 4, "nm") and known.skewness is not None


def test_a_size_can_be_given_once(saved):
    header = checkpoint.read_header(saved)
    with pytest.raises(CunetError, match="says 4 x 8 nm itself"):
        with_size(saved, header, "6nm")
    changed(saved, skewness=[-0.3, -0.2])
    header = checkpoint.read_header(saved)
    assert with_size(saved, header, "6nm") == TrainedOn(PixelSize(6, 6, "nm"), (-0.3, -0.2))


@pytest.mark.parametrize(
    ("trained", "image", "inverted"),
    [
        ((-0.3, -0.2), 0.25, True),
        ((-0.3, -0.2), 0.16, True),
        ((-0.3, -0.2), 0.14, False),  # nearer to 0 than most
        ((-0.3, -0.2), -0.9, False),
        ((0.5, 9.0), -0.4, True),
        ((0.5, 9.0), 0.0, False),
        ((-0.3, 0.1), 0.9, False),  # both signs: it cannot tell
        ((-0.3, -0.01), 0.9, False),
        ((-0.3, -0.2), float("nan"), False),
        (None, 5.0, False),
    ],
)
def test_an_opposite_sign_is_told_where_the_training_had_one(trained, image, inverted):
    assert TrainedOn(None, trained).looks_inverted(image) is inverted
