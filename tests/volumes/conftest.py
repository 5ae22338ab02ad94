"""What tests of volumes share: a folder with a small one, and its network."""

import pytest
from small_volumes import small_net, small_volume, write_volume

import cunet


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the volume in three formats and the model; the volume and the network."""
    folder = tmp_path_factory.mktemp("volume")
    volume, net = small_volume(), small_net()
    cunet.save(folder / "net.npz", net)
    write_volume(folder / "v5.ome.zarr", volume)
    write_volume(folder / "v4.ome.zarr", volume, "0.4")
    write_volume(folder / "v.tif", volume)
    return folder, volume, net
