"""What torch.save wrote, without PyTorch, and without running anything that the file asks for.

Since PyTorch 1.6 such a file is a ZIP of uncompressed members: NAME/data.pkl, a pickle of what was
saved, and NAME/data/0, 1, 2 ..., the numbers of the arrays. A pickle is a program for a machine
with a stack; one of its commands calls a function. Here it can name only what a state dict needs:

    collections.OrderedDict           a dictionary
    torch.FloatStorage ...            a type of numbers
    torch._utils._rebuild_tensor_v2   an array: (numbers, offset, shape, strides ...)
    torch._utils._rebuild_parameter   the array in it

and these are not called either, but understood. Sources: Lib/pickle.py and pickletools.py of Python
(the commands), torch/serialization.py (the ZIP).
"""

import struct
from typing import Any, NamedTuple

STORAGES = {"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
            "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
            "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
            "BoolStorage": "bool"}  # fmt: skip
DICTIONARY, ARRAY, PARAMETER = "collections.OrderedDict", "_rebuild_tensor_v2", "_rebuild_parameter"
KNOWN = {DICTIONARY, f"torch._utils.{ARRAY}", f"torch._utils.{PARAMETER}"}
KNOWN |= {f"torch.{name}" for name in STORAGES}
MAX_SIDES = 8
_MARK = object()


class Refused(ValueError):
    """A pickle that asks for more than a state dict needs; the text says what."""


class Broken(ValueError):
    """Bytes that are no pickle."""


class Name(NamedTuple):
    """A class or function that a pickle names."""

    name: str


class Storage(NamedTuple):
    """Numbers of one type: a member of the ZIP."""

    kind: str
    key: str
    size: int


class Array(NamedTuple):
    """An array in a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# The commands with the sizes of their arguments, and the values of those without any
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_TEXTS = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q"}
_PUT, _GET = {b"q": "<B", b"r": "<I"}, {b"h": "<B", b"j": "<I"}
_VALUES = {b"N": None, b"\x88": True, b"\x89": False, b"(": _MARK}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}


class Unpickler:
    """Reads one pickle; load() returns dictionaries, lists, tuples, numbers, text and Arrays.

    Raises Refused where it names another class or function, Broken where it is no pickle.
    """

    def __init__(self, data: bytes):
        self._data, self._at = data, 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        try:
            while (command := self._take(1)) != b".":
                self._do(command)
            return self._stack.pop()
        except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise Broken(f"byte {self._at}: {type(error).__name__}") from error
        except UnicodeDecodeError as error:
            raise Broken(f"byte {self._at}: no text") from error

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise Broken("it is cut off")
        self._at += count
        return part

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise Broken("it is cut off")
        return self._take(end + 1 - self._at)[:-1].decode()

    def _do(self, command: bytes) -> None:
        stack, memo = self._stack, self._memo
        if command in _NUMBERS:
            stack.append(self._number(_NUMBERS[command]))
        elif command in _TEXTS:
            stack.append(self._take(self._number(_TEXTS[command])).decode())
        elif command == b"\x8a":
            stack.append(int.from_bytes(self._take(self._number("<B")), "little", signed=True))
        elif command in _PUT:
            memo[self._number(_PUT[command])] = stack[-1]
        elif command == b"\x94":
            memo[len(memo)] = stack[-1]
        elif command in _GET:
            stack.append(memo[self._number(_GET[command])])
        elif command in _VALUES:
            stack.append(_VALUES[command])
        elif command in (b"}", b"]", b")"):
            stack.append({b"}": dict, b"]": list, b")": tuple}[command]())
        elif command == b"t":
            stack.append(tuple(self._since_mark()))
        elif command in _TUPLES:
            count = _TUPLES[command]
            values = [stack.pop() for _ in range(count)][::-1]
            stack.append(tuple(values))
        elif command in (b"a", b"e"):
            values = [stack.pop()] if command == b"a" else self._since_mark()
            _of(stack[-1], list).extend(values)
        elif command in (b"s", b"u"):
            values = [stack.pop(), stack.pop()][::-1] if command == b"s" else self._since_mark()
            _set(_of(stack[-1], dict), values)
        elif command == b"c":
            stack.append(_named(self._line(), self._line()))
        elif command == b"\x93":
            name, module = stack.pop(), stack.pop()
            stack.append(_named(_of(module, str), _of(name, str)))
        elif command == b"Q":
            stack.append(_storage(_of(stack.pop(), tuple)))
        elif command == b"R":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_made(_of(function, Name).name, _of(arguments, tuple)))
        elif command == b"b":  # attributes of an OrderedDict: the versions of its modules
            stack.pop()
            _of(stack[-1], dict)
        elif command in (b"\x80", b"\x95"):  # version, and how long the next piece is
            self._take(1 if command == b"\x80" else 8)
        else:
            raise Refused(f"it has the command {command!r}, which no state dict needs")

    def _since_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Broken(f"a {type(value).__name__:.20} where a {kind.__name__} belongs")
    return value


def _set(target: dict, values: list[Any]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=False):
        if type(key) not in (str, int):
            raise Refused(f"it has a dictionary with a key that is a {type(key).__name__}")
        target[key] = value


def _named(module: str, name: str) -> Name:
    if f"{module}.{name}" not in KNOWN:
        raise Refused(f"it asks for {module:.60}.{name:.60}")
    return Name(f"{module}.{name}")


def _storage(told: tuple) -> Storage:
    """("storage", type, member, device, how many numbers)."""
    word, kind, key, _, count = told if len(told) == 5 else [None] * 5
    kind = STORAGES.get(_of(kind, Name).name.removeprefix("torch."))
    if word != "storage" or kind is None or type(count) is not int:
        raise Broken("an array without numbers")
    return Storage(kind, _of(key, str), count)


def _made(function: str, arguments: tuple) -> Any:
    if function == DICTIONARY and not arguments:
        return {}
    if function.endswith(PARAMETER) and arguments:
        return _of(arguments[0], Array)
    if not function.endswith(ARRAY) or len(arguments) < 4:
        raise Refused(f"it calls {function}")
    storage, offset, shape, strides = arguments[:4]
    _of(storage, Storage)
    for sides in (shape, strides, (offset,)):
        if not all(type(n) is int and 0 <= n < 1 << 62 for n in _of(sides, tuple)):
            raise Broken("an array with sides that are no numbers")
    if len(shape) != len(strides) or len(shape) > MAX_SIDES:
        raise Broken(f"an array of {len(shape)} sides and {len(strides)} strides")
    if any(arguments[6:]):  # negated or conjugated: it is not what its numbers say
        raise Refused(f"it has an array with marks ({arguments[6]!r:.60})")
    return Array(storage, offset, shape, strides)
