"""The state dict in a file of torch.save, .pt or .pth: see torch_pickle.py for the format."""

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import DataError, machine_failed, of_system
from cunet.exchange.mapped import damaged, mapped
from cunet.exchange.tensors import Tensor, widened
from cunet.exchange.torch_pickle import Array, Broken, Refused, Unpickler
from cunet.net.npz import Damaged, check_index

MAX_PICKLE = 2_000_000  # bytes: of about 10,000 arrays
INSIDE = ("state_dict", "model_state_dict", "model", "net")  # where checkpoints keep a state dict
SAVE = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of PyTorch before 1.6 begin


def read(path: str | Path) -> tuple[dict[str, Any], str]:
    """(the state dict: Tensors and what else by name, its own name in a checkpoint or "").

    Nothing of the file is run. Errors as in mapped(), and DataError where it is damaged, asks for
    code, or holds no state dict.
    """
    data = mapped(path)
    if data[: len(OLD)] == OLD:
        raise DataError(
            f"network '{path}' is of a PyTorch before 1.6; save it anew with a later one: "
            f"torch.save(torch.load('{Path(path).name}', weights_only=True), 'weights.pt')"
        )
    try:
        archive = _Archive(path, len(data))
        found = Unpickler(archive.member("data.pkl", MAX_PICKLE)).load()
    except Refused as error:
        raise DataError(
            f"network '{path}' is no state dict: {error}. cunet runs nothing that a file asks for; "
            f"{SAVE}"
        ) from error
    except Broken as error:
        raise damaged(path, "file of torch.save", error) from error
    name = ""
    if isinstance(found, dict) and (inside := [k for k, v in found.items() if _arrays(v)]):
        usual = [n for n in INSIDE if n in inside]
        if len(usual) > 1 or (len(inside) > 1 and not usual and not _arrays(found)):
            listed = ", ".join(f"'{n!s:.40}'" for n in (usual or inside)[:5])
            raise DataError(
                f"network '{path}' holds several state dicts ({listed}), and cunet cannot tell "
                f"which is meant; {SAVE}"
            )
        # a checkpoint may hold a loss, an array as well
        only = "" if _arrays(found) else str(inside[0])
        name = usual[0] if usual else only
        found = found.get(name, found)
    if not _arrays(found):
        raise DataError(f"network '{path}' holds no state dict: expected arrays by name; {SAVE}")
    return {
        str(key): archive.tensor(value) if isinstance(value, Array) else value
        for key, value in found.items()
    }, name


def _arrays(found: Any) -> bool:
    return isinstance(found, dict) and any(isinstance(value, Array) for value in found.values())


class _Archive:
    """A ZIP as torch.save writes it: all members lie uncompressed in one folder."""

    def __init__(self, path: str | Path, size: int):
        self.path, self.size = path, size
        self.members: dict[str, zipfile.ZipInfo] = {}
        with self._open() as file:
            for one in file.infolist():
                if one.filename in self.members:
                    raise Broken(f"two members '{one.filename:.60}'")
                self.members[one.filename] = one
        roots = [n.removesuffix("data.pkl") for n in self.members if n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Broken("no data.pkl in it" if not roots else "several data.pkl in it")
        self.root = roots[0]
        if f"{self.root}byteorder" in self.members:
            order = self.member("byteorder", 10)
            if order != b"little":
                raise Refused("its numbers have the highest byte first")

    def _open(self) -> zipfile.ZipFile:
        try:
            with open(self.path, "rb") as file:
                check_index(file, self.size)
            return zipfile.ZipFile(self.path)
        except Exception as error:
            raise self._wrong(error) from error

    def _wrong(self, error: Exception) -> Exception:
        """What to raise: zipfile has many types of errors for damaged bytes."""
        if isinstance(error, OSError) and machine_failed(error):
            return of_system(error, f"cannot read network '{self.path}'")
        told = isinstance(error, Damaged | Broken | zipfile.BadZipFile)
        return Broken(f"{error!s:.100}" if told else type(error).__name__)

    def member(self, name: str, most: int) -> bytes:
        """The bytes of a member of at most `most` bytes, its check sum compared."""
        found = self.members.get(self.root + name)
        if found is None:
            raise Broken(f"no {name:.60}")
        stored = found.compress_type == zipfile.ZIP_STORED and not found.flag_bits & 1
        if not stored or found.file_size != found.compress_size or found.file_size > most:
            raise Broken(f"{name:.60} has {found.file_size:,} bytes, or is packed")
        if found.header_offset + found.file_size > self.size:
            raise Broken(f"{name:.60} ends behind the file")
        with self._open() as file:
            try:
                return file.read(found)
            except MemoryError:
                raise
            except Exception as error:
                raise self._wrong(error) from error

    def tensor(self, array: Array) -> Tensor:
        """An array that is read when it is needed."""

        def numbers() -> np.ndarray:
            try:
                return self._numbers(array)
            except (Broken, Refused) as error:
                raise damaged(self.path, "file of torch.save", error) from error

        return Tensor(array.shape, array.storage.kind, numbers)

    def _numbers(self, array: Array) -> np.ndarray:
        storage, shape, strides = array.storage, array.shape, array.strides
        size = 2 if storage.kind == "bfloat16" else np.dtype(storage.kind).itemsize
        count = prod(shape)
        last = array.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if count > storage.size or (count and last >= storage.size):
            raise Broken(f"an array of {shape} in {storage.size:,} numbers")
        data = self.member(f"data/{storage.key}", self.size)
        if len(data) != storage.size * size:
            raise Broken(f"data/{storage.key:.40}: {len(data):,} bytes, not "
                         f"{storage.size * size:,}")  # fmt: skip
        flat = widened(storage.kind, np.frombuffer(data, np.uint8))[array.offset :]
        steps = [s * flat.itemsize for s in strides]
        return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
