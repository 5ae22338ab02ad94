# What editors and type checkers see of the lazy __init__.py beside it: the same names at the same
# homes (tests/test_typing.py compares them).

from cunet.claims.paper import paper
from cunet.crossvalidation.crossval import crossval
from cunet.data.samples import augment
from cunet.data.weight_images import weight_map
from cunet.errors import CunetError
from cunet.evaluation.frames import evaluate_ctc
from cunet.evaluation.isbi import evaluate_isbi
from cunet.evaluation.objects import evaluate_objects
from cunet.evaluation.pixels import evaluate_pixels
from cunet.exchange.export import export
from cunet.exchange.import_network import import_network
from cunet.exchange.verify import verify_export
from cunet.files.pages import read_image
from cunet.lessons.lesson import lesson
from cunet.net.checkpoint import load, save
from cunet.net.unet import UNet
from cunet.ops.softmax_loss import loss as softmax_loss
from cunet.reporting import write_report as report
from cunet.segmentation.objects import objects
from cunet.segmentation.seams import seams
from cunet.segmentation.segment import segment, segment_window
from cunet.solvers.adam import Adam
from cunet.solvers.rates import LearningRate
from cunet.solvers.sgd import SGD
from cunet.threads import set_threads
from cunet.tracing.trace import trace
from cunet.training.config import Config
from cunet.training.fit import fit
from cunet.training.loop import train
from cunet.volumes.segment_volume import segment_volume

__version__: str
__all__ = [
    "UNet",
    "SGD",
    "Adam",
    "LearningRate",
    "softmax_loss",
    "segment",
    "segment_window",
    "seams",
    "segment_volume",
    "objects",
    "save",
    "load",
    "import_network",
    "Config",
    "train",
    "fit",
    "evaluate_pixels",
    "evaluate_isbi",
    "evaluate_ctc",
    "evaluate_objects",
    "read_image",
    "augment",
    "weight_map",
    "report",
    "crossval",
    "paper",
    "export",
    "verify_export",
    "lesson",
    "trace",
    "set_threads",
    "CunetError",
    "__version__",
]
