"""Networks of other programs as ours: what a file holds is recognised, and read."""

from pathlib import Path

from cunet.checks import arguments, number, path
from cunet.errors import CunetError, DataError
from cunet.exchange import caffe, milesial
from cunet.exchange.imported import Imported
from cunet.exchange.mapped import mapped
from cunet.net.unet import UNet

KNOWN = "a .caffemodel of the authors' U-Net, or a .pt, .pth or .safetensors of milesial's"

LEAST = 1e-30  # of a white value: what is divided by less is no number of float32


@arguments(path=path, white=number)
def import_network(path: str | Path, white: float | None = None) -> UNet:
    """The network in a file of another program: Caffe's .caffemodel with the layers of the authors'
    U-Net, or the .pt, .pth or .safetensors of milesial's Pytorch-UNet (bilinear=False).

    Such networks know images from 0 to 1; white is the grey value of your images that is 1 (255, of
    8-bit images). Nothing in the file is run. Raises CunetError where the file is missing,
    DataError where it is damaged or holds a network that cunet has not.

        net = cunet.import_network("phseg_v5.caffemodel")
        cunet.save("phseg.npz", net)
    """
    return imported(path, white).net


def imported(path: str | Path, white: float | None = None) -> Imported:
    """The same, with the format and what a user must hear."""
    if white is not None and not LEAST < white < 1 / LEAST:
        raise CunetError(f"white: expected a grey value above 0, found {white:g}")
    start, ending = bytes(mapped(path)[:64]), Path(path).suffix.lower()
    _refuse_others(path, start, ending)
    zipped = start.startswith((b"PK\x03\x04", b"\x80"))
    if zipped or ending in (".pt", ".pth", ".safetensors") or start[8:9] == b"{":
        return milesial.imported(path, white)
    if ending == ".caffemodel" or start[:1] in (b"\x0a", b"\x12", b"\xa2"):
        return caffe.imported(path, white)  # a name, or layers of either kind
    raise DataError(f"network '{path}': expected {KNOWN}; found something else")


def _refuse_others(path: str | Path, start: bytes, ending: str) -> None:
    """DataError for files of which a user may think that they hold such a network."""
    why = ""
    if start.startswith(b"\x89HDF"):
        why = "HDF5, which cunet does not read; in Caffe, save it as .caffemodel (BINARYPROTO)"
    elif ending == ".npz":
        why = "a model of cunet itself, perhaps: give it to `cunet segment --model` as it is"
    elif ending == ".onnx":
        why = "ONNX, which cunet writes but does not read"
    elif b"rdf.yaml" in start or str(path).lower().endswith(".bioimageio.zip"):
        why = "a package of bioimage.io, which cunet writes but does not read"
    elif ending == ".prototxt":
        why = "a description without weights; give the .caffemodel"
    if why:
        raise DataError(f"network '{path}': expected {KNOWN}; found {why}")
