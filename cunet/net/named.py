"""Networks by name, and what is known of them: adding one's own, describing, verifying."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, of_system
from cunet.files.json_file import text_of
from cunet.models import store
from cunet.models.index import Index, read_index
from cunet.models.names import ALIASES, check_name
from cunet.models.places import everything, first, unknown
from cunet.models.record import (
    MAX_CARD,
    MAX_TEXT,
    Record,
    card_path,
    digest,
    read_record,
    record_path,
    refuse_changed,
)
from cunet.net import card as cards
from cunet.net import checkpoint
from cunet.net.trained_on import KEY, with_size
from cunet.terminal import size as in_words

FACTS = (
    "name place path for license network input pixel_size output steps bytes sha256 source urls"
).split()
BLOCK = 1 << 20


def describe(model: str, where: str | None = None) -> dict[str, Any]:
    """What is known of a model, given by a name, a file or a run folder.

    Returns name ("" without one), here, place, path, recorded, sha256, bytes, license, source, for,
    net (its arguments), network, input, pixel_size, output, parameters, normalization, steps and
    card (text). One that is only in the index `where` (see cunet.models.index) has here = False,
    urls, and what the index says. Errors as in cunet.load.
    """
    if checkpoint.could_be_name(model) and not Path(model).exists() and first(model) is None:
        entry = read_index(where).entries.get(model)
        if entry is not None:
            known = {"name": model, "here": False, "place": "not here", "urls": list(entry.urls)}
            return known | record_facts(entry.record)
    path = checkpoint.model_file(model)
    header = checkpoint.read_header(path)
    record = refuse_changed(path)
    found = next((one for one in everything() if one.path == path.absolute()), None)
    card = card_path(path)
    return {
        "name": found.name if found else "",
        "here": True,
        "place": found.place if found else "a file",
        "path": str(path.absolute()),
        "recorded": record is not None,
        **record_facts(record or Record(digest(path), path.stat().st_size)),
        "net": header["net"],
        "network": cards.network(header),
        "input": cards.images(header),
        "pixel_size": cards.pixel_size(path, header),
        "output": cards.output(header),
        "parameters": cards.parameters_of(header),
        "normalization": header["normalization"],
        "steps": header["progress"].get("step"),
        "card": text_of(card, "card", MAX_CARD) if card.is_file() else "",
    }


def record_facts(record: Record) -> dict[str, Any]:
    """A record by the names of its keys in JSON."""
    facts = {n: getattr(record, n) for n in ("sha256", "bytes", "license", "source")}
    return facts | {"for": record.made_for}


def rows(index: Index) -> list[dict[str, Any]]:
    """Every network on this computer, then those that only the index has.

    used: whether its name means it, and not an earlier one; problem: why it cannot be used.
    """
    found, hidden = [], {*ALIASES}
    for one in everything():
        problem, record, size = one.problem, None, 0
        try:
            if not problem:
                record, size = read_record(one.path), one.path.stat().st_size
                if record is not None and record.bytes != size:
                    problem = f"it has {size:,} bytes, its record says {record.bytes:,}"
        except CunetError as error:
            problem = str(error)
        except OSError as error:
            problem = str(of_system(error))
        facts = record_facts(record) if record else {"license": "", "for": "", "sha256": None}
        row = {"name": one.name, "here": True, "used": one.name not in hidden, "place": one.place}
        found.append(row | {"path": str(one.path)} | facts | {"bytes": size, "problem": problem})
        hidden.add(one.name)
    place = f"index {index.where}".strip()
    for entry in index.entries.values():
        if entry.name not in hidden:
            row = {"name": entry.name, "here": False, "used": False, "place": place, "path": None}
            found.append(row | record_facts(entry.record) | {"problem": ""})
    return found


def cells(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """A row of the list in words: name, where, size, license, for."""
    where = row["place"] if row["here"] else "not here: get it"
    if row["problem"]:
        where += ", unusable"
    elif row["here"] and not row["used"]:
        where += ", hidden by the one above"
    terms, use = (" ".join(row[key].split()) for key in ("license", "for"))  # in one line
    return row["name"], where, in_words(row["bytes"]), terms or cards.NOT_STATED, use


def facts_of(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What describe() found, in words, in the order to read it."""
    for key in FACTS:
        value = found.get(key)
        if isinstance(value, list):
            value = " ".join(value)
        if value or key == "license":
            text = f"{value:,}" if isinstance(value, int) else value
            yield key.replace("_", " "), text or cards.NOT_STATED


