"""Blocks are read ahead while others are computed: of an image one thread alone reads."""

from threading import Lock
from time import sleep

from small_volumes import SHAPE, TILE, small_net, small_volume, write_volume

import cunet
from cunet.files.tiff_input import TiffImage


def test_an_image_is_read_by_one_thread_at_a_time(tmp_path, monkeypatch):
    """Also where every section is read whole, for its mean: a TIFF has one place where it is read,
    which another thread would move."""
    cunet.save(tmp_path / "net.npz", small_net(per_image=True))
    source = write_volume(tmp_path / "v.tif", small_volume())
    busy, reads = Lock(), []
    read = TiffImage._window

    def alone(image, page, *window):
        taken = busy.acquire(blocking=False)
        reads.append(taken)
        sleep(0.01)  # so that another one comes meanwhile, if it may
        try:
            return read(image, page, *window)
        finally:
            if taken:
                busy.release()

    monkeypatch.setattr(TiffImage, "_window", alone)
    block = (1, 56, 56)  # 36 of them, in runs of 9
    cunet.segment_volume(
        source, tmp_path / "out.ome.zarr", tmp_path / "net.npz", tile=TILE, block=block
    )
    assert len(reads) > 2 * SHAPE[0] and all(reads)
