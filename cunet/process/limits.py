"""Limits of a process, and libraries that answer them by ending it: the command says what happened.

Where memory is limited (ulimit -v) OpenBLAS tries for ever to get some, or ends the process, and
LLVM aborts. Commands then work in a child process, and its parent tells how it ended. Without such
a limit there is no second process.
"""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from cunet.errors import DeviceError
from cunet.process import streams
from cunet.training.stop import ending_signals

# Bytes that NumPy and SciPy take before any work is done, by the limit they count for, and a third
LEAST = {"RLIMIT_AS": 300_000_000, "RLIMIT_DATA": 200_000_000}
FLAGS = {"RLIMIT_AS": "-v", "RLIMIT_DATA": "-d"}  # of ulimit
ONLY_WORDS = {"-h", "--help", "--version"}  # these load no library
_answer: int | None = None  # in a child: where its parent reads the exit code


def prepare() -> None:
    """Before any library is loaded: see that they can be. DeviceError where memory is too short."""
    # cunet has its own threads. OpenBLAS interrupts the process where it may not start one
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    limits = limited()
    if not limits or ONLY_WORDS & set(sys.argv):
        return
    for name, most in limits.items():
        if most < LEAST[name]:
            needed = f"cunet needs {LEAST[name] // 10**6:,} MB at least"
            raise DeviceError(f"{needed}; {short()}")
    work_in_child()
    import scipy.ndimage  # noqa: F401  # loads its own OpenBLAS, while there still is memory


def limited() -> dict[str, int]:
    """The limits of this process's memory, in bytes; empty where there are none."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    names = [name for name in LEAST if hasattr(resource, name)]
    soft = {name: resource.getrlimit(getattr(resource, name))[0] for name in names}
    return {name: most for name, most in soft.items() if most != resource.RLIM_INFINITY}


def work_in_child() -> None:
    """Return in a child process. The parent waits, passes signals on, and ends like the child."""
    global _answer
    read, write = os.pipe()
    parent = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the child's end from us
    child = os.fork()
    if child == 0:
        os.close(read)
        die_with(parent)
        _answer = write
        return
    os.close(write)

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number)

    for number in ending_signals():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    status = os.waitpid(child, 0)[1]
    code = os.read(read, 1)
    if not code:
        streams.message(f"Error: {ended(status)}")
    os._exit(code[0] if code else DeviceError.exit_code)


def ended(status: int) -> str:
    """How a child ended that gave no exit code of ours."""
    if os.WIFSIGNALED(status):
        how = f"ended by signal {os.WTERMSIG(status)}"
    else:
        how = "given up by a library"
    return f"the work was {how}; {short()}, or use a smaller --tile or --width, or --threads 1"


def short() -> str:
    """What limits memory, and what to do."""
    most = " and ".join(f"{m // 10**6:,} MB (ulimit {FLAGS[n]})" for n, m in limited().items())
    return f"memory is limited to {most}: raise the limit"


def die_with(parent: int) -> None:
    """Have this process killed when its parent is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it was killed before
            os._exit(130)


def finished(code: int) -> None:
    """Tell the exit code to a parent that waits for it."""
    if _answer is not None:
        os.write(_answer, bytes([code]))


def explained(error: Exception) -> DeviceError | None:
    """The error to report where a library cannot be loaded or a thread not be started; None for any
    other error."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return DeviceError(
            "no thread can be started: allow more processes (ulimit -u 4096) or more memory "
            "(ulimit -v unlimited)"
        )
    if isinstance(error, ImportError) and not (error.name or "").startswith("cunet"):
        name = (error.name or "a library").partition(".")[0]
        advice = short() if limited() else "run  cunet doctor"
        return DeviceError(f"{name} cannot be loaded ({error}); {advice}")
    return None
