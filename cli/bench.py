"""`cunet bench`: how fast it is here, alone or in pairs with PyTorch."""

import click

from cunet.cli import common


@click.command()
@click.option(
    "--width", "widths", type=click.IntRange(1), multiple=True, help="16, 32 and 64; on a GPU 64."
)
@click.option("--tile", type=int, default=572, show_default=True, help="Side of the input.")
@click.option(
    "--pairs", type=click.IntRange(1), default=5, show_default=True, help="Calls of each side."
)
@click.option("--against", type=click.Choice(["torch"]), help="Take turns with PyTorch.")
@click.option("--layers/--no-layers", default=True, show_default=True, help="Every layer alone.")
@common.device_option
@click.option(
    "--precision", "precisions", multiple=True, help="On a GPU: tf32, float16, bfloat16 (all)."
)
@common.threads_option
@common.quiet_option
@common.json_option
def command(widths, tile, pairs, against, layers, device, precisions, threads, quiet, as_json):
    """Seconds of a forward pass and of a training step, peak memory, and every layer.

    A step is the forward pass with dropout, the weighted loss, the backward pass and SGD with
    momentum. With --against torch the same network with the same weights runs in PyTorch, in both
    of its layouts: outputs and gradients are compared first, then the sides take turns.

    On a GPU with tensor cores it is compared with the CPU first, in every precision. Layers are
    timed with every kernel that can do them, and PyTorch runs with TF32, in bfloat16 and compiled.

    \b
    Examples:
      cunet bench --width 16
      cunet bench --against torch --json > bench.json
      cunet bench --device cuda --against torch
    """
    from cunet.backend import resolve_device
    from cunet.bench.cpu import measure
    from cunet.engines import obstacle
    from cunet.errors import CunetError
    from cunet.net.sizes import check_tile
    from cunet.threads import set_threads

    if threads is not None:
        set_threads(threads)
    device = resolve_device(device)
    check_tile(tile, 4)
    why = obstacle(device, max(widths, default=64), 1, 2)
    if why is None and device != "cuda:0":
        number = device.partition(":")[2]
        raise CunetError(
            "bench measures the first GPU; to make this one the first, run  "
            f"CUDA_VISIBLE_DEVICES={number} cunet bench --device cuda"
        )
    if why is None:
        bench_gpu(list(widths) or [64], tile, pairs, against, layers, precisions, quiet, as_json)
        return
    if precisions or (against and device != "cpu"):
        option = "--precision" if precisions else "--against torch on a GPU"
        raise CunetError(f"bench {option} measures tensor cores: {why}; leave it out")
    document = measure(
        list(widths) or [16, 32, 64],
        tile,
        pairs,
        against,
        device,
        layers,
        say=lambda text: common.say(text, quiet),
    )
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    common.next_command("cunet doctor" if against else "cunet bench --against torch", quiet)


def show(document: dict) -> None:
    """The tables, on stdout."""
    machine, load = document["machine"], document["foreign_load"]
    where = document["device"]
    if where == "cpu":
        where = f"{machine['processor']}, {document['threads']} threads"
    busy = "" if load is None else f"; others used {load:.2f} processors meanwhile"
    click.echo(
        f"{where}\nNumPy {machine['numpy']}, {', '.join(machine['blas']) or 'BLAS unknown'}"
        + (f"; PyTorch {machine['torch']}" if machine["torch"] else "")
        + f"{busy}\ntile {document['tile']}, medians of {document['pairs']}\n"
    )
    sides = [side for side in document["results"][0]["step"] if side != "ratio"]
    paired = len(sides) > 1
    click.echo(
        f"{'width':>5}  {'':<8}"
        + "".join(f"{side:>22}" for side in sides)
        + (f"{'faster by':>12}  (range)" if paired else "")
    )
    for result in document["results"]:
        for job in ("forward", "step"):
            row = result[job]
            line = f"{result['width']:>5}  {job:<8}"
            for side in sides:
                peak = row[side]["peak_bytes"]
                text = f"{row[side]['median_s']:.3f} s" + (f", {common.size(peak)}" if peak else "")
                line += f"{text:>22}"
            if paired:
                ratio = row["ratio"]
                line += f"{ratio['median']:>11.2f}x  ({ratio['lowest']:.2f}-{ratio['highest']:.2f})"
            click.echo(line)
    for result in document["results"]:
        if paired:
            errors = [
                f"{side} {e['logits']:.1e}, {e['gradients']:.1e}"
                for side, e in result["agreement"].items()
            ]
            click.echo(
                f"width {result['width']}: logits and gradients differ by " + "; ".join(errors)
            )
    for result in document["results"]:
        if "layers" not in result:
            continue
        click.echo(
            f"\n{'width ' + str(result['width']):<16}{'output':>18}{'forward ms':>12}"
            f"{'GFLOP/s':>9}{'backward ms':>13}{'GFLOP/s':>9}"
        )
        for layer in result["layers"]:
            shape = " x ".join(map(str, layer["shape"]))
            click.echo(
                f"{layer['name']:<16}{shape:>18}{1e3 * layer['forward_s']:>12.1f}"
                f"{layer['forward_gflops']:>9.0f}{1e3 * layer['backward_s']:>13.1f}"
                f"{layer['backward_gflops']:>9.0f}"
            )
    if any("layers" in result for result in document["results"]):
        click.echo("\nGFLOP/s count the operations of the definition, whatever the algorithm does.")


