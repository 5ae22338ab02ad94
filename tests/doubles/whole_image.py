"""A network over a whole image in one pass, which is padded here, without any tiles."""

import numpy as np

from cunet.net.unet import UNet

MARGINS = {1: 8, 2: 20, 3: 44, 4: 92}  # pixels lost on each side
SMALLEST_TILE = {1: 18, 2: 44, 3: 92, 4: 188}  # sides; valid ones follow every 2^depth


def random_net(depth, width=2, dtype="float64", **more):
    net = UNet(width, depth, dtype=dtype, dropout=0, **more)
    rng = np.random.default_rng(3)
    for p in net.parameters():
        if p.name.endswith("biases"):
            p.value[...] = 0.2 * np.abs(rng.standard_normal(p.value.shape))
    return net


def random_image(*shape):
    return np.random.default_rng(7).standard_normal(shape)


def probabilities(logits):
    """Softmax along the last axis in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def padded_to(image, sides, depth):
    """image (H, W, C) with the margin before it, mirrored on all sides to the given sides."""
    margin = MARGINS[depth]
    behind = [side - margin - length for side, length in zip(sides, image.shape, strict=False)]
    return np.pad(image, ((margin, behind[0]), (margin, behind[1]), (0, 0)), mode="reflect")


def whole(image, net):
    """One pass over the image, padded by the margin and grown to the next valid sides."""
    image = image.reshape(*image.shape[:2], -1)
    sides = []
    for length in image.shape[:2]:
        side = SMALLEST_TILE[net.shape.depth]
        while side - 2 * MARGINS[net.shape.depth] < length:
            side += 2**net.shape.depth
        sides.append(side)
    x = padded_to(image, sides, net.shape.depth).astype(net.dtype)[None]
    return probabilities(net(x, remember=False))[0, : image.shape[0], : image.shape[1]]
