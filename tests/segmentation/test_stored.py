"""Products from a probability of an earlier call: the same bytes, and nothing but the right one."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from bright_net import bright

import cunet
from cunet.errors import DataError
from cunet.files import open_image, read_description
from cunet.segmentation.how import How
from cunet.segmentation.inputs import target_paths
from cunet.segmentation.instances import Instances
from cunet.segmentation.jobs import claimed, not_made, prepared
from cunet.segmentation.segment_file import segment_file

OTHERS = ["mask", "labels", "table", "rois", "overlay", "ctc"]


class Place:
    """A folder with an image t001.tif and a network, which counts how often it is asked."""

    def __init__(self, folder, classes=2, pages=1, dtype="float32"):
        self.folder, self.image, self.model = folder, folder / "t001.tif", folder / "net.npz"
        self.net = cunet.UNet(width=3, depth=1, classes=classes, dtype=dtype, seed=3)
        cunet.save(self.model, self.net)
        rng = np.random.default_rng(1)
        stack = rng.integers(0, 255, (pages, 60, 70)).astype(np.uint8)
        tifffile.imwrite(self.image, stack, photometric="minisblack")
        self.calls, engine = 0, self.net.engine

        def predict(*given):
            self.calls += 1
            return engine.predict(*given)

        self.net.engine = SimpleNamespace(**vars(engine) | {"predict": predict})

    def make(self, out, products, pages=None, overwrite=False, **how):
        """What was said of the probability, after the products are made."""
        (self.folder / out).mkdir(exist_ok=True)
        jobs = [(self.image, target_paths(self.image, self.folder / out, products, 1))]
        how = {"tile": 60, "distinct": True} | how
        (job,) = prepared(jobs, self.net, self.model, How(**how), pages, overwrite)
        with claimed(job) as job, open_image(self.image) as image:
            if job.left:
                segment_file(image, self.net, job.left, job.how, job.pages, stored=job.stored)
        self.job = job
        return job.said

    def bytes_of(self, out):
        return {p.name: p.read_bytes() for p in (self.folder / out).iterdir()}

    def prob(self, out):
        return self.folder / out / "t001_prob.tif"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_products_are_the_same_bytes_and_the_network_is_not_asked(tmp_path, classes, dtype):
    place = Place(tmp_path, classes, dtype=dtype)
    how = {"threshold": 0.45, "instances": Instances("watershed", min_area=5)}
    place.make("fresh", OTHERS, **how)
    place.make("out", ["prob"])
    asked = place.calls
    said = place.make("out", OTHERS, **how)
    assert place.calls == asked > 0 and said == f"probability from {place.prob('out')}"
    found = place.bytes_of("out")
    prob = tifffile.imread(place.prob("out"))
    del found["t001_prob.tif"]
    assert found == place.bytes_of("fresh") and len(found) == len(OTHERS)
    # the mask is what anybody finds in prob
    mask = tifffile.imread(tmp_path / "out" / "t001_mask.tif")
    expected = prob.argmax(axis=0) if classes > 2 else np.where(prob > np.float32(0.45), 255, 0)
    np.testing.assert_array_equal(mask, expected)
    assert len(np.unique(mask)) > 1


def test_the_probability_depends_on_no_threshold_and_is_not_refused_for_one(tmp_path):
    place = Place(tmp_path)
    place.make("out", ["prob"], threshold=0.3, instances=Instances(min_area=4))
    assert "threshold" not in read_description(place.prob("out"))
    asked = place.calls
    place.make("out", ["prob", "mask"], threshold=0.6)
    assert place.job.left.keys() == {"mask"} and place.calls == asked
    assert "threshold 0.6" in read_description(tmp_path / "out" / "t001_mask.tif")


def rewritten(place, out, change):
    """Write prob anew with another description, as TiffOutput does."""
    from cunet.files import TiffOutput

    path, values = place.prob(out), tifffile.imread(place.prob(out))
    text = change(read_description(path))
    with TiffOutput(path, 1, *values.shape, np.float32, description=text) as file:
        file.write_rows(0, 0, values)


def test_files_of_older_versions_which_name_a_threshold_are_known(tmp_path):
    place = Place(tmp_path)
    place.make("out", ["prob"])
    rewritten(place, "out", lambda text: text.replace(", average", ", threshold 0.5, average"))
    assert "threshold 0.5" in read_description(place.prob("out"))
    asked = place.calls
    assert place.make("out", ["labels"], threshold=0.4).startswith("probability from")
    place.make("out", ["prob"], threshold=0.4)
    assert place.calls == asked and not place.job.left


def test_pages_are_taken_from_a_probability_of_more(tmp_path):
    place = Place(tmp_path, pages=4)
    place.make("fresh", ["labels", "table"], "3,1")
    place.make("out", ["prob"])
    asked = place.calls
    assert place.make("out", ["labels", "table"], "3,1").startswith("probability from")
    assert place.calls == asked
    found, fresh = place.bytes_of("out"), place.bytes_of("fresh")
    assert all(found[name] == fresh[name] for name in fresh)
    place.make("some", ["prob"], "0-1,3")
    asked = place.calls
    assert place.make("some", ["mask"], "3,0").startswith("probability from")
    assert place.calls == asked
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "some" / "t001_mask.tif") > 0,
        tifffile.imread(place.prob("out"))[[3, 0]] > 0.5,
    )
    assert "holds other pages: it is not used" in place.make("some", ["labels"], "2")
    assert place.calls > asked


def resaved(path, place):
    """As ImageJ saves it: the description stays, the pixels need not."""
    values, text = tifffile.imread(path), read_description(path)
    tifffile.imwrite(
        path, 1 - values, imagej=True, byteorder=">", software="ImageJ", metadata={"Info": text}
    )


def cut(path, place):
    path.write_bytes(path.read_bytes()[:-5000])


def other_model(path, place):
    place.net.parameters()[0].value[...] += 1
    cunet.save(place.model, place.net)


def other_image(path, place):
    tifffile.imwrite(place.image, tifffile.imread(place.image)[:, ::-1])


def foreign(path, place):
    tifffile.imwrite(path, tifffile.imread(path))


def no_tiff(path, place):
    path.write_bytes(b"II*\0 nothing")


@pytest.mark.parametrize(
    ("change", "how", "words"),
    [
        (resaved, {}, "was changed after it was made, or is damaged"),
        (cut, {}, "was changed after it was made, or is damaged"),
        (other_model, {}, "was made with other settings"),
        (other_image, {}, "was made of another image"),
        (foreign, {}, "was not made by this command"),
        (no_tiff, {}, "was not made by this command"),
        (lambda *rest: None, {"average": "flips"}, "was made with other settings"),
        (lambda *rest: None, {"stride": "paper"}, "was made with other settings"),
    ],
)
def test_another_probability_is_not_used_and_that_is_said(tmp_path, change, how, words):
    place = Place(tmp_path)
    place.make("out", ["prob"])
    change(place.prob("out"), place)
    asked = place.calls
    said = place.make("out", ["mask"], **how)
    assert place.calls > asked and said.startswith(f"{place.prob('out')} {words}")
    assert said.endswith("it is not used")
    place.make("fresh", ["mask"], **how)
    assert place.bytes_of("out")["t001_mask.tif"] == place.bytes_of("fresh")["t001_mask.tif"]


def test_numbers_that_are_no_probability_are_told(tmp_path):
    place = Place(tmp_path)
    place.make("out", ["prob"])
    with open_image(place.prob("out")) as image:
        offset = image._stack.dataoffset
    with open(place.prob("out"), "r+b") as file:
        file.seek(offset + 4 * 70 * 30)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(DataError, match="t001_prob.tif' page 0 holds numbers outside 0 to 1"):
        place.make("out", ["mask"])
    assert set(place.bytes_of("out")) == {"t001_prob.tif"}


def test_what_is_asked_for_anew_is_computed_anew(tmp_path):
    place = Place(tmp_path)
    place.make("out", ["prob", "mask"])
    asked = place.calls
    assert place.make("out", ["prob", "mask"], overwrite=True) == "" and place.calls > asked
    asked = place.calls
    assert place.make("out", ["mask"], overwrite=True) and place.calls == asked
    assert not_made(place.job, ("prob", "labels", "overlay")) == ["labels", "overlay"]


def test_a_table_without_rows_is_made_again_and_one_of_other_settings_is_not(tmp_path):
    place = Place(tmp_path)
    place.make("out", ["prob", "table"], threshold=1.0)
    table = tmp_path / "out" / "t001_table.csv"
    assert table.read_bytes().count(b"\n") == 1
    place.make("out", ["table"], threshold=0.5)
    assert table.read_bytes().count(b"\n") > 1
    place.make("out", ["table"], threshold=0.5)
    assert not place.job.left
    for path in ("table", "rois"):
        place.make("out", [path], threshold=0.5)
        with pytest.raises(cunet.CunetError, match="exists and was made with other settings"):
            place.make("out", [path], threshold=0.4)


def test_bright_networks_agree_with_the_image(tmp_path):
    """The double that other tests segment with does what it says."""
    image = np.array([[0, 100, 200]], np.uint8)
    assert cunet.segment(image, bright(3)).argmax(axis=2).tolist() == [[0, 1, 2]]
