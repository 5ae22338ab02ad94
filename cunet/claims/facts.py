"""What the paper says, in one table: U-Net, Ronneberger, Fischer and Brox, MICCAI 2015.

The words are ours; `where` is the section or figure of the paper. A statement of status STATED is
in the paper, one that FOLLOWS can be computed from it, and SILENT is what it does not say.
"""

from dataclasses import dataclass

STATED, FOLLOWS, SILENT = "stated", "follows", "not stated"


@dataclass(frozen=True)
class Statement:
    """One thing that the paper says, or does not say."""

    name: str
    says: str
    where: str
    status: str = STATED


LAYERS, TILE_IN, TILE_OUT, PARAMETERS, CHANNELS = 23, 572, 388, 31_030_658, 64
MOMENTUM, W0, BORDER_SIGMA, ELASTIC_SIGMA = 0.99, 10.0, 5.0, 10.0
SLICES = 30  # of the training stack
HOURS, GPU = 10, "an NVidia Titan GPU (6 GB)"

ARCHITECTURE = {
    "layers": Statement("layers", f"{LAYERS} convolutional layers in all", "2"),
    "convolutions": Statement(
        "3x3 convolutions", "two to a level, unpadded, each followed by a ReLU", "2"
    ),
    "pooling": Statement("max pooling", "2x2 with stride 2 after every contracting level", "2"),
    "doubling": Statement("channels going down", "doubled at every level", "2"),
    "halving": Statement("up-convolutions", "2x2, and they halve the channels", "2"),
    "skips": Statement(
        "skips", "the contracting path's image, cropped, is concatenated at every level", "2"
    ),
    "sizes": Statement("sizes", f"{TILE_IN} x {TILE_IN} in, {TILE_OUT} x {TILE_OUT} out", "Fig. 1"),
    "head": Statement(
        "last layer", f"a 1x1 convolution from {CHANNELS} channels to the classes", "2"
    ),
    "even": Statement("tile", "every pooling meets an even side", "2"),
    "initialisation": Statement(
        "initial weights", "Gaussian of deviation sqrt(2 / N), N incoming nodes (He et al.)", "3"
    ),
    "parameters": Statement("parameters", f"{PARAMETERS:,}", "Fig. 1", FOLLOWS),
}
RECIPE = {
    "start": Statement("starting weights", "drawn at random", "3"),
    "solver": Statement("solver", "stochastic gradient descent of Caffe", "3"),
    "momentum": Statement("momentum", f"{MOMENTUM}", "3"),
    "batch": Statement("batch", "a single image: one large tile", "3"),
    "tile": Statement("tile", f"{TILE_IN} pixels a side", "Fig. 1"),
    "loss": Statement("loss", "pixel-wise softmax and cross-entropy", "3, eq. 1"),
    "weights": Statement(
        "weight map",
        f"class balance and a border term, w0 = {W0:g}, sigma about {BORDER_SIGMA:g} pixels",
        "3, eq. 2",
    ),
    "elastic": Statement(
        "elastic deformation",
        f"random vectors on a 3x3 grid, deviation {ELASTIC_SIGMA:g} pixels, bicubic in between",
        "3.1",
    ),
    "variation": Statement("other variation", "shifts, rotations and grey values", "3.1"),
    "dropout": Statement("dropout", "at the end of the contracting path; rate not stated", "3.1"),
    "borders": Statement("image borders", "extrapolated by mirroring", "2, Fig. 2"),
    "average": Statement(
        "test time", "averaged over 7 rotated versions; which ones is not stated", "4"
    ),
    "rate": Statement("learning rate", "not stated", "", SILENT),
    "steps": Statement("steps", f"not stated; {HOURS} hours on {GPU}", "5", SILENT),
    "decay": Statement("weight decay", "not stated", "", SILENT),
    "clip": Statement("clipping of gradients", "not stated", "", SILENT),
    "normalise": Statement("the loss is divided by", "not stated", "", SILENT),
    "grey": Statement("normalisation of images", "not stated", "", SILENT),
}

# Table 1, by warping error; the entries with -SCI process the output of a network further
TABLE_1 = (
    ("human values", 0.000005, 0.0021, 0.0010),
    ("u-net", 0.000353, 0.0382, 0.0611),
    ("DIVE-SCI", 0.000355, 0.0305, 0.0584),
    ("IDSIA (sliding window)", 0.000420, 0.0504, 0.0613),
    ("DIVE", 0.000430, 0.0545, 0.0582),
    ("IDSIA-SCI", 0.000653, 0.0189, 0.1027),
)
TABLE_1_SCORES = ("warping_error", "rand_error", "pixel_error")

# SHA-256 of the challenge's training stack as its organisers gave it out
ISBI_2012 = {
    "train-volume.tif": "a05df637d576b2387966b7323a34e90e2cdbf86dcaeee86c44d1fd2d616be489",
    "train-labels.tif": "9a9f1056ffd8bac61060b58dc84ad40295c02fc5ff15e68ddfc2f12d211c3dcf",
}
