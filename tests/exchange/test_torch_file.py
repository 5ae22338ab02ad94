"""What torch.save writes, read without PyTorch: arrays come out as they went in, and what a file
asks to be run is refused and not run."""

import io
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
from foreign_files import Pickled, call, named, pickled, pt_file, pt_of, tensor

from cunet.errors import DataError
from cunet.exchange import torch_file
from cunet.exchange.torch_pickle import Refused, Unpickler

W = np.arange(12, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pt"


def read(path, data):
    path.write_bytes(data)
    return torch_file.read(path)


def refusal(path, data):
    with pytest.raises(DataError) as raised:
        found, _ = read(path, data)
        found["w"].read()
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_arrays_come_out_as_they_went_in(path):
    state = {"w": W.reshape(3, 4), "d": W.astype(np.float64), "h": W.astype(np.float16),
             "n": np.array(3, np.int64)}  # fmt: skip
    found, inside = read(path, pt_of(state))
    assert inside == "" and found.keys() == state.keys()
    for name, value in state.items():
        assert np.array_equal(found[name].read(), value) and found[name].shape == value.shape
        assert found[name].kind == value.dtype.name


def test_views_of_one_storage(path):
    """A part, a transposed array, and a bfloat16."""
    half = (W.view("<u4") >> 16).astype("<u2")
    state = {
        "part": tensor(0, (2, 3), offset=4, count=12),
        "turned": tensor(0, (4, 3), strides=(1, 4), count=12),
        "half": tensor(1, (12,), "bfloat16"),
    }
    found, _ = read(path, pt_file(state, [W.tobytes(), half.tobytes()]))
    assert np.array_equal(found["part"].read(), W[4:10].reshape(2, 3))
    assert np.array_equal(found["turned"].read(), W.reshape(3, 4).T)
    assert np.array_equal(found["half"].read(), W)


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "weights"])
def test_a_checkpoint_is_unwrapped(path, name):
    def around(state):
        loss = {"loss": state["w"]} if name != "weights" else {}
        return {"epoch": 3, **loss, "best": None, "lrs": [1, True, 0.5], name: state}

    found, inside = read(path, pt_of({"w": W}, around))
    assert inside == name and np.array_equal(found["w"].read(), W)


@pytest.mark.parametrize("names", [("state_dict", "net"), ("student", "teacher")], ids=str)
def test_of_several_state_dicts_none_is_chosen(path, names):
    data = pt_of({"w": W}, lambda state: {"epoch": 3} | dict.fromkeys(names, state))
    said = refusal(path, data)
    assert "several state dicts" in said and all(f"'{name}'" in said for name in names)


def test_commands_of_later_protocols(path):
    """What pickle itself writes in each protocol of the values that state dicts have."""
    value = {"a": [1, 300, -5, 70000, 2.5, True, None, "grey"], "b": (), "c": (1,), "d": (1, 2, 3)}
    value["e"] = value["a"]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert Unpickler(pickle.dumps(value, protocol)).load() == value


class Trap:
    """Leaves a trace where a pickle is run."""

    ran = False

    def __reduce__(self):
        return setattr, (Trap, "ran", True)


def test_code_is_refused_and_not_run(path):
    marker = path.with_name("ran")
    shell = call("os.system", f"touch {marker}")
    for bad, words in (
        (shell, "asks for os.system"),
        (call("builtins.eval", "1"), "asks for builtins.eval"),
        (named("unet.unet_model.UNet"), "asks for unet.unet_model.UNet"),
        (call("torch.FloatStorage", 3), "calls torch.FloatStorage"),
        (call("collections.OrderedDict", [1]), "calls collections.OrderedDict"),
        (Pickled(b"(I1\n."), "command"),
        (Pickled(b"(lios\nsystem\n."), "command"),
    ):
        said = refusal(path, pt_file({"w": bad}))
        assert words in said and "torch.save(model.state_dict()" in said
    for protocol in range(2, 6):
        with pytest.raises(Refused, match="asks for .*builtin.*setattr"):
            Unpickler(pickle.dumps(Trap(), protocol)).load()
    assert not marker.exists() and not Trap.ran


OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (OLD, "PyTorch before 1.6.*torch.save"),
        (pt_file({"w": 3}), "no state dict"),
        (pt_file([1]), "no state dict"),
        (pt_file({"w": tensor(0, (3,))}), "no data/0"),
        (pt_file({"w": tensor(0, (3,))}, [b"1234"]), "4 bytes, not 12"),
        (pt_file({"w": tensor(0, (9,), count=3)}, [bytes(12)]), "in 3 numbers"),
        (pt_file({"w": tensor(0, (2,), offset=2, count=3)}, [bytes(12)]), "in 3 numbers"),
        (pt_file({"w": tensor(0, (1 << 20,), strides=(0,), count=3)}, [bytes(12)]), "in 3 numb"),
        (pt_file({"w": tensor(0, (2,), strides=(-1,), count=3)}, [bytes(12)]), "no numbers"),
        (pt_file({"w": tensor(0, (1,))}, [bytes(4)], byteorder=b"big"), "highest byte first"),
        (pt_file({"w": tensor(0, (1,))}, [bytes(4)], packing=zipfile.ZIP_DEFLATED), "packed"),
        (pt_file(b"\x80\x02" + b"]" * 3_000_000), "3,000,002 bytes"),
        (pt_file(b"\x80\x02X" + struct.pack("<I", 1 << 31)), "cut off"),
        (pt_file(b"\x80\x02h\x07."), "KeyError"),
        (pt_file(b"\x80\x02Nr\xff\xff\xff\xff."), "no state dict"),
        (pt_file(b"\x80\x02."), "IndexError"),
        (pt_file(b"\x80\x02X\x01\x00\x00\x00\xff."), "no text"),
        (pt_file(b"\x80\x02}()Ns."), "damaged|key"),
        (b"PK\x03\x04" + bytes(100), "not a ZIP"),
        (pt_of({"w": W})[:-30], "not a ZIP"),
        (pt_of({"w": W}).replace(W.tobytes(), W[::-1].tobytes()), "CRC"),
    ],
)
def test_damaged_files_are_refused(path, data, words):
    assert re.search(words, refusal(path, data))


def test_two_members_of_one_name_and_two_archives(path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in ("a/data.pkl", "b/data.pkl"):
            file.writestr(name, pickled({}))
    assert "several data.pkl" in refusal(path, data.getvalue())


def test_nested_tuples_cost_nothing():
    """Two to the power of 60 leaves, by reference; as a key they would be walked for ever."""
    program = b"\x80\x02)" + b"q\x00h\x00\x86" * 60
    assert len(Unpickler(program + b".").load()) == 2
    with pytest.raises(Refused, match="key"):
        Unpickler(b"\x80\x02}" + program[2:] + b"Ns.").load()
