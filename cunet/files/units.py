"""Units of length and time in one spelling: programs have a dozen for the micrometre alone."""

import html
import re
import unicodedata

# The names that are kept, and their length in metres.
METRES = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "inch": 0.0254}
NO_UNITS = ("", "pixel", "pixels", "px", "reference frame", "none", "unknown", "null", "undefined")

# Other names: which of these they are, and how many of it.
_OTHERS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("u", "micron", "microns", "мкм"), ("um", 1.0)),
    **dict.fromkeys(("a", "å", "angstrom", "angstroms", "ångström", "ångstrom"), ("nm", 0.1)),
    **dict.fromkeys(("in", "inches", '"'), ("inch", 1.0)),
    "нм": ("nm", 1.0),
    "мм": ("mm", 1.0),
    "см": ("cm", 1.0),
    "м": ("m", 1.0),
    "am": ("nm", 1e-9),
    "fm": ("nm", 1e-6),
    "pm": ("nm", 1e-3),
    "dm": ("cm", 10.0),
    "dam": ("m", 10.0),
    "hm": ("m", 100.0),
    "km": ("m", 1000.0),
    "thou": ("inch", 1e-3),
    "li": ("inch", 1 / 12),
    "pt": ("inch", 1 / 72),
    "ft": ("inch", 12.0),
    "yd": ("inch", 36.0),
}
_WORDS = {"nano": "nm", "micro": "um", "milli": "mm", "centi": "cm", "": "m"}  # ... metre
_SECONDS = {
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "fs": 1e-15,
    "min": 60.0, "h": 3600.0, "d": 86400.0,
    "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "msec": 1e-3, "usec": 1e-6,
    "minute": 60.0, "minutes": 60.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "day": 86400.0, "days": 86400.0, "ks": 1e3, "cs": 1e-2, "ds": 1e-1,
}  # fmt: skip


def length(unit: str) -> tuple[str, float] | None:
    """A unit of length as (name in METRES, how many of it); None if it is none of length.

    ("nm", 0.1) for the angstrom, ("um", 1) for the micrometre in any spelling.
    """
    plain = _plain(unit)
    for name in (plain, plain.casefold()):
        if name in METRES:
            return name, 1.0
        if name in _OTHERS:
            return _OTHERS[name]
    word = re.fullmatch("(nano|micro|milli|centi|)met(?:er|re)s?", plain.casefold())
    return (_WORDS[word[1]], 1.0) if word else None


def seconds(unit: str) -> float | None:
    """A unit of time in seconds; None if it is none."""
    plain = _plain(unit)
    return _SECONDS.get(plain, _SECONDS.get(plain.casefold()))


def _plain(unit: str) -> str:
    """The unit with escapes and wrong encodings undone, compatible letters made one, mu as u."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), html.unescape(unit))
    try:
        text = text.encode("cp1252").decode("utf-8")  # UTF-8 that was read as Latin letters
    except UnicodeError:
        pass
    return unicodedata.normalize("NFKC", text).strip().replace("\u03bc", "u")
