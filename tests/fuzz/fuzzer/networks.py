"""The kind `networks`: files of Caffe and PyTorch in which something is wrong, imported."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from foreign_files import caffe_weights, caffemodel, caffemodel_with, pt_of, small_net, wired

import cunet
from fuzzer import npz
from fuzzer.bytes_of import damaged, integer
from fuzzer.case import Case, Kind, Result
from fuzzer.values import changed


class Networks(Kind):
    """A .caffemodel of either kind, a .pt or a .safetensors, with one thing changed."""

    name = "networks"
    growth = 1 << 28

    def prepare(self, folder: Path) -> None:
        from cunet.exchange import milesial, safetensors

        net = small_net(width=1, depth=1, padding="same", batch_norm=True)
        milesial.write(net, folder / "net.safetensors")
        arrays = {
            n: one.read() for n, one in safetensors.read(folder / "net.safetensors")[0].items()
        }
        weights = caffe_weights(small_net(width=1))
        self.files = {
            "net.safetensors": (folder / "net.safetensors").read_bytes(),
            "net.pt": pt_of(arrays),
            "checkpoint.pth": pt_of(arrays, lambda state: {"epoch": 3, "state_dict": state}),
            "net.caffemodel": caffemodel(weights),
            "wired.caffemodel": caffemodel_with(weights, wired(False)),
            "old.caffemodel": caffemodel_with(weights, wired(False), old=True),
            "single.caffemodel": caffemodel(weights, packed=False),
        }
        self.bomb = npz.bomb()

    def make(self, rng: np.random.Generator, folder: Path) -> Case:
        names = list(self.files)
        sort = names[rng.integers(len(names))]
        data, what = mutated(rng, sort, self.files[sort], self.bomb)
        file = folder / f"hostile{Path(sort).suffix}"
        file.write_bytes(data)

        def verdict(result: Result) -> Iterator[str]:
            if result.code == 0:
                for parameter in cunet.load(folder / "out.npz").parameters():
                    if not np.isfinite(parameter.value).all():
                        yield f"{parameter.name} is not finite"

        return Case(["import", file.name, "out.npz"], [file.name], f"{sort}: {what}", ("out.npz",),
                    verdict=verdict)  # fmt: skip


def mutated(
    rng: np.random.Generator, sort: str, data: bytes, bomb: npz.Packed
) -> tuple[bytes, str]:
    """(the file with something in it changed, what)."""
    if rng.random() < 0.4:
        return damaged(rng, data)
    if sort.endswith(".safetensors"):
        size = int.from_bytes(data[:8], "little")
        if rng.random() < 0.1:
            size = integer(rng, 64, size)
            return size.to_bytes(8, "little") + data[8:], f"a header of {size} bytes"
        header, what, _ = changed(rng, json.loads(data[8 : 8 + size]))
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :], what
    if sort.endswith((".pt", ".pth")):
        return other_archive(rng, data, bomb)
    return other_message(rng, data)


def other_archive(rng: np.random.Generator, data: bytes, bomb: npz.Packed) -> tuple[bytes, str]:
    """The ZIP of a .pt with a member changed, its check sum right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members: dict[str, bytes | npz.Packed] = {n: file.read(n) for n in file.namelist()}
    names = list(members)
    name = names[0] if rng.random() < 0.7 else names[rng.integers(len(names))]
    content, what = members[name], ""
    match rng.choice(4, p=[0.8, 0.1, 0.08, 0.02]):
        case 0:
            members[name], what = damaged(rng, content)  # type: ignore[arg-type]
        case 1:
            del members[name]
            what = "missing"
        case 2:
            return npz.zip_of(members.items(), deflate=True), "packed"
        case _:
            members[name], what = bomb, "1.5 GB of zeros"
    return npz.zip_of(members.items()), f"{name}: {what}"


def other_message(rng: np.random.Generator, data: bytes) -> tuple[bytes, str]:
    """A NetParameter with layers doubled, left out or in another order, or one that is cut."""
    from cunet.exchange.protobuf import blob, fields

    parts = [(n, bytes(v)) for n, _, v in fields(memoryview(data)) if not isinstance(v, int)]
    k, more = int(rng.integers(len(parts))), int(rng.integers(len(parts)))
    match rng.integers(4):
        case 0:
            number, content = parts[k]
            content, what = damaged(rng, content)
            parts[k] = number, content
        case 1:
            parts.insert(more, parts[k])
            what = f"part {k} once more at {more}"
        case 2:
            del parts[k]
            what = f"part {k} left out"
        case _:
            parts[k], parts[more] = parts[more], parts[k]
            what = f"parts {k} and {more} exchanged"
    return b"".join(blob(number, content) for number, content in parts), what
