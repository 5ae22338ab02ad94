"""Which heavy packages an interpreter has loaded: importing cunet must stay cheap."""

import subprocess
import sys

HEAVY = {"scipy", "matplotlib", "tifffile", "PIL", "imagecodecs", "cupy", "numba", "zarr"}


def loaded_by(code):
    """The heavy packages that a fresh interpreter holds after the code."""
    code += "\nimport sys\nprint('LOADED', *sorted({n.partition('.')[0] for n in sys.modules}))"
    command = [sys.executable, "-P", "-c", code]  # -P: what is installed, not this folder
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())
