"""OME-Zarr that is damaged, not valid or no image: each says what is wrong and what to do."""

import json
import shutil

import numpy as np
import pytest
import zarr
from inputs import noise
from ome_zarr_files import group, image, metadata

from cunet.errors import DataError
from cunet.files import open_image

DATA = noise((4, 33, 41), "uint8")


def scales(attributes):
    return attributes.get("ome", attributes)["multiscales"][0]


def steps(attributes):
    return scales(attributes)["datasets"][0]["coordinateTransformations"]


# What is changed in the metadata of an image of z, y, x, and words of the error
METADATA = {
    "no multiscales entry": (
        lambda a: a["ome"].update(multiscales=[]), "wrong entry multiscales: expected a list",
    ),
    "no axes": (lambda a: scales(a).pop("axes"), "wrong entry axes: .* found none"),
    "axes as text": (lambda a: scales(a).update(axes=["z", "y", "x"]), "wrong entry axes"),
    "an axis too many": (
        lambda a: (scales(a)["axes"].insert(0, {"name": "c"}), steps(a)[0]["scale"].append(1)),
        r"/a/0' has 3 dimensions; the metadata of .*/a' name 4 axes \(c, z, y, x\)",
    ),
    "axes in another order": (
        lambda a: scales(a)["axes"].reverse(),
        "has the axes x, y, z; expected some of t, c, z, y, x in this order",
    ),
    "an axis twice": (lambda a: scales(a)["axes"][0].update(name="y"), "has the axes y, y, x"),
    "an unknown axis": (lambda a: scales(a)["axes"][0].update(name="w"), "has the axes w, y, x"),
    "an axis without a name": (lambda a: scales(a)["axes"][0].pop("name"), "the axes None, y, x"),
    "dimensions with other names": (
        lambda a: scales(a)["axes"][0].update(name="t"),
        "/a/0' names its dimensions z, y, x; the metadata of .*/a' name the axes t, y, x",
    ),
    "a unit that is none": (lambda a: scales(a)["axes"][0].update(unit=3), "wrong entry unit"),
    "no levels": (lambda a: scales(a).update(datasets=[]), "wrong entry datasets: .* found "),
    "a level without a path": (
        lambda a: scales(a)["datasets"][0].pop("path"), r"wrong entry datasets\[0\]: expected",
    ),
    "a path outside": (
        lambda a: scales(a)["datasets"][0].update(path="../b"),
        r"wrong entry datasets\[0\].path: expected a path below the image, found ../b",
    ),
    "a missing array": (
        lambda a: scales(a)["datasets"][0].update(path="s0"),
        "lacks the array of level 0: there is no '.*/a/s0'. Copy",
    ),
    "no transformations": (
        lambda a: scales(a)["datasets"][0].pop("coordinateTransformations"),
        "expected a list with a scale, found none",
    ),
    "no scale": (lambda a: steps(a).clear(), "expected a scale, .* found none"),
    "translation before scale": (
        lambda a: steps(a).insert(0, {"type": "translation", "translation": [0, 0, 0]}),
        "found translation, scale",
    ),
    "a short scale": (lambda a: steps(a)[0]["scale"].pop(), "3 finite numbers, for z, y, x"),
    "a scale of text": (lambda a: steps(a)[0].update(scale=["1", 1, 1]), "expected 3 finite numb"),
    "a scale that is infinite": (
        lambda a: steps(a)[0].update(scale=[1, float("inf"), 1]), "expected 3 finite numbers",
    ),
    "a scale of zero": (lambda a: steps(a)[0].update(scale=[1, 0, 1]), "expected numbers above 0"),
    "a negative scale": (lambda a: steps(a)[0].update(scale=[-1, 1, 1]), "numbers above 0"),
    "a long translation": (
        lambda a: steps(a).append({"type": "translation", "translation": [0] * 4}),
        r"\(translation\): expected 3 finite numbers",
    ),
    "no scale for all levels": (
        lambda a: scales(a).update(coordinateTransformations=[{"type": "identity"}]),
        "multiscales.coordinateTransformations: expected a scale",
    ),
    "version 0.6": (
        lambda a: a["ome"].update(version="0.6.dev3"),
        "of version 0.6.dev3, below \"ome\"; expected 0.4, or 0.5",
    ),
    "no version": (lambda a: a["ome"].pop("version"), "of version None"),
    "OME's entries in a list": (lambda a: a.update(ome=[1]), "wrong entry ome: expected an object"),
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_are_not_valid(tmp_path, name):
    change, said = METADATA[name]
    attributes = metadata("zyx")
    change(attributes)
    image(tmp_path / "a", DATA, "zyx")
    group(tmp_path / "a", attributes)
    with pytest.raises(DataError, match=said) as raised:
        open_image(tmp_path / "a")
    assert raised.value.exit_code == 3 and str(tmp_path / "a") in str(raised.value)


@pytest.mark.parametrize("version", ["0.1", "0.3", "0.6"])
def test_other_versions_of_the_format(tmp_path, version):
    attributes = metadata("zyx", "0.4")
    scales(attributes)["version"] = version
    image(tmp_path / "a", DATA, "zyx", "0.4", attributes)
    with pytest.raises(
        DataError, match=f"of version {version}, not below .*; expected 0.4, or 0.5"
    ):
        open_image(tmp_path / "a")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_cut_short(tmp_path, version):
    image(tmp_path / "a", DATA, "zyx", version)
    for folder in (tmp_path / "a" / "0", tmp_path / "a"):
        names = {"0.5": "zarr.json", "0.4": ".zarray" if folder.name == "0" else ".zattrs"}
        file = folder / names[version]
        whole = file.read_text()
        file.write_text(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="is damaged or truncated: no valid JSON") as raised:
            open_image(tmp_path / "a")
        assert f"'{file}'" in str(raised.value)
        file.write_text("[1]")
        with pytest.raises(DataError, match="expected an object, found list"):
            open_image(tmp_path / "a")


ARRAYS = {
    "no shape": lambda d: d.pop("shape"),
    "a shape of text": lambda d: d.update(shape="large"),
    "a negative shape": lambda d: d.update(shape=[-4, 33, 41]),
    "chunks of zero": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[0, 16, 16]),
    "chunks of two axes": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[16, 16]),
    "chunks of text": lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=["a", 4, 4]),
    "an unknown grid": lambda d: d["chunk_grid"].update(name="hexagons"),
    "no codecs": lambda d: d.update(codecs=[]),
    "no names of chunks": lambda d: d.pop("chunk_key_encoding"),
    "an unknown codec": lambda d: d["codecs"].append({"name": "secret"}),
    "an unknown type": lambda d: d.update(data_type="uint7"),
    "a fill value that is none": lambda d: d.update(fill_value="much"),
    "another kind of node": lambda d: d.update(node_type="thing"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_whose_metadata_are_not_valid(tmp_path, name):
    image(tmp_path / "a", DATA, "zyx")
    file = tmp_path / "a" / "0" / "zarr.json"
    document = json.loads(file.read_text())
    ARRAYS[name](document)
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match="/a/0.*Save|/a/0.*again"):
        with open_image(tmp_path / "a") as found:
            found.read(0)


