"""Sample data: a stack like serial-section EM, computed."""

from typing import Any

import numpy as np

from cunet.data import synthetic


def membranes() -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """8 sections (256 x 256) of cells with dark membranes, and the truth, hidden at first."""
    images, truth = synthetic.membranes(8, synthetic.SIDE, synthetic.SIDE, seed=0)
    axes = {"axis_labels": ["z", "y", "x"]}
    return [
        (images, {"name": "synthetic membranes", **axes}, "image"),
        (
            (truth > 0).astype(np.uint8),
            {"name": "synthetic membranes truth", "visible": False, **axes},
            "labels",
        ),
    ]
