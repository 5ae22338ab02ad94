"""The runs of a cross-validation: one after the other here, or several in their own processes.

A worker is `cunet crossval --resume DIR --worker RUN`. It writes every event as a line of JSON to
its stdout; when nobody reads that any more, it saves and ends. Its messages go to DIR/RUN.log.

Events of a run, as a callback of (run, event) gets them: a record of the training, see cunet.train;
{"doing", "done", "of"} during its report and while slices are segmented and scored;
{"scores", "seconds"} at the end.
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
from typing import IO, Any, cast

import numpy as np

from cunet import backend, reporting
from cunet.crossvalidation.protocol import Run
from cunet.crossvalidation.runs import CrossValidation, train_run
from cunet.crossvalidation.scores import Seen, score_run
from cunet.data.dataset import Dataset
from cunet.errors import CunetError
from cunet.threads import available_threads
from cunet.training.config import Config
from cunet.training.stop import stop_on_signals

STOPPED = 130  # the exit code of a worker that saved its run at a signal
Progress = Callable[[Run | None, dict[str, Any]], None]  # None: all slices at once


@dataclass(frozen=True)
class Place:
    """Where a run is trained."""

    device: str
    threads: int | None  # None: all


def places(config: Config, jobs: int | None, runs: int) -> list[Place]:
    """A place for each of the jobs: by default one, or one per GPU where the device is all GPUs.

    GPUs are taken in turn; CPU threads are divided.
    """
    gpus = 1
    if config.device == "cuda":
        gpus = backend.import_cupy().cuda.runtime.getDeviceCount()
    jobs = max(1, min(jobs or gpus, runs))
    threads = config.threads
    if jobs > 1:
        threads = max(1, (threads or available_threads()) // jobs)
    whole = config.device == "cuda"
    return [Place(f"cuda:{i % gpus}" if whole else config.device, threads) for i in range(jobs)]


def complete(
    cv: CrossValidation, run: Run, dataset: Dataset, place: Place, progress: Progress
) -> bool:
    """Train the rest of a run, write its report and score it; False where a signal stopped the
    training, which is then saved."""
    trained = False
    records = train_run(cv, run, place.device, place.threads)
    with stop_on_signals() as asked, closing(records):
        for record in records:
            progress(run, record)
            trained = True
            if asked():
                break
    if asked():
        return False

    def scoring(doing: str, done: int, of: int) -> None:
        progress(run, {"doing": doing, "done": done, "of": of})

    seen: Seen = {}
    if trained or not (cv.folder(run) / "report.html").is_file():
        seen = _seen(reporting.write(cv.folder(run), scoring))
    found = score_run(cv, run, dataset, place.device, scoring, seen)
    figures = {
        average: {key: value for key, value in scores.items() if isinstance(value, float)}
        for average, scores in found["scores"].items()
    }
    progress(run, {"scores": figures, "seconds": found["seconds"]})
    return True


def _seen(facts: reporting.Facts) -> Seen:
    """What the report has segmented and counted of the held-out slices; nothing where its slices or
    probabilities are not just those that are scored: scaled, or not float32."""
    found = facts.found
    if found is None or found.scores is None or facts.config.resize:
        return {}
    both = zip(found.slices, found.scores.tallies, strict=True)
    return {one.index: (one.white, tally) for one, tally in both if one.white.dtype == np.float32}


def one_by_one(
    cv: CrossValidation, todo: list[Run], dataset: Dataset, place: Place, progress: Progress
) -> bool:
    """Complete the runs in this process; False if they were stopped."""
    for run in todo:
        try:
            if not complete(cv, run, dataset, place, progress):
                return False
        except CunetError as error:
            error.args = (f"{run.name}: {error}",)
            raise
    return True


def work(cv: CrossValidation, name: str, dataset: Dataset) -> int:
    """The work of a worker: one run, every event on stdout; returns the exit code."""

    def progress(run: Run | None, event: dict[str, Any]) -> None:
        os.write(1, json.dumps(event).encode() + b"\n")  # unbuffered, one short line at a time

    run = next((run for run in cv.runs if run.name == name), None)
    if run is None:
        raise CunetError(f"cross-validation '{cv.path}' has no run {name}")
    place = Place(cv.config.device, cv.config.threads)
    try:
        return 0 if complete(cv, run, dataset, place, progress) else STOPPED
    except BrokenPipeError:  # nobody reads the events any more
        return STOPPED


class Worker:
    """A process that completes one run at a place. It puts (itself, event) into a queue, and
    (itself, None) at its end."""

    def __init__(
        self, cv: CrossValidation, run: Run, place: Place, lock: int | None, events: SimpleQueue
    ):
        self.run, self.place, self.log = run, place, cv.path / f"{run.name}.log"
        command = [sys.executable, "-P", "-m", "cunet", "crossval", "--resume", str(cv.path)]
        command += ["--worker", run.name, "--device", place.device, "--threads", str(place.threads)]
        with open(self.log, "ab") as log:
            self.printed_before = log.tell()
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
        with cast(IO[bytes], self.process.stdout) as lines:  # a pipe
            for line in lines:
                with suppress(ValueError):  # torn by a kill
                    events.put((self, json.loads(line)))
        events.put((self, None))

    def end(self) -> tuple[int, str]:
        """Wait for the end; returns the exit code and the messages."""
        code = self.process.wait()
        self.listener.join()
        text = self.log.read_bytes()[self.printed_before :].decode(errors="replace").strip()
        with suppress(OSError):  # an empty file is in nobody's way
            if self.log.stat().st_size == 0:
                self.log.unlink()
        return code, text

    def error(self, code: int, text: str) -> CunetError:
        """The worker's failure as an error of this process, with the same exit code."""
        name = self.run.name
        if code < 0:
            error = CunetError(
                f"{name}: its process was ended by signal {-code}; if memory was short use fewer "
                "--jobs"
            )
            error.exit_code = 4
            return error
        what = "a bug in cunet" if code == 1 else text.rpartition("Error: ")[2]
        error = CunetError(f"{name}: {what or f'its process ended with code {code}'}")
        if code == 1:
            error.add_note(text)
        error.exit_code = code
        return error


def side_by_side(
    cv: CrossValidation, todo: list[Run], places: list[Place], lock: int | None, progress: Progress
) -> bool:
    """Complete the runs, one process per place; False if they were stopped.

    lock: the file descriptor of the folder's lock, see at_work. If a run fails the others are
    stopped, and its error is raised.
    """
    events: SimpleQueue = SimpleQueue()
    waiting, free = deque(todo), deque(places)
    working: set[Worker] = set()
    failure, stopping = None, False
    with stop_on_signals() as asked:
        try:
            while working or (waiting and not stopping):
                while waiting and free and not stopping:
                    working.add(Worker(cv, waiting.popleft(), free.popleft(), lock, events))
                worker = event = None
                with suppress(Empty):
                    worker, event = events.get(timeout=0.1)
                must_stop = asked()
                if worker is not None and event is not None:
                    progress(worker.run, event)
                elif worker is not None:
                    working.remove(worker)
                    free.append(worker.place)
                    code, text = worker.end()
                    if code not in (0, STOPPED) and not stopping:
                        failure = worker.error(code, text)
                    must_stop |= code != 0
                if must_stop and not stopping:
                    stopping = True
                    for other in working:
                        other.process.terminate()  # it saves
        finally:
            for worker in working:  # a second Ctrl-C: only what is saved is kept
                worker.process.kill()
                worker.end()
    if failure is not None:
        raise failure
    return not stopping
