"""PyTorch's best-known U-Net, milesial's Pytorch-UNet: its state dict to a network, and back.

See milesial_names.py for the names and orders. Its convolutions have no biases, since the batch
normalization would cancel them; where older files have them, they are subtracted from the running
means. It has "same" padding, and one output (a sigmoid) or one for each class. With bilinear=True
it has no up-convolutions: cunet has no such network.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import to_host
from cunet.errors import CunetError, DataError, NumericError
from cunet.exchange import safetensors, torch_file
from cunet.exchange.imported import Imported, takes_0_to_1
from cunet.exchange.mapped import damaged, mapped
from cunet.exchange.milesial_names import FIRST, HEAD, from_torch, names, shapes, to_torch
from cunet.exchange.tensors import Tensor
from cunet.net.checkpoint import learned, normalization_of
from cunet.net.model_input import MAX_RESIZE, check_normalization
from cunet.net.normalization import Normalization
from cunet.net.npz import Damaged
from cunet.net.shape import Shape
from cunet.net.trained_on import KEY, TrainedOn
from cunet.net.unet import UNet

OWN = "cunet"  # the name in a file's metadata of how cunet treats images
SIZES = (
    "sizes: PyTorch's network pads odd sides with zeros where it joins levels, cunet mirrors an "
    "image to sides of {0}: both agree where the sides are multiples of {0}"
)


def imported(path: str | Path, white: float | None = None) -> Imported:
    """The network in a file of milesial's names, as CPU float32, with notes for its user.

    white: the grey value that becomes 1 for the network; by default what cunet wrote into the file,
    else 255. Raises CunetError where the file is missing, DataError where it is damaged,
    asks for code, or holds a network that cunet does not have.
    """
    metadata: dict[str, str] = {}
    inside, kind = "", "PyTorch state dict of milesial's U-Net"
    if bytes(mapped(path)[:4]).startswith(torch_file.STARTS):
        found, inside = torch_file.read(path)
    else:
        found, metadata = safetensors.read(path)
        kind = "safetensors of milesial's U-Net"
    notes = [f"'{inside}' of a checkpoint; the rest of it is left out"] if inside else []
    state, prefix = _without_prefix(path, found)
    if prefix:
        notes.append(f"names begin with '{prefix:.60}', which is left out")
    if "mask_values" in state and not isinstance(state["mask_values"], Tensor):
        notes.append(f"mask_values {state.pop('mask_values')!r:.60}: what its classes 0, 1 ... "
                     "were in the masks it was trained on")  # fmt: skip
    shape = _shape(path, state)
    notes += _check(path, state, shape)
    net = UNet(**vars(shape))
    targets = learned(net)
    for name, source in names(shape).items():
        target = targets[name]
        with np.errstate(over="ignore"):
            target[...] = from_torch(name, state[source].read())
            if name.endswith(".mean") and (bias := state.get(_bias(source))):
                target -= bias.read()  # the normalization cancels it
        if not np.isfinite(target).all():
            raise DataError(f"network '{path}': '{source}' holds NaN or infinity")
        if name.endswith(".variance") and (target < 0).any():
            raise DataError(f"network '{path}': '{source}' holds negative variances")
    own = _stored(path, metadata, shape.in_channels) if white is None else {}
    if own:
        net.normalization, net.resize = normalization_of(own), own.get("resize")
        net.trained_on = TrainedOn.of(own.get(KEY, {}))
        notes.insert(0, "input: grey values as of the network that cunet wrote into this file")
    else:
        notes.insert(0, takes_0_to_1(net, white))
    return Imported(net, kind, [*notes, SIZES.format(2**shape.depth)])


def _without_prefix(path: str | Path, found: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The state dict without what wrappers put before every name, and that: "module." of
    DataParallel, "_orig_mod." of torch.compile ..."""
    prefixes = [n.removesuffix(FIRST) for n in found if n.endswith(FIRST)]
    if not prefixes:
        some = ", ".join(f"'{n:.40}'" for n in list(found)[:3]) or "none"
        raise DataError(
            f"network '{path}': expected the names of milesial's Pytorch-UNet ({FIRST} ...), found "
            f"{some} ...; cunet reads that network alone"
        )
    prefix = min(prefixes, key=len)
    return {n.removeprefix(prefix): v for n, v in found.items()}, prefix


def _shape(path: str | Path, state: dict[str, Any]) -> Shape:
    """The shape of the network that has these arrays."""
    depth = 0
    while f"down{depth + 1}.maxpool_conv.1.double_conv.0.weight" in state:
        depth += 1
    if "up1.up.weight" not in state and "up1.conv.double_conv.0.weight" in state:
        raise DataError(
            f"network '{path}' has no 'up1.up.weight': it was made with bilinear=True, and cunet "
            "has up-convolutions only; train one with UNet(..., bilinear=False)"
        )
    first, head = (state.get(n) for n in (FIRST, f"{HEAD}.weight"))
    if not isinstance(first, Tensor) or not isinstance(head, Tensor):
        raise DataError(f"network '{path}': '{HEAD}.weight' is missing")
    if len(first.shape) != 4 or len(head.shape) != 4:
        raise DataError(f"network '{path}': expected filters of 4 sides, found {first.shape} and "
                        f"{head.shape}")  # fmt: skip
    outputs = head.shape[0]
    try:
        return Shape(first.shape[0], depth, first.shape[1], max(2, outputs), dropout=0.0,
                     padding="same", batch_norm=True, sigmoid=outputs == 1)  # fmt: skip
    except CunetError as error:
        raise DataError(f"network '{path}': {error}") from error


