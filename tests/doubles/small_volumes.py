"""A small volume, a small network, and what is expected of them: made for tests of volumes."""

import hashlib

import numpy as np
import tifffile

import cunet
from cunet.files.calibration import Calibration
from cunet.files.ome_zarr.output import create, open_output
from cunet.net.normalization import Normalization

SHAPE = 3, 131, 190
TILE = 68  # at depth 2 it gives 28 pixels, the step between tiles


def small_net(classes=2, channels=1, per_image=False, **more):
    """A network of depth 2 whose probabilities lie on both sides of a half."""
    net = cunet.UNet(width=2, depth=2, in_channels=channels, classes=classes, seed=5, **more)
    for number, parameter in enumerate(net.parameters()):
        rng = np.random.default_rng(number)
        parameter.value += rng.standard_normal(parameter.value.shape).astype("float32") / 3
    nan = (float("nan"),) * channels
    net.normalization = Normalization((110.0,) * channels, (50.0,) * channels, nan, nan, per_image)
    return net


def small_volume(shape=SHAPE, seed=0):
    """Blurred noise (Z, Y, X) uint8 with an empty corner."""
    noise = np.random.default_rng(seed).integers(1, 256, shape).astype(float)
    for axis in (1, 2):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 3
    volume = np.clip((noise - 128) * 3 + 128, 1, 255).astype(np.uint8)
    volume[:, :60, :60] = 0
    return volume


def write_volume(path, volume, version="0.5", chunk=(1, 32, 32)):
    """The volume as OME-Zarr (4 x 4 x 50 nm), or in tiles of a TIFF."""
    if path.suffix == ".tif":
        tifffile.imwrite(
            path, volume, tile=(64, 64), photometric="minisblack", metadata={"axes": "ZYX"}
        )
        return path
    shard = (2, 64, 64) if version == "0.5" else None
    size = Calibration(250.0, 250.0, "um", 0.05)
    create(path, volume.shape, "zyx", volume.dtype, size, chunk=chunk, shard=shard, version=version)
    open_output(path)["image"][:] = volume
    return path


def expected(volume, net, tile=TILE, skip=True):
    """Probabilities (Z, Y, X, K) float32 of every section by `cunet.segment`, and class 0 on the
    tiles of 28 pixels that hold only 0."""
    found = np.stack([cunet.segment(page, net, tile) for page in volume])
    step = 28
    for z in range(len(volume)):
        for y in range(0, volume.shape[1], step):
            for x in range(0, volume.shape[2], step):
                if skip and not volume[z, y : y + step, x : x + step].any():
                    found[z, y : y + step, x : x + step] = np.eye(found.shape[3])[0]
    return found


def digest(path):
    """One hash over the pixels of every array of an OME-Zarr, and their names."""
    total = hashlib.sha256()
    for name, array in sorted(open_output(path).items()):
        total.update(name.encode() + np.ascontiguousarray(array[:]).tobytes())
    return total.hexdigest()
