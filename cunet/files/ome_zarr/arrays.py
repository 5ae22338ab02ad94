"""Making the empty arrays of an OME-Zarr image: shapes of chunks, compressors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError
from cunet.files.disk import write_error
from cunet.files.ome_zarr.array import Array
from cunet.files.ome_zarr.library import quiet_zarr
from cunet.files.ome_zarr.multiscales import ORDER
from cunet.files.ome_zarr.pyramid import halved_shape


@dataclass(frozen=True)
class Layout:
    """The shape of an array, of its chunks and of what one of its files holds.

    version  of OME-Zarr; 0.4 has no shards, so that its files are chunks
    """

    axes: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    file: tuple[int, ...]
    version: str

    def without_channels(self) -> "Layout":
        """The same of a label image, which has no axis c."""
        kept = [i for i, axis in enumerate(self.axes) if axis != "c"]
        shape, chunk, file = (
            tuple(sizes[i] for i in kept) for sizes in (self.shape, self.chunk, self.file)
        )
        return Layout(self.axes.replace("c", ""), shape, chunk, file, self.version)

    def level(self, number: int) -> "Layout":
        """The same of a lower resolution."""
        return replace(self, shape=halved_shape(self.shape, number))


def layout(
    axes: str,
    shape: Sequence[int],
    chunk: Sequence[int] | None,
    shard: Sequence[int] | None,
    version: str,
) -> Layout:
    """A layout that was asked for; CunetError for what cannot be."""
    if list(axes) != sorted(set(axes), key=ORDER.find) or not set("yx") <= set(axes) <= set(ORDER):
        raise CunetError(f"expected axes from t, c, z, y, x in this order, found '{axes}'")
    chunk = chunk or [512 if axis in "yx" else 1 for axis in axes]
    file = chunk if shard is None or version == "0.4" else shard
    for what, sizes in (("shape", shape), ("chunk", chunk), ("shard", file)):
        if len(sizes) != len(axes) or not all(int(n) == n >= 1 for n in sizes):
            raise CunetError(f"{what}: expected {len(axes)} whole numbers from 1, found {sizes}")
    if any(n % c for n, c in zip(file, chunk, strict=True)):
        raise CunetError(f"a shard is a whole number of chunks: found {file}, of chunks {chunk}")
    return Layout(axes, _whole(shape), _whole(chunk), _whole(file), version)


def _whole(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(n) for n in sizes)


def layout_of(array: Array, axes: str, version: str) -> Layout:
    """The layout of an array that is there."""
    return Layout(axes, array.shape, array.chunk, array.file, version)


def create_array(folder: Path, what: Layout, dtype: Any, label: bool) -> None:
    """Make an empty array; one of the same shape that is there stays as it is.

    A process that is killed here leaves a folder without metadata, or .zattrs alone: no array yet.
    """
    if any((folder / name).is_file() for name in ("zarr.json", ".zarray")):
        found = Array(folder)
        if found.shape != what.shape or found.dtype != np.dtype(dtype):
            raise CunetError(
                f"'{folder}' is there already, {found.dtype} {found.shape}; expected "
                f"{np.dtype(dtype)} {what.shape}. Remove the output, or choose another name."
            )
        return
    options: dict[str, Any] = {"zarr_format": 2, "chunks": what.file}
    if what.version != "0.4":
        options = {"zarr_format": 3, "chunks": what.chunk, "dimension_names": list(what.axes)}
        if what.file != what.chunk:
            options["shards"] = what.file
    else:
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    try:
        with quiet_zarr() as zarr:
            zarr.create_array(
                str(folder),
                shape=what.shape,
                dtype=np.dtype(dtype),
                fill_value=0,
                compressors=_compressor(zarr, np.dtype(dtype), label, options["zarr_format"]),
                **options,
            )
    except OSError as error:
        raise write_error(error, folder) from error


def _compressor(zarr: Any, dtype: np.dtype, label: bool, zarr_format: int) -> Any:
    """zstd 1; of a mask behind a shuffle of bits, which halves its bytes and costs less time."""
    import numcodecs

    bits = label and dtype.itemsize == 1
    if zarr_format == 2:
        if bits:
            return numcodecs.Blosc("zstd", 1, numcodecs.Blosc.BITSHUFFLE)
        return numcodecs.Zstd(1)
    if bits:
        return zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=1)
    return zarr.codecs.ZstdCodec(level=1)
