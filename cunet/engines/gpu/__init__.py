"""The engine of a GPU's tensor cores: kernels compiled by NVRTC (cuda.py), whole steps recorded as
CUDA graphs (recorded.py). The .cu files beside the wrappers are compiled for three precisions."""

from cunet.engines.gpu.conv import conv_backward, conv_forward
from cunet.engines.gpu.dropout import drop_backward, drop_forward
from cunet.engines.gpu.elements import enter, leave
from cunet.engines.gpu.max_pool import pool_backward, pool_forward
from cunet.engines.gpu.record import recorded_bytes
from cunet.engines.gpu.recorded import predict, step
from cunet.engines.gpu.sample import sample_bytes
from cunet.engines.gpu.sums import add
from cunet.engines.gpu.up_conv import up_backward, up_forward

__all__ = [
    "add",
    "conv_backward",
    "conv_forward",
    "drop_backward",
    "drop_forward",
    "enter",
    "leave",
    "pool_backward",
    "pool_forward",
    "predict",
    "recorded_bytes",
    "sample_bytes",
    "step",
    "up_backward",
    "up_forward",
]
