"""Small networks in files, and napari without a window: Qt draws nowhere, there is no OpenGL."""

import os

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is imported

import cunet  # noqa: E402


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """model(channels, classes, ...) -> the path of a small network with random weights."""
    folder = tmp_path_factory.mktemp("models")

    def made(channels=1, classes=2, per_image=False, **more):
        net = cunet.UNet(
            width=2, depth=1, in_channels=channels, classes=classes, seed=3, dropout=0, **more
        )
        normal = type(net.normalization)
        net.normalization = normal(
            (100.0,) * channels, (50.0,) * channels, (0.0,) * channels, (255.0,) * channels,
            per_image,
        )  # fmt: skip
        name = "_".join(map(str, (channels, classes, per_image, *more.values())))
        cunet.save(folder / f"{name}.npz", net)
        return folder / f"{name}.npz"

    return made


@pytest.fixture
def noise():
    """noise(*shape) -> uint8 that repeats."""
    return lambda *shape: np.random.default_rng(1).integers(0, 256, shape, np.uint8)


@pytest.fixture
def viewer():
    """napari's model of a viewer, which needs no window."""
    from napari.components import ViewerModel

    return ViewerModel()
