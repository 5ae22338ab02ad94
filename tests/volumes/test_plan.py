"""The plan of a segmentation: what it counts is what loops over all blocks and a real run count."""

import json
import math
import shlex
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import tifffile
from small_volumes import SHAPE, TILE, small_net, small_volume, write_volume

import cunet
from cunet.errors import CunetError
from cunet.files import open_image
from cunet.files.ome_zarr.chunks import Chunks
from cunet.files.ome_zarr.output import create, open_output
from cunet.files.pieces import Pieces, Spans, pieces_of
from cunet.files.tiff_input import TiffImage
from cunet.net.shape import Shape
from cunet.segmentation.tiling import Cover
from cunet.segmentation.window import Window
from cunet.terminal import size
from cunet.threads import get_threads
from cunet.volumes.counts import Side
from cunet.volumes.finish import AT_ONCE
from cunet.volumes.plan import plan_volume
from cunet.volumes.plan_lines import hours, plan_lines, seconds
from cunet.volumes.segment_volume import prepared
from cunet.volumes.wanted import Wanted
from cunet.volumes.work import Here, go_on


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a volume in several formats, and the model."""
    folder, volume = tmp_path_factory.mktemp("plan"), small_volume()
    cunet.save(folder / "net.npz", small_net())
    write_volume(folder / "v5.ome.zarr", volume)
    write_volume(folder / "v4.ome.zarr", volume, "0.4", (2, 50, 40))
    write_volume(folder / "v.tif", volume)
    rows = {"strips": {"rowsperstrip": 20, "compression": "zlib"}, "raw": {}, "whole": {}}
    rows["whole"] = {"rowsperstrip": 131, "compression": "zlib"}
    for name, how in rows.items():
        how |= {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(folder / f"{name}.tif", volume, **how)
    two = np.stack([volume, 255 - volume])
    create(folder / "two.ome.zarr", two.shape, "czyx", "uint8", chunk=(2, 1, 64, 64))
    open_output(folder / "two.ome.zarr")["image"][:] = two
    return folder


def plan(made, source, pages=None, channel=None, **settings):
    wanted = Wanted(**{"tile": TILE, "levels": 1} | settings)
    return plan_volume(made / source, made / "net.npz", wanted, "cpu", pages, channel=channel)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pixels,block", [(131, 28), (190, 56), (28, 28), (29, 28), (20, 84),
                                          (1000, 512), (3, 28), (437, 437)])  # fmt: skip
def test_tiles_and_needs_of_blocks_are_those_of_windows(pixels, block, padding):
    shape = Shape(width=2, depth=2, padding=padding)
    cover = Cover.of(pixels, pixels, shape, TILE if padding == "valid" else 128)
    side = Side.of(cover.down, pixels, block)
    windows = []
    for first in range(0, pixels, block):
        windows.append(Window(cover, (first, min(first + block, pixels)), (0, 1)))
    assert side.tiles.tolist() == [w.tiles for w in windows]
    assert side.needs.first.tolist() == [w.needs[0] for w in windows]
    assert side.needs.last.tolist() == [w.needs[1] for w in windows]
    assert side.longest == max(w.needs[1] - w.needs[0] for w in windows)


@pytest.mark.parametrize("seed", range(5))
def test_reads_are_those_of_a_loop_over_all_boxes(seed):
    rng = np.random.default_rng(seed)
    size, piece = rng.integers(10, 40, 3), rng.integers(1, 12, 3)
    shard, first = piece * rng.integers(1, 4, 3), int(rng.integers(0, 5))
    spans = []
    for length in size - [first, 0, 0]:
        ends = np.sort(rng.integers(0, length + 1, (4, 2)), axis=1)
        ends[:, 1] = np.minimum(ends[:, 1] + 1, length)
        ends[:, 0] = np.minimum(ends[:, 0], ends[:, 1] - 1)
        spans.append(Spans(ends[:, 0], ends[:, 1]))
    pieces = Pieces(tuple(size), tuple(piece), 2, 3, tuple(shard), first)
    found, amount, requests = pieces.reads(*spans), 0, 0
    for boxes in product(*(zip(s.first, s.last, strict=True) for s in spans)):
        touched = np.zeros(size, bool)
        (z0, z1), (y0, y1), (x0, x1) = boxes
        touched[z0 + first : z1 + first, y0:y1, x0:x1] = True
        for place in np.unique(np.argwhere(touched) // piece, axis=0):
            amount += 2 * math.prod(np.minimum((place + 1) * piece, size) - place * piece)
            requests += 3
        requests += 3 * len(np.unique(np.argwhere(touched) // shard, axis=0))
    assert (found.bytes, found.requests) == (amount, requests)


@pytest.mark.parametrize(
    "source,channel,block",
    [
        ("v5.ome.zarr", None, (1, 56, 56)),
        ("v5.ome.zarr", None, (3, 84, 196)),
        ("v4.ome.zarr", None, (1, 28, 84)),
        ("two.ome.zarr", 1, (1, 56, 56)),
    ],
)
def test_reads_of_a_run_on_an_ome_zarr(source, channel, block, made, tmp_path, monkeypatch):
    settings = {"block": block, "products": ("mask",), "levels": 1, "tile": TILE}
    expected = plan(made, source, channel=channel, **settings)["reads"]
    begun = prepared(
        made / source, tmp_path / "out.ome.zarr", made / "net.npz", Wanted(**settings),
        channel=channel,
    )  # fmt: skip
    real, counted = Chunks.read, [0, 0]

    def read(chunks, box):
        if chunks.folder.is_relative_to(made):
            touched = [
                range(a // n, -(-b // n)) for (a, b), n in zip(box, chunks.chunk, strict=True)
            ]
            for place in product(*touched):
                counted[0] += math.prod(
                    min((p + 1) * n, whole) - p * n
                    for p, n, whole in zip(place, chunks.chunk, chunks.shape, strict=True)
                )
                counted[1] += 1
            if chunks.sharded:
                counted[1] += math.prod(
                    -(-b // n) - a // n for (a, b), n in zip(box, chunks.file, strict=True)
                )
        return real(chunks, box)

    monkeypatch.setattr(Chunks, "read", read)
    go_on(begun, Here("cpu"))
    assert counted == [expected["bytes"], expected["requests"]]
    assert expected["ratio"] == pytest.approx(expected["bytes"] / math.prod(SHAPE))


@pytest.mark.parametrize("source", ["v.tif", "strips.tif", "raw.tif", "whole.tif"])
def test_reads_of_a_run_on_a_tiff(source, made, tmp_path, monkeypatch):
    settings = {"block": (1, 56, 84), "products": ("mask",), "levels": 1, "tile": TILE}
    expected = plan(made, source, **settings)["reads"]
    begun = prepared(made / source, tmp_path / "o.ome.zarr", made / "net.npz", Wanted(**settings))
    segments, raw, counted = TiffImage._segments, TiffImage._read_raw, [0, 0]

    def count(pixels):
        counted[0] += pixels
        counted[1] += 1

    def counted_segments(image, page, window):
        for data, index, (*depth, height, width, samples) in segments(image, page, window):
            y, x = index[2:4]  # tiles stick out at the edges
            count(min(height, 131 - y) * min(width, 190 - x))
            yield data, index, (*depth, height, width, samples)

    def counted_raw(image, offset, window, out):
        count((window.r1 - window.r0) * image.width)
        raw(image, offset, window, out)

    monkeypatch.setattr(TiffImage, "_segments", counted_segments)
    monkeypatch.setattr(TiffImage, "_read_raw", counted_raw)
    go_on(begun, Here("cpu"))
    assert counted == [expected["bytes"], expected["requests"]]


@pytest.mark.parametrize("zarr", ["0.5", "0.4"])
@pytest.mark.parametrize("source,block", [("v5.ome.zarr", (2, 84, 84)), ("v.tif", None)])
def test_tiles_files_and_bytes_of_a_run(source, block, zarr, made, tmp_path):
    settings = {"block": block, "zarr": zarr, "levels": 2, "tile": TILE, "prob": "uint8",
                "products": ("prob", "mask", "labels")}  # fmt: skip
    expected, out = plan(made, source, **settings), tmp_path / "out.ome.zarr"
    found = cunet.segment_volume(made / source, out, made / "net.npz", **settings)
    assert expected["tiles"]["count"] == found["tiles"] == 3 * 5 * 7
    assert expected["blocks"]["count"] == found["blocks"]
    assert expected["blocks"]["shape"] == found["block"] and expected["tiles"]["side"] == TILE
    folders = {"prob": out, "mask": out / "labels/mask", "labels": out / "labels/labels"}
    assert expected["products"].keys() == folders.keys()
    for name, folder in folders.items():
        one = expected["products"][name]
        names = (".zarray", ".zattrs", "zarr.json")
        files = [
            [p for p in (folder / level).rglob("*") if p.is_file() and p.name not in names]
            for level in "01"
        ]
        written = [len(level) for level in files]
        if zarr == "0.5" and block:  # no block and no file holds nothing but 0
            assert one["files_of_levels"] == written
        assert all(most >= n for most, n in zip(one["files_of_levels"], written, strict=True))
        stored = sum(p.stat().st_size for level in files for p in level)
        assert 0.6 * stored < one["compressed_bytes"] < 1.6 * stored
        arrays = [open_output(out, level)["image" if name == "prob" else name] for level in (0, 1)]
        assert one["bytes"] == sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)
        assert one["dtype"] == str(arrays[0].dtype) and one["levels"] == 2


def test_empty_tiles_are_counted_where_the_sample_is_all(made, tmp_path):
    found = plan(made, "v5.ome.zarr", pages="1-1")
    run = cunet.segment_volume(
        made / "v5.ome.zarr", tmp_path / "o.ome.zarr", made / "net.npz", pages="1-1", tile=TILE
    )
    assert found["tiles"]["sampled"] == found["tiles"]["count"] == run["tiles"] == 35
    assert found["tiles"]["empty"] == run["skipped_tiles"] == 4
    time = found["time"]
    assert time["hours_without_empty"] == pytest.approx(time["hours"] * 31 / 35)
    kept = plan(made, "v5.ome.zarr", pages="1-1", skip_empty=False)
    assert kept["time"]["hours_without_empty"] == kept["time"]["hours"] > 0
    assert kept["products"]["mask"]["compressed_bytes"] > 0
    assert "4 of them empty, which are computed too" in "\n".join(plan_lines(kept))


def test_a_sample_of_a_larger_volume_is_called_an_estimate(made):
    found = plan(made, "v5.ome.zarr")
    assert found["tiles"]["sampled"] == 64 and 0 < found["tiles"]["sampled_empty"] < 64
    assert found["tiles"] == plan(made, "v5.ome.zarr")["tiles"]  # the same sample every time
    assert "an estimate" in "\n".join(plan_lines(found))


def test_a_volume_of_a_million_billion_voxels(made, tmp_path):
    """Of which there are metadata alone: no block is visited."""
    side = 100_000
    create(tmp_path / "huge.ome.zarr", (side,) * 3, "zyx", "uint8", chunk=(64, 64, 64))
    found = plan_volume(tmp_path / "huge.ome.zarr", made / "net.npz", Wanted(tile=TILE), "cpu")
    across = -(-side // 28)
    assert found["volume"]["voxels"] == 10**15
    assert found["tiles"]["count"] == found["tiles"]["empty"] == side * across**2
    z, y, x = found["blocks"]["shape"]
    assert found["blocks"]["count"] == -(-side // z) * (-(-side // y)) * (-(-side // x)) > 10**6
    assert found["products"]["prob"]["dtype"] == "uint8"  # of float32 a run would refuse so many
    assert found["products"]["prob"]["bytes"] > 10**15
    assert found["products"]["prob"]["compressed_bytes"] == 0  # it is empty
    assert found["reads"]["bytes"] > 10**15 and found["reads"]["requests"] > (side / 64) ** 3
    assert found["time"]["hours_without_empty"] == 0 < found["time"]["hours"]


def test_blocks_that_do_not_fit_the_chunks_are_named_with_those_that_do(made, tmp_path):
    write_volume(tmp_path / "thick.ome.zarr", small_volume((20, 131, 190)), "0.4", (8, 32, 32))
    before = plan(made, tmp_path / "thick.ome.zarr", block=(1, 56, 56))
    assert before["reads"]["times_along_z"] == pytest.approx(20 / 3)
    better = before["reads"]["better"]
    assert better["block"] == [8, 56, 56] and better["ratio"] < before["reads"]["ratio"] / 6
    assert "--block 8,56,56" in "\n".join(plan_lines(before))
    after = plan(made, tmp_path / "thick.ome.zarr", block=tuple(better["block"]))
    assert after["reads"]["times_along_z"] == 1 and after["reads"]["better"] is None
    assert after["reads"]["ratio"] == pytest.approx(better["ratio"])
    assert after["memory"]["worker"] == better["worker_bytes"]
    moved = plan(made, tmp_path / "thick.ome.zarr", pages="4-11", block=(8, 56, 56))
    assert moved["reads"]["times_along_z"] == 1  # one block, though it touches two chunks


def test_a_network_that_takes_every_sections_mean_reads_it_once_more(made, tmp_path):
    net = small_net()
    net.normalization = replace(net.normalization, per_image=True)
    cunet.save(tmp_path / "net.npz", net)
    wanted = Wanted(tile=TILE)
    usual, more = (
        plan_volume(made / "v5.ome.zarr", folder / "net.npz", wanted, "cpu")["reads"]
        for folder in (made, tmp_path)
    )
    assert more["bytes"] == usual["bytes"] + math.prod(SHAPE)


def test_classes_channels_and_pages_with_colours(made, tmp_path):
    cunet.save(tmp_path / "net.npz", small_net(classes=3, channels=2))
    wanted = Wanted(tile=TILE, block=(1, 56, 56))
    found = plan_volume(made / "two.ome.zarr", tmp_path / "net.npz", wanted, "cpu")
    assert found["products"]["prob"]["bytes"] == 3 * 4 * math.prod(SHAPE)
    assert found["products"]["prob"]["files"] == 3 * found["products"]["mask"]["files"]
    assert found["volume"]["bytes"] == 2 * math.prod(SHAPE)
    grey = np.repeat(small_volume()[..., None], 3, 3)
    tifffile.imwrite(tmp_path / "c.tif", grey, photometric="rgb", metadata={"axes": "ZYXS"})
    with open_image(tmp_path / "c.tif") as image:
        assert pieces_of(image).voxel == 3 and pieces_of(image).piece == (1, 1, 190)
    found = plan(made, tmp_path / "c.tif")
    assert found["volume"]["bytes"] == 3 * math.prod(SHAPE)


def test_all_numbers_are_finite_and_in_words(made):
    found = plan(made, "v.tif", products=("prob", "mask", "labels"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["time"]["gpu_hours"] is None and found["time"]["seconds_a_tile"] > 0
    assert found["memory"]["worker"] == found["memory"]["network"] + found["memory"]["blocks"]
    lines = plan_lines(found)
    names = "volume network blocks tiles time feeding memory reads prob mask labels".split()
    assert [line.split()[0] for line in lines] == names
    assert [seconds(n) for n in (1.2345, 0.65, 0.0041, 0.00013)] == [
        "1.23 s", "650 ms", "4.1 ms", "0.13 ms"
    ]  # fmt: skip
    said = [hours(n) for n in (434, 4.34, 0.2, 0.001)]
    assert said == ["434 h", "4.3 h", "12 min", "3.6 s"]


def test_the_largest_sizes_in_words():
    assert [size(n) for n in (640, 6.4e13, 1.2e15)] == ["640 bytes", "64.0 TB", "1.2 PB"]


def test_on_a_gpu_hours_are_those_of_the_gpu(made, emulated, tmp_path):
    net = cunet.UNet(width=8, depth=1, classes=2, seed=1)
    net.normalization = small_net().normalization
    cunet.save(tmp_path / "net.npz", net)
    found = plan_volume(made / "v.tif", tmp_path / "net.npz", Wanted(tile=44), "cuda", "0-0")
    time, tiles = found["time"], found["tiles"]
    share = (tiles["count"] - tiles["sampled_empty"] * tiles["count"] / tiles["sampled"]) / 3600
    assert time["gpu_hours"] == pytest.approx(share * time["seconds_a_tile"])
    assert time["hours_without_empty"] == pytest.approx(
        time["gpu_hours"] + time["finishing_cpu_hours"] / min(get_threads(), AT_ONCE)
    )
    assert "GPU-hours" in "\n".join(plan_lines(found)) and "cuda:0" in found["device"]


def test_the_command_plans_and_names_the_segmentation(made, run, tmp_path):
    options = ["--model", made / "net.npz", "--tile", TILE, "--device", "cpu", "--threads", 1]
    options += ["--block", "1,56,56", "--pages", "0-1", "--average", "flips"]
    code, text, err = run("plan", made / "v5.ome.zarr", *options, "--json")
    assert code == 0, err
    assert json.loads(text)["tiles"]["count"] == 70
    words = shlex.split(err.splitlines()[-1])
    assert words[:2] == ["cunet", "segment"] and "--json" not in words
    assert words[-2:] == ["--out", "v5_segmented.ome.zarr"]
    code, _, err = run(*words[1:-1], tmp_path / "out.ome.zarr", "--json")
    assert code == 0, err
    code, text, _ = run("plan", made / "v.tif", *options)
    assert code == 0 and text.startswith("volume ")


@pytest.mark.parametrize(
    "settings,said",
    [
        ({"products": ("overlay",)}, "an OME-Zarr holds prob, mask, labels"),
        ({"block": (1, 30, 56)}, "must be a multiple of 28"),
        ({"pages": "0,2"}, "expected one range"),
        ({"channel": 0}, "is no OME-Zarr"),
    ],
)
def test_what_is_asked_wrongly(settings, said, made):
    with pytest.raises(CunetError, match=said):
        plan(made, "v.tif", **settings)


def test_wanted_is_of_its_class(made):
    with pytest.raises(CunetError, match="wanted: expected a cunet.Wanted"):
        plan_volume(made / "v.tif", made / "net.npz", {"tile": TILE})
