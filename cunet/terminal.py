"""Words on a terminal: names as text that can do nothing there and as a command line to paste,
times, and numbers of things.

The name of a file may hold any bytes: such as move the cursor, hide text, reverse its direction,
end the line, or are no text at all.
"""

import shlex
from collections.abc import Iterable


def printable(text: object) -> str:
    r"""text in one line, everything that is no visible character escaped: \x1b, \n, \u202e; \xe4 is
    a byte that is not UTF-8."""
    text = str(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that it cannot decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def shell_line(words: Iterable[object]) -> str:
    """The words as a line that a shell takes apart into the same words, and that is printable."""
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\{b:03o}" for b in _bytes(word))
    return f"$'{''.join(plain)}'"


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


def duration(seconds: float) -> str:
    """0:42, 12:05 or 3:04:05."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes: 6.4 kB, 640 MB, 64 GB or 6.4 PB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} TB" if count < 1000 else f"{count / 1000:,.1f} PB"


def without(
    arguments: Iterable[str], flags: Iterable[str], options: Iterable[str] = ()
) -> list[str]:
    """The arguments of a command line without these flags, and without these options and their
    values."""
    left, rest = [], iter(arguments)
    for part in rest:
        name = part.partition("=")[0] if part.startswith("--") else part[:2]
        if part in options:
            next(rest, None)
        elif name not in options and part not in flags:
            left.append(part)
    return left


def plural(count: int, one: str, many: str = "") -> str:
    """1 slice, 1,200 slices; `many` where an s does not make the plural: 2 nuclei, 3 masks are."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
