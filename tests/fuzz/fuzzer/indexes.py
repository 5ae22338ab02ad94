"""The kind `indexes`: index files and records of networks in which something is wrong."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from fuzzer import nets, pictures
from fuzzer.bytes_of import damaged
from fuzzer.case import Case, Kind, Result
from fuzzer.spoiled import gone, odd_json
from fuzzer.values import changed

ELSEWHERE = ("../mito.npz", "/etc/passwd", "a/../../mito.npz", "C:\\mito.npz", "nul.npz", "..",
             "mito.npz\0", "~/mito.npz", "file:///etc/passwd", "file://host/share/mito.npz",
             "//host/share/mito.npz", "ftp://127.0.0.1/mito.npz", "data:,mito", "pipe.npz",
             "\\\\host\\share\\mito.npz", "mito.npz#a", "%2e%2e.npz", "http://[::1")  # fmt: skip


class Indexes(Kind):
    """An index, listed, asked and fetched from; or the record beside a network that is applied."""

    name = "indexes"

    def prepare(self, folder: Path) -> None:
        from cunet.models import get

        self.model = nets.save(folder / "net.npz").read_bytes()
        self.image = pictures.cells(np.random.default_rng(1), pictures.HEIGHT, pictures.WIDTH)
        self.module = get  # loaded once, before cases are forked
        os.environ["CUNET_CACHE"], os.environ["CUNET_MODELS"] = "cache", "share"
        os.environ.pop("CUNET_INDEX", None)

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        if rng.random() < 0.25:
            return self._record(rng, folder)
        (folder / "mito.npz").write_bytes(self.model)
        (folder / "mito.md").write_text("# A card\n")
        os.mkfifo(folder / "pipe.npz")
        file = folder / "index.json"
        file.write_text(json.dumps({"other": self._entry(), "mito": self._entry()}))
        story = self._spoil(rng, file)
        name = ("mito", "other")[rng.integers(2)]
        command = [["list"], ["info", name], ["get", name], ["get", name]][rng.integers(4)]
        command = ["models", *command, "--index", "index.json", "--json"]

        def verdict(result: Result) -> Iterator[str]:
            kept = folder / "cache" / "models" / f"{name}.npz"
            if result.code == 0:
                json.loads(result.out)
            if result.code == 0 and "get" in command and kept.read_bytes() != self.model:
                yield "another file than the one of the index was kept"
            if result.code and kept.exists():
                yield "a file was kept"

        return Case(command, ["index.json", f"'{name}'"], story, ("cache/*",), verdict=verdict)

    def _entry(self) -> dict:
        sha256 = hashlib.sha256(self.model).hexdigest()
        entry = {"file": "mito.npz", "bytes": len(self.model), "sha256": sha256}
        return entry | {"urls": ["no.npz", "mito.npz"], "license": "CC0", "for": "mitochondria",
                        "card": "mito.md"}  # fmt: skip

    def _spoil(self, rng: np.random.Generator, file: Path) -> str:
        """Changes an index; what was done."""
        choice, document = rng.random(), json.loads(file.read_text())
        if choice < 0.1:
            return gone(rng, file)
        if choice < 0.25:
            data, story = damaged(rng, file.read_bytes())
        elif choice < 0.6:
            where, word = ELSEWHERE[rng.integers(len(ELSEWHERE))], ("urls", "file", "card", "name")
            key = word[rng.integers(4)]
            if key == "name":
                document[where] = document.pop("mito")
            else:
                document["mito"][key] = [where] if key == "urls" else where
            data, story = json.dumps(document).encode(), f"{key}: {where!r}"
        elif choice < 0.8:
            data, story, _ = odd_json(rng, document)
        else:
            document, story, _ = changed(rng, document)
            data = json.dumps(document).encode()
        file.write_bytes(data)
        return story

    def _record(self, rng: np.random.Generator, folder: Path) -> Case:
        """A network whose record, or whose file, is not as it should be."""
        (folder / "share").mkdir()
        file, record = folder / "share" / "mito.npz", folder / "share" / "mito.json"
        file.write_bytes(self.model)
        record.write_text(json.dumps(self._entry()))
        choice = rng.random()
        if choice < 0.15:
            story = gone(rng, record)
        elif choice < 0.5:
            data, story, _ = odd_json(rng, self._entry())
            record.write_bytes(data)
        else:
            data, story = damaged(rng, [file, record][int(choice < 0.7)].read_bytes())
            [file, record][int(choice < 0.7)].write_bytes(data)
        tifffile.imwrite(folder / "image.tif", self.image, photometric="minisblack")

        def verdict(result: Result) -> Iterator[str]:
            if result.code:
                return
            yield from nets.unsound_products(folder / "out")
            if record.is_file():
                found = json.loads(record.read_text())["sha256"].lower()
                if found != hashlib.sha256(file.read_bytes()).hexdigest():
                    yield "a file was applied that its record does not name"

        command = ["segment", "image.tif", "--model", "mito", "--out", "out", "--threads", "1"]
        names = ["mito.npz", "mito.json", "'mito'"]
        return Case(command, names, f"record: {story}", ("out/image_*", "out"), verdict=verdict)
