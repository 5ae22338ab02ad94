"""`cunet segment`: apply a trained network to images of any size."""

import glob
import re
import shlex
import time
from pathlib import Path

import click

from cunet.cli import common

IMAGES = (".tif", ".tiff", ".png")


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--model", help="Model file or run folder (default: the newest run below runs/).")
@click.option(
    "--tile", type=int, help="Side of the input tile (572). It changes speed, not results."
)
@click.option(
    "--average",
    type=click.Choice(["none", "flips", "rotations"]),
    default="none",
    show_default=True,
    help="Average over 4 flips, or the 8 rotations and reflections, of each tile.",
)
@click.option(
    "--out", default=".", show_default=True, help="Folder, or a file ending in .tif or .png."
)
@click.option(
    "--products", default="prob,mask", show_default=True, help="Of prob, mask, labels, overlay."
)
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Class 1 where its probability is above.")  # fmt: skip
@click.option("--pages", help="Pages of a stack, counted from 0: 0,5,10-12 (default: all).")
@click.option("--stride", type=click.Choice(["exact", "paper"]), default="exact", show_default=True,
              help="exact: no seams. paper: tiles every 388 pixels, as in 2015.")  # fmt: skip
@common.device_option
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(
    images, model, tile, average, out, products, threshold, pages, stride, device, threads,
    overwrite, quiet, as_json,
):  # fmt: skip
    """Segment images: files, folders or patterns, TIFF stacks or PNG.

    Writes <image>_prob.tif (float32 probability of class 1), <image>_mask.tif (0 or 255) and, if
    asked, <image>_labels.tif (numbered components) and <image>_overlay.png. Any size works: borders
    are mirrored, and tiles meet without a seam.

    \b
    Examples:
      cunet segment big.tif --tile 572
      cunet segment stack.tif --model runs/isbi2012-1 --average rotations --out results/
      cunet segment "plate*/*.png" --products mask,overlay --out masks/
    """
    from cunet.backend import resolve_device
    from cunet.product_files import How
    from cunet.threads import set_threads

    wanted = parse_products(products)
    files = find_images(images)
    jobs = [(file, target_paths(file, out, wanted, len(files))) for file in files]
    if threads is not None:
        set_threads(threads)
    net, name = load_model(model, resolve_device(device))
    tile = fitting_tile(tile, net.depth)
    how = How(tile, average, stride, threshold, f"cunet segment, model {name}")
    common.say(
        f"model {name}: width {net.width}, {net.classes} classes; device {net.device}", quiet
    )
    waiting = []
    for file, targets in jobs:  # everything is looked at before anything is computed
        with open_checked(file, net) as image:
            chosen = chosen_pages(pages, image)
        waiting.append(to_do(file, targets, chosen, overwrite))
    folder = Path(out).parent if Path(out).suffix.lower() in IMAGES else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for (file, targets), left in zip(jobs, waiting, strict=True):
        if left:
            results.append(one_image(file, left, net, how, pages, quiet))
        else:
            common.say(f"{file}: done already, skipped (--overwrite to do it again)", quiet)
            results.append({"image": str(file), "skipped": True})
        results[-1]["outputs"] = {product: str(path) for product, path in targets.items()}
    if as_json:
        common.print_json({"model": name, "images": results})
    more = [p for p in ("labels", "overlay") if p not in wanted] or ["prob"]
    again = ["cunet", "segment", *images, "--model", name, "--products", ",".join(more)]
    common.next_command(shlex.join(again), quiet)


def one_image(file: Path, targets: dict[str, Path], net, how, pages, quiet: bool) -> dict:
    """Segment one file; what to say of it."""
    from cunet.products import segment_file

    start = time.perf_counter()
    with open_checked(file, net) as image:
        common.say(
            f"{file}: {image.pages} page(s) of {image.height} x {image.width}, axes {image.axes}, "
            f"{image.dtype}",
            quiet,
        )
        for note in image.notes:
            common.say(f"  {note}", quiet)
        if not image.streamed and image.height * image.width > 10**8:
            common.say(
                "  its pages are single compressed strips: a whole page is kept in memory", quiet
            )
        progress = common.Progress(image.height * len(chosen_pages(pages, image)), quiet=quiet)
        summary = segment_file(
            image, net, targets, how, chosen_pages(pages, image),
            lambda done, total: progress.update(done, "rows"),
        )  # fmt: skip
        progress.close()
        shape = [len(chosen_pages(pages, image)), image.height, image.width]
    for warning in summary.warnings:
        common.say(f"warning: {warning}")
    shares = ", ".join(f"class {i} {100 * share:.1f} %" for i, share in enumerate(summary.shares))
    common.say(f"  {shares}  ->  {', '.join(map(str, targets.values()))}", quiet)
    return {
        "image": str(file),
        "skipped": False,
        "shape": shape,
        "class_shares": summary.shares,
        "warnings": summary.warnings,
        "seconds": round(time.perf_counter() - start, 3),
    }


