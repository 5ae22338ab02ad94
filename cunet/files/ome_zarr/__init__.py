"""OME-Zarr in and out: NGFF 0.4 (zarr version 2) and 0.5 (version 3, with shards).

`open_ome_zarr` reads an image or a label image, `output` makes one that is written block by block,
`pyramid` halves blocks for the lower resolutions.
"""

from cunet.files.ome_zarr.image import OmeZarrImage, open_ome_zarr
from cunet.files.ome_zarr.nodes import is_node

__all__ = ["OmeZarrImage", "is_node", "open_ome_zarr"]