def test_arrays_that_hold_no_pixels(tmp_path):
    image(tmp_path / "a", DATA.astype("complex64"), "zyx")
    with pytest.raises(DataError, match="/a/0' holds values of complex64; expected integers"):
        open_image(tmp_path / "a")
    image(tmp_path / "b", np.zeros((4, 0, 41), "uint8"), "zyx", chunks=(1, 16, 16))
    with pytest.raises(DataError, match="/b/0' has no pixels: 4 x 0 x 41"):
        open_image(tmp_path / "b")
    image(tmp_path / "c", DATA, "zyx")
    shutil.rmtree(tmp_path / "c" / "0")
    group(tmp_path / "c" / "0", {})
    with pytest.raises(DataError, match="/c/0' is a zarr group; expected an array"):
        open_image(tmp_path / "c")


def test_an_array_is_no_image(tmp_path):
    image(tmp_path / "a", DATA, "zyx")
    with pytest.raises(DataError, match="/a/0' is one array of the OME-Zarr image '.*/a'.*Give '"):
        open_image(tmp_path / "a" / "0")
    zarr.create_array(str(tmp_path / "b.zarr"), shape=(4, 4), dtype="uint8")
    with pytest.raises(DataError, match="is a bare zarr array, not OME-Zarr: .* Save it as"):
        open_image(tmp_path / "b.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_container_names_its_images(tmp_path, version):
    layout = {"bioformats2raw.layout": 3}
    group(
        tmp_path / "a",
        {"ome": {"version": "0.5", **layout}} if version == "0.5" else layout,
        version,
    )
    for name in "01":
        image(tmp_path / "a" / name, DATA, "zyx", version)
    said = "/a' is a container of images; expected one image. Give one of '.*/a/0', '.*/a/1'"
    with pytest.raises(DataError, match=said):
        open_image(tmp_path / "a")
    series = {"series": ["1", "0"]}
    group(tmp_path / "a" / "OME", {"ome": series} if version == "0.5" else series, version)
    with pytest.raises(DataError, match="Give one of '.*/a/1', '.*/a/0'"):
        open_image(tmp_path / "a")


def test_plates_wells_and_labels_name_their_images(tmp_path):
    wells = [{"path": f"{row}/{column}"} for row in "AB" for column in (1, 2, 3)]
    cases = {
        "a plate of wells; .* '.*/p/A/1/0', .*'.*/p/B/1/0' and 2 more": {"plate": {"wells": wells}},
        "a well of a plate; .* '.*/p/0', '.*/p/1'": {
            "well": {"images": [{"path": "0"}, {"path": "1"}]}
        },
        "a group of label images; .* '.*/p/mask'": {"labels": ["mask"]},
        "a plate of wells; .*It names none": {"plate": [3]},
        "without the metadata of OME-Zarr: .* found version": {},
    }
    for said, entries in cases.items():
        group(tmp_path / "p", {"ome": {"version": "0.5", **entries}})
        with pytest.raises(DataError, match=f"/p' is .*{said}"):
            open_image(tmp_path / "p")
    group(tmp_path / "q", {})
    group(tmp_path / "q" / "labels", {"ome": {"version": "0.5", "labels": ["mask", "cells"]}})
    with pytest.raises(DataError, match="Give one of '.*/q/labels/mask', '.*/q/labels/cells'"):
        open_image(tmp_path / "q")
