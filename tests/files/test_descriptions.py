"""The text in a file that says what it was made from: any name can be in it, and it is found."""

import os

import numpy as np
import pytest

from cunet.files import TiffOutput, read_description, stored_text, tiff_output, write_png

NAMES = ["plain", "Zelle_ü", "細胞", os.fsdecode(b"Zelle_\xfc"), "a\nb", "\U0001f52c", "\udcff"]


@pytest.mark.parametrize("kind", ["imagej", "plain", "big", "png"])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_stored_and_is_found_again(tmp_path, monkeypatch, name, kind):
    text, path = f"cunet segment {name}.tif, threshold 0.5", tmp_path / "o.png"
    if kind == "png":
        write_png(path, np.zeros((9, 8), np.uint8), text)
    else:
        path = tmp_path / "o.tif"
        monkeypatch.setattr(tiff_output, "CLASSIC_BYTES", 10 if kind == "big" else 2**32)
        TiffOutput(
            path, 1, 9, 8, "uint32" if kind == "plain" else "uint8", description=text
        ).close()
    assert read_description(path) == stored_text(text)
    assert stored_text(text).isascii() and "threshold 0.5" in stored_text(text)
    assert stored_text(stored_text(text)) == stored_text(text)


def test_a_text_of_another_file_is_another_text(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((9, 8), np.uint8), "one")
    assert read_description(tmp_path / "a.png") != stored_text("two")


def test_what_holds_no_text(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((9, 8), np.uint8))
    (tmp_path / "b.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff" + bytes(40))
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x09iTXtDescription")
    for name in ("a.png", "b.tif", "c.png", "none.tif"):
        assert read_description(tmp_path / name) == ""
