// ImageJ and Fiji: segments the image in front with cunet, and opens what it makes.
//
// Put it into the folder plugins/ and restart: Plugins > Segment with cunet. README.md beside it
// says more. In Fiji the script segment_with_cunet.py can do more; this macro needs no Jython.
// The image is saved as a copy, so that cunet sees what is shown. exec() returns what a program
// prints on stdout only: a shell sends the errors there too; it gets every path as one argument.

arguments = getArgument();  // without a dialog: "cunet|image|model|average|products|folder"
if (arguments != "") {
    part = split(arguments, "|");
    cunet = part[0]; image = part[1]; model = part[2]; average = part[3];
    products = part[4]; folder = part[5];
    print(segment(cunet, image, model, average, products, folder));
} else {
    title = getTitle();  // tells the user where there is no image
    cunet = call("ij.Prefs.get", "cunet.path", "cunet");
    Dialog.create("Segment with cunet");
    Dialog.addString("Model (a file, a run folder, a name; empty: by its look)",
        call("ij.Prefs.get", "cunet.model", ""), 30);
    Dialog.addChoice("Average", newArray("none", "flips", "rotations"),
        call("ij.Prefs.get", "cunet.average", "none"));
    Dialog.addCheckboxGroup(2, 2,
        newArray("probability", "mask", "labels", "outlines (ROI Manager)"),
        newArray(true, false, true, false));
    Dialog.addDirectory("Save in", call("ij.Prefs.get", "cunet.macro_folder", getDirectory("temp")));
    Dialog.addString("Path of cunet", cunet, 30);
    Dialog.show();
    model = Dialog.getString();
    average = Dialog.getChoice();
    names = newArray("prob", "mask", "labels", "rois");
    products = "";
    for (i = 0; i < names.length; i++) if (Dialog.getCheckbox()) products += "," + names[i];
    folder = Dialog.getString();
    cunet = Dialog.getString();
    if (products == "") exit("Nothing to make: tick probability, mask, labels or outlines");
    products = substring(products, 1);
    call("ij.Prefs.set", "cunet.path", cunet);
    call("ij.Prefs.set", "cunet.model", model);
    call("ij.Prefs.set", "cunet.average", average);
    call("ij.Prefs.set", "cunet.macro_folder", folder);

    name = replace(title, "[<>:\"/\\\\|?*]", "_");
    if (endsWith(toLowerCase(name), ".tif")) name = substring(name, 0, lengthOf(name) - 4);
    folder = folder + name + "_cunet" + File.separator;
    File.makeDirectory(folder);
    image = folder + name + ".tif";
    run("Duplicate...", "title=[" + name + "] duplicate");
    saveAs("Tiff", image);
    close();
    answer = segment(cunet, image, model, average, products, folder);
    if (indexOf(answer, "\"outputs\"") < 0) {
        at = indexOf(answer, "Error: ");
        if (at >= 0) exit(substring(answer, at + 7));
        exit("cunet could not be started: give its full path, for example\n" +
            "/home/me/cunet/.venv/bin/cunet or C:\\cunet\\.venv\\Scripts\\cunet.exe\n \n" + answer);
    }
    kinds = split(products, ",");
    for (i = 0; i < kinds.length; i++) {
        if (kinds[i] == "rois") roiManager("Open", folder + name + "_rois.zip");
        else open(folder + name + "_" + kinds[i] + ".tif");
    }
}

// What cunet prints: a JSON document with "outputs", or its error.
function segment(cunet, image, model, average, products, folder) {
    option = "--model";
    if (model == "") { option = "--stride"; model = "exact"; }  // as without: cunet looks at it
    if (startsWith(getInfo("os.name"), "Windows")) {
        answer = exec(cunet, "segment", image, option, model, "--average", average,
            "--products", products, "--out", folder, "--overwrite", "--quiet", "--json");
        if (indexOf(answer, "\"outputs\"") >= 0) return answer;
        // once more, to hear why not; "call" since cmd takes away the outermost quotes
        return exec("cmd", "/c", "call", cunet, "segment", image, option, model, "--average",
            average, "--products", products, "--out", folder, "--overwrite", "--quiet", "--json",
            "2>&1");
    }
    return exec("sh", "-c", "exec \"$0\" \"$@\" 2>&1", cunet, "segment", image, option, model,
        "--average", average, "--products", products, "--out", folder, "--overwrite", "--quiet",
        "--json");
}
