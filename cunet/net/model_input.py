"""Reading a model file that may be damaged, or made to do harm.

Its header is a claim. Every field has a type and limits; the arrays that they call for follow by
arithmetic, and the file must hold them, of these shapes, in dtypes that we write, before anything
is unpacked or made. Then every number must be one.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError, DataError, no_memory, of_system
from cunet.models.record import refuse_changed
from cunet.net.array_shapes import parameter_shapes, statistic_shapes
from cunet.net.npz import Damaged, Head, NpzFile, damaged_model
from cunet.net.shape import Shape
from cunet.net.trained_on import KEY, TrainedOn
from cunet.terminal import plural

FORMAT = 1
# Arguments of UNet that the first version did not know: kept only where they are not the usual.
LATER = {"padding": "valid", "batch_norm": False, "sigmoid": False, "resize": None}
NET = {"width": int, "depth": int, "in_channels": int, "classes": int, "dropout": float}
NET |= {"variant": str, "dtype": str, "seed": int}
NET |= {"padding": str, "batch_norm": bool, "sigmoid": bool, "resize": int}
FOREIGN = (".caffemodel", ".pt", ".pth", ".safetensors")  # which cunet/exchange reads
MAX_RESIZE = 4096  # pixels of a side that images are scaled to, all in one tile
MAX_COUNT = 1 << 63
MAX_STEPS = 10**9  # and seconds
PENDING = {"step", "seconds", "lr", "loss", "wait"}
SOLVERS = ("velocity", "m", "v")  # what solvers keep for every parameter
NOT_NEGATIVE = (".variance", "solver/v/")  # arrays of which a root is taken

Arrays = dict[str, np.ndarray]


def read(path: Path, with_arrays: bool) -> tuple[dict[str, Any], Arrays]:
    """The header of a model file and, where asked for, its arrays, all of them checked.

    CunetError where the file is missing, DataError where it is damaged, not a model, or another
    file than the record beside it says.
    """
    if not path.exists() or path.is_dir():
        raise CunetError(
            f"model '{path}' does not exist; expected a .npz file, a run folder that `cunet train` "
            "wrote, or a name that `cunet models list` shows, such as em"
        )
    if path.suffix.lower() in FOREIGN:
        raise CunetError(
            f"model '{path}' is a file of another program; make it one of cunet: "
            f"cunet import {path.name} {path.stem}.npz"
        )
    refuse_changed(path)
    try:
        with NpzFile(path) as file:
            header = _header(path, file.text("header"))
            heads = _heads(header, file)
            file.check_total(list(heads.values()))
            arrays = {name: file.read(name, h) for name, h in heads.items()} if with_arrays else {}
    except MemoryError as error:
        raise no_memory(path) from error
    except OSError as error:
        raise of_system(error, f"cannot read model '{path}'") from error
    except Damaged as error:
        raise damaged_model(path, error) from error
    for name, array in arrays.items():
        _check_numbers(path, name, array)
    return header, arrays


def _header(path: Path, text: str) -> dict[str, Any]:
    """The header, every field of it checked."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"its header is no JSON ({type(error).__name__})") from error
    if not isinstance(header, dict):
        raise Damaged("its header is no table")
    found = header.get("format")
    if type(found) is not int or found != FORMAT:
        raise DataError(
            f"model '{path}' has format {found!r:.40}, this cunet reads {FORMAT}; update cunet"
        )
    shape = _net(header.get("net"))
    check_normalization(header.get("normalization"), shape.in_channels)
    check_progress(header.get("progress"))
    if KEY in header:
        try:
            TrainedOn.of(header[KEY])
        except ValueError as error:
            raise Damaged(f"header: {error}") from error
    if "done" in header:
        _number("done", header["done"], int, 0, MAX_STEPS)
    if header.get("scaling") is not None:  # loss scale, updates since, updates left out
        scaling = header["scaling"]
        if not isinstance(scaling, list) or len(scaling) != 3:
            raise Damaged("header: 'scaling' is not three numbers")
        for value in scaling:
            _number("scaling", value, float, 0)
        if not scaling[0] > 0:
            raise Damaged("header: 'scaling' begins with 0")
    return header


