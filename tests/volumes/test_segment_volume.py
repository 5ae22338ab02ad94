"""Volumes by blocks: the same bits as the whole, whatever the blocks, parts, formats and workers;
stopped anywhere they go on."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from skimage.measure import label
from small_volumes import TILE, digest, expected, small_net, small_volume, write_volume

import cunet
from cunet.errors import CunetError, DataError, DeviceError
from cunet.files import open_image
from cunet.files.ome_zarr import chunks
from cunet.files.ome_zarr.output import open_output
from cunet.segmentation.next_command import after_volume
from cunet.volumes import cluster
from cunet.volumes.books import Books

EVERY = {"products": ("prob", "mask", "labels"), "tile": TILE}


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """The digest of the output in one block, of which everything was compared with the whole."""
    folder, volume, net = made
    out = tmp_path_factory.mktemp("whole") / "out.ome.zarr"
    found = cunet.segment_volume(
        folder / "v5.ome.zarr", out, folder / "net.npz", block=(3, 140, 196), **EVERY
    )
    arrays = open_output(out)
    prob = expected(volume, net)[..., 1]
    np.testing.assert_array_equal(arrays["image"][:], prob)
    np.testing.assert_array_equal(arrays["mask"][:], prob > 0.5)
    labels = np.stack([label(page > 0.5, connectivity=1) for page in prob])
    np.testing.assert_array_equal(arrays["labels"][:], labels)
    assert found["finished"] and found["left"] == 0 and found["skipped_tiles"] == 3 * 4
    assert found["objects"] == sum(int(page.max()) for page in labels)
    assert found["class_shares"] == pytest.approx([(prob <= 0.5).mean(), (prob > 0.5).mean()])
    return digest(out)


@pytest.mark.parametrize(
    "source,block,zarr",
    [
        ("v5.ome.zarr", None, "0.5"),
        ("v5.ome.zarr", (1, 28, 28), "0.5"),
        ("v4.ome.zarr", (3, 56, 84), "0.5"),
        ("v.tif", (2, 84, 28), "0.4"),
        ("v.tif", (1, 140, 196), "0.5"),
    ],
)
def test_no_result_depends_on_blocks_and_formats(source, block, zarr, made, whole, tmp_path):
    out, model = tmp_path / "out.ome.zarr", made[0] / "net.npz"
    cunet.segment_volume(made[0] / source, out, model, block=block, zarr=zarr, **EVERY)
    assert digest(out) == whole
    assert open_image(out).version == zarr


@pytest.mark.parametrize("source", ["v.tif", "v5.ome.zarr"])
def test_some_sections_are_those_that_were_named(source, made, tmp_path):
    folder, volume, net = made
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(folder / source, out, folder / "net.npz", pages="1-2", **EVERY)
    prob = expected(volume, net)[1:, ..., 1]
    np.testing.assert_array_equal(open_output(out)["image"][:], prob)


@pytest.mark.parametrize("parts,order", [(2, (1, 2)), (4, (3, 1, 4, 2)), (50, range(50, 0, -1))])
def test_parts(parts, order, made, whole, tmp_path):
    """Each does its own blocks, and the last one, whichever it is, finishes."""
    out, left = tmp_path / "out.ome.zarr", []
    for i in order:
        found = cunet.segment_volume(
            made[0] / "v5.ome.zarr", out, made[0] / "net.npz", part=(i, parts), block=(1, 28, 56),
            **EVERY,
        )  # fmt: skip
        left.append(found["left"])
    assert left == sorted(left, reverse=True) and left[-1] == 0 and found["finished"]
    assert digest(out) == whole
    lines = [json.loads(line) for line in journal_lines(out, "net")]
    assert len(lines) == len({line["unit"] for line in lines}) == found["blocks"]


def test_the_last_part_leaves_the_end_to_one_that_has_begun_it(made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    cunet.segment_volume(*arguments, part=(1, 2), tile=TILE, block=(1, 56, 56))
    with Books(out).finishing():
        found = cunet.segment_volume(*arguments, part=(2, 2), tile=TILE, block=(1, 56, 56))
        assert found["left"] == 0 and not found["finished"]
        with pytest.raises(CunetError, match="in use by another process"):
            cunet.segment_volume(*arguments, tile=TILE, block=(1, 56, 56))
    assert cunet.segment_volume(*arguments, tile=TILE, block=(1, 56, 56))["finished"]


def journal_lines(out, stage):
    """All lines of the journals of a stage."""
    folder = Books(out).folder / "journals"
    return [line for path in folder.glob(f"{stage}-*") for line in path.read_text().splitlines()]


def command(made, out, *more):
    """The command line of the same segmentation."""
    code = "import sys; from cunet.cli import main; main()"
    words = ["segment", made[0] / "v5.ome.zarr", "--out", out, "--model", made[0] / "net.npz"]
    words += ["--products", "prob,mask,labels", "--tile", TILE, "--device", "cpu"]
    return [sys.executable, "-P", "-c", code, *map(str, [*words, *more])]


@pytest.mark.parametrize("blocks_before", [0, 1, 7])
def test_killed_and_run_again(blocks_before, made, whole, tmp_path):
    """By SIGKILL, wherever it is; a line cut short in a journal counts for nothing."""
    out = tmp_path / "out.ome.zarr"
    arguments = command(made, out, "--block", "1,28,28", "--threads", "1")
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(journal_lines(out, "net")) < blocks_before and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(journal_lines(out, "net"))
    for path in (Books(out).folder / "journals").glob("net-*"):
        with open(path, "a") as file:
            file.write('{"unit": 3, "tiles"')
    again = subprocess.run(arguments, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert digest(out) == whole
    assert len(journal_lines(out, "net")) <= 105 + 1 + bool(before)  # the torn line and one block


def test_a_full_disk_loses_nothing(made, whole, tmp_path, monkeypatch):
    out, real, written = tmp_path / "out.ome.zarr", chunks._replace, []

    def full(path, pieces):
        written.append(path)
        if len(written) > 9:
            raise OSError(28, "No space left on device")
        real(path, pieces)

    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    with monkeypatch.context() as patched:
        patched.setattr(chunks, "_replace", full)
        with pytest.raises(DeviceError, match="no room for .*out.ome.zarr"):
            cunet.segment_volume(*arguments, block=(1, 56, 56), **EVERY)
    done = len(journal_lines(out, "net"))
    assert 3 <= done <= 5
    cunet.segment_volume(*arguments, block=(1, 56, 56), **EVERY)
    assert digest(out) == whole
    lines = [json.loads(line)["unit"] for line in journal_lines(out, "net")]
    assert len(lines) == len(set(lines))  # nothing was done twice


def test_what_is_done_is_not_done_again(made, whole, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    first = cunet.segment_volume(*arguments, **EVERY)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    again = cunet.segment_volume(*arguments, **EVERY)
    assert again["skipped"] and again["objects"] == first["objects"]
    assert times == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    with pytest.raises(CunetError, match=r"was begun with threshold 0.5 \(now 0.6\).*--overwrite"):
        cunet.segment_volume(*arguments, **EVERY, threshold=0.6)
    cunet.segment_volume(*arguments, **EVERY, threshold=0.6, overwrite=True)
    np.testing.assert_array_equal(
        open_output(out)["mask"][:], open_output(out)["image"][:] > np.float32(0.6)
    )


def test_labels_are_made_later_of_the_mask_that_is_there(made, whole, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    assert cunet.segment_volume(*arguments, tile=TILE)["objects"] is None
    times = {p: p.stat().st_mtime_ns for p in (out / "0").rglob("*") if p.is_file()}
    found = cunet.segment_volume(*arguments, tile=TILE, products=("labels",))
    assert found["objects"] and found["products"] == ["prob", "mask", "labels"]
    assert digest(out) == whole
    assert times == {p: p.stat().st_mtime_ns for p in (out / "0").rglob("*") if p.is_file()}
    for products in (("labels",), ("mask",), ("prob", "labels")):  # nothing is left to be done
        assert cunet.segment_volume(*arguments, tile=TILE, products=products)["skipped"]
    with pytest.raises(CunetError, match=r"begun with connectivity 4 \(now 8\)"):
        cunet.segment_volume(*arguments, tile=TILE, products=("labels",), connectivity=8)


def test_labels_are_made_anew_and_all_else_stays(made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    first = cunet.segment_volume(*arguments, **EVERY)
    times = {p: p.stat().st_mtime_ns for p in (out / "0").rglob("*") if p.is_file()}
    with pytest.raises(CunetError, match=r"begun with min-area 0 \(now 9\).*--overwrite"):
        cunet.segment_volume(*arguments, **EVERY, min_area=9)
    found = cunet.segment_volume(*arguments, **EVERY, min_area=9, overwrite=True)
    assert 0 < found["objects"] < first["objects"] and found["finished"]
    assert times == {p: p.stat().st_mtime_ns for p in (out / "0").rglob("*") if p.is_file()}
    arrays = open_output(out)
    for mask, labels in zip(arrays["mask"][:], arrays["labels"][:], strict=True):
        components = label(mask, connectivity=1)
        kept = np.bincount(components.ravel()) >= 9
        kept[0] = False
        np.testing.assert_array_equal(labels, np.where(kept, kept.cumsum(), 0)[components])


def test_what_failed_before_its_first_block_may_be_begun_otherwise(made, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    with pytest.raises(DeviceError, match="no Dask scheduler answers"):
        cunet.segment_volume(*arguments, tile=TILE, cluster="tcp://127.0.0.1:9")
    found = cunet.segment_volume(*arguments, tile=TILE, products=("mask",), threshold=0.4)
    assert found["finished"] and found["products"] == ["mask"]


def test_the_next_command(made, tmp_path):
    """The next part that has something to do; objects of sections at the end."""
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    parts = []
    for i in (3, 1):
        found = cunet.segment_volume(*arguments, part=(i, 3), tile=TILE, block=(1, 56, 56))
        parts.append(found["next_part"])
        words = ["segment", "v", "--part", f"{i}/3", "--json", "--out", "o"]
        assert after_volume(words, found, "o").endswith(f"--out o --part {parts[-1]}")
    assert parts == ["1/3", "2/3"]
    found = cunet.segment_volume(*arguments, part=(2, 3), tile=TILE, block=(1, 56, 56))
    assert after_volume(words, found, "o") == "cunet objects o --products table"


def test_a_product_that_was_not_begun_cannot_be_added(made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    arguments = made[0] / "v5.ome.zarr", out, made[0] / "net.npz"
    cunet.segment_volume(*arguments, tile=TILE, products=("mask",))
    with pytest.raises(CunetError, match=r"begun with products mask \(now prob,mask\)"):
        cunet.segment_volume(*arguments, tile=TILE, products=("prob", "mask"))


def test_the_model_and_the_image_are_those_of_the_beginning(made, tmp_path):
    out, source, model = tmp_path / "o.ome.zarr", tmp_path / "v.ome.zarr", tmp_path / "net.npz"
    write_volume(source, small_volume())
    cunet.save(model, small_net())
    cunet.segment_volume(source, out, model, part=(1, 2), tile=TILE, block=(1, 56, 56))
    other = small_net()
    other.parameters()[0].value += 1
    cunet.save(model, other)
    with pytest.raises(CunetError, match="was begun with model-hash"):
        cunet.segment_volume(source, out, model, part=(2, 2), tile=TILE, block=(1, 56, 56))
    cunet.save(model, small_net())
    write_volume(source.with_name("w.ome.zarr"), small_volume((3, 131, 191)))
    with pytest.raises(CunetError, match="was begun with image"):
        cunet.segment_volume(
            source.with_name("w.ome.zarr"), out, model, tile=TILE, block=(1, 56, 56)
        )


def test_prob_as_bytes_and_calibration(made, tmp_path):
    folder, volume, net = made
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(
        folder / "v5.ome.zarr", out, folder / "net.npz", prob="uint8", tile=TILE, pages="1-2"
    )
    arrays = open_output(out)
    prob = expected(volume, net)[1:, ..., 1]
    np.testing.assert_array_equal(arrays["image"][:], np.rint(prob * np.float32(255)))
    np.testing.assert_array_equal(arrays["mask"][:], prob > 0.5)
    with open_image(out) as image:
        assert image.dtype == np.uint8 and image.scale == pytest.approx((0.05, 0.004, 0.004))
        assert image.translation == pytest.approx((0.05, 0.0, 0.0))  # one section in


def test_three_classes(made, tmp_path):
    net = small_net(classes=3)
    cunet.save(tmp_path / "net3.npz", net)
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(made[0] / "v.tif", out, tmp_path / "net3.npz", block=(1, 56, 84), **EVERY)
    prob = expected(made[1], net)
    arrays = open_output(out)
    np.testing.assert_array_equal(arrays["image"][:], np.moveaxis(prob, 3, 0))
    np.testing.assert_array_equal(arrays["mask"][:], prob.argmax(3))


def test_objects_of_the_whole_volume(made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    found = cunet.segment_volume(
        made[0] / "v.tif", out, made[0] / "net.npz", products=("labels",), objects="volume",
        connectivity=8, min_area=4, tile=TILE, block=(1, 56, 56),
    )  # fmt: skip
    arrays = open_output(out)
    assert sorted(arrays) == ["image", "labels", "mask"]
    np.testing.assert_array_equal(arrays["image"][:], 255 * arrays["mask"][:])
    labels = label(arrays["mask"][:], connectivity=3)
    kept = np.bincount(labels.ravel()) >= 4
    kept[0] = False
    np.testing.assert_array_equal(arrays["labels"][:], np.where(kept, kept.cumsum(), 0)[labels])
    assert found["objects"] == kept.sum()


def test_empty_tiles_are_computed_where_asked_for(made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    cunet.segment_volume(made[0] / "v.tif", out, made[0] / "net.npz", skip_empty=False, tile=TILE)
    prob = expected(made[1], made[2], skip=False)[..., 1]
    np.testing.assert_array_equal(open_output(out)["image"][:], prob)


@pytest.mark.parametrize(
    "settings,said",
    [
        ({"block": (1, 30, 56)}, "Y must be a multiple of 28.*give 28 or 56"),
        ({"block": (1, 28)}, "block: expected"),
        ({"products": ("overlay",)}, "overlay: an OME-Zarr holds prob, mask, labels"),
        ({"prob": "float16"}, "prob: expected one of float32, uint8, found 'float16'"),
        ({"fill_holes": True}, "fill_holes: expected one of"),
        ({"tile": 69}, "tile 69 does not fit"),
        ({"channel": 1}, "channel"),
        ({"level": 3}, "levels 0 to 0"),
        ({"pages": "0,2"}, "expected one range"),
        ({"cluster": "here"}, "cluster here: expected local"),
        ({"device": "gpu"}, "device 'gpu' is not known"),
        ({"average": "mean"}, "average"),
        ({"threshold": 2}, "threshold"),
        ({"part": (3, 2)}, "part"),
        ({"part": (1, 2), "overwrite": True}, "--part: without --overwrite"),
        ({"zarr": "0.3"}, "zarr: expected one of 0.4, 0.5"),
    ],
)
def test_what_is_asked_wrongly(settings, said, made, tmp_path):
    out = tmp_path / "out.ome.zarr"
    with pytest.raises(CunetError, match=said):
        cunet.segment_volume(
            made[0] / "v5.ome.zarr", out, made[0] / "net.npz", **({"tile": TILE} | settings)
        )
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_other_folders_are_not_replaced(made, tmp_path):
    out = tmp_path / "mine.zarr"
    out.mkdir()
    (out / "diary.txt").write_text("dear diary")
    for overwrite in (False, True):
        with pytest.raises(CunetError, match="exists|is not replaced: nothing says"):
            cunet.segment_volume(
                made[0] / "v.tif", out, made[0] / "net.npz", tile=TILE, overwrite=overwrite
            )
    assert (out / "diary.txt").read_text() == "dear diary"


def test_pixels_that_are_no_image_are_named(made, tmp_path):
    volume = small_volume().astype(np.float32)
    volume[1, 77, 5] = np.nan
    write_volume(tmp_path / "v.ome.zarr", volume)
    with pytest.raises(DataError, match=r"v.ome.zarr' page 1 holds NaN .*row 77"):
        cunet.segment_volume(
            tmp_path / "v.ome.zarr", tmp_path / "o.ome.zarr", made[0] / "net.npz", tile=TILE
        )


def test_sections_of_their_own_mean_and_deviation(made, tmp_path):
    net = small_net(per_image=True)
    cunet.save(tmp_path / "net.npz", net)
    volume = small_volume(seed=3)
    volume[1] //= 3
    write_volume(tmp_path / "v.ome.zarr", volume)
    out = tmp_path / "out.ome.zarr"
    for i in (1, 2):
        cunet.segment_volume(
            tmp_path / "v.ome.zarr", out, tmp_path / "net.npz", part=(i, 2), block=(2, 56, 56),
            tile=TILE,
        )  # fmt: skip
    np.testing.assert_array_equal(open_output(out)["image"][:], expected(volume, net)[..., 1])


def test_networks_that_need_whole_sections(made, tmp_path):
    net = small_net()
    net.resize = 64
    cunet.save(tmp_path / "net.npz", net)
    with pytest.raises(CunetError, match="needs whole sections"):
        cunet.segment_volume(made[0] / "v.tif", tmp_path / "o.ome.zarr", tmp_path / "net.npz")


def test_workers_of_dask(made, whole, tmp_path):
    """Two workers, of which one is killed: another takes its place, and nothing is lost."""
    pytest.importorskip("distributed")
    out = tmp_path / "out.ome.zarr"
    killer = (
        "import os, signal, threading, time, sys\n"
        "from cunet.volumes import cluster\n"
        "real = cluster.dask_client\n"
        "def watched(address):\n"
        "    client = real(address)\n"
        "    def kill():\n"
        f"        while len(list({str(Books(out).folder / 'journals')!r} and "
        f"__import__('pathlib').Path({str(Books(out).folder)!r}).glob('journals/net-*'))) < 3:\n"
        "            time.sleep(0.01)\n"
        "        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)\n"
        "    threading.Thread(target=kill, daemon=True).start()\n"
        "    return client\n"
        "cluster.dask_client = watched\n"
        "from cunet.cli import main\n"
        "main()\n"
    )
    arguments = command(made, out, "--block", "1,28,56", "--cluster", "local:2")
    arguments[3] = killer
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert digest(out) == whole
    assert os.WIFEXITED(0)