def parse_products(text: str) -> list[str]:
    """prob,mask -> ["prob", "mask"]."""
    from cunet.product_files import PRODUCTS as known

    wanted = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for product in wanted:
        if product not in known:
            raise click.UsageError(
                f"--products: expected some of {', '.join(known)}, found '{product}'"
            )
    return wanted


def find_images(arguments: tuple[str, ...]) -> list[Path]:
    """Files, the images in folders, and what patterns match; no two of one name."""
    from cunet.errors import CunetError

    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = without_products(sorted(path.iterdir()))
        elif path.exists() or not glob.has_magic(argument):
            found = [path]
        else:
            found = without_products(sorted(map(Path, glob.glob(argument, recursive=True))))
        if not found:
            raise CunetError(f"'{argument}': no TIFF or PNG file found there; check the name")
        files += found
    for file in files:
        if not file.exists():
            raise CunetError(f"no file '{file}'. Check the name and the folder.")
    stems: dict[str, Path] = {}
    for file in files:
        if stems.setdefault(file.stem, file) != file:
            raise CunetError(
                f"'{stems[file.stem]}' and '{file}' would write products of one name; segment them "
                "in two calls with different --out"
            )
    return list(stems.values())


def without_products(paths: list[Path]) -> list[Path]:
    """The images among the paths, but no product of another of them."""
    from cunet.product_files import PRODUCTS

    images = [p for p in paths if p.suffix.lower() in IMAGES]
    stems = {p.stem for p in images}
    made = re.compile(rf"(.+)_(?:{'|'.join(PRODUCTS)})(?:_\d{{4}})?")
    matches = {p: made.fullmatch(p.stem) for p in images}
    return [p for p in images if not (matches[p] and matches[p][1] in stems)]


def target_paths(file: Path, out: str, wanted: list[str], images: int) -> dict[str, Path]:
    """Where each product of an image goes."""
    from cunet.product_files import ENDINGS

    path = Path(out)
    if path.suffix.lower() in IMAGES:
        if images != 1 or len(wanted) != 1:
            raise click.UsageError(
                f"--out {out} names one file, which needs one image and one product (found "
                f"{images} and {len(wanted)}): give a folder, or --products mask"
            )
        if wanted == ["overlay"] and path.suffix.lower() != ".png":
            raise click.UsageError(f"--out {out}: an overlay is a PNG; use a name ending in .png")
        return {wanted[0]: path}
    return {product: path / f"{file.stem}_{product}{ENDINGS[product]}" for product in wanted}


def to_do(file: Path, targets: dict[str, Path], pages: list[int], overwrite: bool) -> dict:
    """The products that are still to be made; CunetError where one would replace the image."""
    from cunet.errors import CunetError
    from cunet.product_files import outputs

    left = {}
    for product, path in targets.items():
        if path.resolve() == file.resolve():
            raise CunetError(f"'{path}' is the image itself; choose another --out")
        if overwrite or not all(p.exists() for p in outputs(product, path, pages)):
            left[product] = path
    return left


def open_checked(file: Path, net):
    """The image, opened, with the channels that the network was made for."""
    from cunet.data.images import open_image
    from cunet.products import check_image

    image = open_image(file)
    try:
        check_image(image, net)
    except BaseException:
        image.close()
        raise
    return image


def chosen_pages(text: str | None, image) -> list[int]:
    """0,5,10-12 -> [0, 5, 10, 11, 12]."""
    from cunet.errors import CunetError

    if text is None:
        return list(range(image.pages))
    pages: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            pages += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise click.UsageError(f"--pages: expected 0,5,10-12, found '{text}'") from error
    if not pages or max(pages) >= image.pages:
        raise CunetError(
            f"--pages {text}: '{image.path}' has pages 0 to {image.pages - 1}; give some of them, "
            "as in 0,5,10-12"
        )
    return pages


def load_model(model: str | None, device: str):
    """The network and what to call it; by default that of the newest run."""
    from cunet.checkpoint import load, model_file
    from cunet.errors import CunetError
    from cunet.run_folder import newest

    path = model or newest()
    if path is None:
        raise CunetError(
            "no model: there is no run below runs/; train one with  cunet train --data DIR  "
            "or give --model FILE.npz"
        )
    return load(path, device), str(model_file(path))


def fitting_tile(tile: int | None, depth: int) -> int:
    """The tile asked for, or the smallest valid one from 572 on."""
    from cunet.sizes import check_tile, tile_for_output

    if tile is None:
        return tile_for_output(388, depth)
    check_tile(tile, depth)
    return tile