def _check(path: str | Path, state: dict[str, Any], shape: Shape) -> list[str]:
    """DataError where an array is missing, too many, or of another shape or type; else notes."""
    wanted, known = shapes(shape), names(shape)
    for name, source in known.items():
        tensor, expected = state.get(source), wanted[name]
        if not isinstance(tensor, Tensor):
            raise DataError(f"network '{path}': '{source}' is missing: expected all arrays of a "
                            f"milesial U-Net of depth {shape.depth}")  # fmt: skip
        if tensor.shape != expected or "float" not in tensor.kind:
            raise DataError(
                f"network '{path}': '{source}': expected floats {expected} at width {shape.width}, "
                f"found {tensor.kind} {tensor.shape}"
            )
    biases = {_bias(source): source for name, source in known.items() if name.endswith(".mean")}
    biases = {bias: source for bias, source in biases.items() if bias in state}
    for bias, source in biases.items():
        if not isinstance(state[bias], Tensor) or state[bias].shape != state[source].shape:
            raise DataError(f"network '{path}': '{bias}': expected {state[source].shape}")
    more = state.keys() - set(known.values()) - biases.keys()
    for name in sorted(n for n in more if not n.endswith(".num_batches_tracked")):
        raise DataError(f"network '{path}': '{name:.60}' belongs to no milesial U-Net of depth "
                        f"{shape.depth}; cunet cannot leave it out")  # fmt: skip
    return ["its convolutions have biases: the running means are less by them"] if biases else []


def _bias(mean: str) -> str:
    """The bias of the convolution before a normalization: double_conv.4.running_mean -> .3.bias."""
    place, number, _ = mean.rsplit(".", 2)
    return f"{place}.{int(number) - 1}.bias"


def _stored(path: str | Path, metadata: dict[str, Any], channels: int) -> dict[str, Any]:
    """What cunet wrote into a file about its images; empty without."""
    if OWN not in metadata:
        return {}
    try:
        own = json.loads(metadata[OWN])
        check_normalization(own["normalization"], channels)
        side = own.get("resize")
        if side is not None and not (type(side) is int and 1 <= side <= MAX_RESIZE):
            raise Damaged(f"resize is {side!r:.20}")
        TrainedOn.of(own.get(KEY, {}))
    except (Damaged, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, ".safetensors", f"its '{OWN}': {error!s:.100}") from error
    return own


def write(net: UNet, path: str | Path, source: str | Path | None = None) -> dict[str, Any]:
    """Write a network as .safetensors with milesial's names, for load_state_dict(strict=True).

    The weights are unchanged; how images are normalised, and what is known of the training images,
    stands in the file's metadata, from which cunet reads it again. The file appears whole or not at
    all. Returns {"notes": lines for the user}. Raises CunetError where that network cannot hold
    this one, NumericError where the weights are no numbers, DeviceError where the disk has no room.
    """
    shape, wrong = net.shape, ""
    if not shape.batch_norm:
        wrong = "no batch normalization"
    elif shape.padding != "same":
        wrong = f"{shape.padding} padding"
    elif shape.release:
        wrong = "the ReLUs of the release of 2015"
    if wrong:
        raise CunetError(f"'{path}' is not written: this network has {wrong}, which milesial's "
                         "PyTorch network does not have; export it to .onnx")  # fmt: skip
    arrays, state = learned(net), {}
    for name, source in names(shape).items():
        with np.errstate(over="ignore"):
            state[source] = to_torch(name, to_host(arrays[name])).astype(np.float32)
        if not np.isfinite(state[source]).all():
            raise NumericError(f"'{path}' is not written: '{name}' holds NaN or infinity")
        if name.endswith(".variance"):
            counter = source.replace("running_var", "num_batches_tracked")
            state[counter] = np.zeros((), np.int64)
    own = {"normalization": vars(net.normalization), "resize": net.resize}
    own[KEY] = net.trained_on.header()
    safetensors.write(path, state, {"format": "pt", OWN: json.dumps(own)})
    kind = f"n_channels={shape.in_channels}, n_classes={shape.outputs}, bilinear=False"
    notes = [_input(net.normalization), f"made for UNet({kind})"]
    if (shape.depth, shape.width) != (4, 64):
        notes.append(f"milesial's class has depth 4 and width 64; this network has {shape.depth} "
                     f"and {shape.width}: change the numbers in its __init__")  # fmt: skip
    if net.resize:
        notes.append(f"this network takes images scaled to {net.resize} x {net.resize} pixels")
    return {"notes": [*notes, SIZES.format(2**shape.depth)]}


def _input(normalization: Normalization) -> str:
    """How images must be fed to the exported network, in words."""
    if normalization.per_image:
        return "input: each image less its mean, divided by its deviation, channel by channel"
    mean, deviation = (", ".join(f"{v:.9g}" for v in values)
                       for values in (normalization.mean, normalization.deviation))  # fmt: skip
    return f"input: (grey values - {mean}) / {deviation}; its weights know no other images"