def add(
    model: str,
    name: str | None = None,
    license: str = "",
    made_for: str = "",
    card: str | Path | None = None,
    overwrite: bool = False,
    pixel_size: str | None = None,
) -> tuple[str, Path, list[str]]:
    """Copy a model file, or the best of a run folder, into the user's folder under a name.

    name: by default that of the file or run. card: a file of Markdown, by default one made of what
    the model and its run say. pixel_size: of its training images, where its file does not say it.
    Returns the name, the copy, and notes for the user. Raises
    CunetError for a name that is taken, DataError for a file that is no model, DeviceError where
    the folder cannot be written to or the disk is full.
    """
    for key, text in (("license", license), ("for", made_for)):
        if len(text) > MAX_TEXT:
            raise CunetError(f"{key}: expected at most {MAX_TEXT} characters, found {len(text):,}")
    source = checkpoint.model_file(model)
    header, _ = checkpoint.read(source)
    name = check_name(_usual_name(source) if name is None else name, "; give one with --name")
    path, own = store.own_path(name), header.get(KEY, {})
    header[KEY] = with_size(source, header, pixel_size).header()
    beside: dict[str, Any] = {name: v for name, v in header[KEY].items() if name not in own}
    if card:
        text = text_of(Path(card), "card", MAX_CARD)
    else:
        text = cards.make_card(name, source, header, license, made_for)
    notes = [] if license else ["license: not stated; give --license if others will use it"]
    if "done" in header:
        notes.append(
            "it holds the solver of its training as well, which only a resumed training needs; "
            "best.npz of a run is smaller"
        )

    def record_of(sha256: str, size: int) -> Record:
        known = Record(sha256, size, license, _source(source), made_for)
        return replace(known, **beside)

    with store.claimed(path):
        if path.exists() and not overwrite:
            raise CunetError(f"'{path}' exists; give --overwrite to replace it, or another --name")
        if path.exists() and path.samefile(source):
            raise CunetError(f"'{path}' is the model itself; give another --name")
        store.keep(path, _blocks(source), record_of, text, source.stat().st_size)
    return name, path, notes


def verify(names: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Read whole networks, all on this computer or those of these names, and compare their hashes.

    Yields name, place, path, recorded (whether there is a hash to compare with) and problem ("" for
    none) of each. CunetError for a name that no place has.
    """
    chosen = {name: first(name) for name in names}
    for name, one in chosen.items():
        if one is None:
            raise unknown(name, {})
    for found in filter(None, chosen.values()) if names else everything():
        problem, record = found.problem, None
        if not problem:
            try:
                record = refuse_changed(found.path, strict=True)
                checkpoint.read(found.path)
            except CunetError as error:
                problem = str(error)
        yield {
            "name": found.name,
            "place": found.place,
            "path": str(found.path),
            "recorded": record is not None,
            "problem": problem,
        }


def files_of(path: Path) -> list[Path]:
    """The files that make up a network."""
    return [p for p in (path, card_path(path), record_path(path)) if p.exists()]


def _usual_name(source: Path) -> str:
    """That of the file, or of its run folder."""
    run = (source.parent / "run.toml").is_file() or source.stem in ("best", "last")
    return source.absolute().parent.name if run else source.stem


def _source(source: Path) -> str:
    """Where an added model came from; no full path, since records are passed on."""
    return "/".join(source.absolute().parts[-2:])[:MAX_TEXT]


def _blocks(path: Path) -> Iterator[bytes]:
    """What a file holds, block by block."""
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise of_system(error, f"cannot read model '{path}'") from error
