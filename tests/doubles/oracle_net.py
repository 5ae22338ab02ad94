"""A whole U-Net put together from oracle.py, in float64: nothing shared with cunet.

Parameters are a dictionary, name of the layer -> [filters, biases], in the order in which data
meets the layers. The walk down and up is written as two loops, its gradient with explicit memory.
"""

import numpy as np
import oracle


def layer_shapes(width, depth, in_channels, classes, variant="paper"):
    """Name -> shape (R, S, C, K) of the filters, in the order in which data meets the layers."""
    channels = [width * 2**i for i in range(depth + 1)]
    shapes, last = {}, in_channels
    for i, here in enumerate(channels):
        shapes[f"contract{i}.conv1"] = (3, 3, last, here)
        shapes[f"contract{i}.conv2"] = (3, 3, here, here)
        last = here
    for i in range(depth - 1, -1, -1):
        here, below = channels[i], channels[i + 1]
        up = below if variant == "release2015" and i == 0 else here
        shapes[f"expand{i}.up"] = (2, 2, below, up)
        shapes[f"expand{i}.conv1"] = (3, 3, up + here, here)
        shapes[f"expand{i}.conv2"] = (3, 3, here, here)
    shapes["head"] = (1, 1, channels[0], classes)
    return shapes


def dropout_mask(shape, rate, key):
    """1 / (1 - rate) or 0 for every element, from Philox by element number."""
    words = []
    for i in range(-(-int(np.prod(shape)) // 4)):
        words += oracle.philox4x32_10((i, 0, 0, 0), (key & 0xFFFFFFFF, key >> 32))
    kept = [0.0 if word < rate * 2**32 else 1 / (1 - rate) for word in words]
    return np.array(kept[: int(np.prod(shape))]).reshape(shape)


class Net:
    """forward remembers on itself what backward needs; backward fills .grads and returns dx."""

    def __init__(self, parameters, depth, variant="paper", rate=0.0):
        self.parameters, self.depth, self.variant, self.rate = parameters, depth, variant, rate

    def forward(self, x, keys=()):
        """Logits of x; keys: one number per dropout layer, or none for no dropout."""
        keys, depth = list(keys), self.depth
        self.inputs, self.outputs, self.masks, self.pooled = {}, {}, {}, {}
        skips = {}
        for i in range(depth + 1):
            if i > 0:
                self.pooled[i] = x
                x = oracle.max_pool_forward(x)
            x = self.conv(f"contract{i}.conv1", x)
            x = self.conv(f"contract{i}.conv2", x)
            if i >= depth - 1 and keys:
                self.masks[i] = dropout_mask(x.shape, self.rate, keys.pop(0))
                x = x * self.masks[i]
            skips[i] = x
        self.skips = skips
        self.up_shapes = {}
        for i in range(depth - 1, -1, -1):
            name = f"expand{i}.up"
            self.inputs[name] = x
            x = oracle.up_conv_forward(x, *self.parameters[name])
            if self.variant == "release2015":
                x = oracle.relu_forward(x)
            self.outputs[name], self.up_shapes[i] = x, x.shape
            x = oracle.crop_concat_forward(x, skips[i])
            x = self.conv(f"expand{i}.conv1", x)
            x = self.conv(f"expand{i}.conv2", x)
        self.inputs["head"] = x
        return oracle.conv_forward(x, *self.parameters["head"])

    def conv(self, name, x):
        self.inputs[name] = x
        self.outputs[name] = oracle.relu_forward(oracle.conv_forward(x, *self.parameters[name]))
        return self.outputs[name]

    def backward(self, dlogits):
        self.grads = {}
        dy = self.conv_backward("head", dlogits, relu=False)
        dskips = {}
        for i in range(self.depth):
            dy = self.conv_backward(f"expand{i}.conv2", dy)
            dy = self.conv_backward(f"expand{i}.conv1", dy)
            dy, dskips[i] = oracle.crop_concat_backward(dy, self.up_shapes[i], self.skips[i].shape)
            name = f"expand{i}.up"
            if self.variant == "release2015":
                dy = oracle.relu_backward(dy, self.outputs[name])
            dy, dw, db = oracle.up_conv_backward(dy, self.inputs[name], self.parameters[name][0])
            self.grads[name] = dw, db
        for i in range(self.depth, -1, -1):
            if i < self.depth:
                dy = dy + dskips[i]
            if i in self.masks:
                dy = dy * self.masks[i]
            dy = self.conv_backward(f"contract{i}.conv2", dy)
            dy = self.conv_backward(f"contract{i}.conv1", dy)
            if i > 0:
                dy = oracle.max_pool_backward(dy, self.pooled[i])
        return dy

    def conv_backward(self, name, dy, relu=True):
        x, w = self.inputs[name], self.parameters[name][0]
        if relu:
            dy = oracle.relu_backward(dy, self.outputs[name])
        self.grads[name] = oracle.conv_backward_weights(x, dy, w.shape[0])
        return oracle.conv_backward_data(dy, w, x.shape)
