"""`cunet models`: networks by name, here and to be got."""

from functools import partial
from pathlib import Path

import click

from cunet.cli import common
from cunet.terminal import shell_line

COLUMNS = ("name", "where", "size", "license", "for")
index_option = click.option("--index", metavar="FILE or URL",
                            help="Networks beside cunet's own (default: CUNET_INDEX).")  # fmt: skip


def _again(index):
    return ["--index", index] if index else []


def _told(bar, done, total):
    bar(-(-done // 1000), -(-total // 1000), "kB")


@click.group(cls=common.Group)
def command():
    """Networks by name: what is here, what can be got, and your own.

    A name stands for a network wherever --model or --from takes one. It is looked for among those
    that come with cunet (em, for which bundled and isbi2012 stand too, and nuclei), in installed
    wheels, in the folders of CUNET_MODELS, and in your own folder, in this order. Nothing but `get`
    uses the network.

    \b
    Example:
      cunet models list
      cunet models add runs/mito-1 --name mito --license CC-BY-4.0 --for "mitochondria, 4 nm"
      cunet segment big.tif --model mito
    """


@command.command("list", short_help="what is here, and what can be got")
@index_option
@common.quiet_option
@common.json_option
def list_(index, quiet, as_json):
    """List the networks that are here, and those of the index that are not.

    \b
    Example:
      cunet models list --index /share/networks/index.json
    """
    from cunet.models.index import read_index
    from cunet.models.places import given_folders, own_folder
    from cunet.net.named import cells, rows

    found = rows(read_index(index))
    gone = [str(folder) for folder in given_folders() if not folder.is_dir()]
    if as_json:
        document = {"models": found, "your_folder": str(own_folder()), "missing_folders": gone}
        common.print_json(document)
    else:
        table = [COLUMNS, *map(cells, found)]
        wide = [max(len(row[k]) for row in table) for k in range(4)]
        for row in table:
            padded = [f"{cell:<{w}}" for cell, w in zip(row, wide, strict=False)]
            common.show("  ".join([*padded, row[4]]).rstrip())
        common.say(f"em is also called bundled and isbi2012; your folder: {own_folder()}", quiet)
    common.notes(f"warning: '{r['name']}': {r['problem']}" for r in found if r["problem"])
    common.notes(f"warning: folder '{folder}' of CUNET_MODELS is not there" for folder in gone)
    absent = [row["name"] for row in found if not row["here"]]
    after = ["get", absent[0], *_again(index)] if absent else ["info", found[-1]["name"]]
    common.next_command(["models", *after], quiet)


@command.command(short_help="the card of a network, and what its file says")
@click.argument("model", metavar="NAME")
@index_option
@common.quiet_option
@common.json_option
def info(model, index, quiet, as_json):
    """Show what is known of a network: its card, shape, normalisation, hash and license.

    NAME may also be a model file or a run folder.

    \b
    Example:
      cunet models info em
    """
    from cunet.models.places import OWN
    from cunet.net.named import describe, facts_of, files_of

    found = describe(model, index)
    if as_json:
        common.print_json(found)
    else:
        common.show("\n".join(f"{key:<10}  {text}" for key, text in facts_of(found)))
        if card := found.get("card"):
            common.show(f"\n{card.rstrip()}")
        if not found.get("recorded", True):
            common.say("no record of its hash: a change of the file would not be seen", quiet)
        if found["place"] == OWN:
            files = shell_line(files_of(Path(found["path"])))
            common.say(f"to remove it, delete {files}", quiet)
    after = ["segment", "IMAGE", "--model", model]
    common.next_command(after if found["here"] else ["models", "get", model, *_again(index)], quiet)


@command.command(short_help="fetch networks of an index")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@index_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def get(names, index, overwrite, quiet, as_json):
    """Have networks of the index here; one that is here and right is not fetched again.

    The only command that uses the network. A file that is not the one of the index, by its
    SHA-256, is not kept. Without NAME it fetches the index alone.

    \b
    Example:
      cunet models get mito --index https://lab.example.org/networks/index.json
    """
    from cunet.models.get import get as have_here
    from cunet.models.index import read_index

    known, results = read_index(index, get=True), []
    common.notes(known.notes)
    for name in names:
        with common.Bars(quiet) as bar:
            got = have_here(name, known, overwrite, partial(_told, bar), partial(
                common.say, f"another process is getting '{name}': waiting for it", quiet
            ))  # fmt: skip
        common.notes(got.notes, quiet)
        came = f"from {got.url}" if got.url else "was here already"
        common.say(f"{name}: {got.path}, {came}", quiet)
        results.append({"name": name, "path": str(got.path), "url": got.url or None})
    if not names:
        common.say(f"the index has {', '.join(known.entries)}", quiet)
    if as_json:
        common.print_json({"models": results, "index": list(known.entries)})
    after = ["segment", "IMAGE", "--model", *names[-1:]]
    common.next_command(after if names else ["models", "list", *_again(index)], quiet)


@command.command(short_help="put a network of your own into your folder")
@click.argument("model", metavar="FILE", type=common.PATH)
@click.option("--name", help="What to call it (default: as the file or run folder).")
@click.option("--license", default="", help="Its terms, such as CC-BY-4.0.")
@click.option("--for", "made_for", default="", help="What it was made for, in a few words.")
@click.option("--pixel-size", help="Of its training images, such as 4nm, if its file lacks it.")
@click.option("--card", type=common.PATH, help="Its card, Markdown (default: one is made).")
@common.overwrite_option
@common.quiet_option
@common.json_option
def add(model, name, license, made_for, pixel_size, card, overwrite, quiet, as_json):
    """Copy a model file, or the best network of a run folder, into your folder under a name.

    Its hash is written down beside it, so that a changed file is refused later, and a card is made
    of what the file and its run say.

    \b
    Example:
      cunet models add runs/mito-1 --name mito --license CC-BY-4.0 --for "mitochondria, 4 nm"
    """
    from cunet.net import named

    name, path, notes = named.add(model, name, license, made_for, card, overwrite, pixel_size)
    common.notes(notes, quiet)
    common.say(f"{name}: {path}, with its card (.md) and its record (.json)", quiet)
    if as_json:
        common.print_json(named.describe(name))
    common.next_command(["models", "info", name], quiet)


@command.command(short_help="check hashes, and load networks as a whole")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@common.quiet_option
@common.json_option
def verify(names, quiet, as_json):
    """Compare networks with their records and read them as a whole; exit code 6 where one is wrong.

    \b
    Example:
      cunet models verify
    """
    from cunet.net.named import verify as verified

    results = []
    for one in verified(names):
        results.append(one)
        said = "right" if one["recorded"] else "loads; no record of its hash"
        words = f"{one['name']} ({one['place']}): {one['problem'] or said}"
        common.say(words, quiet and not one["problem"])
    wrong = [one["name"] for one in results if one["problem"]]
    if as_json:
        common.print_json({"models": results, "wrong": wrong})
    common.next_command(["models", "list"], quiet)
    return 6 if wrong else 0
