"""A process that imports cunet once and forks others, which run cases in batches under limits.

A forked process gets a fresh copy of all that is loaded, so a case costs milliseconds, and one that
hangs, crashes or eats the memory ends that process alone. Run as a program of its own, since
forking needs a process without threads:

    python -m fuzzer.nursery KIND SEED FIRST COUNT [FOLDER]

It prints one JSON line for every finding and one for the count of exit codes. With a folder, the
files of the first case are left there. search.py starts it. Needs Linux.
"""

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cunet import threads
from cunet.process import limits
from fuzzer import judge
from fuzzer.case import Case, Finding, Kind
from fuzzer.command import run_command
from fuzzer.kinds import kind_named

BATCH = 250  # cases of one forked process
ADDRESSES = 3 << 30  # bytes of address space beyond what the process has: a bomb is stopped there


def generator(kind: Kind, seed: int, number: int) -> np.random.Generator:
    """The random numbers of one case, which depend on nothing else."""
    return np.random.default_rng([seed, number, *kind.name.encode()])


def run_case(
    kind: Kind, seed: int, number: int, work: Path, begins: Callable[[Case], None]
) -> tuple[int, list[Finding]]:
    """One case, from its making to its judgement; (exit code, findings). begins(case) is called
    when it is made."""
    folder, words, temporary = work / "case", work / "words", work / "tmp"
    for path in (folder, words, temporary):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    tempfile.tempdir = str(temporary)
    case = kind.make(generator(kind, seed, number), folder)
    begins(case)
    before = judge.snapshot(folder)
    result = run_command(case.command, folder, words)
    threads.set_threads(1)
    after = judge.snapshot(folder)
    here = os.getcwd()
    os.chdir(folder)
    try:
        wrong = list(judge.complaints(kind, case, result, before, after))
    finally:
        os.chdir(here)
    if left := os.listdir(temporary):
        wrong.append(("leftover", f"in the folder of temporary files: {', '.join(left[:5])}"))
    about = case.story, tuple(case.command)
    return result.code, [Finding(kind.name, seed, number, *one, *about) for one in wrong]


def _child(kind: Kind, seed: int, numbers: range, work: Path, pipe: int) -> None:
    """The life of a forked process: a line of JSON for the beginning and the end of every case."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (kind.file_size, kind.file_size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    limits.limited = dict  # the limit is ours; cunet would fork for every case

    def tell(document) -> None:
        os.write(pipe, json.dumps(document).encode() + b"\n")

    def begins(case: Case) -> None:
        tell({"story": case.story, "command": case.command})

    for number in numbers:
        tell({"begins": number})
        try:
            code, found = run_case(kind, seed, number, work, begins)
        except Exception as error:
            where = " ".join(traceback.format_exc().splitlines()[-3:])
            code, found = -1, [Finding(kind.name, seed, number, "harness", f"{error!r} {where}")]
        tell({"ends": number, "code": code, "findings": [one.as_dict() for one in found]})


def batches(
    kind: Kind, seed: int, numbers: range, work: Path
) -> Iterator[tuple[int | None, list[Finding]]]:
    """Runs the cases; yields (exit code or None, findings) of each in their order."""
    first = numbers.start
    while first < numbers.stop:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(ours)
                _child(kind, seed, range(first, min(first + BATCH, numbers.stop)), work, theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        running, about, why = None, {}, ""
        for document in _lines(ours, child, kind.seconds):
            if isinstance(document, str):
                why = document
            elif "begins" in document:
                running, about = document["begins"], {}
            elif "story" in document:
                about = document
            else:
                yield document["code"], [Finding(**one) for one in document["findings"]]
                first, running = document["ends"] + 1, None
        os.close(ours)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if running is not None:  # it began a case and did not end it
            ended = f"the process ended: {os.waitstatus_to_exitcode(status)}"
            sort, text = ("hang", why) if why else ("crash", ended)
            yield None, [Finding(kind.name, seed, running, sort, text, **about)]
            first = running + 1


def _lines(pipe: int, child: int, seconds: float) -> Iterator[dict | str]:
    """Documents from the pipe until its end; a last text where the child must be stopped.

    Its own time counts, so that other work on the machine makes no difference; but who waits and
    does nothing must not wait for long.
    """
    rest, since, used = b"", time.monotonic(), _busy(child)
    while True:
        if not select.select([pipe], [], [], seconds / 20)[0]:
            waited, worked = time.monotonic() - since, _busy(child) - used
            idle = waited > seconds and worked < seconds / 30 and not _wants_to_run(child)
            if worked > seconds or idle or waited > 600:
                yield f"stopped after {waited:.0f} s, of which it worked {worked:.1f} s"
                return
            continue
        part = os.read(pipe, 1 << 16)
        if not part:
            return
        *lines, rest = (rest + part).split(b"\n")
        yield from map(json.loads, lines)
        since, used = time.monotonic(), _busy(child)


def _busy(process: int) -> float:
    """The seconds of processor time that a process and those it waited for have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _wants_to_run(process: int) -> bool:
    """Whether a process would compute if a processor were free for it."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def begin(kind: Kind, shared: Path) -> None:
    """Makes what the cases share; a process with threads could not be forked afterwards."""
    threads.set_threads(1)
    shared.mkdir(parents=True)
    kind.prepare(shared)
    if len(os.listdir("/proc/self/task")) > 1:
        raise OSError(f"the preparation of {kind.name} left threads behind")


def main() -> None:
    name, *rest = sys.argv[1:5]
    seed, first, count = map(int, rest)
    kind, codes = kind_named(name), Counter()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="cunet-fuzz-", dir=memory if os.access(memory, os.W_OK) else None
    ) as work:
        begin(kind, Path(work) / "shared")
        for code, found in batches(kind, seed, range(first, first + count), Path(work)):
            codes[str(code)] += 1
            for one in found:
                print(json.dumps(one.as_dict()), flush=True)
    print(json.dumps({"codes": codes}), flush=True)
    if len(sys.argv) > 5:
        folder = Path(sys.argv[5])
        kind = kind_named(name)
        begin(kind, folder / "shared")
        (folder / "files").mkdir()
        case = kind.make(generator(kind, seed, first), folder / "files")
        print(json.dumps({"story": case.story, "command": case.command}), flush=True)


if __name__ == "__main__":
    main()
