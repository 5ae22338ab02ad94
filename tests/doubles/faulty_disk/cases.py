"""The commands that are interrupted: each on folders that take it a fraction of a second."""

import shutil
from collections.abc import Callable
from pathlib import Path

import tifffile
from isbi_data import isbi_folder

from cunet.data.synthetic import membranes
from faulty_disk import Disk
from faulty_disk.points import Case, light

TINY = "--preset cpu --solver sgd --width 2 --depth 1 --tile 34 --steps 4 --validate-every 2"
TINY = [*TINY.split(), "--device", "cpu", "--threads", "1"]
EACH = "prob,mask,labels,overlay,table,rois"


def cases(disk: Disk, base: Path) -> dict[str, Case]:
    """All cases by name; their templates are made below `base`."""

    def template(name: str, *commands: list, code: int = 0, of: Path | None = None) -> Path:
        folder = base / "templates" / name
        if of is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(of, folder)
        for command in commands:
            answer = disk.run(command, folder, patches=light)
            assert answer.code == code, answer.err
        return folder

    def same(*command) -> dict[str, Callable[[Path], list]]:
        return {"same": lambda folder: list(command)}

    def or_resume(command: list, run: str, file: str) -> dict[str, Callable[[Path], list]]:
        """The same command again; or --resume, where there is something to resume."""
        resume = [command[0], "--resume", run]
        return {
            "same": lambda folder: command,
            "resume": lambda folder: resume if (folder / run / file).is_file() else command,
        }

    data = isbi_folder(base / "data", 4, 48, 40)
    images, labels = membranes(4, 48, 40, seed=3)
    pictures = base / "pictures"
    (pictures / "01").mkdir(parents=True)
    for k in range(2):
        tifffile.imwrite(pictures / "01" / f"t{k:03}.tif", images[k], photometric="minisblack")
    tifffile.imwrite(pictures / "two.tif", images[:2], photometric="minisblack")
    tifffile.imwrite(pictures / "one.tif", images[2], photometric="minisblack")

    empty = template("empty")
    train = ["train", "--data", data, "--fold", "0/2", *TINY]
    named = [*train, "--out", "run"]
    resume = ["train", "--resume", "run"]
    stopped = template("stopped", [*named, "--stop-after", "2"], code=130)
    done = template("done", named)
    model = ["--model", done / "run", "--threads", "1"]
    segment = ["segment", pictures / "two.tif", pictures / "one.tif", *model]
    segment += ["--products", EACH, "--out", "out"]
    other = [*segment, "--threshold", "0.4"]
    older = template("products", segment)
    again = [*other, "--overwrite"]
    ctc = ["segment", pictures / "01", *model, "--products", "ctc,mask", "--out", "01_RES"]
    objects = ["objects", "out", "--products", "labels,table,rois", "--out", "objects"]
    png = ["segment", pictures / "one.tif", *model, "--products", "mask", "--out", "one.png"]
    crossval = ["crossval", "--data", data, "--folds", "2", *TINY, "--steps", "2", "--out", "cv"]
    weights = ["weights", data / "train-labels.tif", "-o", "weights.tif"]
    augment = ["augment", "--data", data, "--tile", "34", "--depth", "1", "-o", "sheet.png"]
    unnamed = {"resume": or_resume(train, "runs/data-1", "run.toml")["resume"]}

    def last_run(folder: Path) -> Path:
        """A run that was killed before it had settings is not found again, but left alone."""
        return max((folder / "runs").glob("data-*"), default=folder)

    demo = ["demo", "--out", "demo", "--steps", "2", "--threads", "1"]
    found = [
        Case("train", empty, named, or_resume(named, "run", "run.toml")),
        Case("train-unnamed", empty, train, unnamed, last_run),
        Case("resume", stopped, resume, same(*resume)),
        Case("segment", empty, segment, same(*segment)),
        Case("overwrite", older, again, same(*again)),
        Case("ctc", empty, ctc, same(*ctc)),
        Case("objects", older, objects, same(*objects)),
        Case("png", empty, png, same(*png)),
        Case("crossval", empty, crossval, or_resume(crossval, "cv", "crossval.toml")),
        Case("report", done, ["report", "run"], same("report", "run"), patches=None),
        Case("weights", empty, weights, same(*weights, "--overwrite")),
        Case("augment", empty, augment, same(*augment, "--overwrite")),
        Case("demo", empty, demo, same(*demo, "--overwrite")),
    ]  # fmt: skip
    return {case.name: case for case in found}
