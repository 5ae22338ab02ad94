"""What products take from their image - axes, interval, sizes - and images that are refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

import cunet
from cunet.errors import CunetError, DataError
from cunet.files import open_image, tiff_output
from cunet.segmentation import products
from cunet.segmentation.how import How
from cunet.segmentation.segment_file import segment_file
from cunet.training.weight_files import write_weights


def bright(classes, channels=1):
    """A network for which a pixel above 50 is class 1, above 150 class 2."""
    net = cunet.UNet(width=1, depth=1, in_channels=channels, classes=classes)
    for parameter in net.parameters():
        parameter.value[...] = 0
        if parameter.name.startswith(("contract0", "expand0.conv")) and parameter.value.ndim == 4:
            parameter.value[1, 1, -1, 0] = (
                1  # the pixel itself; beside the up-convolution, the skip
            )
    head, bias = net.parameters()[-2:]
    head.value[..., :] = np.arange(classes)
    bias.value[...] = [0, -50, -200][:classes]
    return net


def image_of(tmp_path, axes, count=6, **metadata):
    """Random pages of bright and dark pixels, written by tifffile with these axes."""
    sizes = {"TZ": (2, 3), "ZT": (3, 2), "T": (count,), "Z": (count,)}[axes]
    pages = np.random.default_rng(3).choice([20, 100, 230], (*sizes, 24, 28)).astype(np.uint8)
    metadata |= {"axes": axes + "YX"}
    kind = {"ome": True} if axes == "ZT" else {"imagej": True, "resolution": (4, 4)}
    path = tmp_path / "i.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", metadata=metadata, **kind)
    return path, pages.reshape(-1, 24, 28)


def segmented(path, net, folder, wanted, pages=None):
    folder.mkdir(exist_ok=True)
    with open_image(path) as image:
        return segment_file(
            image, net, {name: folder / f"{name}.tif" for name in wanted}, How(tile=28), pages
        )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("axes", ["TZ", "ZT", "T"])
def test_products_have_the_axes_of_their_image(tmp_path, monkeypatch, axes, classes, big):
    if big:
        monkeypatch.setattr(tiff_output, "CLASSIC_BYTES", 1000)
    path, pages = image_of(tmp_path, axes, unit="um", finterval=30.0, spacing=0.5)
    done = segmented(path, bright(classes), tmp_path / "out", ("prob", "mask", "labels"))
    assert not any("pages" in text for text in done.warnings if "BigTIFF" not in text)
    told = [text.partition(":")[0] for text in done.warnings if "BigTIFF" in text]
    assert told == (["prob.tif", "mask.tif", "labels.tif"] if big else [])
    found = {}
    for product in ("prob", "mask", "labels"):
        with tifffile.TiffFile(tmp_path / f"out/{product}.tif") as file:
            several = product == "prob" and classes > 2
            assert file.series[0].axes == axes + ("CYX" if several else "YX")
            assert file.is_bigtiff == (big and product in ("prob", "mask", "labels"))
            found[product] = file.series[0].asarray()
            notes = file.imagej_metadata or file.shaped_metadata[0]
            if axes != "ZT":
                assert notes["finterval"] == 30
    expected = (pages > 50) * 255 if classes == 2 else (pages > 50) + 1 * (pages > 150)
    np.testing.assert_array_equal(found["mask"].reshape(pages.shape), expected)
    assert found["prob"].size == pages.size * (classes if classes > 2 else 1)


def test_some_pages_that_are_no_part_of_both_axes_are_slices_and_it_is_said(tmp_path):
    path, pages = image_of(tmp_path, "TZ", unit="um", finterval=30.0, spacing=0.5)
    done = segmented(path, bright(2), tmp_path / "out", ("mask",), [0, 4])
    assert any("i.tif: the chosen pages are no part" in text for text in done.warnings)
    with tifffile.TiffFile(tmp_path / "out/mask.tif") as file:
        assert file.series[0].axes == "ZYX" and "finterval" not in file.imagej_metadata
        np.testing.assert_array_equal(file.series[0].asarray(), (pages[[0, 4]] > 50) * 255)


def test_weight_maps_have_the_axes_of_their_labels(tmp_path):
    path, pages = image_of(tmp_path, "TZ")
    tifffile.imwrite(
        path, (pages > 50).astype(np.uint8).reshape(2, 3, 24, 28) * 255, imagej=True,
        metadata={"axes": "TZYX", "finterval": 2.0},
    )  # fmt: skip
    write_weights(path, tmp_path / "w.tif", cunet.Config())
    with tifffile.TiffFile(tmp_path / "w.tif") as file:
        assert (file.series[0].axes, file.series[0].shape) == ("TZYX", (2, 3, 24, 28))
        assert file.imagej_metadata["finterval"] == 2


def test_no_room_is_reserved_for_what_cannot_be_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((48, 48), np.uint8), compression="zstd")
    content = bytearray((tmp_path / "i.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "i.tif") as file:
        tags = file.pages[0].tags
        at = {name: tags[name].offset + 8 for name in ("ImageWidth", "ImageLength", "RowsPerStrip")}
    for place in at.values():
        content[place : place + 4] = (60000).to_bytes(4, "little")
    (tmp_path / "i.tif").write_bytes(content)
    created = []
    monkeypatch.setattr(products, "TiffOutput", lambda *rest: created.append(rest))
    with pytest.raises(CunetError, match="i.tif"):
        segmented(tmp_path / "i.tif", bright(2), tmp_path / "out", ("prob", "mask"))
    assert not created and not list((tmp_path / "out").iterdir())


def test_grey_saved_as_colour_is_segmented_as_grey(tmp_path):
    _, pages = image_of(tmp_path, "Z", 1)
    Image.fromarray(np.dstack([pages[0]] * 3)).save(tmp_path / "g.png")
    done = segmented(tmp_path / "g.png", bright(2), tmp_path / "out", ("mask",))
    found = tifffile.imread(tmp_path / "out/mask.tif")
    np.testing.assert_array_equal(found, (pages[0] > 50) * 255)
    assert done.shares[1] == pytest.approx((pages[0] > 50).mean())


def test_colours_are_refused_with_a_hint_that_fits(tmp_path):
    colours = np.random.default_rng(1).integers(0, 255, (24, 28, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "h.tif", np.moveaxis(colours, -1, 0), imagej=True, metadata={"axes": "CYX"}
    )
    hints = {"c.png": "save it in grey, or", "c.tif": "minisblack", "h.tif": "1 of its channels"}
    for name, hint in hints.items():
        with pytest.raises(DataError, match=f"{name}' has 3 channel.*made for 1.*{hint}") as found:
            segmented(tmp_path / name, bright(2), tmp_path / "out", ("mask",))
        assert ("minisblack" in str(found.value)) == (name == "c.tif")
    tifffile.imwrite(tmp_path / "g.tif", colours[..., 0])
    with pytest.raises(DataError, match=r"made for 2; save its 2 channels in one TIFF \(axes CYX"):
        segmented(tmp_path / "g.tif", bright(2, channels=2), tmp_path / "out", ("mask",))


def test_what_may_falsify_the_result_is_a_warning_with_the_name(tmp_path):
    _, pages = image_of(tmp_path, "Z", 1)
    tifffile.imwrite(tmp_path / "w.tif", pages[0], photometric="miniswhite")
    done = segmented(tmp_path / "w.tif", bright(2), tmp_path / "out", ("mask",))
    assert any(text.startswith("w.tif: marked white-is-zero") for text in done.warnings)


def test_a_calibration_is_carried_to_every_type_of_product(tmp_path):
    path, _ = image_of(tmp_path, "Z", 2, unit="angstrom", spacing=20)
    segmented(path, bright(2), tmp_path / "out", ("prob", "labels"))
    for product in ("prob", "labels"):
        with tifffile.TiffFile(tmp_path / f"out/{product}.tif") as file:
            assert (file.imagej_metadata["unit"], file.imagej_metadata["spacing"]) == ("nm", 2)
            assert file.pages[0].tags["XResolution"].value == (40, 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_products_say_how_to_be_shown(tmp_path, classes):
    path, _ = image_of(tmp_path, "Z")
    wanted = ("prob", "mask", "labels")
    segmented(path, bright(classes), tmp_path / "out", wanted)
    found, coloured = {}, {}
    for name in wanted:
        with tifffile.TiffFile(tmp_path / "out" / f"{name}.tif") as file:
            found[name] = (file.imagej_metadata["min"], file.imagej_metadata["max"])
            tag = file.pages[0].tags.get("ColorMap")
            coloured[name] = None if tag is None else np.array(tag.value).reshape(3, 256)[:, :3]
    assert found == {"prob": (0, 1), "mask": (0, 255), "labels": (0, 255)}
    assert coloured["prob"] is None and (coloured["mask"] is None) == (classes == 2)
    for table in filter(lambda table: table is not None, coloured.values()):
        assert not table[:, 0].any() and table[:, 1].any() and table[:, 2].any()
        assert (table[:, 1] != table[:, 2]).any()
