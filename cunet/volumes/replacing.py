"""What stands where an output is to be: what may be removed, and what never is."""

import secrets
import shutil
from contextlib import suppress
from glob import escape
from pathlib import Path

from cunet.errors import CunetError, DataError, of_system
from cunet.files.ome_zarr.nodes import holds_node, read_node
from cunet.files.ome_zarr.output import remove_label
from cunet.volumes.books import Books
from cunet.volumes.task import Task


def apart(source: Path, books: Books) -> None:
    """CunetError where the output would take the place of the image that it is made of."""
    image, output = source.resolve(), books.output.resolve()
    if image == output or output in image.parents:
        raise CunetError(f"--out {books.output}: '{source}' is read from there; give another name")


def clear(books: Books, overwrite: bool) -> None:
    """Remove an output that is there, with its books; CunetError where it is not to be replaced.

    It loses its name first, in one step: killed meanwhile, nobody takes the rest of it for whole.
    """
    output = books.output
    if output.is_symlink():
        raise CunetError(f"'{output}' is a link: give the name of the folder that it leads to")
    with books.working(alone=True):
        hidden = output.with_name(f".{output.name[:40]}.{secrets.token_hex(8)}.part")
        if output.exists():
            _check(books, overwrite)
            try:
                output.rename(hidden)
            except OSError as error:
                raise of_system(error, f"cannot remove '{output}'") from error
        books.remove()
        left = [hidden]
        if len(output.name) <= 40:  # else the hidden names of several outputs are alike
            left += output.parent.glob(f".{escape(output.name)}.*.part")
        for path in left:  # also those of processes that were killed
            shutil.rmtree(path, ignore_errors=True)


def renew_labels(books: Books, task: Task) -> None:
    """Remove the labels of an output, to be made again as this task has them; its probability and
    mask stay. CunetError where others work on it."""
    with books.working(alone=True):
        books.done.unlink(missing_ok=True)
        for pattern in ("scan-*", "join-*", "labels-*", "level*_labels-*"):
            for path in (books.folder / "journals").glob(pattern):
                path.unlink(missing_ok=True)
        books.tidy()
        remove_label(books.output, "labels")
        Task.load(books).labelled_as(task).save(books)


def _check(books: Books, overwrite: bool) -> None:
    """CunetError where an output that is there stays."""
    if not (overwrite or books.empty):  # which a process leaves that is killed as it begins
        raise CunetError(
            f"'{books.output}' exists, and nothing beside it says how it was made; give "
            "--overwrite to replace it, or another --out"
        )
    if not ours(books):
        raise CunetError(
            f"'{books.output}' is not replaced: nothing says that cunet made it; move it away"
        )


def ours(books: Books) -> bool:
    """Whether what has the output's name was made by this program: it says so, or it can say
    nothing, and there are books of it."""
    with suppress(DataError):
        if holds_node(books.output):
            return "cunet" in read_node(books.output).attributes
    return books.folder.is_dir()
