"""A process on the failing disk: it imports cunet once, and runs each command in a fork of itself.

Reads a request a line from stdin and answers a line on stdout, both JSON. See __init__.py.
"""

import ctypes
import gc
import json
import os
import runpy
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

from cunet import cli

disk = ctypes.CDLL(None)  # preloaded
disk.disk_hit.restype = ctypes.c_char_p
disk.disk_count.restype = ctypes.c_long
disk.disk_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, *[ctypes.c_int] * 4]


def warm() -> None:
    """What takes long at its first use, so that no fork does it again; it leaves no thread."""
    import matplotlib.backends.backend_agg  # noqa: F401

    from cunet import crossval, report, train  # noqa: F401
    from cunet.crossvalidation import plan, workers  # noqa: F401
    from cunet.metrics import isbi2012
    from cunet.pictures import charts, sheets  # noqa: F401
    from cunet.segmentation import jobs, segment_file  # noqa: F401

    for name in cli.COMMANDS:
        with suppress(ImportError):
            cli.cli.get_command(None, name)
    truth = np.zeros((1, 16, 16), np.uint8)
    truth[:, 4:9, 4:9] = truth[:, 10:13, 4:9] = 1
    isbi2012.evaluate(truth.astype(np.float32), truth, progress=lambda done: None)


def child(request: dict, out: int) -> None:
    """Run the command with the disk armed, as its own process; never returns."""
    code = 1
    try:
        os.chdir(request["cwd"])
        for handle in (1, 2):
            os.dup2(out[handle - 1], handle)
        if request["patches"]:
            runpy.run_path(request["patches"])
        trace = -1
        if request["trace"]:
            trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        sys.argv = ["cunet", *request["arguments"]]
        disk.disk_arm(
            os.fsencode(request["root"]), request["mode"], request["target"], request["fault"],
            request["lasting"], request["lacks"], trace,
        )  # fmt: skip
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def answer(request: dict) -> dict:
    """The exit code of a command (minus the signal that killed it), what it printed, and where the
    disk failed."""
    disk.disk_reset()
    files = [os.memfd_create(name) for name in ("out", "err")]
    process = os.fork()
    if process == 0:
        child(request, files)
    status = os.waitpid(process, 0)[1]
    texts = []
    for file in files:
        os.lseek(file, 0, os.SEEK_SET)
        with open(file, encoding="utf-8", errors="replace") as text:
            texts.append(text.read())
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": texts[0],
        "err": texts[1],
        "count": disk.disk_count(),
        "hit": disk.disk_hit().decode(errors="replace"),
    }


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    disk.disk_share()
    warm()
    gc.freeze()  # a fork copies no page because objects on it are counted
    print(json.dumps({"threads": len(os.listdir("/proc/self/task"))}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
