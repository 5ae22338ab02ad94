"""cunet: the original U-Net, every forward and backward pass by hand, on NumPy and CuPy arrays."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "UNet": "cunet.net.unet:UNet",
    "SGD": "cunet.solvers.sgd:SGD",
    "Adam": "cunet.solvers.adam:Adam",
    "LearningRate": "cunet.solvers.rates:LearningRate",
    "softmax_loss": "cunet.ops.softmax_loss:loss",
    "segment": "cunet.segmentation.segment:segment",
    "segment_window": "cunet.segmentation.segment:segment_window",
    "seams": "cunet.segmentation.seams:seams",
    "segment_volume": "cunet.volumes.segment_volume:segment_volume",
    "objects": "cunet.segmentation.objects:objects",
    "save": "cunet.net.checkpoint:save",
    "load": "cunet.net.checkpoint:load",
    "import_network": "cunet.exchange.import_network:import_network",
    "Config": "cunet.training.config:Config",
    "train": "cunet.training.loop:train",
    "fit": "cunet.training.fit:fit",
    "evaluate_pixels": "cunet.evaluation.pixels:evaluate_pixels",
    "evaluate_isbi": "cunet.evaluation.isbi:evaluate_isbi",
    "evaluate_ctc": "cunet.evaluation.frames:evaluate_ctc",
    "evaluate_objects": "cunet.evaluation.objects:evaluate_objects",
    "read_image": "cunet.files.pages:read_image",
    "augment": "cunet.data.samples:augment",
    "weight_map": "cunet.data.weight_images:weight_map",
    "report": "cunet.reporting:write_report",
    "crossval": "cunet.crossvalidation.crossval:crossval",
    "paper": "cunet.claims.paper:paper",
    "export": "cunet.exchange.export:export",
    "verify_export": "cunet.exchange.verify:verify_export",
    "lesson": "cunet.lessons.lesson:lesson",
    "trace": "cunet.tracing.trace:trace",
    "set_threads": "cunet.threads:set_threads",
    "CunetError": "cunet.errors:CunetError",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Import each public name where it is first used, so that `import cunet` costs little."""
    if name not in _HOME:
        raise AttributeError(f"module 'cunet' has no attribute '{name}'")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
