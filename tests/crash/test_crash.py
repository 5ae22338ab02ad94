"""Every call of a command that changes the disk is interrupted: the process is killed in its place
or in the middle of a write, the disk is full, broken or forbidden, once or from there on, or the
power is cut, so that only what was synced is kept.

Afterwards every file is whole or not there, an error has words and its exit code, and the same
command again or --resume ends with the result of a command that nothing interrupted, bit for bit,
and leaves nothing behind. `pytest -m crash` goes through all calls, which takes hours, and prints
how many they were; the ordinary tests take a fixed part of them.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from queue import SimpleQueue

import pytest
from faulty_disk import Disk
from faulty_disk.cases import cases
from faulty_disk.points import (
    KINDS,
    Straight,
    after_power_cut,
    faults_at,
    light,
    power_cuts,
    straight,
)
from faulty_disk.power_cut import PowerCut

NAMES = ("train", "train-unnamed", "resume", "segment", "overwrite", "ctc", "objects", "png",
         "crossval", "report", "weights", "augment", "demo")  # fmt: skip
# The part that the ordinary tests take: every n-th of the chosen calls
PARTS = [
    ("train", "kill", 3),
    ("train", "torn", 9),
    ("train", "kill-no-locks", 9),
    ("train", "ENOSPC", 6),
    ("train", "ENOSPC-on", 12),
    ("train", "EIO", 9),
    ("train", "EIO-on", 12),
    ("train", "EACCES", 12),
    ("resume", "kill", 8),
    ("segment", "kill", 16),
    ("segment", "kill-no-locks", 25),
    ("segment", "ENOSPC", 20),
    ("segment", "EIO-on", 20),
    ("overwrite", "kill", 25),
    ("overwrite", "EACCES", 25),
    ("objects", "kill", 20),
    ("objects", "ENOSPC-on", 20),
    ("crossval", "kill", 50),
    ("crossval", "ENOSPC-on", 70),
    ("weights", "kill", 5),
]


class Bench:
    """Two servers, the cases, and what each gives without a fault."""

    def __init__(self, base):
        self.base, self.made = base, {}
        self.disks = []
        for name in "ab":
            (base / name).mkdir()
            self.disks.append(Disk(base / name))
        self.free = SimpleQueue()
        for disk in self.disks:
            self.free.put(disk)
        self.cases = cases(self.disks[0], base)

    def straight(self, name, kind="") -> Straight:
        lacks = KINDS[kind][-1] if kind in KINDS else 0
        if (name, lacks) not in self.made:
            found = straight(self.disks[0], self.cases[name], self.base, lacks)
            self.made[name, lacks] = found
        return self.made[name, lacks]

    def each(self, work, jobs):
        """The results of work(disk, job), two at a time."""

        def one(job):
            disk = self.free.get()
            try:
                return work(disk, job)
            finally:
                self.free.put(disk)

        with ThreadPoolExecutor(len(self.disks)) as pool:
            return list(pool.map(one, jobs))

    def interrupted(self, name, kind, targets):
        """What is wrong after a fault at each of these calls; how many of them were reached."""
        case, wanted = self.cases[name], self.straight(name).result
        found = self.each(
            lambda disk, n: faults_at(disk, case, wanted, self.base, kind, n), targets
        )
        return [text for texts, _ in found for text in texts], sum(bool(c) for _, c in found)

    def cut(self, name, every=1):
        """What is wrong after a power cut at each call; the number of states of the disk."""
        case, made = self.cases[name], self.straight(name)
        states = list(power_cuts(case, made))[::every]
        found = self.each(
            lambda disk, state: after_power_cut(disk, case, made.result, self.base, *state), states
        )
        return [text for texts in found for text in texts], len(states)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("crash").resolve())
    yield made
    for disk in made.disks:
        disk.close()


def targets(made, kind, chosen):
    """The calls that a kind of fault can meet. Chosen: of the writes to one file that follow each
    other the first and the last alone."""
    numbers = []
    for (what, _), group in groupby(enumerate(made.points, 1), lambda pair: pair[1]):
        group = [number for number, _ in group]
        if what == "write" or kind != "torn":
            numbers += group if not chosen or len(group) == 1 else [group[0], group[-1]]
    return numbers


def report(faults):
    return f"{len(faults)} faults:\n" + "\n".join(faults[:20])


@pytest.mark.parametrize(("name", "kind", "every"), PARTS)
def test_a_part_of_all_calls(bench, name, kind, every):
    numbers = targets(bench.straight(name, kind), kind, True)[::every]
    faults, hits = bench.interrupted(name, kind, numbers)
    assert not faults, report(faults)
    assert hits >= 0.9 * len(numbers) >= 0.9  # the calls of two trainings may differ by a few


@pytest.mark.parametrize("name", ["train", "resume"])
def test_a_part_of_all_power_cuts(bench, name):
    faults, states = bench.cut(name, 3)
    assert not faults, report(faults)
    assert states > 3


@pytest.mark.crash
@pytest.mark.parametrize("kind", [*KINDS, "power"])
@pytest.mark.parametrize("name", NAMES)
def test_all_calls(bench, name, kind, capsys):
    if kind == "power":
        faults, hits = bench.cut(name)
    else:
        # a demonstration takes seconds, and what it does the others do too
        numbers = targets(bench.straight(name, kind), kind, name == "demo")
        numbers = numbers[::30] if name == "demo" else numbers
        faults, hits = bench.interrupted(name, kind, numbers)
    with capsys.disabled():
        print(f"\n{name} {kind}: {hits} points, {len(faults)} faults", flush=True)
    assert not faults, report(faults)


# That the disk sees everything, and that faults of the program are found


@pytest.mark.parametrize("name", ["train", "segment", "overwrite"])
def test_the_trace_holds_all_that_was_done(bench, name):
    """Followed to its end without a power cut, it gives the folder as it is."""
    made, state = (
        bench.straight(name),
        PowerCut(bench.straight(name).folder, bench.cases[name].template),
    )
    for call in made.calls:
        state.go(call)
    there = {
        str(path.relative_to(made.folder)): None if path.is_dir() else path.read_bytes()
        for path in made.folder.rglob("*")
    }
    assert state.content("all", "now") == there
    kept = state.content("synced", "synced")  # and all of it was synced, the names too
    assert {name: data for name, data in kept.items() if "/." not in name} == there
    assert len(made.points) > 100


PLANTED = {
    # written in place, without a hidden file
    "in place": """
