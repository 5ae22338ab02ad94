"""Whether the layers of a .caffemodel are joined as those of the authors' U-Net.

Caffe writes all layers of a net into the file of its weights, also those without any, so that the
file says what follows what. Other nets have the same names and shapes of weights: with a leaky ReLU
(2d_cell_net_v0), or a ReLU after the up-convolutions of the paper's channels (phseg_v7).
"""

from pathlib import Path

from cunet.errors import DataError
from cunet.exchange.caffe_file import Layer
from cunet.exchange.caffe_layers import SCORE

# Layers that hand on what they get, when a network is applied
HAND_ON = ("ReLU", "Pooling", "Crop", "Dropout", "Split")
# What each setting must be where a file has it
USUAL = {
    "Convolution": {"pad": 0, "group": 1, "stride": 1, "dilation": 1},
    "Deconvolution": {"pad": 0, "group": 1, "stride": 2, "dilation": 1},
    "Pooling": {"pool": 0, "kernel_size": 2, "stride": 2, "pad": 0},
    "ReLU": {"negative_slope": 0},
}
MEANS = {"pad": "padding", "group": "filter groups", "pool": "a pooling that is not the maximum",
         "negative_slope": "a leaky ReLU"}  # fmt: skip


def refused(path: str | Path, layer: Layer, why: str) -> DataError:
    """The error for a network that cunet does not have."""
    return DataError(f"network '{path}': layer '{layer.name:.60}' ({layer.kind:.40}) {why}")


def check_settings(path: str | Path, layers: list[Layer]) -> None:
    """DataError where a layer computes something else than cunet's of this kind."""
    for layer in layers:
        for values in layer.settings.values():
            for name, found in values.items():
                usual = USUAL.get(layer.kind, {}).get(name)
                if usual is not None and any(value != usual for value in found):
                    what = MEANS.get(name, f"another {name}")
                    raise refused(path, layer, f"has {name} {found[0]:g}, expected {usual}: cunet "
                                  f"has no network with {what} here")  # fmt: skip


def check_wiring(path: str | Path, layers: list[Layer], names: list[str], release: bool) -> str:
    """DataError where layers are joined in another way; returns a note where the file does not say.

    names: of the layers with weights, in the order of the data.
    """
    if not any(layer.kind == "ReLU" for layer in layers):
        return (
            "the file lists no ReLU layers: they are taken to follow every convolution"
            f"{' and up-convolution' if release else ', and no up-convolution'}"
        )
    comes_from = _origins(path, layers, names)
    by_name = {layer.name: layer for layer in layers}
    for before, name in zip([None, *names], names, strict=False):
        layer, source = by_name[name], before
        if name.startswith("conv_u") and name.endswith("b-c"):
            source = f"{before} and conv_d{name[6:-3]}b-c"
        found = [comes_from.get(bottom) for bottom in layer.bottoms]
        if before is not None and found != [source]:
            said = ", ".join(map(str, found)) or "nothing"
            raise refused(path, layer, f"follows {said}, expected {source}: no network of cunet")
    rectified = {b for layer in layers if layer.kind == "ReLU" for b in layer.bottoms}
    for name in names:
        up = name.startswith("upconv")
        if rectified.isdisjoint(by_name[name].tops) == (name != SCORE and (not up or release)):
            has, wants = ("a", "none") if rectified & set(by_name[name].tops) else ("no", "one")
            net = "the release of 2015" if release else "the paper's channels"
            more = " (phseg_v7 is such a network)" if up and not release else ""
            raise refused(path, by_name[name], f"has {has} ReLU behind it; a network of {net} has "
                          f"{wants} there, so cunet cannot hold this one{more}")  # fmt: skip
    pools = sum(layer.kind == "Pooling" for layer in layers)
    if pools != (depth := sum(name.startswith("upconv") for name in names)):
        raise DataError(f"network '{path}': expected {depth} poolings, found {pools}")
    return ""


def _origins(path: str | Path, layers: list[Layer], names: list[str]) -> dict[str, str]:
    """What each array inside the network comes from: a layer with weights, two that were
    concatenated, or one that no U-Net has. DataError where the score becomes no softmax."""
    found: dict[str, str] = {}
    score: set[str] = set()
    for layer in layers:
        sources = [found[bottom] for bottom in layer.bottoms if bottom in found]
        if layer.name == SCORE:
            score = set(layer.tops)
        elif layer.name in names:
            found |= dict.fromkeys(layer.tops, layer.name)
        elif layer.kind.startswith("Sigmoid") and score & set(layer.bottoms):
            raise refused(path, layer, "makes a sigmoid of the score; cunet has a softmax there")
        elif sources:  # else it reads or augments images, or judges the score
            source = " and ".join(sources) if layer.kind == "Concat" else sources[0]
            # in V1 files crops had no number of their own
            if layer.kind not in (*HAND_ON, "Concat") and not layer.name.startswith("crop_"):
                source = f"{layer.name:.60} ({layer.kind:.40})"
            found |= dict.fromkeys(layer.tops, source)
    return found
