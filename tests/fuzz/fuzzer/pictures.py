"""Good image files of all sorts, in memory, and an independent reading of what a file holds."""

import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH, PAGES = 24, 20, 2
LARGEST = 1 << 26  # bytes that are read for a comparison


@dataclass(frozen=True)
class Picture:
    """A good file. pixels (pages, H, W, C) as stored; None where cunet reads others or none."""

    name: str
    data: bytes
    channels: int
    pixels: np.ndarray | None

    @property
    def suffix(self) -> str:
        return ".png" if self.data.startswith(b"\x89PNG") else ".tif"


def cells(rng: np.random.Generator, *shape: int, dtype: str = "uint8") -> np.ndarray:
    """Blobs of grey between dark lines, with noise: something that a network can react to."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    waves = 120 + 80 * np.sin(x / 3) * np.cos(y / 4)
    return np.clip(waves + rng.normal(0, 20, shape), 0, 255).astype(dtype)


def tiffs(rng: np.random.Generator) -> list[Picture]:
    """TIFFs of the sorts that people have."""
    grey = cells(rng, PAGES, HEIGHT, WIDTH)
    colour = np.ascontiguousarray(np.moveaxis(cells(rng, 3, HEIGHT, WIDTH), 0, -1))
    plain = {"photometric": "minisblack"}
    table = rng.integers(0, 65536, (3, 256), dtype=np.uint16)
    wanted = {
        "plain": (grey, plain),
        "big-endian": (grey, plain | {"byteorder": ">"}),
        "BigTIFF": (grey, plain | {"bigtiff": True}),
        "big-endian BigTIFF": (grey.astype("uint16"), plain | {"bigtiff": True, "byteorder": ">"}),
        "ImageJ": (grey, {"imagej": True, "metadata": {"axes": "ZYX", "unit": "um", "spacing": 2}}),
        "OME": (grey, plain | {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.1}}),
        "tiles": (grey, plain | {"tile": (16, 16)}),
        "deflated tiles": (grey, plain | {"tile": (16, 16), "compression": "zlib"}),
        "strips": (grey, plain | {"rowsperstrip": 5}),
        "LZW strips": (grey, plain | {"rowsperstrip": 5, "compression": "lzw"}),
        "deflated": (grey, plain | {"compression": "zlib", "predictor": True}),
        "packbits": (grey, plain | {"compression": "packbits"}),
        "zstd": (grey, plain | {"compression": "zstd"}),
        "JPEG": (grey[0], plain | {"compression": "jpeg", "rowsperstrip": 16}),
        "16 bits": (grey.astype(np.uint16), plain),
        "signed": (grey.astype(np.int16), plain),
        "float": (grey.astype(np.float32), plain | {"compression": "zlib", "predictor": 3}),
        "double": (grey.astype(np.float64), plain),
        "half": (grey.astype(np.float16), plain),
        "one bit": (grey > 120, plain),
        "RGB": (colour, {"photometric": "rgb"}),
        "RGBA": (np.dstack([colour, grey[0]]), {"photometric": "rgb", "extrasamples": [2]}),
        "planar RGB": (np.moveaxis(colour, -1, 0), {"photometric": "rgb", "planarconfig": 2}),
        "planar deflated": (
            np.moveaxis(colour, -1, 0),
            {"photometric": "rgb", "planarconfig": 2, "compression": "zlib"},
        ),
        "palette": (grey[0], {"photometric": "palette", "colormap": table}),
        "white is zero": (grey, {"photometric": "miniswhite"}),
        "one page": (grey[0], plain | {"description": "a page"}),
    }
    found = []
    for name, (array, options) in wanted.items():
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        channels = 3 if "RGB" in name or name.startswith("planar") else 1
        found.append(Picture(name, file.getvalue(), channels, None))
    return [*found, _page_by_page(grey)]


def _page_by_page(grey: np.ndarray) -> Picture:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in grey:
            writer.write(page, photometric="minisblack", metadata=None)
    return Picture("page by page", file.getvalue(), 1, None)


def pngs(rng: np.random.Generator) -> list[Picture]:
    """PNGs of every colour type."""
    grey = cells(rng, HEIGHT, WIDTH)
    colour = np.ascontiguousarray(np.moveaxis(cells(rng, 3, HEIGHT, WIDTH), 0, -1))
    wanted = {
        "grey PNG": Image.fromarray(grey),
        "16-bit PNG": Image.fromarray(grey.astype(np.uint16) * 2),
        "RGB PNG": Image.fromarray(colour),
        "RGBA PNG": Image.fromarray(np.dstack([colour, grey])),
        "grey and alpha PNG": Image.fromarray(np.dstack([grey, grey])),
        "palette PNG": Image.fromarray(grey).convert("P", palette=Image.Palette.ADAPTIVE),
        "one-bit PNG": Image.fromarray(grey > 120),
    }
    found = []
    for name, image in wanted.items():
        file = io.BytesIO()
        image.save(file, "PNG")
        found.append(Picture(name, file.getvalue(), 3 if "RGB" in name else 1, None))
    return found


def independent(path: Path) -> np.ndarray | str:
    """The pixels (pages, H, W, C) as tifffile or Pillow read the whole file, or why not."""
    if path.read_bytes().startswith(b"\x89PNG"):
        return _png(path)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        with warnings.catch_warnings(), tifffile.TiffFile(path) as file:
            warnings.simplefilter("ignore")
            every = [s for s in file.series if s.keyframe is not None and not s.keyframe.is_reduced]
            if len(every) != 1:
                return f"{len(every)} series"
            series = every[0]
            if series.keyframe.photometric in (0, 3) or series.nbytes > LARGEST:
                return "a matter of taste, or too large"
            values, axes = series.asarray(), series.axes
    except Exception as error:
        return repr(error)
    last = next((axes.index(a) for a in "SC" if a in axes), None)
    values = values[..., None] if last is None else np.moveaxis(values, last, -1)
    return values.reshape(-1, *values.shape[-3:]) if values.ndim >= 3 else "no image"


def _png(path: Path) -> np.ndarray | str:
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > LARGEST:
                return "too large"
            if image.mode == "P":
                return "a colour table"
            values = np.asarray(image)
    except Exception as error:
        return repr(error)
    return values.reshape(1, *values.shape[:2], -1)


def differs(path: Path) -> str:
    """How cunet's reading of a file differs from the independent one; "" where it does not."""
    from cunet.files import open_image

    theirs = independent(path)
    if isinstance(theirs, str):
        return ""
    with open_image(path) as image:
        ours = np.stack([image.read(page) for page in range(image.pages)])
    theirs = theirs[..., : ours.shape[-1]]
    if theirs.shape != ours.shape:
        return f"cunet reads {ours.shape} (pages, H, W, C), others {theirs.shape}"
    if not np.array_equal(ours.astype(theirs.dtype), theirs, equal_nan=theirs.dtype.kind == "f"):
        wrong = np.count_nonzero(ours != theirs)
        return f"{wrong} of {ours.size} values are not those that others read"
    return ""
