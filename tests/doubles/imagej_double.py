"""ImageJ's and Java's classes as far as examples/fiji/segment_with_cunet.py uses them, in Python.

What the script does in ImageJ itself (1.53t, Jython 2.7.3) was tried by hand; this stands in for it
where there is no Java. `install(monkeypatch)` returns what happened: errors, shown images, logs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import tifffile

TIFF = 2  # FileInfo.TIFF


class ImagePlus:
    """A stack of pages (n, H, W)."""

    def __init__(self, title, stack):
        self.title, self.pages, self.changes, self.info = title, stack, False, None
        self.range, self.hyper = None, None

    def getTitle(self):
        return self.title

    def getStack(self):
        return SimpleNamespace(
            size=lambda: len(self.pages),
            getProcessor=lambda number: SimpleNamespace(
                getStats=lambda: SimpleNamespace(max=float(self.pages[number - 1].max()))
            ),
            pages=self.pages,
        )

    def getStackSize(self):
        return len(self.pages)

    def getWidth(self):
        return self.pages.shape[2]

    def getHeight(self):
        return self.pages.shape[1]

    def getBitDepth(self):
        return 8 * min(4, self.pages.dtype.itemsize)

    def getNChannels(self):
        return 1

    getNFrames = getNChannels

    def getNSlices(self):
        return len(self.pages)

    def setDimensions(self, channels, slices, frames):
        assert channels * slices * frames == len(self.pages)

    def setOpenAsHyperStack(self, wanted):
        self.hyper = wanted

    def getCalibration(self):
        return "calibration"

    def setCalibration(self, calibration):
        assert calibration == "calibration"

    def getOriginalFileInfo(self):
        return self.info

    def setDisplayRange(self, low, high):
        self.range = low, high

    def show(self):
        self.seen.append(self)


def opened(path, seen):
    """The image in a file, as IJ.openImage gives it; None where it is no TIFF."""
    try:
        pages = tifffile.imread(path)
    except tifffile.TiffFileError:
        return None
    image = ImagePlus(os.path.basename(path), pages.reshape(-1, *pages.shape[-2:]))
    image.info = SimpleNamespace(
        directory=os.path.dirname(path) + os.sep, fileName=os.path.basename(path),
        fileFormat=TIFF, width=image.getWidth(), height=image.getHeight(), nImages=len(image.pages),
    )  # fmt: skip
    image.seen = seen
    return image


class FileSaver:
    """Writes what an ImagePlus holds."""

    def __init__(self, image):
        pages = image.pages
        self.pages = pages.pages if isinstance(pages, SimpleNamespace) else pages

    def saveAsTiff(self, path):
        tifffile.imwrite(path, self.pages, imagej=True)
        return True

    saveAsTiffStack = saveAsTiff


class CopiedPlus(ImagePlus):
    """new ImagePlus(title, stack)"""

    def __init__(self, title, stack):
        super().__init__(title, stack.pages)


class Process:
    """A running program."""

    def __init__(self, running):
        self.running = running

    def isAlive(self):
        return self.running.poll() is None

    def exitValue(self):
        return self.running.poll()

    def destroy(self):
        self.running.terminate()

    def waitFor(self):
        return self.running.wait()


class IOException(Exception):
    """java.io.IOException"""

    def getMessage(self):
        return str(self)


class ProcessBuilder:
    """Starts a program; a list is its command line."""

    def __init__(self, line):
        assert all(isinstance(entry, str) for entry in line), line
        self.line, self.own, self.files = line, {}, {}

    def environment(self):
        return SimpleNamespace(put=self.own.__setitem__)

    def redirectOutput(self, file):
        self.files["stdout"] = file

    def redirectError(self, file):
        self.files["stderr"] = file

    def start(self):
        handles = {name: open(file.getPath(), "wb") for name, file in self.files.items()}
        try:
            return Process(subprocess.Popen(self.line, env=os.environ | self.own, **handles))
        except OSError as error:
            raise IOException(f'Cannot run program "{self.line[0]}": {error.strerror}') from error
        finally:
            for handle in handles.values():
                handle.close()


class File:
    """java.io.File of a temporary file."""

    made: list[str] = []

    def __init__(self, path):
        self.path = path

    @staticmethod
    def createTempFile(start, end):
        handle, path = tempfile.mkstemp(end, start)
        os.close(handle)
        File.made.append(path)
        return File(path)

    def getPath(self):
        return self.path

    def delete(self):
        os.remove(self.path)


class GenericDialog:
    """Takes what it is given, as if the user pressed OK; `changes` are what is typed before."""

    def __init__(self, title):
        self.fields, self.canceled = [], False

    def _add(self, label, value, *_):
        self.fields.append(self.changes.get(label, value))

    def addChoice(self, label, choices, value):
        assert value in choices
        self._add(label, value)

    def addCheckboxGroup(self, rows, columns, labels, values):
        assert rows * columns >= len(labels)
        for label, value in zip(labels, values, strict=True):
            self._add(label, value)

    addStringField = addFileField = addDirectoryField = addCheckbox = addNumericField = _add

    def showDialog(self):
        self.canceled = self.changes.get("Cancel", False)

    def wasCanceled(self):
        return self.canceled

    def getNextString(self):
        return self._next(str)

    def getNextChoice(self):
        return self._next(str)

    def getNextNumber(self):
        return float(self._next((int, float)))

    def getNextBoolean(self):
        return self._next(bool)

    def _next(self, kind):
        """The next field of one kind, as ImageJ counts them."""
        for k, value in enumerate(self.fields):
            if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
                return self.fields.pop(k)
        raise AssertionError("the dialog has no more of these fields")


def install(monkeypatch):
    """Put the doubles in the place of the modules; returns what happens in "ImageJ"."""
    state = SimpleNamespace(
        front=None, shown=[], errors=[], logs=[], statuses=[], rois=[], tables=[], luts=[],
        prefs={}, dialog={}, escape=lambda: False, temporary=File.made,
    )  # fmt: skip
    monkeypatch.setattr(GenericDialog, "changes", state.dialog, raising=False)
    monkeypatch.setattr(File, "made", state.temporary)
    ij = SimpleNamespace(
        getImage=lambda: state.front,
        openImage=lambda path: opened(path, state.shown),
        error=lambda title, text: state.errors.append(text),
        log=state.logs.append,
        showStatus=state.statuses.append,
        resetEscape=lambda: None,
        escapePressed=lambda: state.escape(),
        run=lambda image, command, options: state.luts.append(command),
    )
    prefs = SimpleNamespace(
        get=lambda key, usual: state.prefs.get(key, usual),
        set=state.prefs.__setitem__,
        savePreferences=lambda: None,
    )
    manager = SimpleNamespace(
        reset=state.rois.clear, runCommand=lambda command, path: state.rois.append(path)
    )
    table = SimpleNamespace(
        open=lambda path: SimpleNamespace(
            show=lambda title: state.tables.append((title, Path(path).read_text().splitlines()))
        )
    )
    modules = {
        "ij": {"IJ": ij, "Prefs": prefs, "ImagePlus": CopiedPlus},
        "ij.io": {"FileInfo": SimpleNamespace(TIFF=TIFF), "FileSaver": FileSaver},
        "ij.gui": {"GenericDialog": GenericDialog},
        "ij.measure": {"ResultsTable": table},
        "ij.plugin": {},
        "ij.plugin.frame": {"RoiManager": SimpleNamespace(getRoiManager=lambda: manager)},
        "java": {},
        "java.io": {"File": File, "IOException": IOException},
        "java.lang": {
            "ProcessBuilder": ProcessBuilder,
            "Thread": SimpleNamespace(sleep=lambda ms: __import__("time").sleep(ms / 5000)),
        },
        "java.nio": {},
        "java.nio.file": {
            "Files": SimpleNamespace(
                createTempDirectory=lambda start: SimpleNamespace(
                    toString=lambda: tempfile.mkdtemp("", start)
                )
            )
        },
    }
    for name, values in modules.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    state.image = lambda title, pages: ImagePlus(title, np.asarray(pages))
    state.open = lambda path: opened(str(path), state.shown)
    return state