from cunet.files import atomic
def create(path):
    return path, open(path, "w+b")
atomic._create, atomic.os.replace = create, lambda a, b: None
""",
    "not synced": """
import os
os.fsync = lambda handle: None
""",
    "named before it is synced": """
import os
from cunet.files import atomic
def publish(part):
    part.file.flush()
    os.replace(part.hidden, part.path)
    os.fsync(part.file.fileno())
    part.file.close()
    atomic.sync_folder(part.path.parent)
atomic.Part.publish = publish
""",
    "the log after the model": """
from cunet.net import checkpoint
from cunet.training.run_folder import RunFolder
def save(run, net, solver, progress):
    checkpoint.save(run.path / "last.npz", net, solver, progress)
    run.flush(sync=True)
RunFolder.save_last = save
""",
    "errors as they come": """
from cunet.files import atomic
atomic.write_error = lambda error, path, needed=0: error
""",
    "hidden files stay": """
from cunet.files import atomic
atomic.Part.discard = lambda part: part.file.close()
""",
    "locks stay": """
import json, os
from cunet.errors import CunetError
from cunet.files import lock
def opened(path, what):
    if path.exists():
        raise CunetError("locked")
    return os.open(path, os.O_RDWR | os.O_CREAT), True
lock._open = opened
""",
}


@pytest.mark.parametrize(
    ("planted", "name", "kind", "words"),
    [
        ("in place", "train", "torn", "is not whole"),
        ("in place", "resume", "ENOSPC", "which was there before, is gone"),
        ("not synced", "train", "power", "is not whole"),
        ("named before it is synced", "train", "power", "is not whole"),
        ("the log after the model", "train", "power", "log.csv differs"),
        ("errors as they come", "train", "EIO", "a hidden name in|no word of"),
        ("hidden files stay", "train", "ENOSPC", "left behind"),
        ("locks stay", "train", "kill", "exit 2"),
    ],
)
def test_a_planted_fault_is_found(bench, tmp_path, planted, name, kind, words):
    script = tmp_path / "planted.py"
    script.write_text(light.read_text() + PLANTED[planted])
    case = replace(bench.cases[name], name=tmp_path.name, patches=script)
    made, (disk, base) = straight(bench.disks[0], case, bench.base), (bench.disks[0], bench.base)
    if kind == "power":
        states = power_cuts(case, made)
        found = (after_power_cut(disk, case, made.result, base, *state) for state in states)
    else:
        numbers = targets(made, kind, True)[3::5]
        found = (faults_at(disk, case, made.result, base, kind, n)[0] for n in numbers)
    assert any(re.search(words, text) for texts in found for text in texts)
