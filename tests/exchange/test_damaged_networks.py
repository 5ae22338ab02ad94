"""Damaged files of each format: a clear error that names the file, or a network of numbers.

tests/fuzz tries many more, also against the limits of memory and time."""

from pathlib import Path

import numpy as np
import pytest
from foreign_files import caffe_weights, caffemodel, pt_of, small_net
from fuzzer.bytes_of import damaged

from cunet.errors import DataError
from cunet.exchange import milesial
from cunet.exchange.import_network import imported

CASES = 100


def good_files(folder):
    net = small_net(width=1, depth=1, padding="same", batch_norm=True)
    milesial.write(net, folder / "net.safetensors")
    from cunet.exchange import safetensors

    found, _ = safetensors.read(folder / "net.safetensors")
    (folder / "net.pt").write_bytes(pt_of({n: one.read() for n, one in found.items()}))
    for old in (False, True):
        data = caffemodel(caffe_weights(small_net(width=1)), old)
        (folder / f"net{'_v1' * old}.caffemodel").write_bytes(data)


@pytest.mark.parametrize(
    "name", ["net.caffemodel", "net_v1.caffemodel", "net.safetensors", "net.pt"]
)
def test_damage_is_told_or_harmless(tmp_path, name):
    good_files(tmp_path)
    rng, data, refused = np.random.default_rng(5), (tmp_path / name).read_bytes(), 0
    path = tmp_path / f"bad{Path(name).suffix}"
    for _ in range(CASES):
        bad, what = damaged(rng, data)
        path.write_bytes(bad)
        try:
            net = imported(path).net
        except DataError as error:
            assert str(path) in str(error) and len(str(error)) < 600 + len(str(path)), what
            refused += 1
        else:
            assert all(np.isfinite(p.value).all() for p in net.parameters()), what
    assert refused > CASES / 4
