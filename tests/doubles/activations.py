"""Activations of the GPU's precisions in tests: made, and compared with float64."""

import numpy as np
from cuda_emulation import SUMS

from cunet.engines.gpu import elements

# Results are rounded once; sums of some hundred float32 products add little to that.
LIMITS = {"tf32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}


def there(xp, a, precision):
    """An activation on the device, and what it holds as float64 on the host."""
    device = elements.to_elements(xp.asarray(a), precision)
    return device, elements.to_floats(device).get().astype(np.float64)


def near(found, expected, precision, factor=1.0):
    """Fails where an activation or a float32 array is not what is expected, to a rounding."""
    found = elements.to_floats(found) if found.dtype != np.float32 else found
    found = found.get().astype(np.float64)
    assert found.shape == expected.shape
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= factor * LIMITS[precision] + SUMS, error