def bench_gpu(widths, tile, pairs, against, layers, precisions, quiet, as_json):
    """Measure on the current GPU, and say what was found."""
    from cunet.bench.gpu import measure
    from cunet.engines.gpu.cuda import DTYPES
    from cunet.errors import CunetError

    unknown = [name for name in precisions if name not in DTYPES]
    if unknown:
        raise CunetError(f"bench --precision: one of {', '.join(DTYPES)}, found '{unknown[0]}'")
    documents = [
        measure(
            width, tile, precisions=precisions or tuple(DTYPES), against=against, layers=layers,
            pairs=pairs, say=lambda text: common.say(text, quiet),
        )
        for width in widths
    ]  # fmt: skip
    if as_json:
        common.print_json({"device": "cuda", "results": documents})
    elif not quiet:
        for document in documents:
            click.echo(heading(document))
            for title, head, rows in tables(document):
                click.echo("\n" + aligned(title, head, rows))
    common.next_command("cunet doctor" if against else "cunet bench --against torch", quiet)


def heading(document: dict) -> str:
    """The card and the problem."""
    card = document["card"]
    return (
        f"{card['name']}, {card['multiprocessors']} multiprocessors, CuPy {card['cupy']}; "
        f"width {document['width']}, tile {document['tile']}"
    )


def aligned(title: str, head: list[str], rows: list[list[str]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([title, *lines])


def goals(document: dict) -> list[tuple[str, float | None, float | None, str]]:
    """What is aimed at: its name, what was measured, what it must not be above, and the unit."""
    results = document["results"]
    found = []
    for precision, side in (("tf32", "eager TF32"), ("float16", "bf16"), ("bfloat16", "bf16")):
        pair = results.get(f"beside torch {precision}")
        step = pair["jobs"]["step"]["ratio"]["median"] if pair else None
        found.append((f"step {precision} / PyTorch {side}", step, 1.0, "x"))
        if pair and pair["bytes"]["torch"]:
            ours, theirs = pair["bytes"]["cunet"]["reserved"], pair["bytes"]["torch"]["allocated"]
            found.append((f"memory of a step {precision}", ours / 1e9, theirs / 1e9, "GB"))
    job = f"forward {document['forward_tile']}"
    times = results.get("alone tf32", {}).get("milliseconds", {})
    for name in (job, f"{job} with transfers"):
        found.append((f"{name}, tf32", times.get(name, {}).get("median"), 5.0, "ms"))
    for precision, limit in (("float32", 1e-5), ("tf32", 2e-3)):
        error = results.get(f"agreement {precision}", {}).get("logits")
        found.append((f"logits {precision} from the CPU's", error, limit, "of the largest"))
    return found


def tables(document: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, names of columns, rows) of a document of bench_cuda.py, the goals first."""
    results, made = document["results"], []
    rows = []
    for name, measured, limit, unit in goals(document):
        met = "-" if measured is None else "yes" if measured <= limit else "no"
        rows.append([name, number(measured), f"<= {number(limit)} {unit}", met])
    made.append(("Goals", ["goal", "measured", "aim", "met"], rows))
    rows = [[stage, "failed", text[:200]] for stage, text in document["failed"].items()]
    rows += [[stage, "skipped", text] for stage, text in document["skipped"].items()]
    rows += [[stage, "cut short", ""] for stage in filter(None, [document.get("running")])]
    made.append(("Failed or skipped", ["stage", "", ""], rows))
    rows = [
        [stage.split()[-1], number(r["logits"]), number(r["gradients"]), r["worst"]["parameter"]]
        for stage, r in results.items()
        if stage.startswith("agreement")
    ]
    head = ["precision", "logits", "gradients", "worst gradient"]
    made.append(("Differences from the CPU's float32, relative", head, rows))
    rows = []
    for stage, r in results.items():
        if stage.startswith("alone"):
            for job, times in r["milliseconds"].items():
                rows.append([f"{stage.split()[-1]}: {job}", number(times["median"]), "", "", ""])
        elif stage.startswith("beside"):
            for job, one in r["jobs"].items():
                ratio, times = one["ratio"], [number(one[s]["median"]) for s in ("cunet", "torch")]
                span = f"{ratio['lowest']:.2f}-{ratio['highest']:.2f}"
                name = f"{stage.split()[-1]}: {job} / {r['theirs']}"
                rows.append([name, *times, f"{ratio['median']:.2f}", span])
    made.append(("Times, ms", ["job", "cunet", "PyTorch", "ratio", "range"], rows))
    head = ["layer", "ms", "TFLOP/s", "error", "kernel", "best", "best ms", "PyTorch ms", "wrong"]
    for precision in ("tf32", "bfloat16", "float16"):
        rows = [
            [
                f"{layer['name']} {what}", number(r["ms"]), number(r["tflops"]),
                number(r["error"]), r["chosen"], r["best"], number(r["best_ms"]),
                number(layer.get("torch", {}).get(what)), " ".join(r["wrong"]),
            ]
            for stage, layer in results.items() if stage.startswith(f"layer {precision}")
            for what, r in layer["ours"].items()
        ]  # fmt: skip
        made.append((f"Layers {precision}", head, rows))
        kernels = results.get(f"small kernels {precision}", [])
        rows = [[r["name"], number(r["ms"]), number(r["bytes_per_s"] / 1e9)] for r in kernels]
        made.append((f"Small kernels {precision}", ["kernel", "ms", "GB/s"], rows))
    if "products of torch" in results:
        speeds = results["products of torch"].items()
        rows = [[name, number(value / 1e12)] for name, value in speeds]
        made.append(("Large matrix products of PyTorch", ["precision", "TFLOP/s"], rows))
    return [table for table in made if table[2]]


def number(value: float | None) -> str:
    """Three digits, or - for nothing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"
