"""The runs of `cunet crossval`: one after the other here, or several in processes of their own.

A worker is `cunet crossval --resume DIR --worker RUN`. Every event is a line of JSON on its stdout,
so that it notices when nobody reads any more: it saves and ends. What it says to a person is kept
in DIR/RUN.log.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from cunet.cli import common
from cunet.errors import CunetError
from cunet.threads import available_threads

STOPPED = 130


def complete(cv, run, dataset, device: str, threads: int | None, tell: Callable) -> bool:
    """Train what is left of a run, write its report, score it; False where it was stopped."""
    from cunet.crossvalidation.runs import train_run
    from cunet.crossvalidation.scores import score_run
    from cunet.reporting import write_report

    trained = False
    records = train_run(cv, run, device, threads)
    with common.stop_on_signals() as asked, closing(records):
        for record in records:
            tell(run, record)
            trained = True
            if asked():
                break
    if asked():
        return False
    if trained or not (cv.folder(run) / "report.html").is_file():
        write_report(cv.folder(run))

    def progress(doing: str, done: int, of: int) -> None:
        tell(run, {"doing": doing, "done": done, "of": of})

    found = score_run(cv, run, dataset, device, progress)
    figures = {
        average: {key: value for key, value in scores.items() if isinstance(value, float)}
        for average, scores in found["scores"].items()
    }
    tell(run, {"scores": figures, "seconds": found["seconds"]})
    return True


@dataclass(frozen=True)
class Place:
    """Where a run is trained."""

    device: str
    threads: int | None  # None: all


def places(config, jobs: int | None, runs: int) -> list[Place]:
    """A place for each of the jobs: by default one, or one per GPU where the device is all of them.

    GPUs are given in turn; CPU threads are divided.
    """
    gpus = 1
    if config.device == "cuda":
        from cunet.backend import import_cupy

        gpus = import_cupy().cuda.runtime.getDeviceCount()
    jobs = max(1, min(jobs or gpus, runs))
    threads = config.threads
    if jobs > 1:
        threads = max(1, (threads or available_threads()) // jobs)
    whole = config.device == "cuda"
    return [Place(f"cuda:{i % gpus}" if whole else config.device, threads) for i in range(jobs)]


def one_by_one(cv, todo: list, dataset, place: Place, tell: Callable) -> bool:
    """Complete the runs in this process; False where they were stopped."""
    for run in todo:
        try:
            if not complete(cv, run, dataset, place.device, place.threads, tell):
                return False
        except CunetError as error:
            error.args = (f"{run.name}: {error}",)
            raise
    return True


def work(cv, name: str, dataset, device: str, threads: int | None) -> int:
    """What a worker does: one run, every event on stdout; the exit code."""

    def tell(run, event: dict) -> None:
        os.write(1, json.dumps(event).encode() + b"\n")  # at once, and whole: it is short

    run = next((run for run in cv.runs if run.name == name), None)
    if run is None:
        raise CunetError(f"cross-validation '{cv.path}' has no run {name}")
    return 0 if complete(cv, run, dataset, device, threads, tell) else STOPPED


class Worker:
    """A process that completes one run at a place. It puts (itself, event) into a queue, and
    (itself, None) when it ends."""

    def __init__(self, cv, run, place: Place, lock: int | None, events: SimpleQueue):
        self.run, self.place, self.log = run, place, cv.path / f"{run.name}.log"
        command = [sys.executable, "-P", "-m", "cunet", "crossval", "--resume", str(cv.path)]
        command += ["--worker", run.name, "--device", place.device, "--threads", str(place.threads)]
        with open(self.log, "ab") as log:
            self.said_before = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the parent, which asks its workers to stop
                pass_fds=[] if lock is None else [lock],
            )
        self.listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self.listener.start()

    def _listen(self, events: SimpleQueue) -> None:
        with self.process.stdout as lines:
            for line in lines:
                with suppress(ValueError):  # torn by a kill
                    events.put((self, json.loads(line)))
        events.put((self, None))

    def end(self) -> tuple[int, str]:
        """Wait for the end: its exit code, and what it said to a person."""
        code = self.process.wait()
        self.listener.join()
        said = self.log.read_bytes()[self.said_before :].decode(errors="replace").strip()
        if self.log.stat().st_size == 0:
            self.log.unlink()
        return code, said


def side_by_side(
    cv, todo: list, places: list[Place], lock: int | None, tell: Callable[[object, dict], None]
) -> bool:
    """Complete the runs in a process per place; False where they were stopped.

    Where one fails the others are stopped, and its error is raised.
    """
    events: SimpleQueue = SimpleQueue()
    waiting, free, working = deque(todo), deque(places), set()
    failure, stopping = None, False
    with common.stop_on_signals() as asked:
        try:
            while working or (waiting and not stopping):
                while waiting and free and not stopping:
                    working.add(Worker(cv, waiting.popleft(), free.popleft(), lock, events))
                worker = event = None
                with suppress(Empty):
                    worker, event = events.get(timeout=0.1)
                must_stop = asked()
                if event is not None:
                    tell(worker.run, event)
                elif worker is not None:
                    working.remove(worker)
                    free.append(worker.place)
                    code, said = worker.end()
                    if code not in (0, STOPPED) and not stopping:
                        failure = worker_error(worker, code, said)
                    must_stop |= code != 0
                if must_stop and not stopping:
                    stopping = True
                    for other in working:
                        other.process.terminate()  # it saves
        finally:
            for worker in working:  # asked twice: what is saved is saved
                worker.process.kill()
                worker.end()
    if failure is not None:
        raise failure
    return not stopping


def worker_error(worker: Worker, code: int, said: str) -> CunetError:
    """The error of a worker as an error of this process, with its exit code."""
    name = worker.run.name
    if code < 0:
        error = CunetError(
            f"{name}: its process was ended by signal {-code}; if memory was short use fewer --jobs"
        )
        error.exit_code = 4
        return error
    what = f"a bug in cunet:\n{said}" if code == 1 else said.rpartition("Error: ")[2]
    error = CunetError(f"{name}: {what or f'its process ended with code {code}'}")
    error.exit_code = code
    return error
