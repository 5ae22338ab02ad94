"""Loops compiled by Numba: where it cannot be loaded, and where its cache is not to be trusted."""

import itertools
import os
import pickle
import signal
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cunet.compiled import _look, compiled, only_ours
from cunet.engines.gpu import cuda
from cunet.errors import DeviceError

posix = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")


def double(x):
    return 2 * x


@pytest.fixture
def numba(monkeypatch, tmp_path):
    """A double of Numba: it notes whether each compilation is kept, in a folder of this test."""
    module = ModuleType("numba")
    module.kept, module.broken, module.folder = [], None, tmp_path / "cache"
    module.typeof, module.interrupted = type, False
    module.folder.mkdir(mode=0o700)

    def njit(cache=False, nogil=False):
        assert nogil

        def compile_(loop):
            def call(*arrays):
                assert tuple(map(type, arrays)) in call.overloads
                return loop(*arrays)

            def compile_for(kinds):
                if module.interrupted:
                    signal.raise_signal(signal.SIGINT)
                module.kept.append(cache)
                if cache and module.broken:
                    raise module.broken
                call.overloads[kinds] = loop

            call.overloads, call.compile = {}, compile_for
            call.stats = SimpleNamespace(cache_path=str(module.folder))
            return call

        return compile_

    module.njit = njit
    monkeypatch.setitem(sys.modules, "numba", module)
    return module


def test_machine_code_is_kept_in_a_folder_of_ours(numba):
    assert compiled(double)(4) == 8 and numba.kept == [True]


def test_arrays_that_look_alike_are_of_one_type_for_numba():
    from numba import typeof

    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    locked = square.copy()
    locked.setflags(write=False)
    shifted = np.frombuffer(bytes(41), np.uint8)[1:].view(np.float32).reshape(2, 5)
    arrays = [square, square.T, square[::2], square.astype(np.float64), square[0], locked, shifted]
    values = [*arrays, square + 1, square.astype(">f4").astype(np.float32), 3, 3.5, np.float32(3)]
    for one, other in itertools.combinations(values, 2):
        assert _look(one) != _look(other) or typeof(one) == typeof(other)
    assert _look(square + 1) == _look(square * 2)


def test_an_interruption_waits_until_it_is_compiled(numba):
    """In the middle it may leave Numba's lock closed, for which other threads wait for ever."""
    numba.interrupted, call = True, compiled(double)
    with pytest.raises(KeyboardInterrupt):
        call(4)
    assert numba.kept == [True] and call(4) == 8 and numba.kept == [True]


@posix
@pytest.mark.parametrize("rights", [0o777, 0o770, 0o1777])
def test_machine_code_that_others_may_have_written_is_not_run(numba, rights, monkeypatch):
    monkeypatch.setattr("cunet.compiled._group_of_one", lambda group: False)
    numba.folder.chmod(rights)
    assert compiled(double)(4) == 8 and numba.kept == [False]


@pytest.mark.parametrize(
    "error", [OSError(28, "no space"), EOFError(), pickle.UnpicklingError("damaged")]
)
def test_a_cache_that_fails_is_done_without(numba, error):
    numba.broken = error
    assert compiled(double)(4) == 8 and numba.kept == [True, False]


@pytest.mark.parametrize("broken", [None, ModuleType("numba")])  # absent; half of it loaded
def test_numba_that_cannot_be_loaded_is_named(monkeypatch, broken):
    monkeypatch.setitem(sys.modules, "numba", broken)
    with pytest.raises(DeviceError, match="Numba, which compiles .* pip install"):
        compiled(double)(4)


@posix
@pytest.mark.parametrize("alone", [True, False])  # nobody else is in our group
def test_folders_that_are_ours_alone(tmp_path, monkeypatch, alone):
    monkeypatch.setattr("cunet.compiled._group_of_one", lambda group: alone)
    folder = tmp_path / "kept"
    assert only_ours(folder)  # not there yet
    folder.mkdir()
    for rights, ours in ((0o700, True), (0o755, True), (0o775, alone), (0o707, False)):
        folder.chmod(rights)
        assert only_ours(folder) == ours


@posix
def test_kernels_are_not_taken_from_a_folder_that_others_can_write_to(tmp_path, monkeypatch):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "shared"))
    assert cuda.cache_folder() == tmp_path / "shared"
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    own = cuda.cache_folder()
    assert own != tmp_path / "shared" and own == cuda.cache_folder() and only_ours(own)
