"""The layers of the authors' U-Net in Caffe, by their names (phseg_v5 of 2015, and phseg_v5new6).

dI are the levels of the contracting path, uI those of the expanding one, letters the steps in a
level. At depth 4, shapes as Caffe has them, (K, C, R, S) and of Deconvolution (C, K, R, S):

    conv_d0a-b 64,1,3,3    conv_d0b-c 64,64,3,3    pool_d0c-1a    conv_d1a-b 128,64,3,3 ...
    upconv_d4c_u3a 1024,512,2,2    crop_d3c-d3cc    concat_d3cc_u3a-b    conv_u3b-c 512,1024,3,3
    conv_u3c-d 512,512,3,3    upconv_u3d_u2a ...    conv_u0d-score 2,64,1,1

A ReLU follows each convolution but the last, and in the release of 2015 each up-convolution as
well; its last up-convolution has twice the channels of the paper's. The up-sampled channels come
first in a concatenation. Each layer with weights has a bias (K).
"""

import numpy as np

from cunet.exchange.caffe_file import Layer, Settings
from cunet.net.shape import Shape
from cunet.net.sizes import margin

SCORE = "conv_u0d-score"


def below(depth: int, level: int) -> str:
    """What the up-convolution to a level takes."""
    return f"d{depth}c" if level == depth - 1 else f"u{level + 1}d"


def names(depth: int) -> dict[str, str]:
    """Caffe's name of each layer with weights, by cunet's, in the order of the data."""
    found: dict[str, str] = {}
    for i in range(depth + 1):
        found |= {f"contract{i}.conv1": f"conv_d{i}a-b", f"contract{i}.conv2": f"conv_d{i}b-c"}
    for i in reversed(range(depth)):
        found[f"expand{i}.up"] = f"upconv_{below(depth, i)}_u{i}a"
        found |= {f"expand{i}.conv1": f"conv_u{i}b-c", f"expand{i}.conv2": f"conv_u{i}c-d"}
    return found | {"head": SCORE}


def to_caffe(name: str, filters: np.ndarray) -> np.ndarray:
    """Filters (R, S, C, K) in Caffe's order."""
    return filters.transpose((2, 3, 0, 1) if name.endswith(".up") else (3, 2, 0, 1))


def from_caffe(name: str, filters: np.ndarray) -> np.ndarray:
    """Filters in Caffe's order as (R, S, C, K)."""
    return filters.transpose((2, 3, 0, 1) if name.endswith(".up") else (2, 3, 1, 0))


def layers(shape: Shape) -> list[Layer]:
    """All layers of a network of valid convolutions, without weights."""
    depth = shape.depth
    found: list[Layer] = []

    def conv(name: str, bottom: str, top: str, outputs: int, size: int = 3) -> None:
        up = size == 2
        settings: dict[str, list[float]] = {"num_output": [outputs], "kernel_size": [size]}
        settings |= {"stride": [2]} if up else {}
        kind = "Deconvolution" if up else "Convolution"
        found.append(Layer(name, kind, [bottom], [top], {"convolution_param": settings}))
        if name != SCORE and (not up or shape.release):
            found.append(Layer(f"relu_{top}", "ReLU", [top], [top]))

    bottom, pool = "data", Settings({"pooling_param": {"kernel_size": [2], "stride": [2]}})
    for i in range(depth + 1):
        conv(f"conv_d{i}a-b", bottom, f"d{i}b", shape.width << i)
        conv(f"conv_d{i}b-c", f"d{i}b", f"d{i}c", shape.width << i)
        if i < depth:
            bottom = f"d{i + 1}a"
            found.append(Layer(f"pool_d{i}c-{i + 1}a", "Pooling", [f"d{i}c"], [bottom], pool))
    for i in reversed(range(depth)):
        outputs = shape.width << (i + (shape.release and i == 0))
        conv(f"upconv_{below(depth, i)}_u{i}a", below(depth, i), f"u{i}a", outputs, 2)
        lost = 2 * margin(depth - i - 1)  # on each side, on the way down from this level and up
        crop: Settings = {"crop_param": {"axis": [2], "offset": [lost, lost]}}
        found.append(Layer(f"crop_d{i}c-d{i}cc", "Crop", [f"d{i}c", f"u{i}a"], [f"d{i}cc"], crop))
        both = [f"u{i}a", f"d{i}cc"]
        found.append(Layer(f"concat_d{i}cc_u{i}a-b", "Concat", both, [f"u{i}b"]))
        conv(f"conv_u{i}b-c", f"u{i}b", f"u{i}c", shape.width << i)
        conv(f"conv_u{i}c-d", f"u{i}c", f"u{i}d", shape.width << i)
    conv(SCORE, "u0d", "score", shape.outputs, 1)
    found.append(Layer("softmax", "Softmax", ["score"], ["prob"]))
    return found