def _net(net: Any) -> Shape:
    """The shape that the arguments of the network make."""
    if not isinstance(net, dict) or net.keys() - NET or NET.keys() - LATER.keys() - net.keys():
        raise Damaged("header: 'net' does not name the arguments of a network")
    for name, value in net.items():
        if name == "resize" and value is None:
            continue
        if NET[name] in (bool, str):
            if type(value) is not NET[name]:
                raise Damaged(f"header: {name} is {value!r:.40}")
        elif name in ("seed", "resize"):
            low, high = (0, MAX_COUNT) if name == "seed" else (1, MAX_RESIZE)
            _number(name, value, int, low, high)
        else:
            _number(name, value, NET[name])
    if net["dtype"] not in ("float32", "float64"):
        raise Damaged(f"header: dtype is {net['dtype']!r:.40}")
    try:
        return shape_of(net)
    except CunetError as error:
        raise Damaged(f"header: {error}") from error


def shape_of(net: dict[str, Any]) -> Shape:
    """The shape in the arguments of a network."""
    return Shape(**{k: v for k, v in net.items() if k not in ("dtype", "seed", "resize")})


def check_normalization(found: Any, channels: int) -> None:
    """Damaged where the normalization is not a number for every channel."""
    fields = {"mean", "deviation", "low", "high"}
    if not isinstance(found, dict) or found.keys() - {"per_image"} != fields:
        raise Damaged("header: no normalization")
    if type(found.get("per_image", False)) is not bool:
        raise Damaged("header: per_image is neither true nor false")
    for name in sorted(fields):
        values = found[name]
        if not isinstance(values, list) or len(values) != channels:
            raise Damaged(
                f"header: {name} is not a number for each of {plural(channels, 'channel')}"
            )
        for value in values:
            if name in ("low", "high") and isinstance(value, float) and math.isnan(value):
                continue  # not known
            _number(name, value, float)
            if name == "deviation" and not value > 0:
                raise Damaged(f"header: a deviation of {value:g}")


def check_progress(found: Any) -> None:
    """Damaged where what `save` kept of a training is not what a training writes."""
    if not isinstance(found, dict):
        raise Damaged("header: no progress")
    for name, kind in (("step", int), ("seconds", float), ("best", float), ("best_step", int)):
        if name in found and not (name.startswith("best") and found[name] is None):
            _number(name, found[name], kind, 0, MAX_STEPS)
    if "pending" not in found:
        return
    record = found["pending"]  # of a step whose validation was interrupted
    if not isinstance(record, dict) or record.keys() != PENDING:
        raise Damaged("header: 'pending' is no record of a step")
    for name in PENDING:
        _number(name, record[name], float)
    if record["step"] != found.get("step"):
        raise Damaged("header: 'pending' is the record of another step")


def _number(
    name: str, value: Any, kind: type, low: float = -math.inf, high: float = math.inf
) -> None:
    """Damaged where a value of the header is not a number of this kind from low to high."""
    kinds = (int,) if kind is int else (int, float)
    try:
        good = type(value) in kinds and math.isfinite(value) and low <= value <= high
    except OverflowError:  # a whole number that is no float
        good = False
    if not good:
        raise Damaged(f"header: {name} is {value!r:.40}")


def _heads(header: dict[str, Any], file: NpzFile) -> dict[str, Head]:
    """The arrays to read, each found in the file as the header calls for it."""
    shape, dtype = shape_of(header["net"]), np.dtype(header["net"]["dtype"])
    parameters = parameter_shapes(shape)
    wanted = parameters | statistic_shapes(shape)
    if "done" in header:
        kept = [k for k in SOLVERS if any(n.startswith(f"solver/{k}/") for n in file.names)]
        wanted |= {f"solver/{k}/{name}": size for k in kept for name, size in parameters.items()}
    heads, halves = {}, 0
    for name, size in wanted.items():
        if name not in file.names:
            raise Damaged(f"array '{name}' is missing")
        head = heads[name] = file.head(name)
        if head.shape != size:
            raise Damaged(
                f"array '{name}' has shape {head.shape}, the network in its header has {size}"
            )
        half = name in parameters and head.dtype == np.dtype(np.float16)
        halves += half
        if head.dtype.str != dtype.str and not half:
            raise Damaged(f"array '{name}' is of {head.dtype}, its header says {dtype}")
    if halves not in (0, len(parameters)):
        raise Damaged("some of its arrays are of float16, others are not")
    return heads


def _check_numbers(path: Path, name: str, array: np.ndarray) -> None:
    """DataError where an array holds what no training can have left there."""
    if not np.isfinite(array).all():
        raise damaged_model(path, f"array '{name}' holds NaN or infinity")
    root = name.endswith(NOT_NEGATIVE[0]) or name.startswith(NOT_NEGATIVE[1])
    if root and (array < 0).any():
        raise damaged_model(path, f"array '{name}' holds negative numbers")
