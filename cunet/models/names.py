"""What a network may be called, so that its name is a file name on every system and nothing more.

A name is 1 to 64 letters, digits, dots, dashes and underscores, with a letter or digit at both
ends: no folder, no drive, no device of Windows can be written so. NAME.npz holds the network,
NAME.md its card and NAME.json its record.
"""

import re

from cunet.errors import CunetError

IN_THE_BOX = ("em", "nuclei")  # the networks that come with cunet
ALIASES = {"bundled": "em", "isbi2012": "em"}  # earlier names, which stay
SPELLING = "letters, digits, '.', '-' and '_', with a letter or digit at both ends, at most 64"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_ENDINGS = (".npz", ".md", ".json")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(10))}
_TAKEN = {"bundled", "index"}  # index.json is no record of a network


def full_name(name: str) -> str:
    """The name that a network of an earlier name has now; any other name as it is."""
    return ALIASES.get(name, name)


def is_name(text: object) -> bool:
    """Whether this can be the name of a network."""
    return (
        isinstance(text, str)
        and _NAME.fullmatch(text) is not None
        and not text.lower().endswith(_ENDINGS)
        and text.lower().partition(".")[0] not in _DEVICES
        and text.lower() not in _TAKEN
    )


def check_name(text: str, advice: str = "") -> str:
    """The name, if it is one; CunetError otherwise, with the advice at its end."""
    if is_name(text):
        return text
    raise CunetError(f"name: expected {SPELLING}, found '{text:.80}'{advice}")


def is_file_name(text: object) -> bool:
    """Whether this is the file name of a network and leads into no other folder."""
    return isinstance(text, str) and text.endswith(".npz") and is_name(text.removesuffix(".npz"))
