"""An .onnx file that cunet wrote, run by onnxruntime: what it says of itself, and what it computes.
It may lie in a bioimage.io package.

Other programs' ONNX files are refused: nothing in them says what their numbers mean.
"""

import json
import zipfile
import zlib
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError, DataError
from cunet.exchange.bioimageio import NETWORK
from cunet.exchange.onnx_graph import INPUT, OUTPUT, least_side
from cunet.net.model_input import shape_of
from cunet.net.sizes import lattice
from cunet.threads import get_threads


class OnnxFile:
    """An open file.

    shape          of the network that it says it holds
    mirror         whether it takes whole images, else tiles
    float16        whether its filters are stored as float16
    least, step    sides in pixels that it takes: least + i step
    fixed          the only height and width that it takes; None where they are free
    source_sha256  of the model file that it was made from; None where it does not say
    """

    def __init__(self, path: str | Path):
        """CunetError where the file or onnxruntime is missing, DataError where the file is damaged
        or was not written by cunet."""
        self.path = Path(path)
        self._session = _opened(self.path)
        ours = f"'{path}' was not written by `cunet export`"
        try:
            said = dict(self._session.get_modelmeta().custom_metadata_map)
            inputs, outputs = (
                [(v.name, v.type[7:-1], list(v.shape)) for v in values]
                for values in (self._session.get_inputs(), self._session.get_outputs())
            )
        except Exception as error:  # names that are no text
            raise _damaged(self.path, error) from error
        if not {"cunet.mirror", "cunet.net"} <= said.keys():
            raise DataError(
                f"{ours}: nothing in it says what its numbers mean (it takes {_listed(inputs)}, "
                f"returns {_listed(outputs)}); export the model to compare it"
            )
        for what, found, name in (("input", inputs, INPUT), ("output", outputs, OUTPUT)):
            good = len(found) == 1 and found[0][:2] == (name, "float") and len(found[0][2]) == 4
            if not good:
                raise DataError(
                    f"{ours}, or was changed: expected one {what}, {name} float [4 axes], found "
                    f"{_listed(found)}"
                )
        try:
            self.shape = shape_of(json.loads(said["cunet.net"]))
            self.mirror = json.loads(said["cunet.mirror"]) is True
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"'{path}': its metadata are damaged ({error!r:.80})") from error
        self.least, self.step = least_side(self.shape, self.mirror), lattice(self.shape.depth)
        height, width = inputs[0][2][2:]
        self.fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.float16 = said.get("cunet.filters") == "float16"
        self.source_sha256 = said.get("cunet.source_sha256")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Probabilities (P, Q, K) of an image or tile (H, W, C) float32 of raw values.

        DataError where onnxruntime cannot compute them.
        """
        given = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
        try:
            (found,) = self._session.run([OUTPUT], {INPUT: given})
        except Exception as error:
            raise DataError(f"'{self.path}': onnxruntime cannot run it: {_first(error)}") from error
        return found[0].transpose(1, 2, 0)


def _opened(path: Path) -> Any:
    """The session of onnxruntime, on the CPU."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CunetError(f"'{path}' {what}; expected a file that `cunet export` wrote")
    if find_spec("onnxruntime") is None:
        raise CunetError(
            "an .onnx file is compared by the package onnxruntime, which is not installed; run: "
            "pip install onnxruntime"
        )
    import onnxruntime

    network = _of_package(path) if path.suffix.lower() == ".zip" else str(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = get_threads()
    options.log_severity_level = 4  # what it would print is in its errors
    try:
        with redirect_stdout(StringIO()):  # where some versions print that they try again
            return onnxruntime.InferenceSession(
                network, options, providers=["CPUExecutionProvider"]
            )
    except Exception as error:  # its own types have no other common base
        raise _damaged(path, error) from error


def _of_package(path: Path) -> bytes:
    """The network in a package of `cunet export`, which compresses nothing: it is no longer than
    the package."""
    try:
        with zipfile.ZipFile(path) as package:
            entry = package.getinfo(NETWORK)
            if entry.file_size > path.stat().st_size:
                raise ValueError(f"{NETWORK} is longer than the package")
            return package.read(entry)
    except (OSError, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"'{path}' is no package of `cunet export`: {error!r:.100}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' is damaged, or no zip file: {error}") from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"'{path}' is damaged, or no ONNX file: onnxruntime says: {_first(error)}")


def _listed(values: list[tuple[str, str, list[Any]]]) -> str:
    """Inputs or outputs in words: image float [batch, 1, height, width]."""
    texts = (f"{name} {kind} [{', '.join(map(str, shape))}]" for name, kind, shape in values)
    return f"{', '.join(texts):.200}" or "nothing"


def _first(error: Exception) -> str:
    """The first line of an error of onnxruntime, without its code."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{line.rpartition('[ONNXRuntimeError] : ')[2]:.200}"
