"""Networks for other programs: the format is chosen by the name's ending.

A format is a function write(net, path, ...its options), which writes the file whole or not at all
and returns what is to be said of it: a dictionary, or a list of notes. FORMATS names its home, so
that it is loaded when used.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from cunet.checks import arguments, flag, path, refused, whole_from_1
from cunet.errors import CunetError, did_you_mean
from cunet.files.lock import held, lock_of
from cunet.net.checkpoint import load, model_file
from cunet.net.unet import UNet


class Format(NamedTuple):
    """A kind of file.

    title    its name
    home     "module:name" of its `write`
    options  of those that a user gives, the ones that it has
    also     what `write` is told besides: source, the model file (None for a network), overwrite
    """

    title: str
    home: str
    options: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


FORMATS = {
    ".onnx": Format(
        "ONNX", "cunet.exchange.onnx_file:write", ("mirror", "size", "float16"), ("source",)
    ),
}


def model_or_net(name: str, value: Any) -> Any:
    """A check for a network, or the name of its file."""
    if isinstance(value, UNet):
        return value
    try:
        return path(name, value)
    except CunetError:
        raise refused(name, "a model file, a run folder, or a cunet.UNet", value) from None


@arguments(
    model=model_or_net, path=path, mirror=flag, size=whole_from_1, float16=flag, overwrite=flag
)
def export(
    model: str | Path | UNet,
    path: str | Path,
    mirror: bool = False,
    size: int | None = None,
    float16: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a network as a file of another program, by the ending of `path`: .onnx.

    model: a model file, a run folder, "bundled", or a network. An .onnx file takes raw values of
    images (N, C, H, W) float32, and returns the probabilities of all classes (N, K, P, Q) float32.

    mirror   it takes whole images, H and W multiples of 2^depth, and mirrors them beyond their
             border: P = H, Q = W, as cunet.segment. Otherwise it takes tiles, as the network does.
    size     both sides of the one image or tile that it takes, for programs that need that
    float16  filters are stored as float16, for half the bytes; it computes in float32. The rounding
             changed the probabilities of a trained network by up to 0.001.

    Returns {"model", "file", "format", "bytes", "notes": what a user must know, ...}; of .onnx also
    "input" and "output", what the file takes and returns, in words. Raises CunetError for another
    ending, an option that the format does not have, a size that does not fit and a file that exists
    (unless overwrite), DataError for a damaged model, NumericError for weights that the format
    cannot hold, DeviceError for a full disk.

        cunet.export("bundled", "membranes.onnx", mirror=True)
    """
    given = {"mirror": mirror, "size": size, "float16": float16}
    path = Path(path)
    ending = ending_of(path)
    options = options_for(ending, given)
    refuse_existing(path, overwrite)
    net, source = model, None
    if not isinstance(net, UNet):
        source = model_file(net)
        net = load(source)
    format_ = FORMATS[ending]
    told = {"source": source, "overwrite": overwrite}
    with held(lock_of(path), path):
        refuse_existing(path, overwrite)
        said = function(format_.home)(net, path, **options, **{n: told[n] for n in format_.also})
    if not isinstance(said, dict):
        said = {"notes": list(said)}
    model_said = None if source is None else str(source)
    return {"model": model_said, "file": str(path), "format": format_.title,
            "bytes": path.stat().st_size, "notes": [], **said}  # fmt: skip


def ending_of(path: str | Path, known: Any = FORMATS) -> str:
    """The known ending of a name; CunetError, which names them, where it has none."""
    name = Path(path).name
    for ending in sorted(known, key=len, reverse=True):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return ending
    near = did_you_mean(Path(name).suffix, known)
    raise CunetError(f"'{path}': the ending chooses the format, expected one of "
                     f"{', '.join(known)}{near}")  # fmt: skip


def options_for(ending: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options of this format; CunetError for one that is given and that it does not have."""
    has = FORMATS[ending].options
    for name, value in given.items():
        if name not in has and value not in (False, None):
            others = ", ".join(e for e, f in FORMATS.items() if name in f.options)
            raise CunetError(f"{name}: {ending} has no such option, {others} has; leave it out")
    return {name: value for name, value in given.items() if name in has}


def function(home: str) -> Callable[..., Any]:
    """What "module:name" names."""
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """CunetError where a file must not be replaced."""
    if path.is_dir():
        raise CunetError(f"'{path}' is a folder; give the name of a file in it")
    if path.exists() and not overwrite:
        raise CunetError(f"'{path}' exists; give --overwrite to replace it, or another name")
