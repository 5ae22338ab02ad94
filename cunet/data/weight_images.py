"""Labels in, weight maps out, as arrays; training/weight_files.py writes files."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cunet.checks import arguments, array, number, refused, text
from cunet.data.weight_map import (
    FORMS,
    Border,
    class_weights,
    falk2019_map,
    instances_of,
    open_gaps,
    paper_map,
)
from cunet.errors import CunetError, DataError, not_among


def two_weights(name: str, value: Any) -> np.ndarray:
    """The weights of background and cell."""
    made = array(name, value)
    if made.shape != (2,) or made.dtype.kind not in "iuf" or not (made >= 0).all():
        raise refused(name, "the two weights of background and cell, 0 or more", value)
    return made


@arguments(labels=array, form=text, w0=number, sigma=number, class_weights=two_weights)
def weight_map(
    labels: np.ndarray,
    form: str = "paper",
    w0: float | None = None,
    sigma: float | None = None,
    class_weights: Sequence[float] | None = None,
) -> np.ndarray:
    """The weight of every pixel in the loss, as `cunet weights` writes it; float32, labels' shape.

    labels (H, W) or (pages, H, W) are masks (bool, 0 and 1, or 0 and 255), whose 4-connected
    components are the cells, or the cell ids themselves; 0 is background. form "paper" is
    equation 2, w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)), where d1 and d2 are the distances to the
    two nearest cells in pixels, on background only; "falk2019" is the authors' form of 2019. w0 is
    the height of this border term (paper: 10; falk2019: 50), sigma its width in pixels (5; 6).
    class_weights are the two weights of background and cell in equation 2; by default both classes
    have the same total weight in labels.

    Raises DataError where labels are not such an array, CunetError for settings that are not valid.

        weights = cunet.weight_map(mask, sigma=3)
    """
    if labels.ndim not in (2, 3) or not labels.size or labels.dtype.kind not in "bui":
        raise DataError(
            "labels: expected whole numbers of shape (H, W) or (pages, H, W), "
            f"found {labels.dtype} {labels.shape}"
        )
    instances, _ = instances_of([*labels.reshape(-1, *labels.shape[-2:])], "labels")
    _, maps = maps_of(instances, form, border(form, w0, sigma), class_weights)
    return np.stack([*maps]).reshape(labels.shape)


def border(form: str, w0: float | None = None, sigma: float | None = None) -> Border:
    """The border term of a form; w0 and sigma, where given, replace its own. Raises CunetError."""
    if form not in FORMS:
        raise not_among("form", form, FORMS)
    own = FORMS[form]
    found = Border(own.w0 if w0 is None else w0, own.sigma if sigma is None else sigma)
    if not (0 <= found.w0 < np.inf and 0 < found.sigma < np.inf):
        raise CunetError(
            f"w0 and sigma: expected w0 of 0 or more and sigma above 0, found {found.w0} and "
            f"{found.sigma}"
        )
    return found


def maps_of(
    instances: Sequence[np.ndarray],
    form: str,
    term: Border,
    balance: Sequence[float] | None = None,
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The weights (2,) of background and cell, and the map (H, W) of every page.

    instances are the cell ids (H, W) of each page. The weights are balance if it is given, else
    they follow from all pages. A map is computed when it is asked for.
    """
    labels = [open_gaps(page > 0, page) for page in instances]
    weights = class_weights(labels, 2) if balance is None else np.asarray(balance, np.float64)
    if weights.shape != (2,):
        raise CunetError(f"class_weights: expected those of background and cell, found {balance}")
    pages = zip(labels, instances, strict=True)
    if form == "paper":
        return weights, (paper_map(page, cells, weights, *term) for page, cells in pages)
    return weights, (falk2019_map(page, cells, *term) for page, cells in pages)
