"""The presets: settings by name, as differences from the defaults in config.py."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The paper's network, loss, solver and augmentation; what it does not state is ours.
    "paper": {},
    # For a quarter of an hour on a CPU: a quarter of the width, Adam, class balance and no border
    # term.
    "cpu": {
        "width": 16,
        "tile": 412,
        "steps": 4800,
        "solver": "adam",
        "weight_map": "balance",
        "dropout": 0.0,
        "clip": 0.0,
    },
    # A later student reproduction on nuclei, with batch normalisation; what its report does not
    # state is ours: width, batch, steps, learning rate, and how far each variation goes.
    "ucsd": {
        "padding": "same",
        "batch_norm": True,
        "sigmoid": True,
        "dropout": 0.0,
        "normalization": "image",
        "resize": 128,
        "width": 16,
        "tile": 128,
        "batch": 16,
        "steps": 2000,
        "solver": "adam",
        "clip": 0.0,
        "weight_map": "none",
        "elastic_sigma": 2.0,
        "zoom": 0.25,
        "shear": 0.1,
        "blur": 1.0,
        "validate_every": 250,
    },
}
