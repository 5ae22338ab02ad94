"""Volumes under hostile conditions: nothing is lost, mixed or wrong in silence."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from small_volumes import TILE, digest, expected, small_volume, write_volume

import cunet
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.ome_zarr.output import open_output
from cunet.volumes.books import Books

EVERY = {"products": ("prob", "mask", "labels"), "tile": TILE, "block": (1, 56, 56), "levels": 3}


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """The digest of the output of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "out.ome.zarr"
    cunet.segment_volume(made[0] / "v5.ome.zarr", out, made[0] / "net.npz", **EVERY)
    return digest(out)


@pytest.mark.parametrize("name", ["v5.ome.zarr", "v.tif"])
def test_pages_are_those_of_the_image(name, made, tmp_path):
    folder, volume, net = made
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(folder / name, out, folder / "net.npz", pages="1-2", tile=TILE)
    prob = expected(volume[1:3], net)[..., 1]
    np.testing.assert_array_equal(open_output(out)["image"][:], prob)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("source", ["", "labels/mask", "link"])
def test_an_output_never_replaces_its_source(source, overwrite, made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(made[0] / "v5.ome.zarr", out, made[0] / "net.npz", tile=TILE)
    before = digest(out)
    image = out / source
    if source == "link":
        image = tmp_path / "link.ome.zarr"
        image.symlink_to(out, target_is_directory=True)
    with pytest.raises(CunetError, match="is read from there; give another name"):
        cunet.segment_volume(image, out, made[0] / "net.npz", overwrite=overwrite, tile=TILE)
    assert digest(out) == before


def test_a_link_is_not_replaced(made, tmp_path):
    out, link = tmp_path / "out.ome.zarr", tmp_path / "link.ome.zarr"
    cunet.segment_volume(made[0] / "v5.ome.zarr", out, made[0] / "net.npz", tile=TILE)
    before = digest(out)
    link.symlink_to(out, target_is_directory=True)
    with pytest.raises(CunetError, match="is a link: give the name of the folder"):
        cunet.segment_volume(
            made[0] / "v5.ome.zarr", link, made[0] / "net.npz", tile=TILE, overwrite=True
        )
    assert digest(out) == before


def test_nothing_is_replaced_while_others_work_on_it(made, whole, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    refused = []

    def disturb(*_):
        if not refused:
            with pytest.raises(CunetError, match="worked on by other processes") as found:
                cunet.segment_volume(*arguments, **EVERY, threshold=0.9, overwrite=True)
            refused.append(found)

    cunet.segment_volume(*arguments, **EVERY, progress=disturb)
    assert refused and digest(out) == whole
    cunet.segment_volume(*arguments, **EVERY, threshold=0.9, overwrite=True)  # nobody does now
    assert digest(out) != whole


def test_another_volume_with_the_same_metadata_is_another(made, tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        write_volume(tmp_path / f"{number}/v.ome.zarr", small_volume(seed=number))
    out, model = tmp_path / "out.ome.zarr", made[0] / "net.npz"
    cunet.segment_volume(tmp_path / "1/v.ome.zarr", out, model, tile=TILE)
    with pytest.raises(CunetError, match="was begun with image"):
        cunet.segment_volume(tmp_path / "2/v.ome.zarr", out, model, tile=TILE)


def test_an_output_without_its_books_is_kept(made, tmp_path):
    out, arguments = tmp_path / "out.ome.zarr", {"tile": TILE, "model": made[0] / "net.npz"}
    cunet.segment_volume(made[0] / "v5.ome.zarr", out, **arguments)
    before = digest(out)
    Books(out).task.unlink()
    with pytest.raises(CunetError, match="nothing beside it says how it was made"):
        cunet.segment_volume(made[0] / "v5.ome.zarr", out, **arguments, threshold=0.9)
    assert digest(out) == before


@pytest.mark.parametrize("folder", ["1", "2", "labels/mask/1", "labels/labels/0", "labels/labels"])
def test_killed_between_a_folder_and_its_metadata(folder, made, whole, tmp_path):
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", part=(1, 2), **EVERY)
    (out / folder).mkdir(parents=True)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)
    assert digest(out) == whole


def test_damaged_journals_and_results_count_for_nothing(made, whole, tmp_path):
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", part=(1, 2), **EVERY)
    odd = ['{"unit": 1, "classes": "x"}', "[]", "null", "{}", '{"unit": true}', '{"unit": -1}']
    text = "\n".join([*odd, "[" * 100_000, "\0" * 99, "\ufeff"]) + '\n{"unit": 5'
    (Books(out).folder / "journals" / "net-000000000-1-0.jsonl").write_text(text)
    for result in ("", "[]", '{"x": 1}'):
        Books(out).done.write_text(result)
        found = cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)
        assert found["finished"] and digest(out) == whole


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_task_says_what_to_do(text, made, tmp_path):
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", tile=TILE)
    Books(out).task.write_text(text)
    with pytest.raises(DataError, match="give --overwrite to begin anew"):
        cunet.segment_volume(*arguments, out, made[0] / "net.npz", tile=TILE)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", tile=TILE, overwrite=True)


def test_parts_from_other_folders_and_a_volume_that_was_moved(made, whole, tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name / "deeper").mkdir(parents=True)
    shutil.copytree(made[0] / "v5.ome.zarr", tmp_path / "first/v.ome.zarr")
    monkeypatch.chdir(tmp_path / "first")
    arguments = {"model": made[0] / "net.npz"} | EVERY
    cunet.segment_volume("v.ome.zarr", "../out.ome.zarr", part=(1, 3), **arguments)
    monkeypatch.chdir("deeper")
    cunet.segment_volume("../v.ome.zarr", "../../out.ome.zarr", part=(2, 3), **arguments)
    Path("../v.ome.zarr").rename(tmp_path / "second/v.ome.zarr")
    cunet.segment_volume(tmp_path / "second/v.ome.zarr", tmp_path / "out.ome.zarr", **arguments)
    assert digest(tmp_path / "out.ome.zarr") == whole


def test_a_part_that_ends_while_another_joins(made, whole, tmp_path):
    """It is done as well, and says that it is not the one that finishes."""
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", part=(1, 2), **EVERY)
    with Books(out).finishing():
        found = cunet.segment_volume(*arguments, out, made[0] / "net.npz", part=(2, 2), **EVERY)
        assert found["left"] == 0 and not found["finished"]
        with pytest.raises(CunetError, match="in use by another process"):
            cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)
    again = cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)
    assert again["finished"] and digest(out) == whole


