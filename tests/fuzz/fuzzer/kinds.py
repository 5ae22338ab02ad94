"""The kinds of input there are, by name."""

from importlib import import_module

from fuzzer.case import Kind

KINDS = {
    "images": "fuzzer.images:Images",
    "models": "fuzzer.models:Models",
    "networks": "fuzzer.networks:Networks",
    "runs": "fuzzer.runs:Runs",
    "folders": "fuzzer.folders:Folders",
    "indexes": "fuzzer.indexes:Indexes",
    "calibration": "fuzzer.calibration:Calibration",
}


def kind_named(name: str) -> Kind:
    """A kind of these, or one written as module:Class."""
    module, _, kind = KINDS.get(name, name).partition(":")
    return getattr(import_module(module), kind)()
