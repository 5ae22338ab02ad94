"""Which network is meant, and what it is, read from its file's header alone."""

from pathlib import Path

from cunet import CunetError, UNet, load
from cunet.net.checkpoint import BUNDLED, model_file, read_header
from cunet.training.run_state import model_of

NEWEST, CUNETS_OWN, OTHER = "newest run", "bundled (EM membranes)", "file, run folder or name:"
BUNDLED_FOR = (
    "cell membranes in EM at about 4 nm a pixel (ISBI 2012); for non-commercial use only, like the "
    "data it was trained on"
)


def meant(choice: str, text: str) -> str | None:
    """What `cunet.load` and `model_of` take for a choice of the form; None is the newest run."""
    if choice == NEWEST:
        return None
    return "bundled" if choice == CUNETS_OWN else text.strip()


def loaded(model: str | None, device: str) -> tuple[UNet, str, list[str]]:
    """The network, its file, and what must be said of it, such as that its training failed."""
    if model == "":
        raise CunetError("no model is named: give a model file, a run folder or a name")
    path, doubts = model_of(model)
    if model is not None and not path.exists():  # a name, which cunet.load knows or says is wrong
        return load(model, device), model, doubts
    return load(path, device), str(path), doubts


def described(model: str | None) -> str:
    """A network in a line or two for the form: file, width, classes, channels; or the error."""
    if model == "":
        return "give a model file, a run folder or a name"
    try:
        path, doubts = model_of(model)
        net = read_header(path)["net"]
    except CunetError as error:
        return str(error)
    about = BUNDLED_FOR if path == BUNDLED else str(path.resolve())
    start = "no run below this folder, so the bundled one: " * (model is None and path == BUNDLED)
    shape = f"width {net['width']}, depth {net['depth']}, {net['classes']} classes, "
    shape += f"{net['in_channels']} channel{'s' * (net['in_channels'] != 1)}"
    return "\n".join([f"{start}{about}", shape, *doubts])


def is_model(path: str | Path) -> bool:
    """Whether a file is a network of cunet."""
    try:
        read_header(model_file(path))
    except CunetError:
        return False
    return True
