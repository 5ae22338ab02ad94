"""What must hold of every case, whatever its kind."""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from fuzzer.case import Case, Kind, Result

LONGEST = 4000  # characters of words: more is a flood
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and what it holds, as a hash; links are not followed."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                digest = "-> " + os.readlink(path)
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    digest = hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
            else:
                continue
            found[os.path.relpath(path, folder)] = digest
    return found


def complaints(
    kind: Kind, case: Case, result: Result, before: dict[str, str], after: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """(sort, text) of all that is wrong; before and after are snapshots of the folder."""
    words = result.err.strip()
    last = words.splitlines()[-1] if words else "no words"
    if result.code == 1 or "Traceback (most recent call last)" in words:
        yield "traceback", traceback_of(words)
        return
    if not (result.code == 0 or 2 <= result.code <= 6):
        yield "exit code", f"{result.code}: {last}"
    for text in result.warnings:
        yield "warning", text
    if result.growth > kind.growth:
        yield "memory", f"grew by {result.growth / 1e9:.1f} GB, exit {result.code}: {last}"
    if len(words) > LONGEST:
        yield "flood", f"{len(words)} characters of words: {words[:200]} ..."
    if match := _CONTROL.search(words):
        yield "control characters", f"{match[0]!r} in {words[:300]!r}"
    if result.code:
        yield from _error(kind, case, words, last)
    yield from _files(case, result.code, before, after)
    if result.code == 0 or 2 <= result.code <= 6:
        for text in case.verdict(result):
            yield "silent" if result.code == 0 else "refused", text


def _error(kind: Kind, case: Case, words: str, last: str) -> Iterator[tuple[str, str]]:
    start = words.find("Error")
    message = words[start:] if start >= 0 else ""
    if not message:
        yield "no error line", last
    elif not any(name in message for name in case.names):
        yield "nameless", f"none of {', '.join(case.names)} in: {message[:400]}"
    if ".part" in message:
        yield "hidden file", f"named in: {message[:400]}"
    if "no memory" in message or "out of memory" in message:  # files are small, the limit is not
        yield "memory", message[:300]
    if "File too large" in message or "no room for" in message:
        yield "disk", f"wanted a file of over {kind.file_size >> 20} MB: {message[:300]}"


def _files(
    case: Case, code: int, before: dict[str, str], after: dict[str, str]
) -> Iterator[tuple[str, str]]:
    allowed = (case.may_make if code == 0 else ()) + case.may_keep
    left = [
        name for name in after.keys() - before.keys()
        if not any(fnmatch.fnmatch(name, pattern) for pattern in allowed)
    ]  # fmt: skip
    if left:
        yield "leftover", f"exit {code}, and left {', '.join(sorted(left)[:5])}"
    changed = [n for n in before if before[n] != after.get(n)]
    if changed and not case.may_change:
        yield "input changed", f"exit {code}, and {', '.join(sorted(changed)[:5])} changed or went"


def traceback_of(words: str) -> str:
    """The last line of a traceback, and the last place in cunet that it passes."""
    lines = [line for line in words.splitlines() if line.strip()]
    places = re.findall(r'File "[^"]*?/((?:cunet|cli)/[^"]+)", line (\d+)', words)
    errors = [
        line for line in lines if re.match(r"[A-Za-z_.]+(Error|Exception|Interrupt)?\b.*:", line)
    ]
    errors = [line for line in errors if not line.startswith("This is a bug")]
    place = ":".join(places[-1]) if places else "?"
    return f"{(errors or lines or ['?'])[-1][:300]} (at {place})"
