"""Networks for other programs: the format is chosen by the name's ending.

A format is a function write(net, path, source, ...its options), which writes the file whole or not
at all and returns what is to be said of it; FORMATS names its home, so that it is loaded when used.
"""

from collections.abc import Callable, Mapping
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
    beside   the endings of further files that it writes
    """

    title: str
    home: str
    options: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


FORMATS = {
    ".onnx": Format("ONNX", "cunet.exchange.onnx_file:write", ("mirror", "size", "float16")),
    ".bioimageio.zip": Format(
        "bioimage.io package", "cunet.exchange.bioimageio:write", ("float16", "about")
    ),
    ".caffemodel": Format("Caffe", "cunet.exchange.caffe:write", ("size",), (".prototxt",)),
    ".safetensors": Format(
        "PyTorch state dict of milesial's U-Net", "cunet.exchange.milesial:write"
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


def words_by_name(name: str, value: Any) -> Any:
    """A check for a dictionary."""
    if not isinstance(value, dict):
        raise refused(name, "a dictionary", value, "as in about={'license': 'CC-BY-4.0'}")
    return value


@arguments(
    model=model_or_net, path=path, mirror=flag, size=whole_from_1, float16=flag,
    about=words_by_name, overwrite=flag,
)  # fmt: skip
def export(
    model: str | Path | UNet,
    path: str | Path,
    mirror: bool = False,
    size: int | None = None,
    float16: bool = False,
    about: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a network as a file of another program, by the ending of `path`: .onnx,
    .bioimageio.zip, .caffemodel (the authors' Caffe net) or .safetensors (milesial's PyTorch net).

    model: a model file, a run folder, a name, or a network. An .onnx file takes raw values of
    images (N, C, H, W) float32, and returns the probabilities of all classes (N, K, P, Q) float32.

    mirror   it takes whole images, H and W multiples of 2^depth, and mirrors them beyond their
             border: P = H, Q = W, as cunet.segment. Otherwise it takes tiles, as the network does.
    size     both sides of the one image or tile that it takes, for programs that need that
    float16  filters are stored as float16, for half the bytes; it computes in float32. The rounding
             changed the probabilities of a trained network by up to 0.001.
    about    what a bioimage.io package says of the network where no card and record beside the
             model file do: a dictionary of "name", "description", "authors", "license", "cite" and
             "card", a Markdown file

    Returns "bytes", "notes" for the user or, of .onnx, what the file takes and returns in words
    ("input", "output"), and more. Raises CunetError for another ending, an option that the format
    does not have, a network that it cannot hold, a size that does not fit and a file that exists
    (unless overwrite), DataError for a damaged model, NumericError for weights that the format
    cannot hold, DeviceError for a full disk.

        cunet.export("em", "membranes.onnx", mirror=True)
    """
    given = {"mirror": mirror, "size": size, "float16": float16, "about": about}
    path = Path(path)
    ending = ending_of(path)
    options = options_for(ending, given)
    _refuse_existing(path, ending, overwrite)
    net, source = model, None
    if not isinstance(net, UNet):
        source = model_file(net)
        net = load(source)
    with held(lock_of(path), path):
        _refuse_existing(path, ending, overwrite)
        said = function(FORMATS[ending].home)(net, path, source=source, **options)
    return {"model": None if source is None else str(source), "file": str(path),
            "format": FORMATS[ending].title, "bytes": path.stat().st_size, "notes": [],
            **said}  # fmt: skip


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
        if name not in has and value not in (False, None, {}):
            others = ", ".join(e for e, f in FORMATS.items() if name in f.options)
            raise CunetError(f"{name}: {ending} has no such option, {others} has; leave it out")
    return {name: value for name, value in given.items() if name in has}


def function(home: str) -> Callable[..., Any]:
    """What "module:name" names."""
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)


def _refuse_existing(path: Path, ending: str, overwrite: bool) -> None:
    """CunetError where a file must not be replaced."""
    for one in (path, *map(path.with_suffix, FORMATS[ending].beside)):
        if one.is_dir():
            raise CunetError(f"'{one}' is a folder; give the name of a file in it")
        if one.exists() and not overwrite:
            raise CunetError(f"'{one}' exists; give --overwrite to replace it, or another name")
