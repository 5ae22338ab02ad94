"""How an array says that its files are laid out: zarr's metadata as `Chunks`."""

from typing import Any

import numpy as np

from cunet.files.ome_zarr.chunks import Chunks
from cunet.files.ome_zarr.nodes import Node

_V2_CODECS = ("zstd", "blosc", "gzip", "zlib", "lz4")
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_INDEX = ["bytes", "crc32c"]  # the codecs of a shard's index


class _Other(Exception):
    """A layout that is left to zarr."""


def chunks_of(node: Node, shape: tuple[int, ...], fill: Any) -> Chunks | None:
    """The files of an array whose metadata zarr has accepted; None for a layout left to zarr.

    fill: the value that zarr finds in the metadata.
    """
    try:
        return (_version_3 if node.format == 3 else _version_2)(node, shape, fill)
    except (_Other, KeyError, TypeError, ValueError, IndexError):
        return None


def _version_2(node: Node, shape: tuple[int, ...], fill: Any) -> Chunks:
    document = node.document
    if document.get("filters") or document["order"] != "C":
        raise _Other
    stored, compressor = np.dtype(document["dtype"]), document["compressor"]
    if compressor and compressor["id"] not in _V2_CODECS:
        raise _Other
    codecs = (_codec(**compressor),) if compressor else ()
    chunk = tuple(document["chunks"])
    separator = document.get("dimension_separator") or "."
    fill = 0 if document["fill_value"] is None else fill
    return Chunks(node.folder, shape, chunk, chunk, False, stored, fill, codecs, "", separator)


def _version_3(node: Node, shape: tuple[int, ...], fill: Any) -> Chunks:
    document = node.document
    if document["chunk_grid"]["name"] != "regular" or document.get("storage_transformers"):
        raise _Other
    file = chunk = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = document["codecs"]
    sharded, index_first = codecs[0]["name"] == "sharding_indexed", False
    if sharded:
        inner = codecs[0]["configuration"]
        index = [codec["name"] for codec in inner["index_codecs"]]
        big = inner["index_codecs"][0].get("configuration", {}).get("endian") == "big"
        index_first = inner.get("index_location", "end") == "start"
        if len(codecs) > 1 or index != _INDEX or big:
            raise _Other
        chunk, codecs = tuple(inner["chunk_shape"]), inner["codecs"]
    if codecs[0]["name"] != "bytes":
        raise _Other
    order = "<" if codecs[0].get("configuration", {}).get("endian") != "big" else ">"
    stored = np.dtype(document["data_type"]).newbyteorder(order)
    packers = tuple(_version_3_codec(codec) for codec in codecs[1:])
    names = _names(document["chunk_key_encoding"])
    return Chunks(
        node.folder, shape, chunk, file, sharded, stored, fill, packers, *names, index_first
    )


def _names(encoding: dict[str, Any]) -> tuple[str, str]:
    """What the names of files begin with, and what stands between their numbers."""
    default = encoding["name"] == "default"
    if not default and encoding["name"] != "v2":
        raise _Other
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    return ("c" + separator if default else ""), separator


def _version_3_codec(codec: dict[str, Any]) -> Any:
    name, options = codec["name"], codec.get("configuration", {})
    if name == "zstd":
        return _codec(id="zstd", level=options["level"], checksum=options.get("checksum", False))
    if name == "gzip":
        return _codec(id="gzip", level=options["level"])
    if name == "blosc":
        return _codec(
            id="blosc",
            cname=options["cname"],
            clevel=options["clevel"],
            shuffle=_SHUFFLES[options["shuffle"]],
            blocksize=options.get("blocksize", 0),
        )
    raise _Other


def _codec(**options: Any) -> Any:
    from numcodecs import get_codec  # comes with zarr

    return get_codec(options)
