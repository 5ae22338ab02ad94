"""The presets: settings by name, as differences from the defaults in config.py."""

from typing import Any

from cunet.errors import CunetError

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
    # From a trained network, on few images: short, at half the rate of cpu. What the network is,
    # from its width to its dropout, is that network's: see from_model.py.
    "finetune": {
        "tile": 412,
        "steps": 600,
        "solver": "adam",
        "lr": 5e-4,
        "weight_map": "balance",
        "clip": 0.0,
        "validate_every": 100,
    },
}


def chosen(preset: str | None, on_cpu: bool, model: str | None) -> tuple[str, str]:
    """The name of the preset, and in words where it comes from. model: what a training starts from.

    CunetError for finetune without a model.
    """
    if preset == "finetune" and model is None:
        raise CunetError(
            "preset finetune starts from a trained network: name it with --from, as in "
            "--from em (or a model file, or a run folder)"
        )
    if preset is not None:
        return preset, f"preset {preset}" + (f", starts from {model}" if model is not None else "")
    if model is not None:
        return "finetune", f"preset finetune (starts from {model})"
    return ("cpu", "preset cpu (on the CPU)") if on_cpu else ("paper", "preset paper (on a GPU)")
