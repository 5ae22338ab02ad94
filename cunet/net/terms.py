"""Notes for whoever uses a network by its name: its terms, or that a file hides it."""

from cunet.models.places import first
from cunet.models.record import read_record
from cunet.net.checkpoint import could_be_name, model_file


def note_of(model: str | None) -> list[str]:
    """A note on the terms of a network that is used by its name, or a warning where a file or run
    folder of that name is used instead."""
    if model is None or not could_be_name(model) or (found := first(model)) is None:
        return []
    path = model_file(model)
    if path != found.path:
        return [
            f"warning: '{model}' is taken for '{path}' in this folder, not for the model of that "
            f"name ({found.place}: '{found.path}')"
        ]
    record = read_record(path, strict=False)
    if record is None:
        return []
    made_for = f"; for {record.made_for}" if record.made_for else ""
    return [f"model '{model}': license: {record.license or 'not stated'}{made_for}"]
