"""Settings of a training that takes a second."""

from cunet.training.config import Config


def settings(data, **more):
    """Thirty steps of a tiny network on the CPU, with one slice in four held out."""
    usual = {
        "data": str(data),
        "width": 2,
        "depth": 1,
        "tile": 34,
        "steps": 30,
        "lr": 1e-3,
        "fold": "1/4",
        "validate_every": 10,
        "device": "cpu",
        "seed": 3,
        "threads": 1,
    }
    return Config(**usual | more)
