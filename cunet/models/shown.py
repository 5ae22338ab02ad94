"""A card, which is Markdown, as text that reads well on a terminal: headings underlined, tables in
columns, paragraphs filled. What it does not know it leaves as it stands."""

import re
import textwrap
from collections.abc import Iterator

_LINK = re.compile(r"\[([^\]\[]{1,200})\]\(([^)\s]{1,300})\)")
_RULE = re.compile(r"\|?[\s:|-]+\|?")
_ITEM = re.compile(r"(\s*)([-*+]|\d+\.) ")
NARROWEST = 40  # characters of a line


def card_lines(text: str, width: int = 80) -> list[str]:
    """The lines of a card, of at most about `width` characters."""
    lines: list[str] = []
    width = max(width, NARROWEST)
    item = False
    for block in _blocks(text):
        item, before = _ITEM.match(block[0]) is not None, item
        if lines and not (item and before):
            lines.append("")
        lines += _shown(block, width)
    return lines


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs, tables, headings: lines that belong together."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        alone = line.startswith("#")
        begins = _ITEM.match(line) is not None
        if block and (alone or begins or not line.strip()):
            yield block
            block = []
        if alone:
            yield [line]
        elif line.strip():
            block.append(line)


def _shown(block: list[str], width: int) -> list[str]:
    """One block as lines."""
    if block[0].startswith("#"):
        words = _plain(block[0].lstrip("#").strip())
        return [words, ("=" if block[0].startswith("# ") else "-") * min(len(words), width)]
    if all(line.lstrip().startswith("|") for line in block):
        return _table(block, width)
    item = _ITEM.match(block[0])
    indent = " " * item.end() if item else ""
    words = " ".join(line.strip() for line in block)
    first = item[1] if item else ""
    return textwrap.wrap(
        _plain(words), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


def _table(block: list[str], width: int) -> list[str]:
    """A table in columns; of two columns the second is filled."""
    rows = [
        [_plain(cell.strip()) for cell in line.strip().strip("|").split("|")]
        for line in block
        if not _RULE.fullmatch(line.strip()) or not line.strip("| \t")
    ]
    rows = [row for row in rows if any(row)]
    if not rows:
        return []
    columns = max(map(len, rows))
    rows = [row + [""] * (columns - len(row)) for row in rows]
    wide = [max(len(row[k]) for row in rows) for k in range(columns)]
    if columns == 2 and wide[0] < width // 2:
        lines = []
        for key, value in rows:
            lines += textwrap.wrap(
                value or "-", width, initial_indent=f"{key:<{wide[0]}}  ",
                subsequent_indent=" " * (wide[0] + 2), break_on_hyphens=False,
            )  # fmt: skip
        return lines
    if sum(wide) + 2 * (columns - 1) <= width:
        return ["  ".join(f"{c:<{w}}" for c, w in zip(row, wide, strict=True)).rstrip()
                for row in rows]  # fmt: skip
    head, *rest = rows  # too wide: each row as a paragraph
    lines = []
    for row in rest or [head]:
        said = [f"{name} {cell}".strip() for name, cell in zip(head[1:], row[1:], strict=True)]
        lines += textwrap.wrap(f"{row[0]}: {'; '.join(said)}", width, subsequent_indent="  ")
    return lines


def _plain(text: str) -> str:
    """Words without the signs of Markdown."""
    text = _LINK.sub(r"\1 (\2)", text)
    return re.sub(r"\*\*(.{1,300}?)\*\*|`([^`]{1,300})`|\*(\w[^*]{0,300}?)\*",
                  lambda m: m[1] or m[2] or m[3], text)  # fmt: skip
