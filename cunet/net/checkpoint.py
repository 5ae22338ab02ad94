"""Model files: one .npz with a JSON header, never pickle; written whole or not at all.

A model file holds the parameters, the arguments of the network and its normalization. The file a
training leaves to be resumed holds the solver's arrays and its position as well. Networks are
also found by name, see cunet/models/.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import Array, resolve_device, to_device, to_host
from cunet.checks import arguments, flag, instance, path, refused, text
from cunet.engines import check_precision
from cunet.errors import CunetError, DataError, NumericError
from cunet.files.atomic import write_npz
from cunet.files.listing import one_within
from cunet.models.names import ALIASES, is_name
from cunet.models.places import first
from cunet.models.resolve import file_of
from cunet.net import model_input
from cunet.net.model_input import FORMAT, LATER
from cunet.net.normalization import Normalization
from cunet.net.trained_on import KEY, trained_on
from cunet.net.unet import UNet


@arguments(path=path, net=instance(UNet, "as in save('net.npz', net)"), half=flag)
def save(
    path: str | Path,
    net: UNet,
    solver=None,
    progress: dict[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write the net to a .npz file, and with a solver all that a resumed training needs.

    The file holds the parameters, the net's arguments, its normalisation and what is known of its
    training images; it appears complete or not at all, and replaces an older one. progress: numbers
    and text to keep in its header. half rounds the parameters to float16, for a file of half the
    size; a net loaded from it computes in its own dtype as before. Raises DeviceError where the
    disk has no room, NumericError where an array holds NaN or infinity, which no file should: an
    older one is kept.

        cunet.save("net.npz", net)
    """
    if solver is not None and not hasattr(solver, "state"):
        raise refused("solver", "a cunet.SGD or cunet.Adam", solver)
    if progress is not None and not isinstance(progress, dict):
        raise refused("progress", "a dictionary", progress)
    if Path(path).is_dir():
        raise CunetError(f"path: '{path}' is a folder; give the name of a file in it")
    arrays = {p.name: to_host(p.value) for p in net.parameters()}
    if half:
        with np.errstate(over="ignore"):
            arrays = {name: value.astype(np.float16) for name, value in arrays.items()}
    arrays |= {name: to_host(value) for name, value in net.statistics().items()}
    values = net.settings()
    settings = {name: value for name, value in values.items() if name not in LATER}
    changed = [n for n, usual in LATER.items() if n in values and values[n] != usual]
    header = {
        "format": FORMAT,
        "net": settings | {name: values[name] for name in changed},
        "normalization": {k: v for k, v in vars(net.normalization).items() if v is not False},
        "progress": progress or {},
    }
    if images := net.trained_on.header():
        header[KEY] = images
    if solver is not None:
        header["done"] = solver.done
        if getattr(solver, "scaling", None) is not None:
            header["scaling"] = solver.scaling
        arrays |= {f"solver/{name}": to_host(v) for name, v in solver.state().items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NumericError(
                f"'{path}' is not written: array '{name}' of the network holds NaN or infinity"
                f"{' as float16' if half else ''}"
            )
    arrays["header"] = np.array(json.dumps(header))
    write_npz(Path(path), arrays)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a model file, checked; CunetError where it is missing, DataError
    where it is damaged or not a model."""
    return model_input.read(Path(path), True)


def read_header(path: str | Path) -> dict[str, Any]:
    """The header of a model file alone; errors as in read()."""
    return model_input.read(Path(path), False)[0]


def read_progress(path: str | Path) -> dict[str, Any]:
    """How far the training that wrote a model file was: at least its step and seconds. DataError
    where the file was not written by a training."""
    return progress_of(path, read_header(path))


def progress_of(path: str | Path, header: dict[str, Any]) -> dict[str, Any]:
    """As read_progress, from a header that was read."""
    missing = {"step", "seconds"} - header["progress"].keys()
    if missing:
        raise DataError(f"model '{path}' was written by no training: its header has no step")
    return {"best": None, "best_step": None} | header["progress"]


@arguments(path=path, device=text, precision=text)
def load(path: str | Path, device: str = "cpu", precision: str | None = None) -> UNet:
    """The network in a model file, the best one of a run folder, or that of a name, such as
    "em" or "nuclei", which come with cunet (`cunet models list` shows all).

    device: "cpu", "cuda", "cuda:1" or "auto". precision: see UNet; a model file fixes only the
    precision of the weights. Raises CunetError where the file is missing, DataError where it is
    damaged, changed since its record was written, or not a model, DeviceError where the device
    cannot be used.

        net = cunet.load("runs/isbi2012-1", device="cuda")
        probability = cunet.segment(image, net)
    """
    check_precision(precision)
    path = model_file(path)
    header, arrays = read(path)
    return build(path, header, arrays, device, precision)


def build(
    path: Path,
    header: dict,
    arrays: dict[str, np.ndarray],
    device: str,
    precision: str | None = None,
) -> UNet:
    """The network that a header and its arrays, from read(), describe."""
    net = UNet(**header["net"], device=resolve_device(device), precision=precision)
    net.normalization, net.trained_on = normalization_of(header), trained_on(path, header)
    put(path, learned(net), arrays)
    return net


def learned(net: UNet) -> dict[str, Array]:
    """All that a training changes: the values of the parameters, and the statistics."""
    return {p.name: p.value for p in net.parameters()} | net.statistics()


def copy_of(net: UNet, engine: Any = None, dtype: str | None = None) -> UNet:
    """The same network, parameters copied, with another engine or of another dtype, in the
    precision of its dtype."""
    dtype = dtype or net.dtype
    made = UNet(
        **net.settings() | {"dtype": dtype}, device=net.device, precision=dtype, engine=engine
    )
    values = learned(net)
    for name, target in learned(made).items():
        target[...] = values[name]
    made.normalization, made.trained_on = net.normalization, net.trained_on
    return made


def normalization_of(header: dict) -> Normalization:
    """The normalisation of the images of the network that a header describes."""
    stored = dict(header["normalization"])
    per_image = stored.pop("per_image", False)
    numbers = {k: tuple(map(float, v)) for k, v in stored.items()}
    return Normalization(**numbers, per_image=per_image)


def restore(path: Path, header: dict, arrays: dict[str, np.ndarray], solver) -> None:
    """Put the solver back where the file left it."""
    if header.get("done") is None:
        raise DataError(f"model '{path}' holds no solver: it cannot be resumed, only applied")
    state = {f"solver/{name}": value for name, value in solver.state().items()}
    put(path, state, arrays)
    solver.done, solver.scaling = header["done"], header.get("scaling")


def put(path: Path, targets: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Copy arrays into the targets of the same names; CunetError where shapes differ."""
    for name, target in targets.items():
        if name not in arrays:
            raise DataError(f"model '{path}': array '{name}' is missing; the file is damaged")
        if arrays[name].shape != target.shape:
            raise CunetError(
                f"model '{path}': array '{name}' has shape {arrays[name].shape}, the network "
                f"needs {target.shape}: it is a model of another width, depth or class count"
            )
        target[...] = to_device(arrays[name], "cpu" if isinstance(target, np.ndarray) else "cuda")


def model_file(path: str | Path) -> Path:
    """The model file that is meant: a file itself, best.npz (else last.npz) of a run, or that of a
    name. A file or a run of this name comes first; any other folder does not hide a name, as that
    of the images to segment may well be called like the network for them."""
    given, path = str(path), Path(path)
    if not given.strip():  # of a variable of the shell that is not set
        raise CunetError(
            f"model: expected a .npz file, a run folder or a name, found the empty text '{given}'"
        )
    if path.is_dir():
        for name in ("best.npz", "last.npz"):
            if (path / name).is_file():
                return path / name
    if could_be_name(given) and not path.is_file() and not (path / "run.toml").exists():
        if not path.is_dir() or first(given) is not None:
            return file_of(given)
    if not path.is_dir():
        return path
    found = ", ".join(sorted(os.listdir(path))[:5]) or "nothing"
    raise CunetError(
        f"run folder '{path}' holds no best.npz or last.npz (found: {found}); "
        + (one_within(path, "last.npz") or "train first")
    )


def could_be_name(model: object) -> bool:
    """Whether this could be a name, as it leads into no folder and has no ending of a file."""
    return model in [*ALIASES] or is_name(model)
