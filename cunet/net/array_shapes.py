"""The arrays of a network by name, as its shape decides them: arithmetic, nothing is made.

What a file claims to be is compared with these before a network is made from it; a test compares
them with the network itself.
"""

from cunet.net.shape import Shape

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(shape: Shape) -> Shapes:
    """Name -> shape of all parameters, in the order of UNet.parameters()."""
    found: Shapes = {}

    def conv(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.filters"] = (3, 3, inputs, outputs)
        for what in ("gamma", "beta") if shape.batch_norm else ("biases",):
            found[f"{name}.{what}"] = (outputs,)

    inputs = shape.in_channels
    for i in range(shape.depth + 1):
        here = shape.width << i
        conv(f"contract{i}.conv1", inputs, here)
        conv(f"contract{i}.conv2", here, here)
        inputs = here
    for i in reversed(range(shape.depth)):
        here = shape.width << i
        up = inputs if shape.release and i == 0 else here
        found[f"expand{i}.up.filters"], found[f"expand{i}.up.biases"] = (2, 2, inputs, up), (up,)
        conv(f"expand{i}.conv1", up + here, here)
        conv(f"expand{i}.conv2", here, here)
        inputs = here
    found["head.filters"] = (1, 1, inputs, shape.outputs)
    found["head.biases"] = (shape.outputs,)
    return found


def statistic_shapes(shape: Shape) -> Shapes:
    """Name -> shape of the running means and variances of UNet.statistics()."""
    return {
        name.replace("gamma", what): size
        for name, size in parameter_shapes(shape).items()
        if name.endswith(".gamma")
        for what in ("mean", "variance")
    }
