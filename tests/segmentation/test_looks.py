"""Which network that comes with cunet is taken for an image: for kinds of images made here and,
where they are at hand, for real ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

import cunet
from cunet.data.synthetic import membranes
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.segmentation import looks, which_network
from cunet.volumes.source import network_for

DATA = pytest.mark.skipif("CUNET_DATA" not in os.environ, reason="CUNET_DATA is not set")


def discs(seed=0, radius=8, count=16, side=200):
    """Smooth bright discs on a dark ground, (side, side) from 0 to 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    found = np.zeros((side, side))
    for down, across in rng.uniform(10, side - 10, (count, 2)):
        found[(y - down) ** 2 + (x - across) ** 2 < radius**2] = rng.uniform(0.6, 1)
    return ndimage.gaussian_filter(found, 1.5) + rng.normal(0, 0.01, found.shape)


def fluorescence(seed=0):
    return (1000 + 20000 * discs(seed).clip(0, 1)).astype(np.uint16)


def stained(seed=0):
    """Purple discs on a pale pink ground, (H, W, 3)."""
    ground, purple = np.array([235, 205, 230]), np.array([110, 60, 150])
    share = discs(seed).clip(0, 1)[..., None]
    return (ground + (purple - ground) * share).astype(np.uint8)


def electrons(seed=0):
    return membranes(1, 200, 200, seed=seed)[0][0]


def kind(pixels):
    look = looks.look_at(pixels if pixels.ndim == 3 else pixels[..., None])
    return None if look is None else look.kind


@pytest.mark.parametrize("seed", range(3))
def test_images_of_each_kind(seed):
    assert kind(electrons(seed)) == "electron microscopy"
    assert kind(fluorescence(seed)) == "fluorescence"
    assert kind(stained(seed)) == "a stained section"


def test_units_of_the_grey_values_do_not_matter():
    for made in (electrons, fluorescence, stained):
        image = made().astype(np.float64)
        for changed in (image * 1e-6, image * 300 - 7000):
            assert kind(changed) == kind(image) == kind(made())


def test_what_is_of_no_kind():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:200, :300]
    photo = np.stack([y + 20, x / 2 + 60, (x + y) / 3], 2) + rng.normal(0, 3, (200, 300, 3))
    blue = np.zeros((200, 200, 3), np.uint16)
    blue[..., 2] = fluorescence()
    smooth = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 3)
    dark = 255 - 200 * discs(2, radius=22, count=4)
    text = np.where(rng.random((25, 40)) < 0.2, 0, 255).repeat(8, 0).repeat(5, 1)
    odd = {
        "inverted electron microscopy": 255 - electrons(), "noise": rng.normal(size=(200, 200)),
        "smooth noise": smooth, "counts": rng.poisson(3, (200, 200)), "photograph": photo,
        "gradient": x.astype(float), "bright field": dark,
        "nuclei in false colours": blue, "text": text,
    }  # fmt: skip
    assert {name: kind(image) for name, image in odd.items()} == dict.fromkeys(odd, "")


def test_nothing_to_see():
    for nothing in (np.zeros((90, 90)), np.full((90, 90), 7), electrons()[:31], np.ones((1, 1))):
        assert kind(nothing) is None
    broken = electrons().astype(np.float32)
    broken[3, 4], broken[9] = np.nan, np.inf
    assert kind(broken) == "electron microscopy"
    assert kind(np.full((90, 90), np.nan)) is None


def written(folder, **images):
    """The image files of these names."""
    paths = []
    for name, pixels in images.items():
        path = folder / f"{name}.tif"
        rgb = {"photometric": "rgb"} if pixels.shape[-1] == 3 else {}
        tifffile.imwrite(path, pixels, **rgb)
        paths.append(path)
    return paths


