"""What commands print can be pasted back: names with brackets, blanks and commas."""

import json
import shlex

import numpy as np
import pytest
import tifffile
from PIL import Image

from cunet.cli import common
from cunet.segmentation.inputs import find_images, target_paths

TINY = "--width 2 --depth 1 --tile 34 --device cpu --threads 1 --preset cpu".split()


def image_of(command):
    """The image that a printed `cunet segment` names, as the shell hands it on."""
    parts = shlex.split(command)
    assert parts[:2] == ["cunet", "segment"]
    return parts[2]


def bowl(folder, endings):
    for i, ending in enumerate(endings):
        for part in ("images", "masks"):
            (folder / f"id{i}" / part).mkdir(parents=True)
        array = np.full((9, 9), 255, np.uint8)
        array[:5] = 0
        path = folder / f"id{i}" / "images" / f"id{i}{ending}"
        if ending.lower() == ".png":
            Image.fromarray(array).save(path, format="PNG")
        else:
            tifffile.imwrite(path, array)
        Image.fromarray(array).save(folder / f"id{i}" / "masks" / "m.png")
    return folder


@pytest.mark.parametrize(
    "endings", [(".png", ".png"), (".PNG", ".PNG"), (".png", ".tif"), (".TIF", ".PNG")]
)
def test_images_of_a_bowl_below_a_folder_with_brackets(tmp_path, endings):
    folder = bowl(tmp_path / "set [1], x" / "stage1_train", endings)
    expected = [folder / f"id{i}" / "images" / f"id{i}{e}" for i, e in enumerate(endings)]
    for data in (folder, folder.parent):
        image = image_of(common.segment_command(str(data), "runs/a b"))
        assert sorted(find_images([image])) == expected
    one = image_of(common.segment_command(str(folder / "id1"), "runs/a b"))
    assert find_images([one]) == expected[1:]


def test_frames_in_any_spelling_are_segmented_and_scored(tmp_path):
    for name in ("01/t003.TIF", "01_GT/SEG/man_seg003.tiff"):
        (tmp_path / name).parent.mkdir(parents=True)
        tifffile.imwrite(tmp_path / name, np.eye(9, dtype=np.uint8))
    command = common.segment_command(str(tmp_path), "runs/a")
    assert "--products ctc" in command
    (frame,) = find_images([image_of(command)])
    targets = target_paths(frame, "01_RES", ["ctc"], 1)
    assert frame.name == "t003.TIF" and targets["ctc"].name == "mask003.tif"


def test_a_run_with_odd_names_can_be_continued_by_what_it_prints(run, tmp_path, monkeypatch):
    data = tmp_path / "my [data], 1"
    for i in range(3):
        cell = np.zeros((36, 36), np.uint8)
        cell[5:20, 4 + i : 20] = 255
        for part, array in (("images", cell // 2 + np.uint8(i)), ("labels", cell)):
            (data / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(data / part / f"im [{i}], a.tif", array)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cunet.reporting.write_report", lambda run, *more: run)  # the slow part
    begin = ["train", "--data", data, *TINY, "--steps", 2, "--out", "run [1]"]
    code, text, _ = run(*begin, "--hold-out", "im [1], a", "--dry-run", "--json")
    held_out = json.loads(text)["held_out"]
    assert code == 0 and held_out == ["im [1], a"]
    code, text, err = run(*begin, "--hold-out", ",".join(held_out), "-n")
    assert code == 0
    again = shlex.split(err.splitlines()[-1])
    assert again[0] == "cunet" and "-n" not in again and "im [1], a" in again
    code, _, err = run(*again[1:])
    assert code == 0, err
    images = find_images([image_of(err.splitlines()[-1].strip())])
    assert images == sorted((data / "images").iterdir())


def test_the_dry_run_is_left_out_of_flags_in_one(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cunet", "train", "-nq", "--json", "--data", "a b"])
    common.next_in_earnest(quiet=False)
    assert capsys.readouterr().err.splitlines()[-1].strip() == "cunet train -q --data 'a b'"


def test_links_in_a_circle_are_told(run, tmp_path):
    circle, mask = tmp_path / "circle.tif", tmp_path / "mask.tif"
    circle.symlink_to(circle.name)
    picture = tmp_path / "picture.png"
    picture.symlink_to(picture.name)
    tifffile.imwrite(mask, np.eye(9, dtype=np.uint8))
    for arguments in (
        ("weights", circle, "-o", tmp_path / "w.tif"),
        ("evaluate", "pixels", circle, mask),
        ("evaluate", "isbi", mask, circle),
        ("evaluate", "dsb", circle, mask),
        ("evaluate", "ctc", circle, circle),
        ("train", "--data", circle, "--dry-run"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and str(circle) in err and len(err.splitlines()) == 1, (arguments, err)
    assert run("weights", mask, "-o", mask)[0] == 2
    code, _, err = run("evaluate", "pixels", mask, mask, "--plot", picture)
    assert code == 0 and not picture.is_symlink(), err
