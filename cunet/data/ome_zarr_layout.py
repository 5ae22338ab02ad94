"""OME-Zarr images as a data set: one that has its labels in it, or several among other files.

a.ome.zarr/labels/nuclei                    a label image of the image a
images/a.ome.zarr  labels/a.ome.zarr        and all other layouts of layouts.py
a.ome.zarr         a_labels.ome.zarr
"""

from pathlib import Path

from cunet.data.dataset import some
from cunet.errors import CunetError
from cunet.files.listing import files_of, folders_of, is_image
from cunet.files.ome_zarr import is_node
from cunet.files.ome_zarr.output import label_names


def pictures_of(folder: Path) -> list[Path]:
    """The image files of a folder, and its OME-Zarr images, by name."""
    found = [path for path in files_of(folder) if is_image(path)]
    return sorted(found + [path for path in folders_of(folder) if is_node(path)])


def labels_of(image: Path, choice: str | None) -> Path:
    """The label image in an OME-Zarr image: the one that there is, or the one named `choice`.
    CunetError where there is none or several."""
    names = label_names(image)
    wanted = [name for name in names if choice in (None, name)]
    if len(wanted) == 1:
        return image / "labels" / wanted[0]
    if not names:
        raise CunetError(
            f"'{image}' has no label image: expected one in its group labels/, or two folders "
            "images/ and labels/ with images of the same names"
        )
    if not wanted:
        raise CunetError(f"'{image}' has no label image '{choice}'; it has {some(names, 10)}")
    each = ", ".join(f"--label-image {name}" for name in names)
    raise CunetError(f"'{image}' has {len(names)} label images; choose one: {each}")