def test_files_are_decided_together(tmp_path):
    em = written(tmp_path, a=electrons(), b=np.stack([electrons(1)] * 5), empty=np.zeros((99, 99)))
    choice = which_network.for_files(em)
    assert choice.model == "em" and "another: --model nuclei" in choice.said
    nuclei = written(tmp_path, c=fluorescence(), d=stained(), grey=255 - electrons())
    choice = which_network.for_files(nuclei)
    assert choice.model == "nuclei" and "a stained section and fluorescence" in choice.said
    assert "1 of 3 images look like neither" in choice.said
    with pytest.raises(CunetError, match=r"a.tif' looks like electron.*c.tif' looks like fluo"):
        which_network.for_files([em[0], nuclei[0]])
    mixed = written(tmp_path, m=np.stack([electrons()] * 3 + [fluorescence() // 256] * 3))
    with pytest.raises(CunetError, match="no network that comes with cunet is for both"):
        which_network.for_files(mixed)
    odd = written(tmp_path, odd=electrons().T[::-1] // 2 + 90 * (np.indices((200, 200)).sum(0) % 2))
    with pytest.raises(CunetError, match=r"odd.tif' looks like neither") as error:
        which_network.for_files([*odd, em[0]])
    assert all(f"--model {name}, for " in str(error.value) for name in ("em", "nuclei"))
    with pytest.raises(CunetError, match=r"empty.tif' looks like neither"):
        which_network.for_files(em[2:])


def test_three_equal_channels_are_grey_and_two_are_no_colours(tmp_path):
    grey = np.repeat((electrons())[..., None], 3, axis=2)
    assert which_network.for_files(written(tmp_path, rgb=grey)).model == "em"
    two = np.stack([fluorescence()] * 2)
    tifffile.imwrite(tmp_path / "two.tif", two, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(DataError, match="has 2 channels"):
        which_network.for_files([tmp_path / "two.tif"])


def test_of_a_large_image_a_few_windows_are_read(tmp_path):
    class Counting:
        def __init__(self, image):
            self.image, self.read = image, 0

        def __getattr__(self, name):
            return getattr(self.image, name)

        def read_window(self, *place):
            self.read += 1
            return self.image.read_window(*place)

    large = np.tile(electrons(), (12, 11))[None].repeat(9, 0)
    with open_image(*written(tmp_path, large=large)) as image:
        counting = Counting(image)
        kinds = looks.kinds_in(counting)
    assert counting.read == 15 and kinds["electron microscopy"] == 15
    assert network_for(tmp_path / "large.tif").model == "em"


@pytest.fixture
def empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_segment_takes_nuclei_for_fluorescence_and_stains(run, empty_folder):
    image = fluorescence()[:120, :110]
    written(Path(), grey=image, tissue=stained()[:120, :110])
    code, _, err = run("segment", "*.tif", "--products", "prob,labels,table")
    assert code == 0 and "model nuclei" in err and "CC0" in err, err
    assert "read as three equal channels" in err
    net = cunet.load("nuclei")
    found = tifffile.imread("grey_prob.tif")
    expected = cunet.segment(np.repeat(image[..., None], 3, axis=2), net)[..., 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(cunet.segment(image, net)[..., 1], expected)


def test_what_is_inverted_is_looked_at_as_the_network_sees_it(run, empty_folder):
    Image.fromarray(255 - electrons()).save("a.png")
    code, _, err = run("segment", "a.png")
    assert code == 2 and "looks like inverted electron microscopy" in err and "--invert" in err
    assert os.listdir() == ["a.png"]
    code, _, err = run("segment", "a.png", "--invert", "--products", "prob")
    assert code == 0 and "model em" in err, err
    expected = cunet.segment(electrons(), cunet.load("em"))[..., 1]
    np.testing.assert_allclose(tifffile.imread("a_prob.tif"), expected, atol=1e-6)


def test_what_is_rescaled_is_looked_at_at_the_size_of_the_network(tmp_path):
    """Membranes of 4 nm pixels, enlarged to pixels of 1 nm, have no thin lines any more."""
    size = {"resolution": (1000, 1000), "imagej": True, "metadata": {"unit": "um", "axes": "YX"}}
    fine = ndimage.zoom(electrons().astype(np.float32), 4, order=1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "fine.tif", fine, **size)
    with pytest.raises(CunetError, match="looks like neither"):
        which_network.for_files([tmp_path / "fine.tif"])
    assert which_network.for_files([tmp_path / "fine.tif"], rescale=True).model == "em"
    for given in ("4nm", "40nm"):
        with pytest.raises(CunetError, match="looks like neither"):
            which_network.for_files([tmp_path / "fine.tif"], given, rescale=True)
    grey = written(tmp_path, grey=fluorescence())
    assert which_network.for_files(grey, "0.65um", rescale=True).model == "nuclei"


def test_segment_stops_at_what_it_does_not_know(run, empty_folder):
    striped = electrons() // 2 + 90 * (np.indices((200, 200)).sum(0) % 2)
    Image.fromarray(striped.astype(np.uint8)).save("a.png")
    code, _, err = run("segment", "a.png")
    assert code == 2 and "looks like neither" in err
    assert "--model em" in err and "--model nuclei" in err
    assert sorted(os.listdir()) == ["a.png"]
    code, _, err = run("segment", "a.png", "--model", "em", "--products", "mask")
    assert code == 0, err


def test_volumes_are_looked_at_too(run, empty_folder):
    written(Path(), volume=np.stack([fluorescence()[:90, :90]] * 2), odd=np.zeros((2, 90, 90)))
    options = ("--products", "mask", "--out")
    code, _, err = run("segment", "volume.tif", *options, "out.ome.zarr")
    assert code == 0 and "model nuclei" in err, err
    code, _, err = run("segment", "odd.tif", *options, "odd.ome.zarr")
    assert code == 2 and "looks like neither" in err and not Path("odd.ome.zarr").exists()
    cunet.segment_volume("volume.tif", "again.ome.zarr", products=("mask",), device="cpu")
    assert Path("again.ome.zarr").exists()
    with pytest.raises(CunetError, match="looks like neither"):
        cunet.segment_volume("odd.tif", "odd.ome.zarr", products=("mask",))


@DATA
def test_real_images():
    """A few of each set; slices of both noises, cells of the Cell Tracking Challenge as neither."""
    data = Path(os.environ["CUNET_DATA"])
    for name in ("train-volume.tif", "test-volume.tif"):
        for page in (0, 14, 29):
            assert kind(tifffile.imread(data / "isbi2012" / name, key=page)) == (
                "electron microscopy"
            )
    for folder in ("DIC-C2DH-HeLa", "PhC-C2DH-U373"):
        for path in sorted((data / folder / "01").glob("t*.tif"))[:4]:
            assert kind(tifffile.imread(path)) == ""
    folders = sorted((data / "dsb2018" / "stage1_train").iterdir())[::6]
    files = [file for folder in folders for file in folder.glob("images/*.png")]
    assert which_network.for_files(files).model == "nuclei"
    kinds = []
    for file in files:
        with open_image(file) as image:
            kinds += looks.kinds_in(image)
    assert len(kinds) == len(files) >= 20 and kinds.count("") <= 2
    assert {*kinds} == {"fluorescence", "a stained section", ""}
