"""`cunet bench`: how fast cunet is here, alone or in pairs with another program."""

from importlib.util import find_spec

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
@click.option("--against", type=common.Choice(["torch", "onnxruntime", "openvino"]),
              help="Take turns with this program.")  # fmt: skip
@click.option("--layers/--no-layers", default=True, show_default=True, help="Every layer alone.")
@common.device_option
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=common.Choice(common.TENSOR_CORES),
    help="On a GPU (all).",
)
@common.threads_option
@common.quiet_option
@common.json_option
def command(widths, tile, pairs, against, layers, device, precisions, quiet, as_json):
    """Seconds of a forward pass and of a training step, peak memory, and every layer.

    A step is the forward pass with dropout, the weighted loss, the backward pass and SGD with
    momentum. With --against torch the same network with the same weights runs in PyTorch, in both
    of its layouts: outputs and gradients are compared first, then the sides take turns. With
    onnxruntime or openvino (held to float32) it runs as `cunet export` writes it.

    On a GPU with tensor cores it is compared with the CPU first, in every precision. Layers are
    timed with every kernel that can do them, and PyTorch runs with TF32, in bfloat16 and compiled.

    \b
    Examples:
      cunet bench --width 16
      cunet bench --against torch --json > bench.json
      cunet bench --device cuda --against torch
    """
    from cunet.backend import gpu_number, resolve_device
    from cunet.bench.cpu import measure
    from cunet.bench.cpu_tables import report
    from cunet.engines import obstacle
    from cunet.errors import CunetError
    from cunet.net.shape import Shape
    from cunet.net.tiles import check_tile

    device = resolve_device(device)
    check_tile(tile, 4)
    why = obstacle(device, Shape(max(widths, default=64)))
    if why is None and device != "cuda:0":
        raise CunetError(
            "bench measures the first GPU; to make this one the first, run  "
            f"CUDA_VISIBLE_DEVICES={gpu_number(device)} cunet bench --device cuda"
        )
    if why is None and against not in (None, "torch"):
        raise CunetError(f"bench --against {against} measures the CPU; add  --device cpu")
    if why is None:
        bench_gpu(list(widths) or [64], tile, pairs, against, layers, precisions, quiet, as_json)
        return
    if precisions or (against and device != "cpu"):
        option = "--precision" if precisions else f"--against {against} on a GPU"
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
        common.show(report(document))
    more = against is None and find_spec("torch") is not None
    common.next_command("cunet bench --against torch" if more else "cunet doctor", quiet)


def bench_gpu(widths, tile, pairs, against, layers, precisions, quiet, as_json):
    """Measure on the current GPU, and print what was found."""
    from cunet.bench.gpu import measure
    from cunet.bench.tables import aligned, heading, tables
    from cunet.engines.gpu.cuda import DTYPES

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
            common.show(heading(document))
            for title, head, rows in tables(document):
                common.show("\n" + aligned(title, head, rows))
    more = against is None and find_spec("torch") is not None
    common.next_command("cunet bench --against torch" if more else "cunet doctor", quiet)
