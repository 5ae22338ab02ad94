"""`cunet export`: a network as a file of another program."""

from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.words import size as bytes_said


@click.command()
@click.argument("model", type=common.PATH)
@click.argument("out", type=common.PATH)
@click.option("--mirror", is_flag=True, help="Take whole images, and mirror them beyond their "
              "border as `cunet segment` does. [.onnx]")  # fmt: skip
@click.option("--size", type=click.IntRange(1), help="Both sides, in pixels, of the one image or "
              "tile that it takes (default: any sizes); OpenCV 4 needs it. [.onnx, .caffemodel]"
              )  # fmt: skip
@click.option("--float16", is_flag=True, help="Store the filters as float16, in half the bytes; "
              "computation stays float32; probabilities change by about 0.001. "
              "[.onnx, .bioimageio.zip]"
              )  # fmt: skip
@click.option("--caffe", is_flag=True, help="As if OUT ended in .caffemodel, which is appended.")
@click.option("--name", help="What a package calls the network. [.bioimageio.zip, as below]")
@click.option("--description", help="What it is for.")
@click.option("--author", "authors", multiple=True, help='"Name" or "Name (affiliation)".')
@click.option("--license", help="Its terms: CC-BY-4.0 and so on, or in words.")
@click.option("--cite", multiple=True, help='What to cite beside the paper: "text, https://...".')
@click.option("--card", type=common.PATH, help="What is known of it, a Markdown file.")
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(model, out, mirror, size, float16, caffe, overwrite, quiet, as_json, **about):
    """Write the network of MODEL for another program; the ending of OUT chooses the format.

    MODEL is a model file, a run folder, or a name that `cunet models list` shows.

    \b
    .onnx  for onnxruntime, OpenCV and what is built on them. It takes raw image values (the network
           normalises them itself), (N, C, H, W) float32, and returns the probabilities of all
           classes, (N, K, P, Q). Without --mirror it takes tiles, whose borders are lost.
    .bioimageio.zip  a package for the programs of bioimage.io, with the ONNX file in it. What
           it says of the network comes from the record and card beside the model file, or from
           the options.
    .caffemodel  the authors' net of 2015, and its .prototxt beside it, for Caffe and OpenCV 4
    .safetensors  a state dict for milesial's PyTorch U-Net (same padding, batch normalization)

    \b
    Examples:
      cunet export em membranes.onnx --mirror
      cunet export runs/isbi2012-1 net.onnx --mirror --size 512 --float16
      cunet export em membranes.bioimageio.zip
    """
    from cunet.exchange.export import FORMATS, ending_of, export
    from cunet.training.run_state import model_of

    if caffe and not out.lower().endswith(".caffemodel"):
        if (found := Path(out).suffix.lower()) in FORMATS:
            raise click.UsageError(f"--caffe writes a .caffemodel, and OUT ends in {found}")
        out += ".caffemodel"
    ending_of(out)
    file, doubts = model_of(model)
    common.notes(doubts, quiet)
    options = {"mirror": mirror, "size": size, "float16": float16, "overwrite": overwrite}
    options["about"] = {name: value for name, value in about.items() if value}
    with common.busy("exporting", quiet):
        found = export(file, out, **options)
    if as_json:
        common.print_json(found)
    common.say(f"{file}  ->  {out}: {found['format']}, {bytes_said(found['bytes'])}", quiet)
    for name in filter(found.get, ("input", "output")):
        common.say(f"  {name + ':':<8}{found[name]}", quiet)
    common.notes(found["notes"], quiet)
    common.next_command(["verify-export", out, "--model", model], quiet)
