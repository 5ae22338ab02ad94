"""What products say about how they were made, and whether two of them were made in one way."""

import re

_NAME = re.compile(r".*, image (?=[0-9a-f]{16}, )", re.DOTALL)  # which may hold such words too
_PAGES = re.compile(r"([0-9a-f]{16}), pages ([0-9,-]+|all)(?=,|$)")


def written(pages: list[int], of: int) -> str:
    """Page numbers as --pages takes them, always in the same way: 0-2,5, or all."""
    if pages == list(range(of)):
        return "all"
    parts: list[list[int]] = []
    for page in pages:
        if parts and page == parts[-1][-1] + 1:
            parts[-1].append(page)
        else:
            parts.append([page])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)


def how_made(description: str) -> str:
    """What decides about a product: not how the image's file was called."""
    return _NAME.sub("", description, count=1)


def without_threshold(description: str) -> str:
    """The description of a product that does not depend on the threshold: prob."""
    return re.sub(", threshold [^,]*", "", description)


def without_pages(description: str) -> str:
    """How every page of a product was made."""
    return _PAGES.sub(r"\1", how_made(description), count=1)


def pages_in(description: str, of: int) -> list[int]:
    """The pages that a product was made of, of an image of so many; none where it says nothing."""
    found = _PAGES.match(how_made(description))
    if found is None:
        return []
    if found[2] == "all":
        return list(range(of))
    ranges = (part.partition("-") for part in found[2].split(","))
    return [page for a, _, b in ranges for page in range(int(a), int(b or a) + 1)]


def difference(found: str, wanted: str) -> str:
    """How a product came about whose description is not the one wanted."""
    old, new = (_PAGES.match(how_made(text)) for text in (found, wanted))
    if old is None or new is None:
        return "not made by this command"
    commands = [text.split()[:2] for text in (found, wanted)]
    if commands[0] != commands[1]:
        return f"made by {' '.join(commands[0])}"
    if old[1] != new[1]:
        return "made of another image, or of this one before it changed"
    return "made with other settings"
