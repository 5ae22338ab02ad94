"""In which colours viewers show the numbers of a label file: one coding in a data set.

Two masks that look alike can hold opposite numbers: one is marked white-is-zero, or its colour
table has the colours the other way round. Numbers are read as stored, so such files must not be
mixed.
"""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from cunet.errors import DataError
from cunet.files.image_file import ImageFile

Colour = tuple[int, ...]  # red, green and blue, 0 to 255
Colours = dict[int, Colour]  # number -> the colour in which it is shown
SPECK, MOST_PATCHES = 4, 1_000_000  # pixels of a patch that is no object; patches of an image
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def colours_of(image: ImageFile, pages: Iterable[np.ndarray] = ()) -> Colours:
    """How an open file shows the numbers in its pages; without a colour table only 0 is known."""
    table = image.colour_table()
    if table is None:
        return {0: WHITE if image.white_is_zero else BLACK}
    used = {int(n) for page in pages for n in np.unique(page)} & {*range(len(table))}
    return {n: tuple(table[n].tolist()) for n in sorted(used)}


def exchanged(one: Colours, other: Colours) -> str:
    """How two files contradict each other, in words; "" where they do not.

    They do where a colour is one number here and another there, or 0 is black here and white there.
    """
    if {one.get(0), other.get(0)} == {BLACK, WHITE}:
        return "0 is white in one and black in the other"
    here, there = _numbers(one), _numbers(other)
    for colour in here.keys() & there.keys():
        if here[colour] != there[colour]:
            return f"the colour {colour} is {here[colour]} in one and {there[colour]} in the other"
    return ""


def _numbers(colours: Colours) -> dict[Colour, int]:
    """Colour -> number, of the colours that stand for one number only."""
    shown = list(colours.values())
    return {colour: n for n, colour in colours.items() if shown.count(colour) == 1}


def refuse_mixed(
    files: Iterable[tuple[str, Colours]], what: str = "labels", ground_only: bool = False
) -> None:
    """DataError, naming two files, where some of the files are coded the other way round.

    files: the name of each and its colours. ground_only: of these 0 alone means the same in all,
    as where cells are numbered.
    """
    groups: dict[tuple, list[str]] = {}
    for name, colours in files:
        if ground_only:
            colours = {n: colour for n, colour in colours.items() if n == 0}
        groups.setdefault(tuple(sorted(colours.items())), []).append(name)
    kinds = sorted(groups, key=lambda kind: -len(groups[kind]))  # the odd ones last
    for number, odd in enumerate(kinds):
        for usual in kinds[:number]:
            how = exchanged(dict(odd), dict(usual))
            if how:
                count = len(groups[odd])
                more = f" and {count - 1} more" if count > 1 else ""
                raise DataError(
                    f"{what} {groups[odd][0]}{more} and {groups[usual][0]} are coded the other "
                    f"way round: {how} (white-is-zero, or a colour table). They may look alike, "
                    "but their numbers are exchanged. Save all in one coding, black is zero."
                )


def numbers_of_colours(values: np.ndarray, name: str) -> np.ndarray:
    """The patches of one colour in (H, W, 3), numbered from 1; black is 0. int32 (H, W).

    Programs that colour objects repeat their colours, so that a number is an 8-connected patch, not
    a colour. DataError where nothing is black, or most patches are specks, as in a picture.
    """
    codes = values.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    if codes.all():
        raise DataError(
            f"{name} is in colours without black; expected objects in colours on a black "
            "background. Save it as numbers: 0 for the background, 1, 2 ... for the objects."
        )
    colours, place = np.unique(codes, return_inverse=True)
    place, found, last = place.reshape(codes.shape).astype(np.int32), np.zeros(codes.shape, "i4"), 0
    for colour, box in enumerate(ndimage.find_objects(place), start=1):  # number 0 is black
        patches, count = ndimage.label(place[box] == colour, np.ones((3, 3)))
        found[box] += np.where(patches, patches + last, 0)
        last += count
    if last > MOST_PATCHES or 2 * np.count_nonzero(np.bincount(found.ravel())[1:] < SPECK) > last:
        raise DataError(
            f"{name} holds {last:,} patches of {len(colours) - 1:,} colours, most of them specks: "
            "is it a picture, or smoothed? Expected objects in one colour each, on black."
        )
    return found
