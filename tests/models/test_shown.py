"""Cards as text on a terminal."""

import time

from cunet.models.places import BUNDLED_FILE
from cunet.models.shown import card_lines

CARD = """# A *net* for `cells`
Some **bold** words
in two lines, and [a link](https://x.org/a).

| | |
|---|---|
| output | probability |
| made for | cells, cells, cells, cells, cells, cells, cells, cells |

- one
- two that is long, long, long, long, long
  and goes on

| a | b | c |
|---|---|---|
| 1 | 2 | 3 |
## End
"""


def test_a_card_by_hand():
    assert card_lines(CARD, 44) == [
        "A net for cells",
        "===============",
        "",
        "Some bold words in two lines, and a link",
        "(https://x.org/a).",
        "",
        "output    probability",
        "made for  cells, cells, cells, cells, cells,",
        "          cells, cells, cells",
        "",
        "- one",
        "- two that is long, long, long, long, long",
        "  and goes on",
        "",
        "a  b  c",
        "1  2  3",
        "",
        "End",
        "---",
    ]


def test_every_number_of_a_wide_table_keeps_its_heading():
    text = "\n".join(card_lines(BUNDLED_FILE.with_suffix(".md").read_text(encoding="utf-8"), 60))
    assert "one view (the default): pixel error 0.0527 ± 0.0024;" in text
    assert max(map(len, text.splitlines())) <= 70


def test_odd_cards_do_no_harm():
    for card in ("", "#", "|", "|||", "| |\n|-|", "-", "[](", "**", "`" * 9, "\n\n", "a" * 300):
        card_lines(card, 10)
    begun = time.perf_counter()
    for unit in ("*a", "[a](", "`", "|", "**a", "# ", "a_b*"):
        card_lines(unit * 60_000, 80)
    assert time.perf_counter() - begun < 5
