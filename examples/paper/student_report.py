"""How few images does a U-Net need? The table of a later student report, measured again.

The report (UCSD) trained a U-Net with batch normalization on 10 to 80 % of the images of several
data sets. Here the preset ucsd is trained on 10, 20, 40 and 80 % of a data set and scored on the
other 20 %, the same for every share; a smaller share is part of a larger one. What is scored is the
network of the last step, one view, at the images' own size:

    pixel F1   of class 1 over all held-out images: cells between membranes, nuclei, mitochondria
    mAP        the report's: mean over images and the IoU thresholds 0.50, 0.55 ... 1.00 of
               TP / (TP + FP), in which missed objects do not count
    Kaggle     mean over images and 0.50 ... 0.95 of TP / (TP + FP + FN)

Objects are the 4-connected components of probability above 0.5; those of the truth are the
annotated nuclei, or the components of class 1. The mAP on EM sections is therefore of the pieces
into which membranes part a section.

Every share leaves OUT/NAME-SHARE.json and its run in OUT/NAME-SHARE/. What is done is kept, so the
same command continues, and without --data the table and the figure are made of what is there.
"""

import argparse
import hashlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from student_report_table import MOST, ROWS, Row, draw, finished, table

import cunet
from cunet.data.dataset import Dataset
from cunet.data.load import load
from cunet.data.weight_map import components
from cunet.errors import CunetError
from cunet.files.atomic import write_text
from cunet.files.json_file import json_text, read_json
from cunet.metrics.dsb2018 import Tally, summary
from cunet.training.config import Config, make
from cunet.training.held_out import split
from cunet.training.prepared import prepare
from cunet.training.run_folder import read_settings

EXAMPLES = """examples:
  python examples/paper/student_report.py --data isbi2012/ --out student
  python examples/paper/student_report.py --data stage1_train/ --out student --shares 10 20
  python examples/paper/student_report.py --data ncmir/ --name ncmir --out student
  python examples/paper/student_report.py --out student     the table of what is there
"""
SHARES = (10, 20, 40, 80)  # per cent of the images
STEPS = 500
COMMON = ("seed", "data", "held_out", "settings")  # facts in which all shares agree
MAY_DIFFER = ("data", "out", "device", "threads", "precision")  # where a run goes on


def parts(names: tuple[str, ...], share: int, seed: int) -> tuple[list[int], list[int]]:
    """Slices to train on and those that are scored, which are the same for every share: what
    `--train-share 0.8` holds out, or the testing volume where there is one."""
    testing = [i for i, name in enumerate(names) if name.startswith("testing/")]
    drop = "testing" if testing else None
    most = split(Config(train_share=MOST / 100, seed=seed, drop=drop), names)
    training, _ = split(Config(train_share=share / 100, seed=seed, drop=drop), names)
    return training, testing or most[1]


def config_of(args: argparse.Namespace, row: Row, share: int, names: tuple[str, ...]) -> Config:
    """The settings of one training."""
    training, scored = (set(part) for part in parts(names, share, args.seed))
    dropped = [name for i, name in enumerate(names) if i not in training | scored]
    options: dict[str, Any] = {
        "data": str(args.data.absolute()), "out": str(args.out / f"{args.name}-{share}"),
        "hold_out": ",".join(names[i] for i in sorted(scored)), "drop": ",".join(dropped) or None,
        "steps": args.steps, "seed": args.seed, "device": args.device, "threads": args.threads,
    }  # fmt: skip
    return make("ucsd", None, row.settings | options)


