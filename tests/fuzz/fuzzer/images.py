"""The kind `images`: TIFF and PNG files of all sorts, segmented, scored, read as labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from fuzzer import nets, pictures, png, tiff
from fuzzer.case import Case, Kind, Result

PRODUCTS = (
    "prob,mask",
    "prob,mask",
    "prob,mask,labels,overlay",
    "labels",
    "overlay,prob",
    "table,rois,mask",
)


class Images(Kind):
    """A damaged or hostile image file, given to the commands that read images."""

    name = "images"

    def prepare(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.models = {
            channels: str(nets.save(folder / f"net{channels}.npz", channels=channels))
            for channels in (1, 3)
        }
        self.pictures = pictures.tiffs(rng) + pictures.pngs(rng)
        self.truth = folder / "truth.tif"
        labels = (pictures.cells(rng, pictures.PAGES, pictures.HEIGHT, pictures.WIDTH) > 120) * 255
        tifffile.imwrite(self.truth, labels.astype(np.uint8), photometric="minisblack")

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        picture = self.pictures[rng.integers(len(self.pictures))]
        change = png.mutated if picture.suffix == ".png" else tiff.mutated
        data, what = change(rng, picture.data)
        name = "hostile" + picture.suffix
        path = folder / name
        path.write_bytes(data)
        story = f"{picture.name}: {what}"
        if rng.random() < 0.75:
            return self._segment(rng, path, picture, story)
        truth = str(self.truth)
        command = [
            ["evaluate", "pixels", name, truth, "--json"],
            ["evaluate", "pixels", truth, name, "--json"],
            ["evaluate", "isbi", name, truth, "--json"],
            ["evaluate", "dsb", name, truth, "--json"],
            ["evaluate", "dsb", truth, name, "--json"],
            ["weights", name, "-o", "map.tif"],
            ["objects", name, "--products", "labels,table,rois", "--out", "out"],
            ["trace", self.models[picture.channels], name, "-o", "trace.html", "--json"],
            ["trace", self.models[1], truth, "--truth", name, "-o", "trace.html", "--json"],
        ][rng.integers(9)]

        def verdict(result: Result) -> Iterator[str]:
            yield from nets.unsound_products(path.parent / "out")
            yield from self._damage(path, result)

        made = ("map.tif", "trace.html", "out/hostile_*", "out")
        return Case(command, [name, "truth.tif"], story, made, verdict=verdict)

    def _segment(self, rng, path: Path, picture: pictures.Picture, story: str) -> Case:
        products = PRODUCTS[rng.integers(len(PRODUCTS))]
        command = ["segment", path.name, "--model", self.models[picture.channels], "--out", "out"]
        command += ["--products", products, "--threads", "1"]

        def verdict(result: Result) -> Iterator[str]:
            if result.code == 0:
                yield from nets.unsound_products(path.parent / "out")
                yield from self._damage(path, result)
                text = pictures.differs(path)
                if text and "metadata" not in result.err and "OME-XML" not in result.err:
                    yield text  # where they contradict the file, what to read was said

        return Case(command, [path.name], story, ("out/hostile_*", "out"), verdict=verdict)

    def _damage(self, path: Path, result: Result) -> Iterator[str]:
        """A PNG that says itself that it is damaged and is taken for whole all the same."""
        data = path.read_bytes()
        if result.code == 0 and data.startswith(png.MAGIC) and (text := png.unsound(data)):
            yield f"a damaged PNG was taken for whole: {text}"
