"""The engine of a GPU's tensor cores."""

from cunet.engines.gpu.dropout import drop
from cunet.engines.gpu.max_pool import pool_backward, pool_forward
from cunet.engines.gpu.relu import relu_backward
from cunet.engines.gpu.sums import add
from cunet.engines.gpu.up_conv import up_backward, up_forward

__all__ = [
    "add",
    "drop",
    "pool_backward",
    "pool_forward",
    "relu_backward",
    "up_backward",
    "up_forward",
]
