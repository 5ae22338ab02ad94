"""Fiji: segment the image in front with cunet, and open what it makes. A script for Jython.

Put it into the folder plugins/ of Fiji and restart: Plugins > segment with cunet. README.md beside
it says more. Jython is Python 2.7, so there are no f-strings here, and text is joined with + alone,
which keeps umlauts in paths.
"""

import io
import json
import os
import textwrap

PRODUCTS = ("prob", "mask", "labels", "rois", "table")
SHOWN = ("probability", "mask", "labels", "outlines (ROI Manager)", "table of measures")
AVERAGES = ("none", "flips", "rotations")
USUAL = {
    "path": "cunet", "model": "", "average": "none", "threshold": "0.5", "min_area": "0",
    "folder": "", "overwrite": "false", "products": "prob,labels",
}  # fmt: skip
NOT_FOUND = (
    "cunet could not be started. Give the full path of the command cunet, for example\n"
    "/home/me/cunet/.venv/bin/cunet or C:\\Users\\me\\cunet\\.venv\\Scripts\\cunet.exe\n"
    "(in a terminal, with cunet's environment active: 'which cunet' or 'where cunet')"
)


def arguments(image, folder, settings):
    """The command line for one image, a list; every entry is one argument, spaces and all."""
    line = [settings["path"], "segment", image, "--out", folder, "--json"]
    line += ["--products", settings["products"], "--average", settings["average"]]
    line += ["--threshold", settings["threshold"]]
    if settings["model"].strip():  # else cunet looks at the image
        line += ["--model", settings["model"].strip()]
    if int(settings["min_area"]) > 0:
        line += ["--min-area", settings["min_area"]]
    if settings["overwrite"] == "true":
        line += ["--overwrite"]
    return line


