"""`cunet augment`: the sheet shows what training meets."""

import numpy as np
import pytest
from augment_scenes import picture_folder
from PIL import Image

from cunet.pictures import sheets
from cunet.training import plan


def test_command_draws_a_sheet(run, tmp_path):
    picture_folder(tmp_path)
    out = tmp_path / "sheet.png"
    arguments = ["augment", "--data", tmp_path, "-o", out, "--tile", "188"]
    code, _, err = run(*arguments)
    assert code == 0 and "preset cpu (on the CPU)" in err, err
    assert err.splitlines()[-1].strip() == f"cunet train --data {tmp_path} --tile 188"
    with Image.open(out) as picture:
        assert min(picture.size) > 500
    before = out.read_bytes()
    assert run(*arguments)[0] == 2 and out.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        "--tile 188 --seed 3 --weight-map none --zoom 0.5 --blur 2.0",
        "--tile 188",  # the usual preset of the CPU
        "--preset ucsd --resize 128 --batch 2 --width 4",
        "--preset paper --tile 188 --no-augment",
    ],
)
def test_command_draws_what_training_with_these_options_meets(run, tmp_path, monkeypatch, options):
    picture_folder(tmp_path)
    drawn = []
    monkeypatch.setattr(sheets, "augmentation_sheet", lambda samples, path: drawn.extend(samples))
    code, _, err = run("augment", "--data", tmp_path, "-o", tmp_path / "s.png", *options.split())
    assert code == 0, err
    assert err.splitlines()[-1].strip() == f"cunet train --data {tmp_path} {options}"
    settings = {"preset": "cpu", "tile": 188, "device": "cpu"}
    if "seed" in options:
        settings |= {"seed": 3, "weight_map": "none", "zoom": 0.5, "blur": 2.0}
    if "ucsd" in options:
        settings = {"preset": "ucsd", "resize": 128, "batch": 2, "width": 4, "device": "cpu"}
    if "paper" in options:
        settings |= {"preset": "paper", "augment": False}
    expected = plan.start(str(tmp_path), **settings).prepared.samples
    assert len(drawn) == 16
    for number, sample in enumerate(drawn):
        for found, wanted in zip(sample, expected.sample(number), strict=True):
            np.testing.assert_array_equal(found, wanted)
