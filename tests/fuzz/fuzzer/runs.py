"""The kind `runs`: settings, run folders and cross-validations in which a file is wrong."""

import csv
import itertools
import json
import shutil
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from cunet.pictures import charts
from fuzzer import layouts, models, npz, pictures
from fuzzer.bytes_of import damaged
from fuzzer.case import Case, Kind, Result
from fuzzer.command import succeed
from fuzzer.spoiled import gone, odd_csv, odd_json, odd_toml

DRAWING = ("cunet.reporting.cells", "cunet.reporting.curves", "cunet.reporting.isbi")
KEPT = (".toml", ".json", ".csv", ".npz", ".tif")  # what a run keeps; not locks and reports
SCRIPT = "<script>alert(1)</script>"


class Runs(Kind):
    """A run folder, a cross-validation or a file of settings in which one thing is wrong."""

    name = "runs"
    draws = False

    def prepare(self, folder: Path) -> None:
        """A run, a cross-validation and their data. Nothing in them depends on the clock or on
        where they lie, so that a number always means the same case."""
        rng = np.random.default_rng(7)
        self.shared = folder
        layouts.isbi(folder / "data", pictures.cells(rng, 4, 24, 24))
        layouts.write(folder / "image.tif", pictures.cells(rng, 24, 20))
        usual = [*layouts.TINY, "--data", "data", "--validate-every", "2", "-q"]
        for module in DRAWING:
            import_module(module).line_chart = self.line_chart
        ticks = itertools.count()
        with (
            mock.patch("time.perf_counter", lambda: 0.001 * next(ticks)),
            mock.patch("time.strftime", lambda form: "2015-05-18 00:00:00"),
        ):
            succeed(["train", *usual, "--fold", "0/4", "--out", "run"], folder)
            succeed(["crossval", *usual, "--folds", "2", "--out", "cv"], folder)
        succeed(["report", "run", "-q"], folder)  # loads what a report needs
        (folder / "run" / "report.html").unlink()
        for file in folder.rglob("*.toml"):
            file.write_text(file.read_text().replace(str(folder.resolve()), "../shared"))
        for file in folder.rglob("env.json"):
            facts = json.loads(file.read_text())
            blas = sorted(facts["blas"], key=str)  # listed in no fixed order
            file.write_text(json.dumps(facts | {"blas": blas, "platform": "Linux"}, indent=2))
        self.bomb = npz.bomb(1 << 28)

    def line_chart(self, name: str, lines: Iterable, *more: Any, **options: Any) -> str:
        """A line of text in place of a chart, since matplotlib takes longer than all the rest of a
        report; what it was to draw must be numbers all the same. A few charts are drawn."""
        if self.draws:
            return charts.line_chart(name, lines, *more, **options)
        for line in lines:
            np.asarray(line.x, float), np.asarray(line.y, float)
        return f"<p>{len(lines)} lines</p>"

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        choice = rng.random()
        self.draws = bool(rng.random() < 0.02)
        if choice < 0.3:
            return self._settings(rng, folder)
        if choice < 0.8:
            return self._run(rng, folder)
        return self._crossval(rng, folder)

    def _settings(self, rng: np.random.Generator, folder: Path) -> Case:
        good = tomllib.loads((self.shared / "run" / "run.toml").read_text())
        good |= {"out": "new"}
        text, what, key = odd_toml(rng, good)
        (folder / "settings.toml").write_bytes(text)
        command = ["train", "--config", "settings.toml", "--dry-run", "--json"]
        names = ["settings.toml", key, key.replace("_", " "), "../shared", "U-Net", "'xxxx"]
        return Case(command, names, f"settings: {what}", verdict=sound_json)

    def _run(self, rng: np.random.Generator, folder: Path) -> Case:
        shutil.copytree(self.shared / "run", folder / "run")
        names = ("run.toml", "env.json", "log.csv", "metrics.json", "last.npz", "best.npz")
        name = names[rng.choice(6, p=[0.3, 0.2, 0.2, 0.12, 0.12, 0.06])]
        what, key = self._spoil(rng, folder / "run" / name)
        shutil.copy(self.shared / "image.tif", folder)
        command, verdict = [
            (["report", "run", "--json"], sound_report),
            (["train", "--resume", "run", "--dry-run", "--json"], sound_json),
            (["train", "--resume", "run", "--steps", "6", "--json"], sound_run),
            (["segment", "image.tif", "--model", "run", "--out", "out", "--json"], sound_json),
        ][rng.choice(4, p=[0.4, 0.2, 0.25, 0.15])]
        names = [name, "'run'", "run/", key, key.replace("_", " "), "../shared"]
        names += ["'image.tif'", "'xxxx", "after step"]  # a training that diverges
        may = ("run/*", "out", "out/image_*")
        return Case(
            command, names, f"{name}: {what}", may, ("run/report.html", "run/*.npz"), True, verdict
        )

    def _crossval(self, rng: np.random.Generator, folder: Path) -> Case:
        shutil.copytree(self.shared / "cv", folder / "cv")
        files = sorted(p for p in (folder / "cv").rglob("*") if p.suffix in KEPT)
        weights = np.array(
            [8.0 if p.name in ("crossval.toml", "scores.json") else 1 for p in files]
        )
        file = files[rng.choice(len(files), p=weights / weights.sum())]
        what, key = self._spoil(rng, file)
        command = ["crossval", "--resume", "cv", "--json"]
        command += ["--dry-run"] if rng.random() < 0.3 else []
        names = [file.name, "'cv'", "cv/", key, "../shared"]
        story = f"{file.relative_to(folder)}: {what}"
        return Case(command, names, story, ("cv/*",), ("cv/*",), True, sound_json)

    def _spoil(self, rng: np.random.Generator, file: Path) -> tuple[str, str]:
        """Changes a file of a run; (what was done, the key in it)."""
        choice, data = rng.random(), file.read_bytes()
        if choice < 0.25:
            return gone(rng, file), file.name
        key = file.name
        if choice < 0.4:
            data, what = damaged(rng, data)
        elif file.suffix == ".toml":
            data, what, key = odd_toml(rng, tomllib.loads(data.decode()))
        elif file.suffix == ".json":
            data, what, key = odd_json(rng, json.loads(data))
        elif file.suffix == ".csv":
            data, what = odd_csv(rng, data.decode())
        elif file.suffix == ".npz" and file.name != "held_out.npz":
            data, what = models.mutated(rng, data, self.bomb)
        else:
            data, what = damaged(rng, data)
        file.write_bytes(data)
        return what, key


