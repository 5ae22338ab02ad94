"""Segmenting a volume of any size, an OME-Zarr or a stack, into an OME-Zarr, block by block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from cunet.backend import ALL_GPUS, check_device
from cunet.checks import arguments, callback, flag, path, text, whole, whole_numbers
from cunet.errors import CunetError, one_of
from cunet.files.pixel_size import PixelSize, size_text
from cunet.net.checkpoint import load, model_file
from cunet.segmentation.instances import Instances
from cunet.segmentation.segment_file import range_warnings
from cunet.segmentation.view import own_size, size_warning
from cunet.volumes.begin import begin
from cunet.volumes.books import Books
from cunet.volumes.cluster import Cluster, check_cluster, dask_client
from cunet.volumes.replacing import apart
from cunet.volumes.source import network_for, open_for, open_source, sections_of
from cunet.volumes.task import output_of
from cunet.volumes.wanted import Wanted
from cunet.volumes.work import Begun, Here, go_on

# What to do, as a volume is neither scaled nor inverted block by block.
ANOTHER_SIZE = "give --level with a resolution nearer to that, or scale the volume first"
INVERT_FIRST = "invert it first (Fiji: Edit > Invert)"


def prepared(
    source: str | Path, out: str | Path, model: str | Path | None, wanted: Wanted,
    pages: str | None = None, overwrite: bool = False, pixel_size: str | None = None,
    **selection: int | None,
) -> Begun:  # fmt: skip
    """Check everything and begin the output, or find it begun. selection: level, channel, time."""
    books = Books(output_of(out))
    apart(Path(source), books)
    file = model_file(model or network_for(source, **selection).model)
    net = load(file, precision=wanted.precision)
    with open_source(source, **selection) as whole:  # type: ignore[arg-type]
        sections = sections_of(pages, whole)
    with open_source(source, **selection, sections=sections) as image:  # type: ignore[arg-type]
        checked = open_for(net, image)
        own, given, _ = own_size(pixel_size, checked.calibration)
        task = wanted.task(checked, net, file.resolve(), selection, sections)
        task = begin(books, task, wanted, checked, overwrite)
        warnings = [f"{checked.path.name}: {text}" for text in checked.doubts]
        if unlike := size_warning(net, own, pixel_size is not None, ANOTHER_SIZE):
            warnings.append(f"{checked.path.name}: {unlike}")
        if given is not None:
            filed = PixelSize.of(checked.calibration)
            kept = f"that of its source, {filed}" if filed else "none, as its source"
            warnings.append(
                f"{checked.path.name}: {given} is compared with the network's pixel size; that of "
                f"the output is {kept}"
            )
        warnings += range_warnings(checked, net, checked.pages // 2, advice=INVERT_FIRST)
    return Begun(task, books, warnings)


@arguments(
    source=path, out=path, model=path, part=whole_numbers, cluster=text, device=text, pages=text,
    level=whole, channel=whole, time=whole, overwrite=flag, progress=callback,
    pixel_size=size_text,
)  # fmt: skip
def segment_volume(
    source: str | Path,
    out: str | Path,
    model: str | Path | None = None,
    part: tuple[int, int] | None = None,
    cluster: str | None = None,
    device: str = "auto",
    pages: str | None = None,
    level: int = 0,
    channel: int | None = None,
    time: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    pixel_size: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Segment an OME-Zarr or a stack of any size into the OME-Zarr `out`, block by block.

    As `cunet segment source --out out.ome.zarr`, whose options are the arguments and `settings`:
    tile, average, threshold, products ("prob", "mask", "labels"), prob ("float32" or "uint8"),
    block (Z, Y, X), levels, zarr ("0.5" or "0.4"), skip_empty, objects ("sections" or "volume"),
    connectivity, min_area and precision. The image of `out` is the probability of class 1, or the
    mask as 0 and 255 where "prob" is not wanted; mask and labels are label images of it. Every
    voxel is that of `cunet.segment` of its section with the same tile, bit for bit, whatever the
    blocks, parts and workers are; but a tile of nothing but 0 is class 0, not computed. model: by
    default the network that comes with cunet which is made for such images, by a few windows of the
    volume; CunetError where none is. The source
    is known by its metadata and the ends of its files: where its pixels have changed since,
    overwrite.

    part: (i, n), from 1, does the i-th of n parts, and the last one to end joins them. cluster:
    "local", "local:4" or the address of a Dask scheduler (a script that has Dask start workers
    needs `if __name__ == "__main__":` around the call). Called again after an interruption, it
    does what is left. progress(done, in all, of what) is called as it goes on. pixel_size: that of
    the source, such as "8nm", where it does not say it; it is compared with the network's alone.

    Returns a dict: image, shape, blocks, left, tiles, skipped_tiles, class_shares, objects,
    finished, warnings. Raises CunetError for settings that do not fit, or differ from those that
    `out` was begun with, DataError for what no image holds, DeviceError where memory, device or
    disk do not suffice.

        found = cunet.segment_volume("em.ome.zarr", "cells.ome.zarr", products=("labels",))
        print(found["objects"])
    """
    if device != ALL_GPUS:
        check_device(device)
    check_cluster(cluster)
    check_part(part, overwrite, cluster)
    wanted = wanted_of(settings)
    begun = prepared(
        source, out, model, wanted, pages=pages, overwrite=overwrite, level=level, channel=channel,
        time=time, pixel_size=pixel_size,
    )  # fmt: skip
    told = progress or (lambda done, total, what: None)
    with engine_of(cluster, device) as engine:
        return go_on(begun, engine, part, progress=told)


def check_part(
    part: tuple[int, ...] | None, overwrite: bool, cluster: str | None, only_finish: bool = False
) -> None:
    """CunetError for what is no part i of n, and beside what is for all of them."""
    if part is None:
        return
    if not (len(part) == 2 and 1 <= part[0] <= part[1]):
        raise CunetError(f"part: expected (i, n) with i from 1 to n, found {part}")
    if overwrite or cluster or only_finish:
        raise CunetError("--part: without --overwrite, --cluster and --finish, which are for all")


@contextmanager
def engine_of(cluster: str | None, device: str) -> Iterator[Here | Cluster]:
    """What has the blocks done: this process, or the workers of a cluster."""
    if cluster is None:
        yield Here(device)
    else:
        with dask_client(cluster) as client:
            yield Cluster.on(client, device, cluster)


def wanted_of(settings: dict[str, Any]) -> Wanted:
    """What these settings ask for; CunetError for one that there is not."""
    for_objects = {n: settings.pop(n) for n in ("connectivity", "min_area") if n in settings}
    known = [field.name for field in fields(Wanted) if field.name != "instances"]
    for name in settings:
        if name not in known:
            raise CunetError(f"{name}: {one_of([*known, 'connectivity', 'min_area'], name)}")
    return Wanted(**settings, instances=Instances(**for_objects))
