"""What label files hold, made into class ids: 0 ... K-1, and 255 for pixels to ignore.

Two codings are understood: a mask of 0 and 255 (255 is class 1), and class ids 0 ... K-1, where 255
beside other ids means ignore. The whole data set has one coding. Everything else is refused.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cunet.errors import DataError
from cunet.files import open_image

IGNORE = 255
MAX_CLASSES = 64  # more distinct values are grey values or instance numbers, not classes


def read_labels(path: Path) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The pages of a label file, (H, W) integers, and notes on it."""
    with open_image(path, indices=True) as image:
        if image.channels != 1:
            raise DataError(
                f"'{path}' is a label file with {image.channels} channels (colours); expected one "
                "number per pixel: 0 and 255, or class ids 0, 1, 2 ... Save it as 8-bit grey."
            )
        pages = [image.read(page)[..., 0] for page in range(image.pages)]
        notes = [n for n in image.notes if "memory" not in n]
    if pages[0].dtype.kind == "f":
        for number, page in enumerate(pages):
            if not np.all(np.isfinite(page)) or np.any(page != np.floor(page)):
                odd = page[~np.isfinite(page) | (page != np.floor(page))]
                raise DataError(
                    f"'{path}', page {number}: labels are whole numbers, found {odd[0]:g}; "
                    "a probability map or an interpolated mask? Save class ids or 0 and 255."
                )
        pages = [page.astype(np.int64) for page in pages]
        notes.append("whole numbers stored as floating point")
    return pages, tuple(notes)


def class_ids(
    pages: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[list[np.ndarray], int, str]:
    """Class ids of all label pages: (list of (H, W) uint8, number K of classes, a note on it).

    `names` are what errors call the pages. Raises DataError, with the page and the values found,
    for lossy masks, ids with gaps, mixed codings and data of a single class.
    """
    found = [np.unique(page, return_counts=True) for page in pages]
    for (values, counts), name in zip(found, names, strict=True):
        _refuse_grey(values, counts, name)
    sets = [set(values.tolist()) for values, _ in found]
    union = set().union(*sets)
    if len(union) < 2:
        raise DataError(
            f"the labels hold one class only: every pixel of {names[0]}"
            f"{' and of all other pages' if len(names) > 1 else ''} is {_listed(union)}; expected "
            "at least two values, such as 0 and 255. Are these the labels?"
        )
    if union == {0, 255}:
        masks = [(page == 255).astype(np.uint8) for page in pages]
        return masks, 2, "labels 0 and 255: 255 is class 1"
    if 255 in union:
        _refuse_mixed(sets, names)
    ids = union - {IGNORE}
    if ids != set(range(len(ids))):
        gap = min(set(range(len(ids))) - ids)
        page = next(i for i, s in enumerate(sets) if any(v > gap or v < 0 for v in s - {IGNORE}))
        raise DataError(
            f"labels of {names[page]}: expected 0 and 255, or class ids 0, 1, 2 ... without gaps "
            f"(255 is ignore); found {_listed(sets[page])}, in the whole data set {_listed(union)} "
            f"but no {gap}. Renumber the classes; resize masks without interpolation."
        )
    if len(ids) == 1:
        raise DataError(
            f"the labels hold one class only, {_listed(ids)}, beside 255 (ignore), in {names[0]} "
            "and all other pages; expected at least two classes. For a mask use 0 and 255."
        )
    if len(ids) > MAX_CLASSES:
        raise DataError(
            f"labels of {names[0]} and the other pages hold {len(ids)} ids; expected at most "
            f"{MAX_CLASSES} classes. Are they instance numbers? Save cells as 255, the rest as 0."
        )
    note = f"labels are class ids 0 to {len(ids) - 1}"
    if 255 in union:
        share = sum(int(c[v == 255].sum()) for v, c in found) / sum(page.size for page in pages)
        note += f"; 255 is ignore ({100 * share:.1f} % of the pixels)"
    return [page.astype(np.uint8) for page in pages], len(ids), note


def _refuse_grey(values: np.ndarray, counts: np.ndarray, name: str) -> None:
    """Refuses masks after JPEG or interpolation: greys between the two values of most pixels."""
    if values[0] < 0:
        raise DataError(f"labels of {name} are negative ({_listed(values)}); expected 0, 1, 2 ...")
    if len(values) <= 2:
        return
    two = np.sort(np.argsort(counts)[-2:])
    share = counts[two].sum() / counts.sum()
    low, high = values[two]
    ids = values[values != IGNORE]
    gaps = not np.array_equal(ids, np.arange(len(ids)))
    if len(ids) > MAX_CLASSES or (gaps and len(values) > 4 and high - low > 100):
        hint = "instance numbers, or a grey image instead of a mask"
        if share > 0.5 and high - low > 100:
            hint = f"a lossy (JPEG) or interpolated mask: {100 * share:.1f} % are {low} or {high}"
        raise DataError(
            f"labels of {name} hold {len(values)} values ({_listed(values)}), as from {hint}. "
            "Expected 0 and 255, or class ids; save masks as PNG or TIFF, resize without smoothing."
        )


def _refuse_mixed(sets: Sequence[set[int]], names: Sequence[str]) -> None:
    """Refuses 255 beside 0 alone in one page and other classes in another: is it a class?"""
    if any(IGNORE in s and s - {0, IGNORE} for s in sets):
        return
    mask = next(i for i, s in enumerate(sets) if IGNORE in s)
    other = next(i for i, s in enumerate(sets) if s - {0, IGNORE})
    raise DataError(
        f"two codings of labels: {names[mask]} holds {_listed(sets[mask])}, {names[other]} holds "
        f"{_listed(sets[other])}; is 255 a class or ignore? Use one coding in the whole data set."
    )


def _listed(values: Sequence[int] | set[int] | np.ndarray) -> str:
    """Up to eight values written out; of more, the first five and the last two."""
    numbers = sorted(int(v) for v in values)
    if len(numbers) > 8:
        return ", ".join(map(str, numbers[:5])) + ", ... " + ", ".join(map(str, numbers[-2:]))
    return ", ".join(map(str, numbers))


def cells(labels: np.ndarray) -> np.ndarray:
    """Which pixels belong to a cell: every class but the background, except ignored pixels."""
    return (labels > 0) & (labels != IGNORE)