def strict(text: str) -> object:
    """JSON without NaN and Infinity, which are no JSON."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def sound_json(result: Result) -> Iterator[str]:
    """The answer on stdout is one JSON document."""
    if result.code == 0:
        try:
            strict(result.out)
        except ValueError as error:
            yield f"--json printed {result.out[:100]!r}: {error}"


def sound_report(result: Result) -> Iterator[str]:
    yield from sound_json(result)
    page = Path("run/report.html")
    if result.code == 0 and SCRIPT in page.read_text(encoding="utf-8", errors="replace"):
        yield "the report holds a script from the run's files"


def sound_run(result: Result) -> Iterator[str]:
    """A resumed run is complete: every step in its log once, or a word on it; figures are JSON."""
    yield from sound_json(result)
    if result.code:
        return
    with open("run/log.csv", newline="", encoding="utf-8", errors="replace") as file:
        steps = [row.get("step") for row in csv.DictReader(file)]
    if steps != [str(n) for n in range(1, 7)] and "log.csv" not in result.err:
        yield f"log.csv holds the steps {', '.join(map(str, steps))}, and no word of it"
    try:
        strict(Path("run/metrics.json").read_text())
    except ValueError as error:
        yield f"metrics.json: {error}"
    data = Path("run/last.npz").read_bytes()
    with zipfile.ZipFile("run/last.npz") as file:
        names = file.namelist()
    yield from (f"last.npz: {text}" for text in models.unsound_arrays(data, names))
