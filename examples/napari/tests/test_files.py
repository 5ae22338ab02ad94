"""Files: what cunet wrote as napari opens it, and labels as it saves them; read with tifffile."""

import numpy as np
import pytest
import tifffile
from cunet_napari import widget
from cunet_napari.files import model_reader, product_reader, write_labels
from cunet_napari.place import calibration_of, pixel_size
from npe2 import PluginManager, PluginManifest

import cunet
from cunet import CunetError


def imagej(path, data, axes, **more):
    tifffile.imwrite(
        path, data, imagej=True, resolution=(4, 2), metadata={"axes": axes, "unit": "um", **more}
    )
    return str(path)


def read(path):
    return product_reader(path)(path)


def test_a_probability_is_grey_from_0_to_1_with_its_sizes(tmp_path):
    data = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    path = imagej(tmp_path / "x_prob.tif", data, "TZYX", spacing=0.5, finterval=2.5)
    ((found, options, kind),) = read(path)
    np.testing.assert_array_equal(found, data)
    assert kind == "image" and options["contrast_limits"] == (0, 1) and options["name"] == "x_prob"
    assert options["scale"] == pytest.approx([2.5, 0.5, 0.5, 0.25])
    assert options["units"] == ["second", "micrometer", "micrometer", "micrometer"]
    assert options["axis_labels"] == ["t", "z", "y", "x"]


def test_every_class_is_a_layer(tmp_path, viewer):
    data = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    path = imagej(tmp_path / "x_prob.tif", data, "ZCYX")
    layers = read(path)
    assert [options["name"] for _, options, _ in layers] == [f"x_prob class {k}" for k in range(3)]
    for k, (found, options, _) in enumerate(layers):
        np.testing.assert_array_equal(found, data[:, k])
        viewer.add_image(found, **options)


