"""What a Python caller passes by mistake: one error that names the argument and what to do, for
every public name, and never a result."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.errors import CunetError

nan = float("nan")


class Tensor:
    """Of a library whose numbers NumPy cannot read, as those on a GPU."""

    shape = (30, 40)

    def __array__(self, *given, **more):
        raise RuntimeError("use .cpu() first")


net = cunet.UNet(width=1, depth=1)
colour = cunet.UNet(width=1, depth=1, in_channels=3)
image = np.random.default_rng(0).random((30, 40))
labels = (image > 0.5).astype(np.uint8)
x = np.zeros((1, 20, 20, 1), "float32")
logits = net(x, remember=False)
classes = np.zeros(logits.shape[:3], int)
masked = np.ma.masked_greater(image, 0.9)
parameters = net.parameters()

# A call as it stands in a program, and what its error says: by public name
CALLS = {
    "trace": {
        "trace(None, image)": r"net: expected a cunet\.UNet.*found None",
        'trace("no.npz", image)': "no.npz",
        "trace(net, None)": "image.*None",
        "trace(net, [image, image])": "image.*",
        "trace(net, np.zeros((5, 30, 40)))": "a stack",
        "trace(colour, np.zeros((30, 40, 2)))": "3 channels",
        "trace(net, masked)": "masked",
        "trace(net, image * nan)": "NaN",
        "trace(net, image, pixel=7)": "pixel: expected whole numbers",
        "trace(net, image, pixel=(7,))": r"pixel: expected two whole numbers, \(row, column\)",
        "trace(net, image, pixel=(30, 0))": "row from 0 to 29.*found 30,0",
        "trace(net, image, pixel=(-1, 0))": "found -1,0",
        "trace(net, image, truth=image)": r"truth: expected whole numbers \(H, W\)",
        "trace(net, image, truth=labels[:5])": "expected 30 x 40 pixels.*found 5 x 40",
        "trace(net, image, truth=labels, labels='cells')": "labels.*cells",
        "trace(net, image, tile=21)": "tile 21 does not fit",
        "trace(net, image, page=1)": r"page: an array is one image.*image\[1\]",
        "trace(net, image, lr=0)": "lr: expected a number above 0",
    },
    "objects": {
        'objects("x_prob.tif")': r"found.*the text 'x_prob.tif'.*cunet\.read_image",
        "objects(net)": "found.*a UNet",
        "objects(None)": "found.*None",
        'objects(image > 0, "a.tif")': r"image.*read_image",
        "objects(image > 0, labels[0][:5])": "image.*sizes|sizes.*image|expected.*found",
        "objects(image * 300.5)": "from 0 to 1",
        "objects(np.zeros((3, 30, 40, 2)))": "probability \\(H, W\\)",
        "objects(image > 0, threshold=None)": "threshold.*None",
        "objects(image > 0, min_area=2.5)": "min_area.*2.5",
        'objects(image > 0, connectivity="4")': "connectivity.*'4'",
        'objects(image > 0, instances="cells")': "instances.*cells",
        "objects(np.ma.masked_equal(labels[0], 1))": "masked",
    },
    "segment_volume": {
        'segment_volume(image, "o.ome.zarr")': "source.*an array",
        'segment_volume("l.tif", "o.tif")': "o.tif: an OME-Zarr has a name that ends in .ome.zarr",
        'segment_volume("no.ome.zarr", "o.ome.zarr")': "no.ome.zarr",
        'segment_volume("l.tif", "o.ome.zarr", part="1/2")': "part: expected whole numbers",
        'segment_volume("l.tif", "o.ome.zarr", part=(0, 2))': "part.*i from 1 to n",
        'segment_volume("l.tif", "o.ome.zarr", tiles=572)': "tiles: .*did you mean 'tile'",
        'segment_volume("l.tif", "o.ome.zarr", products="mask")': r"products.*\("
        r'"prob", "mask"\)',
        'segment_volume("l.tif", "o.ome.zarr", levels=0)': "levels.*1 to 20.*0",
        'segment_volume("l.tif", "o.ome.zarr", pixel_size=4)': "pixel_size: .*8nm",
        'segment_volume("l.tif", "o.ome.zarr", progress=3)': "progress.*function",
    },
    "segment_window": {
        'segment_window("big.tif", net, (0, 5), (0, 5))': r"image.*cunet\.read_image",
        "segment_window(image, None, (0, 5), (0, 5))": "net.*None",
        "segment_window(image, net, 5, (0, 5))": "rows: expected whole numbers.*found 5",
        "segment_window(image, net, (0, 5.5), (0, 5))": "rows.*5.5",
        "segment_window(image, net, (0, 5), (0, 41))": "columns.*0 to 40.*41",
        "segment_window(np.zeros((5, 30, 40)), net, (0, 5), (0, 5))": "a stack",
        'segment_window(image, net, (0, 5), (0, 5), average="mean")': "average.*mean",
    },
    "segment": {
        'segment("big.tif", net)': r"image.*the text 'big.tif'.*cunet\.read_image",
        'segment(Path("big.tif"), net)': r"image.*cunet\.read_image",
        "segment(net, image)": "image.*found a UNet",
        'segment(image, "bundled")': r"net: expected a cunet\.UNet.*cunet\.load",
        "segment(image, None)": "net.*None",
        "segment(None, net)": "image.*None",
        "segment([image, image], net)": "one image.*each",
        "segment(image.astype(object), net)": "real numbers.*object",
        "segment(image.astype(str), net)": "real numbers.*<U",
        "segment(image.astype(complex), net)": "real numbers.*complex",
        "segment(np.zeros((3, 30, 40)), colour)": "channels last.*transpose",
        "segment(np.zeros((30, 40, 4)), colour)": "RGBA",
        "segment(np.zeros((30, 40, 2)), colour)": "3 channels",
        "segment(np.zeros((30, 40, 3)), net)": "grey",
        "segment(image, net, pixel_size=8)": "pixel_size: .*such as 8nm.*found 8",
        'segment(image, net, pixel_size="8")': "pixel_size: .*without a unit",
        'segment(image, net, pixel_size="8nm", rescale=True)': "rescale: the network does not know",
        "segment(image, net, rescale=1)": "rescale: expected True or False",
        "segment(image, net, invert=255)": "invert: expected True or False",
        "segment(np.zeros((5, 30, 40)), net)": "a stack: call it for each page",
        "segment(np.zeros((1, 30, 40, 1)), net)": "a stack",
        "segment(masked, net)": r"masked.*\.filled",
        "segment(Tensor(), net)": r"found a Tensor.*\.cpu\(\)",
        "segment(np.zeros((0, 4)), net)": r"\(0, 4\)",
        'segment(image, net, tile="572")': "tile.*whole number",
        "segment(image, net, tile=60.0)": "tile.*60.0",
        "segment(image, net, tile=True)": "tile.*True",
        "segment(image, net, tile=None)": "tile.*None",
        'segment(image, net, average=["none"])': "average.*a list",
        "segment(image, net, stride=1)": "stride.*1",
        "segment(image, net, progress=3)": "progress.*function",
    },
    "seams": {
        'seams("big.tif", net)': r"image.*cunet\.read_image",
        "seams(image, None)": "net.*None",
        "seams([image, image], net)": "one image.*each",
        "seams(np.zeros((5, 30, 40)), net)": "a stack",
        'seams(image, net, tile="20")': "tile.*whole number",
        "seams(image, net, tile=21)": "tile 21 does not fit",
        "seams(image, net, limit=2)": "limit.*0 to 1.*2",
        "seams(image, net, limit=nan)": "limit.*nan",
        "seams(image[:1, :1], net)": "1 x 1 pixels.*larger image",
        "seams(image * nan, net)": "NaN",
    },
    "UNet": {
        'UNet(width="64")': "width.*'64'",
        "UNet(64, 4.0)": "depth.*4.0",
        "UNet(True)": "width.*True",
        "UNet(nan)": "width.*nan",
        "UNet(1, 1, dropout=nan)": "dropout.*nan",
        "UNet(1, 1, dropout=True)": "dropout.*True",
        "UNet(1, 1, dtype=3)": "dtype.*3",
        'UNet(1, 1, seed="a")': "seed.*'a'",
        "UNet(1, 1, seed=-1)": "seed.*-1",
        "UNet(1, 1, seed=None)": "seed.*None",
        "UNet(1, 1, device=0)": "device.*0",
        'UNet(1, 1, batch_norm="yes")': "batch_norm.*True or False",
        "UNet(1, 1, sigmoid=1)": "sigmoid.*True or False",
        'UNet(1, 1, resize="a")': "resize.*'a'",
        "UNet(1, 1, resize=-5)": "resize.*-5",
        "UNet(1, 1, precision=32)": "precision.*32",
        "net(image)": "U-Net input.*30, 40",
        "net(x.tolist())": "U-Net input.*list",
        "net(x, rng=0)": r"rng.*default_rng",
        "net(x, rng=np.random)": "rng.*default_rng",
        'net(x, remember="no")': "remember.*'once'",
        "net(np.ma.masked_array(x, mask=x == 0))": "masked",
        "net(x)[1](0.5)": "dlogits.*as the logits",
        'net(x)[1](np.zeros((1, 3, 3, 2), "float32"))': r"dlogits.*\(1, 4, 4, 2\)",
    },
    "SGD": {
        "SGD(net)": r"parameters.*net\.parameters\(\).*a UNet",
        "SGD(parameters[0])": r"net\.parameters\(\).*a Parameter",
        "SGD(net.parameters)": r"net\.parameters\(\).*a method",
        "SGD(iter(parameters))": r"net\.parameters\(\).*iterator",
        "SGD([p.value for p in parameters])": r"net\.parameters\(\).*an array",
        'SGD(parameters, lr="1e-3")': "lr.*'1e-3'",
        "SGD(parameters, lr=True)": "lr.*True",
        "SGD(parameters, lr=-1)": "lr.*-1",
        "SGD(parameters, momentum=nan)": "momentum.*nan",
        "SGD(parameters, momentum=1.5)": "momentum.*below 1.*1.5",
        "SGD(parameters, weight_decay=nan)": "weight_decay.*nan",
        "SGD(parameters, clip=0)": "clip.*above 0",
        'SGD(parameters, clip="1")': "clip.*'1'",
        "SGD(parameters, iter_size=0)": "iter_size.*0",
        "SGD(parameters, iter_size=1.5)": "iter_size.*1.5",
    },
    "Adam": {
        "Adam(net)": r"net\.parameters\(\)",
        "Adam(parameters, momentum=1.0)": "momentum.*below 1",
        "Adam(parameters, momentum2=nan)": "momentum2.*nan",
        "Adam(parameters, delta=-1)": "delta.*above 0",
    },
    "LearningRate": {
        'LearningRate("1e-3")': "lr.*'1e-3'",
        "LearningRate(True)": "lr.*True",
        "LearningRate(nan)": "lr.*nan",
        'LearningRate(1, ["fixed"])': "lr policy",
        'LearningRate(1, "step", gamma="0.1")': "gamma.*'0.1'",
        'LearningRate(1, "step", gamma=nan)': "gamma.*nan",
        'LearningRate(1, "step", stepsize=0)': "stepsize.*0",
        'LearningRate(1, "multistep", stepvalues=5)': "stepvalues.*5",
        'LearningRate(1, "multistep", stepvalues=("a",))': "stepvalues.*'a'",
        'LearningRate(1, "cosine", max_iter=0)': "max_iter.*0",
        'LearningRate(1, "poly", power="a")': "power.*'a'",
    },
    "softmax_loss": {
        "softmax_loss(logits, classes.astype(float))": "labels must be integers.*float64",
        "softmax_loss(logits, classes[0])": r"\(1, 4, 4\).*\(4, 4\)",
        "softmax_loss(logits, classes.tolist())": "labels.*a list",
        "softmax_loss(logits, None)": "labels.*None",
        "softmax_loss(classes, logits)": "logits must be floating point",
        "softmax_loss(logits, classes, 1.0)": "weights.*1.0",
        "softmax_loss(logits, classes, classes.astype(complex))": "weights.*complex",
        "softmax_loss(logits, classes, classes.astype(str))": "weights.*<U",
        "softmax_loss(logits, classes + 5)": "labels must be 0 ... 1.*5",
        'softmax_loss(logits, classes, ignore="a")': "ignore.*'a'",
        "softmax_loss(logits, classes, normalize=None)": "normalize.*None",
        "softmax_loss(logits, np.ma.masked_array(classes, mask=True))": "labels",
    },
    "save": {
        'save(net, "x.npz")': r"path.*a UNet",
        'save("x.npz", "net")': r"net.*save\('net.npz', net\)",
        'save("x.npz", image)': "net.*an array",
        "save(None, net)": "path.*None",
        'save("", net)': "path.*''",
        'save(".", net)': "path.*is a folder",
        'save("x.npz", net, 3)': r"solver.*cunet\.SGD",
        'save("x.npz", net, progress=[1])': "progress.*dictionary",
        'save("x.npz", net, half="yes")': "half.*True or False",
    },
    "load": {
        "load(net)": "path.*a UNet",
        "load(None)": "path.*None",
        "load(image)": "path.*an array",
        'load(b"bundled")': "path",
        'load("")': "path",
        'load("bundled", device=0)': "device.*0",
        'load("bundled", precision=32)': "precision.*32",
    },
    "Config": {
        'Config(width="64")': "width.*'64'",
        "Config(width=64.0)": "width.*64.0",
        "Config(depth=None)": "depth.*None",
        "Config(data=3)": "data.*text.*3",
        "Config(pixel_size=4)": "pixel_size.*text.*4",
        'Config(pixel_size="4")': "pixel_size.*8nm.*without a unit",
        "Config(data=image)": "data.*an array",
        "Config(tile=572.0)": "tile.*572.0",
        "Config(lr=True)": "lr.*True",
        "Config(fold=0)": "fold.*text.*0",
        "Config(hold_out=[0, 1])": "hold_out.*text.*a list",
        "Config(train_share=True)": "train_share.*True",
        'Config(augment="no")': "augment.*True or False",
        "Config(batch_norm=1)": "batch_norm.*True or False",
        "Config(device=None)": "device.*None",
        "Config(solver=cunet.SGD)": "solver.*the class SGD",
        "Config(step_values=5)": "step_values.*5",
        "Config(step_values=[5.5])": "step_values.*5.5",
        "Config(seed=None)": "seed.*None",
        "Config(zoom=None)": "zoom.*None",
    },
    "train": {
        'train("folder")': r"config.*cunet\.Config\(data=",
        'train({"data": "folder"})': r"config.*a dict",
        "train(cunet.Config)": r"config.*the class Config",
        'train(cunet.Config(data="a"), image)': "prepared.*an array",
        'train(cunet.Config(data="a"), resume="runs/x")': "resume.*True or False",
    },
    "fit": {
        "fit(net, labels)": "images.*a UNet",
        'fit("images/", "labels/")': "images.*the text",
        "fit(image, labels)": r"images.*\[it\]",
        "fit([image], [labels], quiet=1)": "quiet.*True or False",
        "fit([image], [labels], progress=True)": "progress.*function",
    },
    "evaluate_pixels": {
        "evaluate_pixels(net, labels)": "prob.*a UNet",
        "evaluate_pixels(image, None)": "truth.*None",
        "evaluate_pixels(labels, image)": "truth",
        "evaluate_pixels(image.astype(complex), labels)": "prob.*complex",
        "evaluate_pixels(masked, labels)": "prob.*masked",
        "evaluate_pixels(image, np.ma.masked_equal(labels, 1))": "truth.*masked",
        "evaluate_pixels(Tensor(), labels)": "prob.*Tensor",
        "evaluate_pixels([image, image[:5]], [labels, labels[:5]])": "prob.*a list of 2",
        'evaluate_pixels(image, labels, threshold="0.5")': "threshold.*'0.5'",
        "evaluate_pixels(image, labels, threshold=True)": "threshold.*True",
        "evaluate_pixels(image, labels, classes=2.5)": "classes.*2.5",
        "evaluate_pixels(image, labels, pages=0.5)": "pages.*0.5",
        "evaluate_pixels(image, labels, pages=[0.5])": "pages.*0.5",
    },
    "evaluate_isbi": {
        "evaluate_isbi(net, labels)": "prob.*a UNet",
        'evaluate_isbi(image, labels, radius="a")': "radius.*'a'",
        "evaluate_isbi(image, labels, radius=1.5)": "radius.*1.5",
        "evaluate_isbi(image, labels, progress=3)": "progress.*function",
    },
    "evaluate_ctc": {
        'evaluate_ctc("a", labels)': "two paths or two arrays",
        "evaluate_ctc(image, image)": "whole numbers.*float64",
        "evaluate_ctc(None, labels)": "result.*None",
        "evaluate_ctc([labels, labels[:4]], [labels, labels[:4]])": "result.*a list of 2",
        "evaluate_ctc(labels, labels, frames=0.5)": "frames.*0.5",
        'evaluate_ctc(labels, labels, frames=["a"])': "frames.*'a'",
    },
    "evaluate_objects": {
        'evaluate_objects("l.tif", labels)': "two paths or two arrays",
        "evaluate_objects(net, labels)": "pred.*a UNet",
        "evaluate_objects(None, None)": "pred.*None",
        'evaluate_objects(["l.tif"], [labels])': r"pred\[0\].*read_image",
        "evaluate_objects(np.ma.masked_equal(labels, 1), labels)": "pred.*masked",
        "evaluate_objects(labels, labels, progress=3)": "progress.*function",
    },
    "read_image": {
        "read_image(None)": "path.*None",
        "read_image(image)": "path.*an array",
        'read_image(["l.tif"])': "path.*a list",
        'read_image("l.tif", pages=0.5)': "pages.*0.5",
        'read_image("l.tif", pages=True)': "pages.*True",
        'read_image("l.tif", pages=slice(0, 1))': "pages.*slice",
        'read_image("l.tif", pages=[])': "pages",
    },
    "augment": {
        'augment("l.tif", labels)': r"image.*read_image",
        "augment(labels, image)": "labels.*whole numbers",
        "augment(net, labels)": "image.*a UNet",
        "augment([image, image], [labels, labels])": "one image",
        "augment(masked, labels)": "image.*masked",
        "augment(image * nan, labels)": "image.*NaN",
        "augment(np.zeros((3, 30, 40)), labels)": "image.*channels last",
        "augment(image, labels, image * nan)": "weights.*finite",
        "augment(image, labels, image.astype(complex))": "weights.*complex",
        'augment(image, labels, tile="20")': "tile.*'20'",
        "augment(image, labels, tile=20.0)": "tile.*20.0",
        'augment(image, labels, seed="a")': "seed.*'a'",
        'augment(image, labels, zoom="0.2")': "zoom.*'0.2'",
        "augment(image, labels, zoom=True)": "zoom.*True",
        'augment(image, labels, rotate="no")': "rotate.*True or False",
        "augment(image, labels, grid=2.5)": "grid.*2.5",
    },
    "weight_map": {
        'weight_map("l.tif")': r"labels.*read_image",
        "weight_map(image)": "labels.*whole numbers",
        "weight_map([labels, labels[:5]])": "labels.*a list of 2",
        "weight_map(np.ma.masked_equal(labels, 1))": "labels.*masked",
        'weight_map(labels, form=["paper"])': "form.*a list",
        'weight_map(labels, w0="a")': "w0.*'a'",
        "weight_map(labels, w0=True)": "w0.*True",
        "weight_map(labels, class_weights=(1, nan))": "class_weights.*two weights",
        "weight_map(labels, class_weights=(1, -1))": "class_weights.*two weights",
        'weight_map(labels, class_weights="ab")': "class_weights",
    },
    "report": {
        "report(None)": "run.*None",
        "report(net)": "run.*a UNet",
        'report("")': "run",
        "report([])": "2 to 36 run folders.*found 0",
        'report(["x"])': "found 1",
        'report(["x", 3])': r"run\[1\].*3",
        'report(["x", "x"])': "named twice",
        'report("x", out="c.html")': "out: the report of one run.*'c.html'",
        'report(["x", "y"], out=3)': "out.*3",
        'report(["x", "y"], out="c.tif")': "ends in .html",
        'report(["x", "y"], overwrite="no")': "overwrite.*True or False",
        'report("x", 3)': "progress.*function",
    },
    "paper": {
        "paper(None)": "folder.*None",
        "paper(net)": "folder.*a UNet",
        'paper("no/such", 3)': "out.*3",
        'paper("no/such", overwrite="yes")': "overwrite.*True or False",
        'paper("no/such")': "no/such.*is not a cross-validation",
    },
    "crossval": {
        "crossval(image)": "data.*an array",
        'crossval(cunet.Config(data="x"))': "data.*a Config",
        'crossval("x", "5")': "folds.*'5'",
        'crossval("x", 5.0)': "folds.*5.0",
        'crossval("x", True)': "folds.*True",
        'crossval("x", average=["none"])': "average.*a list",
        'crossval("x", seeds_of=0)': "seeds_of.*0",
        'crossval("x", jobs=0)': "jobs.*0",
        'crossval("x", config={"width": 3})': "config.*a dict",
        'crossval("x", widht=3)': "widht: no such setting",
        'crossval("x", device=0)': "device.*0",
        'crossval("x", progress=3)': "progress.*function",
        "crossval(resume=3)": "resume.*3",
    },
    "export": {
        'export(image, "n.onnx")': "model.*run folder.*an array",
        "export(net, 3)": "path.*3",
        'export(net, "n.npz")': "n.npz.*expected one of .onnx",
        'export(net, "n.onxn")': "did you mean '.onnx'",
        'export("no.npz", "n.onnx")': "no.npz.*does not exist",
        'export(net, "n.onnx", mirror=1)': "mirror.*True or False",
        'export(net, "n.onnx", size="512")': "size.*whole number",
        'export(net, "n.onnx", size=0)': "size.*1 or more",
        'export(net, "n.onnx", size=21)': "tile 21 does not fit",
        'export(net, "n.onnx", float16="yes")': "float16.*True or False",
        'export(net, "n.onnx", overwrite=1)': "overwrite.*True or False",
        'export(net, "n.bioimageio.zip", about="me")': "about.*a dictionary.*'me'",
        'export(net, "n.bioimageio.zip", about={"licence": "MIT"})': "about.*licence.*'license'",
        'export(net, "n.bioimageio.zip")': "give --name TEXT --description TEXT",
        'export(net, "n.caffemodel", size=21)': "tile 21 does not fit",
        'export(net, "n.safetensors")': "no batch normalization",
    },
    "import_network": {
        "import_network(3)": "path.*3",
        'import_network("no.pt")': "no.pt.*found nothing of this name",
        'import_network("l.tif")': "l.tif.*something else",
        'import_network("l.tif", white="255")': "white.*'255'",
        'import_network("l.tif", white=0)': "white.*above 0",
    },
    "verify_export": {
        "verify_export(3, net)": "path.*3",
        'verify_export("n.onnx", image)': "model.*run folder.*an array",
        'verify_export("no.onnx", net)': "no.onnx.*does not exist",
        'verify_export("l.tif", net)': "l.tif.*expected one of .onnx",
        'verify_export("n.onnx", net, limit=nan)': "limit.*nan",
        'verify_export("n.onnx", net, limit=2)': "limit.*0 to 1",
        'verify_export("n.onnx", net, tiles=0)': "tiles.*1 to 100",
        'verify_export("n.onnx", net, image=3)': "image.*3",
        'verify_export("n.onnx", net, progress=3)': "progress.*function",
    },
    "lesson": {
        'lesson("convv")': "lesson.*conv, relu-and-max-pool.*did you mean 'conv'",
        'lesson("1")': "lesson: expected one of conv.*found '1'",
        "lesson(0)": 'lesson: expected a name, such as "conv", or a number from 1 to 17, found 0',
        "lesson(18)": "number from 1 to 17, found 18",
        "lesson(1.0)": "number from 1 to 17, found 1.0",
        "lesson(True)": "number from 1 to 17, found True",
        "lesson(None)": "lesson.*None",
        "lesson(image)": "lesson.*an array",
        'lesson(["conv"])': "lesson.*a list",
        'lesson("conv", "yes")': "answer.*True or False",
    },
    "set_threads": {
        'set_threads("2")': "threads.*'2'",
        "set_threads(1.5)": "threads.*1.5",
        "set_threads(True)": "threads.*True",
        "set_threads(nan)": "threads.*nan",
    },
}
EVERY = [(call, said) for calls in CALLS.values() for call, said in calls.items()]


@pytest.mark.parametrize(("call", "said"), EVERY, ids=[call for call, _ in EVERY])
def test_a_wrong_argument_is_told(call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("l.tif", labels * 255)
    names = {name: getattr(cunet, name) for name in cunet.__all__}
    with pytest.raises(CunetError, match=f"(?s){said}"):
        eval(call, globals() | names)
    assert os.listdir(tmp_path) == ["l.tif"]


def test_every_public_function_is_among_them():
    assert CALLS.keys() == set(cunet.__all__) - {"CunetError", "__version__"}


def test_what_numpy_reads_is_an_image():
    """Views, scalars' own types, other libraries' arrays that are in this computer's memory."""

    class Frame:
        def __array__(self, dtype=None, copy=None):
            return image

    expected = cunet.segment(image, net)
    for given in (Frame(), image.tolist(), np.ma.masked_array(image), image.view(np.memmap)):
        np.testing.assert_array_equal(cunet.segment(given, net), expected)
    np.testing.assert_array_equal(cunet.segment(image, net, tile=np.int16(60)), expected)
    config = cunet.Config(data=Path("a"), out=Path("b"), step_values=[3, np.int64(5)], steps=9)
    assert (config.data, config.out, config.step_values) == ("a", "b", (3, 5))


def test_an_unknown_name_is_pythons_own_error_and_signatures_stay():
    import inspect

    with pytest.raises(TypeError, match="averag"):
        cunet.segment(image, net, averag="none")
    assert list(inspect.signature(cunet.segment).parameters)[:3] == ["image", "net", "tile"]
    assert cunet.segment.__doc__.startswith("Class probabilities")
