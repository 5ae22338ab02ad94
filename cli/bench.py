"""`cunet bench`: how fast it is here, alone or in pairs with PyTorch."""

import click

from cunet.cli import common


@click.command()
@click.option("--width", "widths", type=click.IntRange(1), multiple=True, help="16, 32 and 64.")
@click.option("--tile", type=int, default=572, show_default=True, help="Side of the input.")
@click.option(
    "--pairs", type=click.IntRange(1), default=5, show_default=True, help="Calls of each side."
)
@click.option("--against", type=click.Choice(["torch"]), help="Take turns with PyTorch.")
@click.option("--layers/--no-layers", default=True, show_default=True, help="Every layer alone.")
@common.device_option
@common.threads_option
@common.quiet_option
@common.json_option
def command(widths, tile, pairs, against, layers, device, threads, quiet, as_json):
    """Seconds of a forward pass and of a training step, peak memory, and every layer.

    A step is the forward pass with dropout, the weighted loss, the backward pass and SGD with
    momentum. With --against torch the same network with the same weights runs in PyTorch, in both
    of its layouts: outputs and gradients are compared first, then the sides take turns.

    \b
    Examples:
      cunet bench --width 16
      cunet bench --against torch --json > bench.json
    """
    from cunet.backend import resolve_device
    from cunet.bench import measure
    from cunet.errors import CunetError
    from cunet.sizes import check_tile
    from cunet.threads import set_threads

    if threads is not None:
        set_threads(threads)
    device = resolve_device(device)
    if against and device != "cpu":
        raise CunetError("bench --against torch compares on the CPU; add --device cpu")
    check_tile(tile, 4)
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
