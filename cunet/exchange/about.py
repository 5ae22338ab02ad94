"""What a package says of a network that no weights can tell: who made it, what for, which terms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError, not_among, of_system
from cunet.files.json_file import read_text
from cunet.models.record import card_path, read_record

LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+- ()")  # of names
LONGEST_DESCRIPTION = 1024
PAPER = {
    "text": "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI 2015",
    "doi": "10.1007/978-3-319-24574-4_28",
}
COMMON_LICENSES = (  # SPDX identifiers; other terms become a file of the package
    "0BSD AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 "
    "CC-BY-3.0 CC-BY-4.0 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 "
    "CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CECILL-2.1 ECL-2.0 EUPL-1.2 GPL-2.0-only "
    "GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only LGPL-2.1-or-later "
    "LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 ODbL-1.0 ODC-By-1.0 PDDL-1.0 Unlicense "
    "Zlib"
).split()


@dataclass(frozen=True)
class About:
    """What a package says of its network that no weights can tell.

    name     5 to 128 letters, digits, spaces or _ + - ( )
    description  what it is for, at most 1,024 characters
    authors  "Name" or "Name (affiliation)"
    license  one of COMMON_LICENSES such as CC-BY-4.0, or other terms, which become a file of the
             package
    cite     "text, https://doi.org/..." beside the paper of 2015, which is always there
    card     what is known of it, in Markdown
    """

    name: str
    description: str
    authors: tuple[str, ...]
    license: str
    cite: tuple[str, ...] = ()
    card: str = ""

    def __post_init__(self) -> None:
        missing = [
            option
            for option, value in (
                ("--name", self.name), ("--description", self.description),
                ("--author", self.authors), ("--license", self.license),
            )
            if not value or not all(map(str.strip, [value] if isinstance(value, str) else value))
        ]  # fmt: skip
        if missing:
            raise CunetError(
                "a bioimage.io package says who made the network, what for and who may use it, "
                f"and the model's card does not: give {' '.join(f'{o} TEXT' for o in missing)}"
            )
        strange = "".join(sorted(set(self.name) - LETTERS))
        if strange or not 5 <= len(self.name) <= 128:
            raise CunetError(
                "--name: bioimage.io takes 5 to 128 letters, digits, spaces or _ + - ( ), found "
                f"{self.name!r:.200}"
            )
        if len(self.description) > LONGEST_DESCRIPTION:
            raise CunetError(
                f"--description: at most {LONGEST_DESCRIPTION:,} characters, found "
                f"{len(self.description):,}; put the rest into the card"
            )
        for text in self.authors:
            author(text)
        for text in self.cite:
            citation(text)


def about_of(source: Path | None, given: Mapping[str, Any]) -> About:
    """What is known of a model file from its record and its card, replaced by what is given.

    given: values of About by name; card is the path of a Markdown file. CunetError where something
    is missing or unknown, DataError for a card that is no text.
    """
    names = [field.name for field in fields(About)]
    for name in given:
        if name not in names:
            raise not_among("about", name, names)
    known: dict[str, Any] = dict.fromkeys(("name", "description", "license"), "")
    known |= {"authors": (), "cite": (), "card": ""}
    if source is not None:
        card, record = card_path(source), read_record(source, strict=False)
        known["name"] = source.stem if len(source.stem) > 4 else f"cunet {source.stem}"
        if record is not None:
            known |= {"description": record.made_for, "license": record.license}
            known |= {"authors": record.authors, "cite": record.cite}
        if card.is_file() and "card" not in given:
            given = {**given, "card": card}
    values = {name: value for name, value in given.items() if value not in (None, "", ())}
    if "card" in values:
        try:
            values["card"] = read_text(Path(values["card"]))
        except OSError as error:
            raise of_system(error, f"cannot read the card '{values['card']}'") from error
        except ValueError as error:
            raise DataError(f"the card '{values['card']}' is no text: {error}") from error
    return About(**known | values)


def spdx(license: str) -> str:
    """The SPDX identifier that a licence is, in any case of its letters; "" for other terms."""
    same = (name for name in COMMON_LICENSES if name.lower() == license.strip().lower())
    return next(same, "")


def author(text: str) -> dict[str, str]:
    """ "Name (affiliation)" as an entry of the description."""
    name, _, rest = text.partition("(")
    found = {"name": name.strip()}
    if not found["name"] or re.search(r"[/\\]", found["name"]):
        raise CunetError(
            f"--author {text!r:.200}: expected a name without / and \\, as in 'Ada Lovelace "
            "(University of London)'"
        )
    return found | {"affiliation": rest.rstrip(") ")} if rest else found


def citation(text: str) -> dict[str, str]:
    """ "text, https://doi.org/..." or "text, https://..." as an entry of the description."""
    found = re.fullmatch(
        r"(.*\S)[\s,;:]+(https?://[A-Za-z0-9][^\s/]*(?:/\S*)?)\s*", text, re.DOTALL
    )
    words, address = found.groups() if found else ("", "")
    doi = re.fullmatch(r"https?://(?:dx\.)?doi\.org/(.*)", address)
    if found is None or (doi and not re.fullmatch(r"10\.[0-9]{4}\S+", doi[1])):
        raise CunetError(
            f"--cite {text!r:.200}: expected a text and its address, as in 'Cardona et al. 2010, "
            "https://doi.org/10.1371/journal.pbio.1000502'"
        )
    return {"text": words.rstrip(" ,;:")} | ({"doi": doi[1]} if doi else {"url": address})
