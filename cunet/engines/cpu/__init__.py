"""The engine of the CPU: operations on strips of rows that stay in the cache, which the threads
share, and Winograd's convolution. Results are the same bit for bit for any number of threads."""

from cunet.engines.cpu.batch_norm import norm_backward, norm_forward, norm_statistics
from cunet.engines.cpu.conv import conv_backward, conv_forward
from cunet.engines.cpu.dropout import drop_forward
from cunet.engines.cpu.max_pool import pool_backward, pool_forward
from cunet.engines.cpu.parts import add
from cunet.engines.cpu.up_conv import up_backward, up_forward
from cunet.engines.definition import (
    drop_backward,
    enter,
    leave,
    predict,
    recorded_bytes,
    sample_bytes,
    step,
)

__all__ = [
    "add",
    "conv_backward",
    "conv_forward",
    "drop_backward",
    "drop_forward",
    "enter",
    "leave",
    "norm_backward",
    "norm_forward",
    "norm_statistics",
    "pool_backward",
    "pool_forward",
    "predict",
    "recorded_bytes",
    "sample_bytes",
    "step",
    "up_backward",
    "up_forward",
]
