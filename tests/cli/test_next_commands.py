"""What commands print can be pasted back: names with brackets, blanks and commas."""

import json
import shlex

import numpy as np
import pytest
import tifffile
from PIL import Image

import cunet
from cunet.cli import common
from cunet.segmentation.inputs import find_images, target_paths
from cunet.segmentation.next_command import segment_command

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
        image = image_of(segment_command(str(data), "runs/a b"))
        assert sorted(find_images([image])) == expected
    one = image_of(segment_command(str(folder / "id1"), "runs/a b"))
    assert find_images([one]) == expected[1:]


@pytest.mark.parametrize(
    ("image", "labels", "named"),
    [
        ("images/{}.tif", "masks/{}.png", "images"),
        ("imagesTr/{}_0000.tif", "labelsTr/{}.tif", "imagesTr"),
        ("{}.tif", "{}_seg.tif", "a.tif"),
    ],
)
def test_images_in_other_layouts(tmp_path, image, labels, named):
    for name in "ab":
        for path in (tmp_path / image.format(name), tmp_path / labels.format(name)):
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, np.eye(9, dtype=np.uint8))
    command = segment_command(str(tmp_path), "runs/a")
    assert image_of(command) == str(tmp_path / named)
    assert not any("seg" in path.name for path in find_images([image_of(command)]))


def test_channels_in_files_of_their_own_are_not_segmented_one_by_one(tmp_path):
    for name in ("imagesTr/a_0000.tif", "imagesTr/a_0001.tif", "labelsTr/a.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, np.eye(9, dtype=np.uint8))
    assert segment_command(str(tmp_path), "runs/a") == "cunet segment --help"
    (tmp_path / "imagesTr/a_0000.tif").unlink()  # damaged since
    assert segment_command(str(tmp_path), "runs/a") == "cunet segment --help"


def test_frames_in_any_spelling_are_segmented_and_scored(tmp_path):
    for name in ("01/t003.TIF", "01_GT/SEG/man_seg003.tiff"):
        (tmp_path / name).parent.mkdir(parents=True)
        tifffile.imwrite(tmp_path / name, np.eye(9, dtype=np.uint8))
    command = segment_command(str(tmp_path), "runs/a")
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


def next_of(err):
    """The arguments of the command that a command printed last."""
    lines = err.splitlines()
    assert lines[-2] == "Next:"
    words = shlex.split(lines[-1])
    assert words[0] == "cunet"
    return words[1:]


def test_every_next_command_works_and_none_comes_twice(trained, run, tmp_path, monkeypatch):
    """From a run to its segmentation, its score, its curves and to the end."""
    monkeypatch.chdir(tmp_path)
    data, folder, done = trained
    words, seen = next_of(done.stderr), []
    while words != common.LAST:
        assert words not in seen and len(seen) < 9
        seen.append(words)
        code, _, err = run(*words)
        assert code == 0, (words, err)
        words = next_of(err)
    assert [one[0] for one in seen] == ["segment", "evaluate", "evaluate"]
    assert seen[0][-2:] == seen[1][-2:] == ["--pages", "0,2"]
    assert seen[1][1] == "isbi" and seen[2][-1] == "curves.png"
    code, _, err = run(*seen[1])  # the picture of the last call is not replaced
    assert code == 0 and next_of(err)[-1] == "curves-2.png"


def test_a_run_whose_images_are_segmented_leads_on(trained, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, folder, _ = trained
    image = str(data / "train-volume.tif")
    plain = ["segment", image, "--model", str(folder)]
    assert shlex.split(segment_command(str(data), str(folder)))[1:] == plain
    assert run(*plain)[0] == 0
    more = [*plain, "--products", "labels,overlay"]
    assert shlex.split(segment_command(str(data), str(folder)))[1:] == more
    # products of another network are neither replaced nor an error
    other = tmp_path / "other"
    other.mkdir()
    net = cunet.UNet(width=2, depth=2, seed=3)
    cunet.save(other / "best.npz", net)
    words = shlex.split(segment_command(str(data), str(other)))[1:]
    assert words == ["segment", image, "--model", str(other), "--out", "other"]
    assert run(*words)[0] == 0
    assert segment_command(str(tmp_path / "gone"), str(folder)) == "cunet segment --help"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["--products", "labels,overlay"]),
        (["-o", "new"], ["-o", "new", "--products", "labels,overlay"]),
        (["--products=prob,labels", "--json"], ["--products", "overlay,mask"]),
        (["--products", "prob", "-omy.tif"], ["--products", "labels,overlay,mask"]),
        (["--products", "prob", "--out=my.tif"], ["--products", "labels,overlay,mask"]),
        (["--products", "prob", "--out", "my.tif"], ["--products", "labels,overlay,mask"]),
        (["--products", "prob,mask,labels,overlay"], None),
    ],
)
def test_the_products_not_yet_made_come_next(trained, run, tmp_path, monkeypatch, given, expected):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a b.tif", np.eye(40, dtype=np.uint8))
    begin = ["segment", "a b.tif", "--model", str(trained[1])]
    code, _, err = run(*begin, *given)
    assert code == 0, err
    words = next_of(err)
    assert words == (["explain"] if expected is None else [*begin, *expected])
    code, _, err = run(*words)
    assert code == 0, err
    assert set(next_of(err)) & {"explain", "gradcheck", "--products"}


def test_what_is_there_already_does_not_come_next(trained, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", np.eye(40, dtype=np.uint8))
    begin = ["segment", "a.tif", "--model", str(trained[1])]
    assert run(*begin)[0] == 0
    code, _, err = run(*begin, "--products", "labels")
    assert code == 0 and next_of(err) == [*begin, "--products", "overlay"]


def test_labels_beside_their_images_lead_to_a_training(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bowl(tmp_path / "stage1 train", (".png", ".png"))
    mask = "stage1 train/id0/masks/m.png"
    code, _, err = run("weights", mask, "-o", "w.tif")
    assert code == 0 and next_of(err)[:3] == ["train", "--data", "stage1 train"]
    (tmp_path / "alone").mkdir()
    (tmp_path / mask).rename(tmp_path / "alone" / "m.png")
    code, _, err = run("weights", "alone/m.png", "-o", "v.tif")
    assert code == 0 and next_of(err) == common.LAST


def test_a_weight_map_leads_to_a_training_that_reads_the_labels_alike(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = np.kron(np.diag([1, 2, 3]), np.ones((16, 16))).astype(np.uint8)  # objects, or classes
    for name in ("images", "labels", "masks"):
        (tmp_path / "d" / name).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "d" / name / "a.tif", ids)
    meant = ["--labels", "classes", "--dataset", "folder:masks"]
    code, _, err = run("weights", "d", "-o", "w.tif", "--preset", "cpu", *meant)
    assert code == 0, err
    assert next_of(err) == ["train", "--data", "d", "--weight-map", "balance", *meant]


@pytest.mark.parametrize("torch", [True, False])
def test_the_benchmark_names_pytorch_where_it_is(run, monkeypatch, torch):
    monkeypatch.setattr("cunet.cli.bench.find_spec", lambda name: object() if torch else None)
    monkeypatch.setattr("cunet.bench.cpu.measure", lambda *args, **options: {})
    code, _, err = run("bench", "--device", "cpu", "--json")
    assert code == 0
    assert next_of(err) == (["bench", "--against", "torch"] if torch else ["doctor"])
