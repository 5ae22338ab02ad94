"""The kind `calibration`: what a file says of its pixel size and axes, right, strange or hostile.

The pixels are always the same good ones. Pixel sizes and units are decoration: whatever they say,
the probabilities are those of the plain file bit for bit, and a size that comes out is the one that
went in. What a file says of its axes may be refused, but no page may get lost without a
word.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

import cunet
from fuzzer import nets, pictures
from fuzzer.case import Case, Kind, Result
from fuzzer.metadata import SIDES, UM, Sizes, imagej, ome, tags

AXES = {"ZYX": (3,), "TYX": (3,), "TZYX": (2, 3), "YX": ()}


class Calibration(Kind):
    """A good image with metadata of all kinds."""

    name = "calibration"

    def prepare(self, folder: Path) -> None:
        self.model = str(nets.save(folder / "net.npz"))
        rng = np.random.default_rng(4)
        self.pixels = {a: pictures.cells(rng, *n, *SIDES) for a, n in AXES.items()}
        net, self.expected = nets.tiny(), {}
        for axes, pixels in self.pixels.items():
            pages = pixels.reshape(-1, *SIDES)
            probability = [cunet.segment(page, net)[..., 1] for page in pages]
            self.expected[axes] = np.stack(probability).astype(np.float32)

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        axes = list(AXES)[rng.integers(len(AXES))]
        write = (imagej, imagej, ome, ome, tags)[rng.integers(5)]
        manner = ("right", "hostile", "hostile", "structure")[rng.integers(4)]
        path = folder / "metadata.tif"
        sizes, story = write(rng, path, self.pixels[axes], axes, manner)
        command = ["segment", path.name, "--model", self.model, "--out", "out", "--threads", "1"]

        def verdict(result: Result) -> Iterator[str]:
            if result.code and manner != "structure":
                yield f"refused for its decoration: {result.err.strip()[:300]}"
            elif result.code == 0:
                out = folder / "out" / "metadata_prob.tif"
                yield from nets.unsound_products(folder / "out")
                values = tifffile.imread(out).reshape(-1, *SIDES)
                expected = self.expected[axes]
                if values.shape != expected.shape:
                    if "warning" in result.err and manner == "structure":
                        return  # what the metadata and the file do not agree on was said
                    yield f"{len(values)} pages, the file has {len(expected)}"
                elif not np.array_equal(values, expected):
                    yield "other probabilities than those of the plain file"
                if manner != "structure" and write is not tags:
                    if (found := axes_of(out)) != axes:
                        yield f"axes {axes} became {found}"
                yield from wrong_sizes(out, sizes, result.err)

        story = f"{write.__name__}, {axes}, {manner}: {story}"
        return Case(command, [path.name], story, ("out/metadata_*", "out"), verdict=verdict)


def axes_of(path: Path) -> str:
    with tifffile.TiffFile(path) as file:
        return file.series[0].axes


def wrong_sizes(path: Path, sizes: Sizes, words: str) -> Iterator[str]:
    """Sizes that came out otherwise than they went in, or are no sizes, or went without a word."""
    found = sizes_of(path)
    for axis, size in found.items():
        if not 0 < size < math.inf:
            yield f"pixel size along {axis} came out as {size}"
        elif axis in sizes and abs(size / sizes[axis] - 1) > 2e-3:
            yield f"pixel size along {axis}: {sizes[axis]:g} um became {size:g} um"
    noted = any(w in words for w in ("pixel size", "calibration", "unit", "metadata", "spacing"))
    if (lost := sorted(sizes.keys() - found.keys())) and not noted:
        yield f"pixel size along {', '.join(lost)} lost without a word"


def sizes_of(path: Path) -> Sizes:
    """The sizes in a product, in micrometres; those with a unit that has none are left out."""
    with tifffile.TiffFile(path) as file:
        page, notes = file.pages[0], file.imagej_metadata or (file.shaped_metadata or ({},))[0]
        unit = str(notes.get("unit", ""))
        kind = {2: "inch", 3: "cm"}.get(int(page.tags.valueof("ResolutionUnit", default=1)))
        um = UM.get(unit) if file.is_imagej and unit else UM.get(kind or "")
        found: Sizes = {}
        for axis, name in (("X", "XResolution"), ("Y", "YResolution")):
            value = page.tags.valueof(name)
            if um and value:
                number, of = value
                found[axis] = um * of / number if number else math.inf
        if "spacing" in notes and (um or UM.get(unit)):
            try:
                found["Z"] = float(notes["spacing"]) * (UM.get(unit) or um)
            except (TypeError, ValueError):
                found["Z"] = math.nan
        return found
