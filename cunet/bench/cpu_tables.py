"""A measurement on a CPU as text."""

from cunet.bench.tables import aligned, number
from cunet.terminal import plural


def report(document: dict) -> str:
    """The machine, the times of every width, how far outputs differ, and the layers."""
    results = document["results"]
    parts = [heading(document), times(results)]
    if differences := [agreement(result) for result in results if "agreement" in result]:
        parts.append("\n".join(differences))
    if timed := [layers(result) for result in results if "layers" in result]:
        parts += [*timed, "GFLOP/s count the operations of the definition, however it is computed."]
    return "\n\n".join(parts)


def heading(document: dict) -> str:
    """The machine, its libraries, and what was asked for."""
    machine, load, where = document["machine"], document["foreign_load"], document["device"]
    if where == "cpu":
        where = f"{machine['processor']}, {plural(document['threads'], 'thread')}"
    libraries = [f"NumPy {machine['numpy']}, {', '.join(machine['blas']) or 'BLAS unknown'}"]
    if machine["peer"]:
        libraries.append(machine["peer"])
    if load is not None:
        libraries.append(f"others used {load:.2f} processors meanwhile")
    medians = f"tile {document['tile']}, medians of {document['pairs']}"
    return "\n".join([where, "; ".join(libraries), medians])


def times(results: list[dict]) -> str:
    """Seconds and memory of each side; with two sides, by how much ours is faster."""
    jobs = [job for job in ("forward", "step", "predict") if job in results[0]]
    sides = [side for side in results[0][jobs[0]] if side != "ratio"]
    head, rows = ["width", "", *sides], []
    if len(sides) > 1:
        head += ["faster by", "(range)"]
    for result in results:
        for job in jobs:
            cells = [time_and_memory(result[job][side]) for side in sides]
            if (ratio := result[job].get("ratio")) is not None:
                cells.append(f"{ratio['median']:.2f}x")
                cells.append(f"({ratio['lowest']:.2f}-{ratio['highest']:.2f})")
            rows.append([str(result["width"]), job, *cells])
    return aligned("Times", head, rows)


def time_and_memory(side: dict) -> str:
    memory = f", {number(side['peak_bytes'] / 1e9)} GB" if side["peak_bytes"] else ""
    return f"{side['median_s']:.3f} s{memory}"


def agreement(result: dict) -> str:
    """How far the other sides' outputs lie from ours."""
    errors = [
        f"{side} {', '.join(f'{value:.1e}' for value in error.values())}"
        for side, error in result["agreement"].items()
    ]
    compared = " and ".join(next(iter(result["agreement"].values())))
    return f"width {result['width']}: {compared} differ by {'; '.join(errors)}"


def layers(result: dict) -> str:
    """Every layer alone."""
    head = ["layer", "output", "forward ms", "GFLOP/s", "backward ms", "GFLOP/s"]
    rows = [
        [
            layer["name"], " x ".join(map(str, layer["shape"])),
            f"{1e3 * layer['forward_s']:.1f}", f"{layer['forward_gflops']:.0f}",
            f"{1e3 * layer['backward_s']:.1f}", f"{layer['backward_gflops']:.0f}",
        ]
        for layer in result["layers"]
    ]  # fmt: skip
    return aligned(f"Layers at width {result['width']}", head, rows)
