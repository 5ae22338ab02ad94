"""The options of `cunet segment` for volumes, OME-Zarr in and out, below a heading of their own."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from cunet.cli import common
from cunet.errors import CunetError

HEADING = "Volumes: --out OUT.ome.zarr"


def _numbers(text: str, count: int, separator: str, option: str, example: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if len(numbers) != count or min(numbers) < 1:
        raise CunetError(f"{option}: expected {example}, each from 1 up, found '{text}'")
    return numbers


def parse_block(_context: Any, _option: Any, text: str | None) -> tuple[int, ...] | None:
    """16,1024,1024 -> (16, 1024, 1024)."""
    if text is None:
        return None
    return _numbers(text, 3, ",", "--block", "Z,Y,X such as 16,1024,1024")


def parse_part(_context: Any, _option: Any, text: str | None) -> tuple[int, ...] | None:
    """2/4 -> (2, 4)."""
    if text is None:
        return None
    found = _numbers(text, 2, "/", "--part", "i/n such as 2/4")
    if found[0] > found[1]:
        raise CunetError(f"--part: parts are 1/{found[1]} to {found[1]}/{found[1]}, found '{text}'")
    return found


OPTIONS = {
    "block": dict(metavar="Z,Y,X", callback=parse_block, help="Voxels that are computed and "
                  "written at once: memory, not results."),
    "part": dict(metavar="I/N", callback=parse_part, help="Do the I-th of N parts, as a job array "
                 "does; the last one to end joins them."),
    "finish": dict(is_flag=True, help="Only join what is there: objects and resolutions."),
    "cluster": dict(metavar="WHERE", help="Dask: local, local:4 (workers) or tcp://host:8786."),
    "prob": dict(type=common.Choice(["float32", "uint8"]), help="Numbers of prob; uint8 is "
                 "round(255 p) (default: float32, up to 100 GB)."),
    "levels": dict(type=click.IntRange(1, 20), help="Resolutions (default: down to 512 pixels)."),
    "objects": dict(type=common.Choice(["sections", "volume"]), help="Labels: number each "
                    "section by itself (default), or objects in 3-D."),
    "skip_empty": dict(default=None, help="Skip tiles that hold only 0 and make them class 0 "
                       "(default), or compute them too."),
    "zarr": dict(type=common.Choice(["0.5", "0.4"]), help="Version that is written "
                 "(default: 0.5)."),
    "level": dict(type=click.IntRange(0), help="Resolution of the input (default: 0, the finest)."),
    "channel": dict(type=click.IntRange(0), help="Channel of the input, counted from 0."),
    "time": dict(type=click.IntRange(0), help="Time point of the input, counted from 0."),
}  # fmt: skip


def volume_options(command: Callable, names: Iterable[str] = OPTIONS) -> Callable:
    """Decorate a command with them, or with those of these names."""
    for name, settings in reversed([(name, OPTIONS[name]) for name in names]):
        flag = "--skip-empty/--keep-empty" if name == "skip_empty" else f"--{name}"
        command = click.option(flag, name, **settings)(command)  # type: ignore[arg-type]
    return command


class Command(click.Command):
    """A command that lists these options below their heading."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list] = {"Options": [], HEADING: []}
        for option in self.get_params(context):
            if (record := option.get_help_record(context)) is not None:
                sections[HEADING if option.name in OPTIONS else "Options"].append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
