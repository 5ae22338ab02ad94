"""What a run was made on: versions, processor, BLAS, device."""

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cunet.training.config import Config


def environment(config: Config, hashes: dict[str, str]) -> dict[str, Any]:
    """Versions, processor, BLAS, device, command line and data hashes."""
    import threadpoolctl

    from cunet.threads import get_threads

    versions = {"python": platform.python_version()}
    for name in ("cunet", "numpy", "scipy", "numba", "tifffile", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": sys.argv,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": get_threads(),
        "device": config.device,
        "devices": config.devices,
        "blas": [
            {k: pool.get(k) for k in ("internal_api", "version", "architecture")}
            for pool in threadpoolctl.threadpool_info()
            if pool.get("user_api") == "blas"
        ],
        "versions": versions,
        "data": hashes,
    }