def test_masks_and_labels_are_labels(tmp_path, viewer):
    mask = np.zeros((3, 5, 6), np.uint8)
    mask[1, 2:] = 255
    ids = np.arange(30, dtype=np.uint8).reshape(5, 6) % 3
    numbers = np.arange(30, dtype=np.uint16).reshape(5, 6)
    for name, data, axes, expected in (
        ("a_mask.tif", mask, "ZYX", mask // 255),
        ("b_mask.tif", ids, "YX", ids),
        ("c_labels.tif", numbers, "YX", numbers),
    ):
        ((found, options, kind),) = read(imagej(tmp_path / name, data, axes))
        np.testing.assert_array_equal(found, expected)
        assert kind == "labels"
        viewer.add_labels(found, **options)


def test_what_is_no_product_is_left_to_others(tmp_path):
    assert product_reader("a.tif") is None
    assert product_reader(["a_prob.tif", "b.tif"]) is None
    tifffile.imwrite(tmp_path / "a_mask.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    with pytest.raises(CunetError, match="a_mask.tif.*napari's own reader"):
        read(str(tmp_path / "a_mask.tif"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert model_reader(str(tmp_path / "other.npz")) is None
    assert model_reader(str(tmp_path / "none.npz")) is None
    (tmp_path / "run.toml").write_text("[tool]\n")  # somebody else's
    assert model_reader(str(tmp_path / "run.toml")) is None


def test_a_run_is_taken_by_its_settings(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("cunet_napari.widget.take", taken.append)
    cunet.save(tmp_path / "best.npz", cunet.UNet(width=2, depth=1))
    (tmp_path / "run.toml").write_text("")
    path = str(tmp_path / "run.toml")
    reader = model_reader(path)
    assert reader is not None and reader(path) == [(None,)]
    assert taken == [str(tmp_path)]


@pytest.mark.parametrize("shape, axes", [
    ((5, 6), "YX"), ((3, 5, 6), "ZYX"), ((2, 5, 6), "TYX"), ((2, 3, 5, 6), "TZYX"),
])  # fmt: skip
def test_labels_are_saved_with_their_sizes_for_imagej(tmp_path, shape, axes):
    data = np.random.default_rng(0).integers(0, 300, shape)
    unit = {"T": "second"}
    meta = {
        "scale": [{"T": 7.0, "Z": 0.5, "Y": 0.5, "X": 0.25}[axis] for axis in axes],
        "units": [unit.get(axis, "micrometer") for axis in axes],
        "axis_labels": tuple(axes.lower()),
    }
    (path,) = write_labels(str(tmp_path / "x_labels.tif"), data, meta)
    with tifffile.TiffFile(path) as file:
        notes, page = file.imagej_metadata, file.pages[0]
        assert file.series[0].axes == axes and page.dtype == np.uint16
        assert page.tags["XResolution"].value == (4, 1) and page.tags["YResolution"].value == (2, 1)
        assert notes["unit"] == "um" and (notes["min"], notes["max"]) == (0, data.max())
        assert ("Z" in axes) == (notes.get("spacing") == 0.5)
        assert ("T" in axes) == (notes.get("finterval") == 7)
    np.testing.assert_array_equal(tifffile.imread(path), data)
    ((again, options, _),) = read(path)
    np.testing.assert_array_equal(again, data)
    assert options["scale"] == pytest.approx(meta["scale"]) and options["units"] == meta["units"]


def test_large_and_wrong_numbers(tmp_path):
    (path,) = write_labels(str(tmp_path / "a.tif"), np.array([[0, 70_000]]), {})
    assert tifffile.imread(path).ravel().tolist() == [0, 70_000]
    for data in (np.array([[-1, 3]]), np.zeros((2, 2, 2, 5, 6), int)):
        with pytest.raises(CunetError, match="b.tif"):
            write_labels(str(tmp_path / "b.tif"), data, {})
    assert not (tmp_path / "b.tif").exists()


def test_units():
    assert pixel_size((9, 4, 2), ("s", "nanometer", "nanometer")) == ((4.0, 2.0), "nm")
    size, unit = pixel_size((500, 0.25), ("nanometer", "micrometer"))
    assert unit == "um" and size == pytest.approx((0.5, 0.25))
    assert pixel_size((1, 1), ("pixel", "pixel"))[0] is None
    assert calibration_of((1, 1), ("pixel", "pixel"), "YX").xres is None
    deep = calibration_of((2, 0.5, 0.25), ("micrometer", "um", "um"), "ZYX")
    assert (deep.xres, deep.yres, deep.spacing, deep.unit) == (4, 2, 2, "um")


def test_the_manifest_is_valid_and_all_it_names_is_there():
    manifest = PluginManifest.from_distribution("cunet-napari")
    manifest.validate_imports()
    assert manifest.display_name == "cunet"


def test_through_napari_itself(tmp_path, viewer, model, monkeypatch):
    """Opened, saved and taken from the sample menu as napari does it, without a window."""
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    path = imagej(tmp_path / "x_mask.tif", np.full((5, 6), 255, np.uint8), "YX")
    viewer.open(path, plugin="cunet-napari")
    assert type(viewer.layers[0]).__name__ == "Labels" and viewer.layers[0].data.max() == 1
    (saved,) = viewer.layers[0].save(str(tmp_path / "out.tif"), plugin="cunet-napari")
    assert tifffile.imread(saved).dtype == np.uint16
    viewer.open_sample("cunet-napari", "synthetic_membranes")
    image, truth = viewer.layers[1:]
    assert image.data.shape == (8, 256, 256) and image.data.dtype == np.uint8
    assert set(np.unique(truth.data)) == {0, 1}
    assert image.data[truth.data == 0].mean() < image.data[truth.data == 1].mean() - 20
    taken = []
    monkeypatch.setattr(widget, "take", taken.append)
    count = len(viewer.layers)
    viewer.open(str(model()), plugin="cunet-napari")
    assert taken == [str(model())] and len(viewer.layers) == count
    assert "cunet-napari" in {name for name, _ in PluginManager.instance().iter_sample_data()}
