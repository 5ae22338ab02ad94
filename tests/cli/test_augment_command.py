"""`cunet augment`: the sheet shows what training meets."""

import numpy as np
from augment_scenes import picture_folder
from click.testing import CliRunner
from PIL import Image

from cunet.cli.augment import command
from cunet.errors import CunetError
from cunet.pictures import sheets
from cunet.training.config import Config
from cunet.training.prepared import prepare


def test_command_draws_a_sheet(tmp_path):
    picture_folder(tmp_path)
    out = tmp_path / "sheet.png"
    arguments = ["--data", str(tmp_path), "-o", str(out), "--tile", "188"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1].strip().startswith("cunet train --data ")
    with Image.open(out) as picture:
        assert min(picture.size) > 500
    before = out.read_bytes()
    assert isinstance(CliRunner().invoke(command, arguments).exception, CunetError)
    assert out.read_bytes() == before


def test_command_draws_what_training_with_these_settings_meets(tmp_path, monkeypatch):
    picture_folder(tmp_path)
    drawn = []
    monkeypatch.setattr(sheets, "augmentation_sheet", lambda samples, path: drawn.extend(samples))
    data = str(tmp_path)
    options = "--tile 188 --seed 3 --weight-map none --zoom 0.5 --blur 2.0"
    arguments = ["--data", data, "-o", str(tmp_path / "s.png"), *options.split()]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1].strip() == f"cunet train --data {data} {options}"
    config = Config(data=data, tile=188, seed=3, weight_map="none", zoom=0.5, blur=2.0)
    expected = prepare(config).samples
    assert len(drawn) == 16
    for number, sample in enumerate(drawn):
        for found, wanted in zip(sample, expected.sample(number), strict=True):
            np.testing.assert_array_equal(found, wanted)
    plain = prepare(Config(data=data, tile=188, seed=3)).samples.sample(0)
    assert not np.array_equal(drawn[0][0], plain[0])
