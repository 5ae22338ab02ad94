"""Small networks of every kind in which no number is left as it was made."""

from dataclasses import replace

import numpy as np

import cunet

# Every kind of network there is
VARIANTS = {
    "paper": {},
    "release2015": {"variant": "release2015"},
    "same": {"padding": "same"},
    "batch_norm": {"batch_norm": True},
    "sigmoid": {"sigmoid": True},
    "same_sigmoid_norm": {"padding": "same", "sigmoid": True, "batch_norm": True},
    "classes_channels": {"classes": 4, "in_channels": 3},
    "all_release": {"variant": "release2015", "batch_norm": True, "classes": 3, "in_channels": 2},
}


def random_net(seed=0, **settings):
    """A network of these settings (width 2, depth 2) for images from 0 to 255."""
    rng = np.random.default_rng(seed)
    net = cunet.UNet(**{"width": 2, "depth": 2, "seed": seed} | settings)
    for name, value in net.statistics().items():
        drawn = rng.normal(0, 0.2, value.shape)
        value[...] = 1 + np.abs(drawn) if name.endswith("variance") else drawn
    for p in net.parameters():
        if not p.name.endswith("filters"):
            p.value[...] = rng.normal(0, 0.2, p.value.shape) + p.name.endswith("gamma")
    channels = range(net.shape.in_channels)
    net.normalization = replace(
        net.normalization,
        mean=tuple(110.0 + 9 * c for c in channels),
        deviation=tuple(45.0 + 7 * c for c in channels),
    )
    return net