def outputs(printed):
    """{"prob": [files], ...} from what cunet printed; None where that is no document of it."""
    try:
        return json.loads(printed)["images"][0]["outputs"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def warnings(printed):
    """cunet's warnings, one a line."""
    return "\n".join(json.loads(printed)["images"][0].get("warnings", []))


def own_words(said):
    """The error among cunet's lines on stderr, without its progress."""
    lines = said.strip().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Error: "):
            return "\n".join(lines[number:])[len("Error: ") :]
    return "\n".join(lines[-12:]) or "cunet ended without a word"


def wrapped(text):
    """Text in lines that fit a dialog."""
    return "\n".join("\n".join(textwrap.wrap(line, 90)) for line in text.splitlines())


def run(line, status, stopped):
    """Run a command: (exit code, text on stdout, text on stderr); the exit code is None where it
    could not be started.

    status(text) is called with its last line while it works; it is ended once stopped() is true.
    """
    from java.io import File, IOException
    from java.lang import ProcessBuilder, Thread

    files = [File.createTempFile("cunet", ".txt") for _ in range(2)]
    builder = ProcessBuilder(line)
    builder.environment().put("PYTHONUTF8", "1")
    builder.redirectOutput(files[0])
    builder.redirectError(files[1])
    try:
        try:
            process = builder.start()
        except IOException as error:
            return None, "", error.getMessage()
        while process.isAlive():
            Thread.sleep(200)
            said = text_of(files[1]).strip().splitlines()
            status(said[-1] if said else "cunet starts")
            if stopped():
                process.destroy()
                process.waitFor()
                return 130, "", "Error: stopped; a file appears whole or not at all"
        return process.exitValue(), text_of(files[0]), text_of(files[1])
    finally:
        for one in files:
            one.delete()


def text_of(one):
    """The text in a file."""
    with io.open(one.getPath(), encoding="utf-8", errors="replace") as opened:  # noqa: UP020
        return opened.read()


def file_of(imp):
    """The TIFF that an image was opened from; None where the image was changed since."""
    from ij.io import FileInfo

    info = imp.getOriginalFileInfo()
    if info is None or imp.changes or not info.directory or info.fileFormat != FileInfo.TIFF:
        return None
    path = os.path.join(info.directory, info.fileName)
    same = (info.width, info.height) == (imp.getWidth(), imp.getHeight())
    whole = max(1, info.nImages) == imp.getStackSize()
    return path if same and whole and os.path.isfile(path) else None


def saved(imp):
    """The file of an image; one that is not on the disk as it is shown is saved in a new folder."""
    from ij import ImagePlus
    from ij.io import FileSaver
    from java.nio.file import Files

    path = file_of(imp)
    if path is not None:
        return path
    folder = Files.createTempDirectory("cunet").toString()
    name = "".join(c if c not in '<>:"/\\|?*' and c >= " " else "_" for c in imp.getTitle())
    stem = name[: -len(".tif")] if name.lower().endswith(".tif") else name
    path = os.path.join(folder, (stem or "image") + ".tif")
    # another image of the same pixels: saving changes what an image says of its file
    copy = ImagePlus(imp.getTitle(), imp.getStack())
    copy.setDimensions(imp.getNChannels(), imp.getNSlices(), imp.getNFrames())
    copy.setOpenAsHyperStack(imp.getStackSize() > 1)
    copy.setCalibration(imp.getCalibration())
    saver = FileSaver(copy)
    done = saver.saveAsTiffStack(path) if imp.getStackSize() > 1 else saver.saveAsTiff(path)
    if not done:
        raise IOError("the image could not be saved as " + path)  # noqa: UP024
    return path


def remembered():
    """The settings of the last time."""
    from ij import Prefs

    return dict((name, Prefs.get("cunet." + name, usual)) for name, usual in USUAL.items())  # noqa: C402


def remember(settings):
    """Keep the settings for the next time, also when Fiji is closed."""
    from ij import Prefs

    for name, value in settings.items():
        Prefs.set("cunet." + name, value)
    Prefs.savePreferences()


def ask(settings):
    """The settings that a user chooses, or None where he cancels."""
    from ij.gui import GenericDialog

    dialog = GenericDialog("Segment with cunet")
    model = "Model (a file, a run folder, a name; empty: by its look)"
    dialog.addFileField(model, settings["model"], 30)
    dialog.addChoice("Average", list(AVERAGES), settings["average"])
    dialog.addNumericField("Threshold", float(settings["threshold"]), 2)
    dialog.addNumericField("Smallest object (pixels)", float(settings["min_area"]), 0)
    chosen = settings["products"].split(",")
    dialog.addCheckboxGroup(3, 2, list(SHOWN), [product in chosen for product in PRODUCTS])
    dialog.addDirectoryField("Save in (empty: beside the image)", settings["folder"])
    dialog.addCheckbox("Replace files that exist", settings["overwrite"] == "true")
    dialog.addFileField("Path of cunet", settings["path"], 30)
    dialog.showDialog()
    if dialog.wasCanceled():
        return None
    found = {"model": dialog.getNextString(), "average": dialog.getNextChoice()}
    found["threshold"] = str(dialog.getNextNumber())
    found["min_area"] = str(int(dialog.getNextNumber()))
    found["products"] = ",".join([p for p in PRODUCTS if dialog.getNextBoolean()])
    found["folder"] = dialog.getNextString()
    found["overwrite"] = "true" if dialog.getNextBoolean() else "false"
    found["path"] = dialog.getNextString().strip()
    return found


def show(files):
    """Open what was made. cunet's files have their ranges, colours and sizes themselves."""
    from ij import IJ
    from ij.measure import ResultsTable
    from ij.plugin.frame import RoiManager

    for product in ("prob", "mask", "labels"):
        for path in files.get(product, []):
            imp = IJ.openImage(path)
            if imp is None:
                IJ.log("cunet: ImageJ could not open " + path + "; try File > Import > Bio-Formats")
                continue
            if product == "labels" and imp.getBitDepth() == 32:  # beyond 65,535 objects
                IJ.run(imp, "3-3-2 RGB", "")
                imp.setDisplayRange(0, highest(imp))
            imp.show()
    for path in files.get("rois", []):
        manager = RoiManager.getRoiManager()
        manager.reset()
        manager.runCommand("Open", path)
    for path in files.get("table", []):
        ResultsTable.open(path).show(os.path.basename(path))


def highest(imp):
    """The largest value of all slices."""
    stack = imp.getStack()
    return max(stack.getProcessor(k + 1).getStats().max for k in range(stack.size()))


def main():
    """Ask, segment, show; an error is shown in cunet's own words."""
    from ij import IJ

    imp = IJ.getImage()  # tells the user where there is none
    settings = ask(remembered())
    if settings is None:
        return
    if not settings["products"]:
        IJ.error("Segment with cunet", "Nothing to make: tick probability, mask, labels ...")
        return
    remember(settings)
    image = saved(imp)
    folder = settings["folder"].strip() or os.path.dirname(image)
    line = arguments(image, folder, settings)
    IJ.resetEscape()
    code, printed, said = run(line, lambda text: IJ.showStatus("cunet: " + text), IJ.escapePressed)
    files = outputs(printed)
    if code is None:
        IJ.error("Segment with cunet", NOT_FOUND + "\n \n" + wrapped(said))
    elif code != 0 or files is None:
        IJ.error("Segment with cunet", wrapped(own_words(said)))
    else:
        IJ.showStatus("cunet: done")
        if warnings(printed):
            IJ.log("cunet: " + warnings(printed))
        show(files)


if __name__ in ("__main__", "__builtin__"):  # Fiji calls it either way
    main()
