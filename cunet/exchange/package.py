"""Whether what a bioimage.io package says of its network is what `cunet export` wrote: programs cut
images into blocks by it, so that a package with another description computes something else."""

import json
import zipfile
import zlib
from pathlib import Path

from cunet.errors import CheckError, DataError
from cunet.exchange.about import About
from cunet.exchange.bioimageio import description
from cunet.net.unet import UNet

# Fields of inputs and outputs
COMPARED = ("axes", "pad", "preprocessing", "postprocessing", "test_tensor")
ANYONE = About("anyone", "anything", ("anyone",), "MIT")  # is not compared


def check_package(path: str | Path, net: UNet) -> None:
    """CheckError where axes, blocks or hashes are not those of a package of this network, DataError
    where the package is damaged or cunet did not write it."""
    try:
        files = _files(Path(path))
        found = json.loads(files["rdf.yaml"])
        wanted = description(net, ANYONE, files)
        said, expected = _compared(found), _compared(wanted)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"'{path}' is no package of `cunet export`: {error!r:.100}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise DataError(f"'{path}' is damaged, or no zip file: {error}") from error
    apart = [name for name, value in expected.items() if said.get(name) != value]
    if apart := apart or sorted(said.keys() - expected.keys()):
        raise CheckError(
            f"'{path}': its rdf.yaml says something else of {', '.join(apart)} than this model's "
            "would: it is of another network, or was changed; export it again"
        )


def _files(path: Path) -> dict[str, bytes]:
    """All files of the package, which compresses nothing: together they are no longer than it."""
    with zipfile.ZipFile(path) as package:
        if sum(one.file_size for one in package.infolist()) > path.stat().st_size:
            raise ValueError("its files are longer than the package")
        return {one.filename: package.read(one) for one in package.infolist()}


def _compared(found: dict) -> dict[str, object]:
    """The fields that decide what programs compute, by name."""
    fields: dict[str, object] = {
        "weights": [sorted(found["weights"]), found["weights"]["onnx"]["sha256"]]
    }
    for kind in ("inputs", "outputs"):
        for one in found[kind]:
            fields |= {f"{kind} {one['id']} {key}": one[key] for key in COMPARED if key in one}
    return fields