def trained(config: Config, dataset: Dataset) -> float:
    """Train the network, or the rest of it, in its run folder; returns the seconds it took.

    CunetError for a run that was begun with other settings: another seed holds out other images.
    """
    start, folder = time.perf_counter(), Path(str(config.out))
    begun = (folder / "last.npz").exists()
    if begun:
        before, now = asdict(Config(**read_settings(folder))), asdict(config)
        differ = [name for name in now if name not in MAY_DIFFER and before[name] != now[name]]
        if differ:
            raise CunetError(
                f"run '{folder}' was begun with {differ[0]} {before[differ[0]]}, asked for "
                f"{now[differ[0]]}; choose another --out, or move it."
            )
    for record in cunet.train(config, prepare(config, dataset), resume=begun):
        if record["step"] % 100 == 0:
            print(f"{config.out}: step {record['step']}, {record['seconds']:.0f} s, loss "
                  f"{record['loss']:.4f}", file=sys.stderr, flush=True)  # fmt: skip
    return time.perf_counter() - start


def scores(net: cunet.UNet, dataset: Dataset, scored: list[int]) -> dict[str, Any]:
    """The counts and scores of these images together."""
    tallies = []
    for i in scored:
        found = components(cunet.segment(dataset.images[i], net)[..., 1] > 0.5)
        known = dataset.instances
        truth = components(dataset.labels[i] == 1) if known is None else known[i]
        tallies.append(Tally.of(truth, found))
    return summary(tallies)


def experiment(args: argparse.Namespace) -> None:
    """Train and score the shares that are not done yet."""
    dataset = load(args.data)
    named, args.name = args.name is not None, args.name or dataset.kind
    row = ROWS.get(args.name)
    # pairs of images and masks may be of any set, where it is named
    if row is None or (dataset.kind != row.kind and not (named and dataset.kind == "folder")):
        known = ", ".join(f"{name} ({one.kind})" for name, one in ROWS.items())
        raise CunetError(
            f"data folder '{args.data}' is of the kind {dataset.kind}, name {args.name}; expected "
            f"a data set of the report: {known}. Give its --name, or other data."
        )
    args.out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json_text(dataset.hashes).encode()).hexdigest()
    for share in args.shares:
        path, names = args.out / f"{args.name}-{share}.json", dataset.slice_names
        config = config_of(args, row, share, names)
        training, scored = parts(names, share, args.seed)
        facts = {
            "name": args.name, "share": share, "trained_on": len(training), "steps": config.steps,
            "seed": config.seed, "data": digest, "held_out": [names[i] for i in scored],
            "settings": row.settings,
        }  # fmt: skip
        for other in sorted(args.out.glob(f"{args.name}-*.json")):  # rows of one table
            refuse_other(other, facts if other == path else {key: facts[key] for key in COMMON})
        if path.exists():
            continue
        seconds = trained(config, dataset)
        net = cunet.load(Path(str(config.out)) / "last.npz", args.device)
        found = facts | scores(net, dataset, scored)
        made = {"training_seconds": round(seconds, 1), "cunet": cunet.__version__}
        write_text(path, json_text(found | made) + "\n")


def refuse_other(path: Path, facts: dict[str, Any]) -> None:
    """CunetError where finished figures are of another experiment than the one asked for."""
    before = read_json(path)
    differ = [key for key, value in facts.items() if before.get(key) != value]
    if differ:
        key = differ[0]
        said = f": {before.get(key)}, asked for {facts[key]}" if key in ("steps", "seed") else ""
        raise CunetError(
            f"'{path}' is of another experiment ({key}{said}); choose another --out, or move it."
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data set; without it, the table")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and figures")
    parser.add_argument("--name", choices=ROWS, help="which data set it is (default: its kind)")
    parser.add_argument("--shares", type=int, nargs="+", default=SHARES, metavar="PERCENT",
                        help=f"to train on, 1 to {MOST} (10 20 40 80)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each training ({STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of the shares and trainings (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    args = parser.parse_args(arguments)
    if not all(1 <= share <= MOST for share in args.shares):
        parser.error(f"--shares: expected 1 to {MOST} per cent, found {args.shares}")
    try:
        if args.data is not None:
            experiment(args)
        done = finished(args.out)
        if done:
            draw(done, args.out / "student_report.png")
        print(table(done, args.out))
    except CunetError as error:
        sys.exit(f"Error: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
