"""Small files in Zeiss's LSM: TIFF with thumbnails between the pages and a tag for the axes."""

import struct

import numpy as np
import tifffile


def write_lsm(path, stack, voxel=(1e-7, 1e-7, 5e-7)):
    """stack (Z, C, Y, X) uint8; voxel sizes x, y, z in metres."""
    depth, channels, height, width = stack.shape
    info = np.zeros((), np.dtype([(name, "<" + kind) for name, kind in tifffile.TIFF.CZ_LSMINFO]))
    info["MagicNumber"], info["StructureSize"] = 67127628, info.nbytes
    info["DimensionX"], info["DimensionY"], info["DimensionZ"] = width, height, depth
    info["DimensionChannels"], info["DimensionTime"] = channels, 1
    info["VoxelSizeX"], info["VoxelSizeY"], info["VoxelSizeZ"] = voxel
    tag = [(34412, 1, info.nbytes, info.tobytes(), True)]
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for z, page in enumerate(stack):
            writer.write(
                page if channels > 1 else page[0], photometric="minisblack", metadata=None,
                planarconfig="separate" if channels > 1 else None, contiguous=False,
                extratags=tag if z == 0 else [],
            )  # fmt: skip
            writer.write(
                np.zeros((16, 16, 3), "u1"), photometric="rgb", subfiletype=1, metadata=None,
                contiguous=False,
            )  # fmt: skip
    if channels == 2:
        _bits_by_offset(path)


def _bits_by_offset(path):
    """As the microscope does, where two values of BitsPerSample would fit into the tag itself."""
    content = bytearray(path.read_bytes())
    end, (directory,) = len(content), struct.unpack("<I", content[4:8])
    while directory:
        (count,) = struct.unpack_from("<H", content, directory)
        for tag in range(directory + 2, directory + 2 + 12 * count, 12):
            code, _, values = struct.unpack_from("<HHI", content, tag)
            if code == 258 and values == 2:
                struct.pack_into("<I", content, tag + 8, end)
        (directory,) = struct.unpack_from("<I", content, directory + 2 + 12 * count)
    path.write_bytes(content + struct.pack("<HH", 8, 8))
