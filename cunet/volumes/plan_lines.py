"""A plan in words: a line for each of its groups."""

from typing import Any

from cunet.terminal import plural, size

WORKERS = 4  # machines of the example of several


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """The lines that `cunet plan` prints, each a name and what is known of it."""
    pairs = [
        ("volume", _volume(plan)), ("network", f"{plan['model']}; {plan['device']}"),
        ("blocks", _blocks(plan)), ("tiles", _tiles(plan["tiles"])),
        ("time", _time(plan["time"])), ("feeding", _feeding(plan)), ("memory", _memory(plan)),
        ("reads", _reads(plan["reads"])), ("", _better(plan["reads"])),
        *((name, _product(product)) for name, product in plan["products"].items()),
    ]  # fmt: skip
    return [f"{name:<9}{text}" for name, text in pairs if text]


def hours(count: float) -> str:
    """434 h, 4.3 h, 12 min or 2.5 s."""
    if count < 1 / 60:
        return f"{3600 * count:.2g} s"
    if count < 1:
        return f"{60 * count:.2g} min"
    return f"{count:.2g} h" if count < 10 else f"{count:,.0f} h"


def seconds(count: float) -> str:
    """1.3 s or 4.1 ms."""
    if count >= 1:
        return f"{count:.3g} s"
    return f"{1000 * count:.0f} ms" if count >= 0.01 else f"{1000 * count:.2g} ms"


def _sides(shape: list[int]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


def _volume(plan: dict[str, Any]) -> str:
    found = plan["volume"]
    z, y, x = found["shape"]
    return (
        f"{plan['image']}: {plural(z, 'section')} of {y:,} x {x:,} {found['dtype']}, "
        f"{found['voxels']:,} voxels, {size(found['bytes'])}"
    )


def _blocks(plan: dict[str, Any]) -> str:
    found = plan["blocks"]
    return (
        f"{plural(found['count'], 'block')} of {_sides(found['shape'])}, compressed in chunks of "
        f"{_sides(found['chunk'])}"
    )


def _tiles(found: dict[str, Any]) -> str:
    text = f"{plural(found['count'], 'tile')} of side {found['side']}; "
    if found["sampled"] == found["count"]:
        text += f"{found['empty']:,} of them empty"
    else:
        text += (
            f"about {100 * found['sampled_empty'] / found['sampled']:.0f} % of them empty (an "
            f"estimate: {found['sampled_empty']} of {found['sampled']} looked at)"
        )
    return text + ("" if found["skip_empty"] else ", which are computed too")


def _time(found: dict[str, Any]) -> str:
    text = f"{seconds(found['seconds_a_tile'])} a tile, measured here; {hours(found['hours'])}"
    if found["devices"] > 1:
        text += f" on {found['devices']} GPUs"
    expected = found["hours_without_empty"] or found["hours"]  # 0: nothing but empty tiles was seen
    if expected != found["hours"]:
        text += f" in all, {hours(expected)} without empty tiles"
    if found["gpu_hours"] is not None:
        text += f"; {found['gpu_hours']:,.3g} GPU-hours"
    return text + f"; {WORKERS} such machines: {hours(expected / WORKERS)}"


def _feeding(plan: dict[str, Any]) -> str:
    found, finishing = plan["feeding"], plan["time"]["finishing_cpu_hours"]
    return (
        f"CPU of a tile: {seconds(found['read_seconds'])} to read, "
        f"{seconds(found['write_seconds'])} to write: {found['cores']:.2g} cores a worker; "
        f"{hours(finishing)} of CPU for labels and resolutions"
    )


def _memory(plan: dict[str, Any]) -> str:
    found = plan["memory"]
    text = f"{size(found['network'])} for the network, {size(found['blocks'])} for three blocks"
    if plan["time"]["gpu_hours"] is not None:
        return f"{text} (of the GPU and of the machine, a worker)"
    return f"{size(found['worker'])} a worker: {text}"


def _reads(found: dict[str, Any]) -> str:
    return (
        f"{size(found['bytes'])} decoded, {found['ratio']:.2f} times the volume, in "
        f"{found['requests']:,} requests"
    )


def _better(found: dict[str, Any]) -> str:
    other = found["better"]
    if other is None:
        return ""
    return (
        f"its chunks are {found['chunk'][0]} sections thick and read {found['times_along_z']:.2g} "
        f"times by these blocks; --block {','.join(map(str, other['block']))} reads "
        f"{other['ratio']:.2f} times the volume, with {size(other['worker_bytes'])} a worker"
    )


def _product(found: dict[str, Any]) -> str:
    packed = ""  # nothing but empty tiles was seen
    if found["compressed_bytes"]:
        packed = f"about {size(found['compressed_bytes'])} compressed, "
    return (
        f"{found['dtype']}, {plural(found['levels'], 'resolution')}: {size(found['bytes'])}, "
        f"{packed}in {plural(found['files'], 'file')} (a PUT each)"
    )
