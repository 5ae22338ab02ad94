"""`cunet segment VOL --out OUT.ome.zarr`: a volume, block by block."""

import sys
from functools import partial
from typing import Any

from cunet.cli import common
from cunet.errors import CunetError
from cunet.terminal import plural


def run(
    images: tuple[str, ...], out: str, model: str | None, device: str, how: dict[str, Any],
    volume: dict[str, Any], seen: dict[str, Any], pages: str | None, overwrite: bool, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Segment one volume, or a part of it, and print how far it is."""
    from cunet.segmentation.next_command import after_volume
    from cunet.segmentation.view import refuse_by_blocks
    from cunet.training.run_state import model_of
    from cunet.volumes.cluster import Cluster, check_cluster
    from cunet.volumes.segment_volume import check_part, engine_of, prepared
    from cunet.volumes.source import network_for
    from cunet.volumes.wanted import Wanted
    from cunet.volumes.work import go_on

    refuse_by_blocks(seen["rescale"], seen["invert"])
    settings = ("prob", "block", "levels", "zarr", "skip_empty", "objects")
    wanted = Wanted(**how, **{n: volume[n] for n in settings if volume[n] is not None})
    check_cluster(volume["cluster"])
    part, cluster, only_finish = volume["part"], volume["cluster"], volume["finish"]
    if len(images) != 1:
        raise CunetError(f"--out {out}: one volume goes into one OME-Zarr, found {len(images)}")
    check_part(part, overwrite, cluster, only_finish)
    chosen = {name: volume[name] for name in ("channel", "time")} | {"level": volume["level"] or 0}
    file, doubts = model_of(model, partial(network_for, images[0], **chosen))
    common.notes(doubts, quiet)
    with common.busy("reading the volume", quiet):
        begun = prepared(
            images[0], out, file, wanted, pages=pages, overwrite=overwrite,
            pixel_size=seen["pixel_size"],
            level=volume["level"] or 0, channel=volume["channel"], time=volume["time"],
        )  # fmt: skip
    task = begun.task
    say = lambda text: common.say(text, quiet)  # noqa: E731
    z, y, x = task.shape
    blocks = f"{plural(len(task.grid), 'block')} of {' x '.join(map(str, task.block))}"
    for warning in begun.warnings:  # before hours of work
        common.say(f"warning: {warning}")
    say(f"model {task.model}")
    say(f"{task.source}: {plural(z, 'section')} of {y} x {x}; {blocks}, tile {task.tile}"
        + (f", part {part[0]} of {part[1]}" if part else ""))  # fmt: skip
    with common.Bars(quiet) as progress:
        with engine_of(cluster, device) as engine:
            if isinstance(engine, Cluster):
                wait = ", none yet: start some with  dask worker" * (not engine.slots)
                say(f"cluster {cluster}: {plural(engine.slots, 'worker')}{wait}")
            found = go_on(begun, engine, part, only_finish, progress)
    for warning in found["warnings"][len(begun.warnings) :]:
        common.say(f"warning: {warning}")
    report(found, out, quiet)
    if as_json:
        common.print_json(found | {"out": out, "model": task.model})
    common.next_command(after_volume(sys.argv[1:], found, out), quiet)


def report(found: dict[str, Any], out: str, quiet: bool) -> None:
    """Print what there is now."""
    if found["skipped_tiles"]:
        common.say(
            f"  {found['skipped_tiles']:,} of {found['tiles']:,} tiles hold only 0 and are class 0 "
            "(--keep-empty computes them too)", quiet,
        )  # fmt: skip
    if not found["finished"]:
        left, all_blocks = found["left"], found["blocks"]
        rest = f"{plural(left, 'block is', 'blocks are')} left, to other parts or the same command"
        rest = rest if left else "another part joins them now"
        common.say(f"{all_blocks - left:,} of {all_blocks:,} blocks are done; {rest}", quiet)
        return
    shares = [f"class {k} {100 * s:.1f} %" for k, s in enumerate(found["class_shares"])]
    if found["objects"] is not None:
        shares.append(plural(found["objects"], "object"))
    already = ": already done, skipped (--overwrite to repeat it)" * found.get("skipped", False)
    common.say(f"  {', '.join(shares)}  ->  {out}{already}", quiet)
