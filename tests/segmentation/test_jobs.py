"""What is left to be made: nothing is taken for done that was made of something else."""

import hashlib

import numpy as np
import pytest
import tifffile

import cunet
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.net.tiles import usual_tile
from cunet.segmentation.how import How
from cunet.segmentation.inputs import target_paths
from cunet.segmentation.jobs import claimed, fitting_tile, prepared
from cunet.segmentation.segment_file import segment_file


@pytest.fixture
def folder(tmp_path):
    """An image of two pages."""
    pages = np.random.default_rng(0).integers(0, 255, (2, 40, 50)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", pages, photometric="minisblack")
    return tmp_path


@pytest.fixture
def made(folder):
    """make(image, out, products, **how) -> the products that were made."""
    net, model = cunet.UNet(width=2, depth=1), folder / "net.npz"
    cunet.save(model, net)

    def make(file, out, products, **how):
        (folder / out).mkdir(exist_ok=True)
        jobs = [(file, target_paths(file, folder / out, products, 1))]
        (job,) = prepared(jobs, net, model, How(tile=60, **how))
        with claimed(job) as job, open_image(file) as image:
            segment_file(image, net, job.left, job.how, job.pages)
        return list(job.left)

    return make


def test_what_is_made_already_is_left_out(folder):
    net = cunet.UNet(width=2, depth=1)
    model = folder / "net.npz"
    cunet.save(model, net)
    how = How(tile=fitting_tile(60, net))
    file = folder / "b.tif"
    jobs = [(file, target_paths(file, folder / "out", ["prob", "mask"], 1))]
    (folder / "out").mkdir()
    (job,) = prepared(jobs, net, model, how, "1")
    assert job.pages == [1] and job.left == job.targets and job.how.tile == 60
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in (file, model)]
    made_by = "cunet segment b.tif, image {}, pages 1, model {}".format(*hashes)
    assert job.how.description.startswith(made_by)
    with open_image(file) as image:
        segment_file(image, net, {"prob": job.targets["prob"]}, job.how, job.pages)
    assert list(prepared(jobs, net, model, how, "1")[0].left) == ["mask"]
    assert list(prepared(jobs, net, model, how, "1", overwrite=True)[0].left) == ["prob", "mask"]
    with pytest.raises(CunetError, match="was made with other settings"):
        prepared(jobs, net, model, how, "0")
    with pytest.raises(CunetError, match="the image itself"):
        prepared([(file, {"mask": file})], net, model, how)
    with pytest.raises(CunetError, match="has pages 0 to 1"):
        prepared(jobs, net, model, how, "2")
    with pytest.raises(CunetError, match="a frame of a sequence has one"):
        prepared([(file, {"ctc": folder / "mask000.tif"})], net, model, how)
    with pytest.raises(DataError, match="made for 2"):
        prepared(jobs, cunet.UNet(width=1, depth=1, in_channels=2), model, how)
    for wrong in (-0.1, 1.5, np.nan):
        with pytest.raises(CunetError, match="--threshold"):
            How(threshold=wrong)
    with pytest.raises(CunetError, match="tile"):
        fitting_tile(61, net)
    assert fitting_tile(None, net) == usual_tile(1) == 404


def test_another_image_of_the_same_name_is_not_done(folder, made):
    rng = np.random.default_rng(1)
    for plate in "AB":
        (folder / plate).mkdir()
        page = rng.integers(0, 255, (40, 50)).astype(np.uint8)
        tifffile.imwrite(folder / plate / "t001.tif", page)
    for products in (["prob", "mask"], ["labels"], ["ctc"], ["overlay"]):
        assert made(folder / "A" / "t001.tif", "out", products) == products
        assert made(folder / "A" / "t001.tif", "out", products) == []
        with pytest.raises(CunetError, match="was made of another image, or of this one before"):
            made(folder / "B" / "t001.tif", "out", products)
    tifffile.imwrite(folder / "A" / "t001.tif", page)
    with pytest.raises(CunetError, match="t001_prob.tif' exists and was made of another image"):
        made(folder / "A" / "t001.tif", "out", ["prob"])
    assert made(folder / "B" / "t001.tif", "fresh", ["prob", "mask"]) == ["prob", "mask"]
    assert made(folder / "B" / "t001.tif", "fresh", ["prob"], threshold=0.4) == []
    with pytest.raises(CunetError, match="t001_mask.tif' exists and was made with other settings"):
        made(folder / "B" / "t001.tif", "fresh", ["mask"], threshold=0.4)
    tifffile.imwrite(folder / "out" / "b_prob.tif", page)
    with pytest.raises(CunetError, match="was not made by this command"):
        made(folder / "b.tif", "out", ["prob"])


def test_no_product_replaces_an_image_or_the_product_of_another(folder, made):
    net, model, how = cunet.UNet(width=2, depth=1), folder / "net.npz", How(tile=60)
    page = np.zeros((40, 50), np.uint8)
    tifffile.imwrite(folder / "b_mask.tif", page)
    tifffile.imwrite(folder / "c.tif", page)
    both = [folder / "b.tif", folder / "b_mask.tif"]
    jobs = [(file, target_paths(file, folder, ["mask"], 2)) for file in both]
    for overwrite in (False, True):
        with pytest.raises(CunetError, match="b_mask.tif' is one of the images"):
            prepared(jobs, net, model, how, overwrite=overwrite)
    jobs = [(folder / name, {"mask": folder / "m.tif"}) for name in ("b.tif", "c.tif")]
    with pytest.raises(CunetError, match="would write products of one name"):
        prepared(jobs, net, model, how)


def test_a_product_that_another_process_makes_is_refused(folder, made):
    net, model = cunet.UNet(width=2, depth=1), folder / "net.npz"
    file = folder / "b.tif"
    jobs = [(file, target_paths(file, folder, ["mask"], 1))]
    first, second = (prepared(jobs, net, model, How(tile=60, threshold=t))[0] for t in (0.3, 0.6))
    with claimed(first) as job:
        with pytest.raises(CunetError, match="b_mask.tif' is in use by another process"):
            with claimed(second):
                pass
        with open_image(file) as image:
            segment_file(image, net, job.left, job.how, job.pages)
    with pytest.raises(CunetError, match="was made with other settings"):
        with claimed(second):
            pass
    with claimed(first) as job:
        assert job.left == {}
    assert {p.name for p in folder.iterdir()} == {"b.tif", "net.npz", "b_mask.tif"}


def test_the_same_pages_in_other_words_are_the_same(folder, made):
    """So is the same image under another name, with a product named by --out."""
    assert made(folder / "b.tif", "out", ["mask"]) == ["mask"]
    net, model, file = cunet.UNet(width=2, depth=1), folder / "net.npz", folder / "b.tif"
    jobs = [(file, target_paths(file, folder / "out", ["mask"], 1))]
    for pages in (None, "0,1", "0-1"):
        assert prepared(jobs, net, model, How(tile=60), pages)[0].left == {}
    with pytest.raises(CunetError, match="made with other settings"):
        prepared(jobs, net, model, How(tile=60), "1,0")
    copy = folder / "copy.tif"
    copy.write_bytes(file.read_bytes())
    jobs = [(copy, {"mask": folder / "out" / "b_mask.tif"})]
    assert prepared(jobs, net, model, How(tile=60))[0].left == {}
