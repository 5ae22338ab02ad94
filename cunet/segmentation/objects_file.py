"""Labels, table and ROIs from files of probabilities, whoever made them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet.data.dataset import sha256
from cunet.data.probability import FAINT, divided_by, object_numbers, probabilities
from cunet.errors import CunetError, DataError
from cunet.files import as_grey, open_image
from cunet.files.frames import frames
from cunet.files.image_file import ImageFile
from cunet.files.pages import chosen_pages
from cunet.segmentation.how import Found, How
from cunet.segmentation.inputs import image_stem, target_paths
from cunet.segmentation.jobs import Job, refuse_meeting, to_do
from cunet.segmentation.made_by import written
from cunet.segmentation.products import make_sink
from cunet.segmentation.segment_file import Summary, write_products
from cunet.segmentation.stored import both_classes
from cunet.terminal import plural
from cunet.threads import strips

OBJECTS = ("labels", "table", "rois")  # what a probability alone suffices for
SUM = 0.02  # that the probabilities of all classes may differ from 1: they may be of 8 bits


def prepared(
    files: list[Path],
    out: str | Path,
    wanted: list[str],
    how: How,
    image: Path | None = None,
    pages: str | None = None,
    overwrite: bool = False,
) -> list[Job]:
    """What is left to be made of every file of probabilities, checked before anything is made.

    image: where brightness is measured, of one file, with the same pages. CunetError or DataError
    for the first file that does not fit.
    """
    if image is not None and len(files) > 1:  # brightness of another image would say nothing
        raise CunetError(
            f"--image '{image}' is the image of one file of probabilities; found {len(files)}, "
            f"'{files[0]}' and '{files[1]}' among them: give one at a time"
        )
    given = [
        (file, target_paths(file, out, wanted, len(files), image_stem(file))) for file in files
    ]
    refuse_meeting(given + [(image, {})] if image is not None else given)
    measured = f"intensities of image {sha256(image)[:16]}" if image is not None else ""
    jobs = []
    for file, targets in given:
        with ExitStack() as stack:
            prob, _ = opened(file, image, stack)
            chosen, classes = chosen_pages(pages, prob), max(2, prob.channels)
            shape = prob.pages, prob.height, prob.width, classes
            how.instances.check_size(prob.height, prob.width, f"'{file}'")
            _refuse_others(prob, chosen)
        text = f"cunet objects {file.name}, image {sha256(file)[:16]}, "
        text += f"pages {written(chosen, shape[0])}, threshold {how.threshold:g}"
        own = replace(how, description=text, measured=measured)
        left = to_do(targets, chosen, own, overwrite)
        jobs.append(Job(file, targets, left, own, chosen, overwrite, shape))
    return jobs


def make_objects(
    job: Job,
    image: Path | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[Summary, str]:
    """Write what is left of a job, and how its file was read.

    progress(rows done) is called after every band.
    """
    highest = 0.0
    with ExitStack() as stack:
        prob, brightness = opened(job.file, image, stack)
        chosen = frames(prob, job.pages)
        if brightness is not None and not chosen.calibration.unit:
            chosen = replace(chosen, calibration=brightness.calibration)
        classes = max(2, prob.channels)

        def read(number: int) -> Iterator[tuple[int, np.ndarray]]:
            nonlocal highest
            for rows in strips(prob.height, 32 * prob.width * prob.channels):
                found = probabilities(prob, job.pages[number], rows.start, rows.stop)
                _check_sum(prob, job.pages[number], rows.start, found)
                highest = max(highest, float(found.max()))
                yield rows.start, both_classes(found)

        found = Found(prob.height, prob.width, job.how.instances)
        sinks = [
            stack.enter_context(
                make_sink(product, path, prob, found, classes, chosen, job.how, brightness)
            )
            for product, path in job.left.items()
        ]
        done = write_products(
            read, job.pages, sinks, found, job.how.threshold, lambda rows, _: progress(rows)
        )
        text = f"{job.file}: {_size(prob)}, axes {prob.axes}, {prob.dtype}{divided_by(prob)}"
        text += ", two channels: the second is class 1" if prob.channels == 2 else ""
        said, threshold = [*prob.doubts, *filter(None, [chosen.note])], job.how.threshold
        of_type = " of the largest of its type" if divided_by(prob) else ""
        if divided_by(prob) and highest < FAINT:
            said.append(
                f"its highest value is {highest:.2g}{of_type}, so that hardly anything is found. A "
                "mask is saved as 0 and 255"
            )
        elif highest <= threshold:
            said.append(
                f"nothing is found: its highest value is {highest:.2g}{of_type}, which is not "
                f"above the threshold {threshold:g}; if these are probabilities, try a lower one"
            )
    done.warnings = [f"{job.file.name}: {note}" for note in said] + done.warnings
    return done, text


def opened(file: Path, image: Path | None, stack: ExitStack) -> tuple[ImageFile, ImageFile | None]:
    """The open file of probabilities, and the image that it is of, where one is given.

    DataError where they are not of one size.
    """
    prob = as_grey(stack.enter_context(open_image(file)))
    if image is None:
        return prob, None
    own = as_grey(stack.enter_context(open_image(image)), blank=False)
    if _size(own) != _size(prob):
        raise DataError(
            f"'{image}' has {_size(own)} but '{file}' has {_size(prob)} (height x width); "
            "expected equal sizes. Is it the image that this is the probability of?"
        )
    return prob, own


def _size(image: ImageFile) -> str:
    return f"{plural(image.pages, 'page')} of {image.height} x {image.width}"


def _refuse_others(prob: ImageFile, pages: Iterable[int]) -> None:
    """DataError where integers number objects in place of being probabilities."""
    if prob.dtype.kind == "f" or prob.channels > 1:
        return
    for page in pages:
        if object_numbers([prob.read(page)[..., 0]]):
            raise DataError(
                f"'{prob.path}' page {page} numbers objects: each of its values is one piece; "
                "expected the probability of the objects. Labels are measured from Python: "
                "cunet.objects(labels, image)"
            )


def _check_sum(prob: ImageFile, page: int, first: int, found: np.ndarray) -> None:
    """DataError where several channels are not the probabilities of as many classes."""
    if found.shape[2] == 1:
        return
    total = found.sum(axis=2)
    wrong = np.abs(total - 1) > SUM
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"'{prob.path}' page {page} has {prob.channels} channels, whose sum at row "
            f"{first + row}, column {column} is {total[row, column]:.3g}; expected 1, the "
            "probabilities of all classes. Save the channel of the objects as a file of its own; "
            "pages of a stack need axes ZYX"
        )
