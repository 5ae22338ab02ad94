# What editors and type checkers see of the lazy __init__.py beside it: the same names at the same
# homes (tests/test_typing.py compares them).

from cunet.errors import CunetError
from cunet.net.checkpoint import load, save
from cunet.net.layers import weighted_softmax_loss as softmax_loss
from cunet.net.unet import UNet
from cunet.segmentation.tiling import segment
from cunet.solvers.adam import Adam
from cunet.solvers.rates import LearningRate
from cunet.solvers.sgd import SGD
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.loop import train

__version__: str
__all__ = [
    "UNet",
    "SGD",
    "Adam",
    "LearningRate",
    "softmax_loss",
    "segment",
    "save",
    "load",
    "Config",
    "train",
    "set_threads",
    "CunetError",
    "__version__",
]