def test_axes_of_several_units(made, tmp_path):
    """The output has one unit, and its place in it."""
    path, out = tmp_path / "v.ome.zarr", tmp_path / "out.ome.zarr"
    shutil.copytree(made[0] / "v5.ome.zarr", path)
    group = zarr.open_group(path, mode="r+")
    ome = group.attrs["ome"]
    axes, (level,) = ome["multiscales"][0]["axes"], ome["multiscales"][0]["datasets"]
    for axis, unit in zip(axes, ("micrometer", "nanometer", "angstrom"), strict=True):
        axis["unit"] = unit
    level["coordinateTransformations"] = [
        {"type": "scale", "scale": [0.05, 4.0, 40.0]},
        {"type": "translation", "translation": [1.5, 100.0, 3000.0]},
    ]
    group.attrs["ome"] = ome
    cunet.segment_volume(path, out, made[0] / "net.npz", tile=TILE, pages="1-2")
    with open_image(out) as image:
        (unit,) = set(image.units)
        nanometres = {"nanometer": 1, "micrometer": 1000}[unit]
        assert np.multiply(image.scale, nanometres) == pytest.approx([50, 4, 4])
        assert np.multiply(image.translation, nanometres) == pytest.approx([1550, 100, 300])


def test_two_clients_of_one_scheduler(made, whole, tmp_path):
    """Their runs begin with the same blocks of different outputs; workers live elsewhere."""
    distributed = pytest.importorskip("distributed")
    from cunet.volumes.cluster import Cluster
    from cunet.volumes.segment_volume import prepared, wanted_of
    from cunet.volumes.work import go_on

    with (
        distributed.LocalCluster(
            2,
            threads_per_worker=1,
            processes=False,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        distributed.Client(cluster) as one,
        distributed.Client(cluster) as two,
    ):
        begun = [
            prepared(
                made[0] / "v5.ome.zarr", tmp_path / f"{i}.ome.zarr", made[0] / "net.npz",
                wanted_of(dict(EVERY)),
            )
            for i in (1, 2)
        ]  # fmt: skip
        second = []

        def meanwhile(*_):
            if not second:
                second.append(go_on(begun[1], Cluster(two, "cpu")))

        assert go_on(begun[0], Cluster(one, "cpu"), progress=meanwhile)["finished"]
        assert second[0]["finished"]
    assert digest(tmp_path / "1.ome.zarr") == digest(tmp_path / "2.ome.zarr") == whole


def test_json_is_all_that_standard_output_has(made, tmp_path):
    words = [made[0] / "v5.ome.zarr", "--out", tmp_path / "o.ome.zarr", "--model"]
    words += [made[0] / "net.npz", "--tile", TILE, "--device", "cpu", "--json"]
    code = "from cunet.cli import main; main()"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, "segment", *map(str, words)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["finished"] is True


@pytest.mark.parametrize("prob", ["float32", "uint8"])
def test_objects_and_scores_of_an_output(prob, made, tmp_path):
    """The commands that take a file of probabilities take the output as well."""
    from skimage.measure import label

    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(
        made[0] / "v5.ome.zarr", out, made[0] / "net.npz", prob=prob, levels=2, tile=TILE
    )
    stored = open_output(out)["image"][:]
    white = stored > (0.5 if prob == "float32" else 127)
    code = "from cunet.cli import main; main()"

    def run(*words):
        return subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, words)], capture_output=True, text=True
        )

    done = run("objects", out, "--out", tmp_path / "made", "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["probabilities"]
    labels = cunet.read_image(entry["outputs"]["labels"])[..., 0]
    np.testing.assert_array_equal(labels, [label(page, connectivity=1) for page in white])
    again = run("objects", out, "--out", tmp_path / "made", "--json")
    assert json.loads(again.stdout)["probabilities"][0]["skipped"] is True
    scored = run("evaluate", "pixels", out, out / "labels" / "mask", "--json")
    assert scored.returncode == 0, scored.stderr
    scored = run("evaluate", "pixels", out / "labels" / "mask", out / "labels" / "mask")
    assert scored.returncode == 3 and "is a label image" in scored.stderr, scored.stderr


def test_a_stack_of_times_says_what_to_do(made, tmp_path):
    tifffile.imwrite(tmp_path / "t.tif", made[1], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(CunetError, match=r"has 3 times \(axes TYX\): save the slices of one time"):
        cunet.segment_volume(tmp_path / "t.tif", tmp_path / "o.ome.zarr", made[0] / "net.npz")


def test_pages_of_grey_colours(made, tmp_path):
    folder, volume, net = made
    tifffile.imwrite(tmp_path / "c.tif", np.repeat(volume[..., None], 3, 3), photometric="rgb")
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(tmp_path / "c.tif", out, folder / "net.npz", pages="2", tile=TILE)
    np.testing.assert_array_equal(open_output(out)["image"][:], expected(volume[2:], net)[..., 1])
    with open_image(out) as image:
        assert image.translation == (2.0, 0.0, 0.0)


def test_killed_while_it_is_replaced(made, whole, tmp_path, monkeypatch):
    """Half of an old output is never taken for the whole."""
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)

    def killed(path, **_):
        for file in sorted(path.rglob("c/**/*"))[:9]:
            if file.is_file():
                file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            cunet.segment_volume(
                *arguments, out, made[0] / "net.npz", **EVERY, threshold=0.9, overwrite=True
            )
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", **EVERY)
    assert digest(out) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ome.zarr", "out.ome.zarr.cunet"]


def test_what_another_program_made_is_not_replaced(made, tmp_path):
    """Even where books of an output of this name are still there."""
    out, arguments = tmp_path / "out.ome.zarr", (made[0] / "v5.ome.zarr",)
    cunet.segment_volume(*arguments, out, made[0] / "net.npz", tile=TILE)
    shutil.rmtree(out)
    write_volume(out, small_volume(seed=3))
    before = digest(out)
    with pytest.raises(CunetError, match="nothing says that cunet made it; move it away"):
        cunet.segment_volume(
            *arguments, out, made[0] / "net.npz", tile=TILE, threshold=0.9, overwrite=True
        )
    assert digest(out) == before
