"""The engine of the CPU."""

from cunet.engines.cpu.batch_norm import norm_backward, norm_forward, norm_statistics
from cunet.engines.cpu.max_pool import pool_backward, pool_forward
from cunet.engines.cpu.parts import add
from cunet.engines.cpu.relu import relu_backward, relu_forward
from cunet.engines.cpu.up_conv import up_backward, up_forward

__all__ = [
    "add",
    "norm_backward",
    "norm_forward",
    "norm_statistics",
    "pool_backward",
    "pool_forward",
    "relu_backward",
    "relu_forward",
    "up_backward",
    "up_forward",
]
