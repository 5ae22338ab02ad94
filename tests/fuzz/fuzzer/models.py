"""The kind `models`: model files whose header, arrays or archive are wrong, applied to an image."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile

import cunet
from fuzzer import nets, npz, pictures
from fuzzer.bytes_of import damaged
from fuzzer.case import Case, Kind, Result
from fuzzer.values import changed

NETS = {
    "plain": {},
    "two deep": {"depth": 2},
    "same": {"padding": "same"},
    "batch normalization": {"batch_norm": True, "padding": "same"},
    "sigmoid": {"sigmoid": True},
    "three classes": {"classes": 3},
    "double": {"dtype": "float64"},
    "release": {"variant": "release2015"},
    "resize": {"resize": 16, "padding": "same"},
}


class Models(Kind):
    """A model file in which one or two things are wrong."""

    name = "models"

    def prepare(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {}
        for name, more in NETS.items():
            net = cunet.UNet(**{"width": 1, "depth": 1, "dropout": 0.0, "seed": 5} | more)
            net.normalization = nets.tiny().normalization
            cunet.save(folder / "net.npz", net)
            self.files[name] = (folder / "net.npz").read_bytes()
        from cunet.net import checkpoint
        from cunet.solvers.adam import Adam

        checkpoint.save(folder / "net.npz", net, half=True)
        self.files["half"] = (folder / "net.npz").read_bytes()
        checkpoint.save(folder / "net.npz", net, Adam(net.parameters(), lr=1e-3), {"step": 4})
        self.files["with its solver"] = (folder / "net.npz").read_bytes()
        self.image = pictures.cells(np.random.default_rng(1), pictures.HEIGHT, pictures.WIDTH)
        self.bomb = npz.bomb()

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        names = list(self.files)
        sort = names[rng.integers(len(names))]
        data, what = mutated(rng, self.files[sort], self.bomb)
        model = folder / "hostile.npz"
        model.write_bytes(data)
        tifffile.imwrite(folder / "image.tif", self.image, photometric="minisblack")
        command = ["segment", "image.tif", "--model", model.name, "--out", "out", "--threads", "1"]

        def verdict(result: Result) -> Iterator[str]:
            if result.code == 0:
                yield from nets.unsound_products(folder / "out")
                yield from unsound_arrays(data, npz.members_of(self.files[sort]).keys())

        story = f"{sort}: {what}"
        names, makes = [model.name, "'image.tif'"], ("out/image_*", "out")
        return Case(command, names, story, makes, verdict=verdict)


def mutated(rng: np.random.Generator, data: bytes, bomb: npz.Packed) -> tuple[bytes, str]:
    """(the model file with something in it changed, what)."""
    if rng.random() < 0.12:
        return damaged(rng, data)
    members = npz.members_of(data)
    header = json.loads(str(npz.array_of(members["header.npy"])))
    deflate, what = bool(rng.random() < 0.2), []
    names = [name for name in members if name != "header.npy"]
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        name = names[rng.integers(len(names))]
        choice = rng.random()
        if choice < 0.4:
            header, said, _ = changed(rng, header)
            members["header.npy"] = npz.bytes_of(np.array(json.dumps(header)))
        elif choice < 0.75:
            members[name], said = npz.changed_array(rng, npz.array_of(self_or(members, name)))
            said = f"{name}: {said}"
        elif choice < 0.82:
            members["header.npy"], said = odd_header(rng, header)
        else:
            return odd_archive(rng, members, name, bomb)
        what.append(said)
    return npz.zip_of(members.items(), deflate), "; ".join(what)


def self_or(members: npz.Members, name: str) -> bytes:
    """A member that is still an array; one that was changed before may not be."""
    try:
        npz.array_of(members[name])
        return members[name]
    except Exception:
        return npz.bytes_of(np.zeros(3, np.float32))


def odd_header(rng: np.random.Generator, header: dict) -> tuple[bytes, str]:
    """A header that is not the JSON it should be."""
    text = json.dumps(header)
    nested = "[" * 100_000
    texts = (
        nested,
        '{"format": 1, "net": ' + nested,
        "null",
        "[1]",
        "",
        text[:-1],
        text * 2,
        "1" * 5000,
    )
    contents = [np.array(t) for t in texts]
    raw = text.encode()
    contents += [np.array([text, text]), np.frombuffer(raw, np.uint8), np.array(raw),
                 np.float64(1), np.array(text + " " * 2_000_000)]  # fmt: skip
    k = int(rng.integers(len(contents)))
    return npz.bytes_of(np.asarray(contents[k])), f"header number {k} of the odd ones"


def odd_archive(
    rng: np.random.Generator, members: npz.Members, name: str, bomb: npz.Packed
) -> tuple[bytes, str]:
    """A ZIP with members too few, too many, twice, or of names from elsewhere."""
    listed = list(members.items())
    match rng.choice(6, p=[0.3, 0.22, 0.22, 0.01, 0.01, 0.24]):
        case 0:
            return npz.zip_of([one for one in listed if one[0] != name]), f"{name} missing"
        case 1:
            return npz.zip_of([*listed, (name, listed[0][1])]), f"{name} twice"
        case 2:
            other = ("../evil.npy", "/etc/x.npy", "x", "\x1b[31m.npy", "a" * 300)[rng.integers(5)]
            return npz.zip_of([*listed, (other, listed[0][1])]), f"another member {other[:20]!r}"
        case 3:
            return npz.zip_of([*listed, ("more.npy", bomb)]), "a further member of 1.5 GB of zeros"
        case 4:
            listed[list(members).index(name)] = name, bomb
            return npz.zip_of(listed), f"{name} of 1.5 GB"
        case _:
            data = bytearray(npz.zip_of(listed))
            place = data.rindex(b"PK\x01\x02")
            at = place + int(rng.integers(8, 46))
            data[at] = int(rng.integers(256))
            return bytes(data), f"byte {at - place} of a directory entry -> {data[at]}"


def unsound_arrays(data: bytes, names: Iterable[str]) -> Iterator[str]:
    """What a model that was accepted must not hold: weights not finite, or of another type than the
    header says (float16 is a rounding that cunet itself writes). names: of the good file's members;
    what else stands in the archive is nobody's business."""
    try:
        names = [name for name in names if not name.startswith("solver/")]  # not applied
        members = npz.members_of(data, names)
        arrays = {n: npz.array_of(c) for n, c in members.items() if n != "header.npy"}
        header = json.loads(str(npz.array_of(members["header.npy"])))
    except Exception as error:
        yield f"accepted, but NumPy says {error!r}"[:200]
        return
    allowed = {np.dtype(header["net"].get("dtype", "float32")), np.dtype(np.float16)}
    for name, array in arrays.items():
        if array.dtype not in allowed:
            yield f"accepted {name} of {array.dtype}"
        elif not np.isfinite(array).all():
            yield f"accepted {name} with values that are not finite"
