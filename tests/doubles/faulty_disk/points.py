"""Commands that are interrupted at each of their calls, and what must be true afterwards.

A Case is a command and how a user goes on after it failed. `faults_at` interrupts it at one call
and returns what is wrong afterwards, in words: nothing, where all is well.
"""

import errno
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faulty_disk import COUNT, FAIL, KILL, NO_LOCKS, TEAR, Answer, Disk
from faulty_disk.power_cut import Call, PowerCut, calls, lay_out

# kind -> mode, errno, whether the disk fails from then on, what its file system does not know
KINDS = {
    "kill": (KILL, 0, False, 0),
    "torn": (TEAR, 0, False, 0),
    "kill-no-locks": (KILL, 0, False, NO_LOCKS),
    "ENOSPC": (FAIL, errno.ENOSPC, False, 0),
    "ENOSPC-on": (FAIL, errno.ENOSPC, True, 0),
    "EIO": (FAIL, errno.EIO, False, 0),
    "EIO-on": (FAIL, errno.EIO, True, 0),
    "EACCES": (FAIL, errno.EACCES, False, 0),
}
CODES = {errno.ENOSPC: 4, errno.EIO: 4, errno.EACCES: 2}
light = Path(__file__).with_name("light.py")  # run before a command
HIDDEN = re.compile(r"\.(.*)\.([0-9a-f]{16}\.part|[0-9a-f]{8}\.lock(-owner.*)?)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """A command that is interrupted.

    template   folder whose content is there before; the command runs in a copy of it
    arguments  of the command
    goes_on    name -> the command that a user gives afterwards, which may depend on the folder
    where      the folder in it where the result is
    patches    a Python file that is run before the command
    """

    name: str
    template: Path
    arguments: list
    goes_on: dict[str, Callable[[Path], list]]
    where: Callable[[Path], Path] = lambda folder: folder
    patches: Path | None = light


@dataclass
class Straight:
    """A command that nothing interrupted.

    folder  in which it ran
    calls   all that it did to the disk
    points  (word, path) of each call that can be interrupted
    result  what it made, without times
    """

    folder: Path
    calls: list[Call]
    points: list[tuple[str, str]]
    result: dict


def contents(folder: Path) -> dict:
    """Name -> what a file holds, without times and what follows from them."""
    return {
        str(path.relative_to(folder)): holds(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def holds(path: Path):
    """What a file holds, without times. Raises an error of any type where it is not whole."""
    if path.suffix == ".npz":
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header"))) if "header" in arrays else {}
        return without_times(header), {
            k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()
        }
    if path.name == "env.json":
        return json.loads(path.read_text())["data"]
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".toml":
        return {k: v for k, v in tomllib.loads(path.read_text()).items() if k != "out"}
    if path.name == "log.csv":
        return [drop(line) for line in path.read_text().splitlines()]
    if path.suffix == ".html":
        assert path.read_text().endswith("</html>\n")
        return "a page"
    return path.read_bytes()


def drop(line: str) -> str:
    """A line of the log without seconds and wait."""
    parts = line.split(",")
    return ",".join(part for k, part in enumerate(parts) if k not in (1, 4))


def without_times(found):
    """A JSON document without what differs from run to run."""
    if isinstance(found, dict):
        times = {"seconds", "model"}
        return {k: without_times(v) for k, v in found.items() if k not in times}
    return [without_times(v) for v in found] if isinstance(found, list) else found


def hidden(folder: Path) -> list[str]:
    """What is left behind: hidden names, and those of Python's temporary files."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    return [name for name in names if re.match(r"\.|tmp", os.path.basename(name))]


def copied(case: Case, folder: Path) -> Path:
    shutil.copytree(case.template, folder, symlinks=True)
    return folder


def straight(disk: Disk, case: Case, base: Path, lacks: int = 0) -> Straight:
    """Run a case without a fault."""
    folder = copied(case, base / f"{case.name}-straight-{lacks}")
    trace = base / f"{case.name}-{lacks}.trace"
    answer = disk.run(case.arguments, folder, COUNT, lacks=lacks, trace=trace, patches=case.patches)
    assert answer.code == 0, answer.err
    assert not hidden(folder), hidden(folder)
    done = list(calls(trace))
    points = [(call.other, call.path) for call in done if call.what == "point"]
    assert len(points) == answer.count
    return Straight(folder, done, points, contents(case.where(folder)))


def faults_at(
    disk: Disk, case: Case, wanted: dict, base: Path, kind: str, target: int
) -> tuple[list[str], str]:
    """What is wrong after a fault of this kind at the call `target`, and which call that was; ""
    where it was not reached or cannot fail in this way."""
    mode, number, lasting, lacks = KINDS[kind]
    folder = copied(case, base / f"{case.name}-{kind}-{target}")
    answer = disk.run(
        case.arguments, folder, mode, target, number, lasting, lacks, patches=case.patches
    )
    call = answer.hit.replace(str(folder), "").replace("\t", " ")
    where = f"{case.name} {kind} {target} ({call}): "
    found = [where + text for text in _after(disk, case, wanted, folder, kind, answer)]
    shutil.rmtree(folder)
    return found, call


def _after(
    disk: Disk, case: Case, wanted: dict, folder: Path, kind: str, answer: Answer
) -> Iterator[str]:
    mode, number, lasting, lacks = KINDS[kind]
    if not answer.hit:
        if answer.code:
            yield f"exit {answer.code} without a fault: {answer.err[-300:]}"
        return
    yield from broken(case, wanted, folder)
    if mode in (KILL, TEAR):
        if answer.code != -9:
            yield f"not killed: {answer.code}"
    else:
        yield from said(case, wanted, folder, answer, CODES[number], lasting)
        removing = answer.hit.startswith(("unlink", "rmdir"))
        if (left := hidden(folder)) and not removing and not (lasting and number == errno.EIO):
            yield f"left behind: {left}"
        if answer.code == 0:
            yield from differs(case, wanted, folder, "exit 0")
    yield from goes_on(disk, case, wanted, folder, lacks)


def goes_on(disk: Disk, case: Case, wanted: dict, folder: Path, lacks: int = 0) -> Iterator[str]:
    """What is wrong after a user went on, in any way there is."""
    given = []
    for way, commands in case.goes_on.items():
        there = folder.with_name(f"{folder.name}+{way}")
        shutil.copytree(folder, there, symlinks=True)
        if commands(there) not in given:
            yield from recovers(disk, case, wanted, there, way, commands(there), given, lacks)
        shutil.rmtree(there)


def recovers(
    disk: Disk,
    case: Case,
    wanted: dict,
    folder: Path,
    way: str,
    command: list,
    given: list,
    lacks: int,
) -> Iterator[str]:
    """What is wrong after a user gave this command, and then the one that it may point to; both are
    added to those given."""
    answer = disk.run(command, folder, lacks=lacks, patches=case.patches)
    given.append(command)
    pointed = re.search(r"--resume ([^\s,]+)", answer.err) if answer.code == 2 else None
    if pointed and "--resume" not in command:
        given.append([command[0], "--resume", pointed[1]])
        answer = disk.run(given[-1], folder, lacks=lacks, patches=case.patches)
        way += ", as told --resume"
    if answer.code:
        yield f"{way}: exit {answer.code}: {answer.err.strip()[-300:]}"
        return
    yield from differs(case, wanted, folder, way)
    # without locks nobody can know whether the file of another process is still written
    left = [
        name
        for name in hidden(case.where(folder))
        if not (lacks & NO_LOCKS and name.endswith(".part"))
    ]
    if left:
        yield f"{way}: left behind: {left}"


def differs(case: Case, wanted: dict, folder: Path, way: str) -> Iterator[str]:
    """What is not as in a folder of a command that nothing interrupted."""
    try:
        found = contents(case.where(folder))
    except Exception as error:
        yield f"{way}: a file is not whole: {type(error).__name__}: {error}"
        return
    found = {k: v for k, v in found.items() if not os.path.basename(k).startswith(".")}
    if names := found.keys() ^ wanted.keys():
        yield f"{way}: other files: {sorted(names)}"
    for name in found.keys() & wanted.keys():
        if found[name] != wanted[name]:
            yield f"{way}: {name} differs"


def broken(case: Case, wanted: dict, folder: Path) -> Iterator[str]:
    """Files under their own names that are not whole. Of those without times (images) the bytes
    are the ones before or after."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            found = holds(path)
        except Exception as error:
            yield f"{name} is not whole: {type(error).__name__}"
            continue
        before = case.template / name
        if isinstance(found, bytes) and found != wanted.get(name):
            if not before.is_file() or before.read_bytes() != found:
                yield f"{name} is neither the file before nor that after"
    for path in case.template.rglob("*"):
        if path.is_file() and not (folder / path.relative_to(case.template)).is_file():
            yield f"{path.name}, which was there before, is gone"


def said(
    case: Case, wanted: dict, folder: Path, answer: Answer, code: int, lasting: bool
) -> Iterator[str]:
    """What is wrong with the exit code and the words after an error of the disk."""
    if answer.code == 0:
        return
    if answer.code != code:
        yield f"exit {answer.code}, expected {code}: {answer.err.strip()[-300:]}"
    if "Traceback" in answer.err:
        yield f"a traceback: {answer.err[-500:]}"
    words = [line for line in answer.err.splitlines() if line.startswith("Error: ")]
    if len(words) != 1:
        yield f"expected one line that begins with Error, found {words}"
        return
    if re.search(r"\.part\b|\.lock", words[0]):
        yield f"a hidden name in: {words[0]}"
    path = Path(answer.hit.split("\t")[1])
    names = named(folder, path)
    if lasting:  # the first failure may be one that does no harm
        tops = {Path(name).parts[0] for name in wanted} | {p.name for p in folder.iterdir()}
        names |= {f"'{top}'" for top in tops} | {f"'{top}/" for top in tops}
    if not any(name in words[0] for name in names):
        yield f"no word of {sorted(names)[:2]} in: {words[0]}"


def named(folder: Path, path: Path) -> set[str]:
    """The names that an error may give to a file, any of them."""
    name = path.name.removesuffix(" (deleted)")
    there = os.path.relpath(path.parent, folder)
    if name.startswith(".lock"):
        return {f"'{there}'"}
    if match := HIDDEN.fullmatch(name):
        return {match[1] + "'", f"'{there}'"} if "lock" in match[2] else {match[1] + "'"}
    if path == folder:
        return {"'"}
    if path.is_dir():  # its names are synced after one of them changed
        return {f"'{path.relative_to(folder)}'", f"'{path.relative_to(folder)}/"}
    return {str(path.relative_to(folder))}


def power_cuts(case: Case, made: Straight) -> Iterator[tuple[str, dict]]:
    """What the disk holds after a power cut before each call: (where and how, content)."""
    state, seen = PowerCut(made.folder, case.template), set()
    for number, call in enumerate([*made.calls, None]):
        for names in ("all", "synced"):
            content = state.content(names, "synced")
            key = repr(sorted((k, v) for k, v in content.items() if v is not None))
            if key not in seen:
                seen.add(key)
                text = f"{call.what} {call.path}" if call else "the end"
                text = text.replace(str(made.folder), "")
                yield f"{case.name}, power cut, names {names}, {number} ({text})", content
        if call is not None:
            state.go(call)


def after_power_cut(
    disk: Disk, case: Case, wanted: dict, base: Path, where: str, content: dict
) -> list[str]:
    """What is wrong after a power cut."""
    folder = base / f"{case.name}-cut-{os.urandom(6).hex()}"
    lay_out(content, folder)
    found = [*broken(case, wanted, folder), *goes_on(disk, case, wanted, folder)]
    shutil.rmtree(folder)
    return [f"{where}: {text}" for text in found]
