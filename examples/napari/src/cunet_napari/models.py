"""Which network is meant, and what it is, read from its file's header alone."""

from pathlib import Path

from cunet import CunetError, UNet, load
from cunet.models.places import name_in_box
from cunet.models.record import read_record
from cunet.net.checkpoint import model_file, read_header
from cunet.terminal import plural
from cunet.training.run_state import model_of

NEWEST, OTHER = "newest run", "file, run folder or name:"
CUNETS_OWN = {"em (EM membranes)": "em", "nuclei (cell nuclei)": "nuclei"}


def meant(choice: str, text: str) -> str | None:
    """What `cunet.load` and `model_of` take for a choice of the form; None is the newest run."""
    if choice == NEWEST:
        return None
    return CUNETS_OWN.get(choice, text.strip())


def loaded(model: str | None, device: str) -> tuple[UNet, str, list[str]]:
    """The network, its file, and notes for the user, such as that its training failed."""
    if model == "":
        raise CunetError("no model is named: give a model file, a run folder or a name")
    path, doubts = model_of(model)
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
    about = str(path.resolve())
    if (own := name_in_box(path)) and (record := read_record(path)) is not None:
        about = f"{record.made_for}; {record.license}"
        if model is None:
            about = f"no run below this folder, so model {own}: {about}"
    shape = f"width {net['width']}, depth {net['depth']}, {net['classes']} classes, "
    return "\n".join([about, shape + plural(net["in_channels"], "channel"), *doubts])


def is_model(path: str | Path) -> bool:
    """Whether a file is a network of cunet."""
    try:
        read_header(model_file(path))
    except CunetError:
        return False
    return True
