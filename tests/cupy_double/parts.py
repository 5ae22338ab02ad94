"""The parts of CuPy that lie below the module itself: devices, strides, norms."""

from types import SimpleNamespace

import numpy as np

from cupy_double.arrays import device, host, offered


def is_available():
    return True


class CUDARuntimeError(RuntimeError):
    """What a device number beyond the only one gives."""


class Device:
    """`with Device(0):` as CuPy has it; there is one device."""

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)

    def use(self):
        if self.id != 0:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def synchronize(self):
        self.use()

    def __enter__(self):
        self.use()
        return self

    def __exit__(self, *exc):
        return None

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None


def as_strided(x, shape=None, strides=None):
    return device(np.lib.stride_tricks.as_strided(host(x), shape, strides))


cuda = SimpleNamespace(
    Device=Device,
    is_available=is_available,
    runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=CUDARuntimeError),
)
lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))
linalg = SimpleNamespace(norm=offered("norm", np.linalg.norm, "x / ord axis keepdims"))
