"""What must be said where a network is taken by its name: its terms, and what hides it."""

from cunet.models.places import first
from cunet.models.record import read_record
from cunet.net.checkpoint import BUNDLED, could_be_name, model_file


def note_of(model: str | None) -> list[str]:
    """What to say of a network that is taken by its name: its terms; and of a name that a file or
    folder hides."""
    if model is None or not could_be_name(model) or (found := first(model)) is None:
        return []
    path = model_file(model)
    if path != found.path:
        return [
            f"warning: '{model}' is taken for '{path}' in this folder, not for the model of that "
            f"name ({found.place}: '{found.path}')"
        ]
    record = read_record(path, strict=False)
    if record is None or path == BUNDLED:  # `cunet segment` says more of that
        return []
    said = [f"license: {record.license or 'not said'}", f"for {record.made_for}"]
    return [f"model '{model}': {'; '.join(said[: 1 + bool(record.made_for)])}"]
