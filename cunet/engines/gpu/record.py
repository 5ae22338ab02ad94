"""What is recorded of each net on a GPU, kept beside the net and not on it."""

import weakref
from dataclasses import dataclass, field
from typing import Any

from cunet.backend import Array
from cunet.engines.gpu import convolution
from cunet.engines.gpu.conv import choose
from cunet.engines.gpu.cuda import DTYPES
from cunet.engines.gpu.elements import plain
from cunet.engines.gpu.graphs import Graph, Inbox, Place
from cunet.engines.gpu.packing import Packed


@dataclass
class Record:
    """What is recorded of one net: the arrays of its parameters, whose addresses its graphs hold,
    how they pack filters, the stream and the memory of the graphs, and for each shape of tile the
    array its images go into and the graph of its prediction."""

    values: list[Array]
    packed: Packed
    place: Place = field(default_factory=Place)
    predictions: dict[tuple[int, ...], tuple[Inbox, Graph]] = field(default_factory=dict)

    def replaced(self, net: Any) -> str | None:
        """The first parameter of the net whose array is another one now; None where none is."""
        for p, value in zip(net.parameters(), self.values, strict=True):
            if p.value is not value:
                return p.name
        return None


_records: "weakref.WeakKeyDictionary[Any, Record]" = weakref.WeakKeyDictionary()


def record_of(net: Any) -> Record:
    """The record of this net, a new one where there is none, or where arrays were replaced."""
    record = _records.get(net)
    if record is None or record.replaced(net) is not None:
        values = [plain(p.value) for p in net.parameters()]
        record = _records[net] = Record(values, Packed(filters_of(net), DTYPES[net.precision]))
    return record


def filters_of(net: Any) -> list[Array]:
    """The filters of a net that are packed: those of all layers but the first and the last."""
    values = [p.value for p in net.parameters()]
    return [w for w in values if w.ndim == 4 and choose(w) is convolution]


def forget(net: Any) -> None:
    """Drop the record of a net, and with it the memory of its graphs."""
    _records.pop(net, None)


def recorded_bytes(net: Any) -> int:
    """Bytes on the GPU that the record of this net holds."""
    return _records[net].place.bytes() if net in _records else 0
