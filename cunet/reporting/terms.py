"""What the figures of the report mean, as the last section of the page."""

from cunet.reporting import cells, classes, isbi
from cunet.reporting.facts import Found
from cunet.reporting.page import escape

# Term and meaning, in the order of the page
PIXELS = [
    (
        "Foreground",
        "Every class but the first; with two classes class 1, the white one. Its probability is 1 "
        "minus that of class 0. Pixels marked to be ignored never count.",
    ),
    (
        "Pixel error",
        "1 - the maximal F-score of the foreground over the thresholds 0, 0.1 ... 1, a pixel being "
        "called foreground where its probability is above the threshold. True and false positives "
        "and negatives are summed over all slices named before F is formed; it is not the share of "
        "wrong pixels.",
    ),
    (
        "Dice",
        "The F-score of the foreground, 2 TP / (2 TP + FP + FN), at threshold 0.5, summed in the "
        "same way; under a picture, of that slice alone.",
    ),
    (
        "Constant predictor",
        "Calls every pixel foreground. Its pixel error follows from the share w of foreground "
        "pixels: 1 - 2 w / (1 + w). A network must be clearly below it.",
    ),
]
# ... and those that come after the definitions of the scores
RUN = [
    (
        "last and best",
        "last.npz is the network after the last step. best.npz is that of the lowest validation "
        "pixel error (ties: the earlier); without held-out slices it equals last.npz. Published "
        "held-out figures are those of last.npz, since best.npz was chosen on the held-out slices "
        "themselves.",
    ),
    (
        "Training loss",
        "The weighted cross-entropy of the samples of one step, as the solver sees it. Thin line: "
        "every step; thick line: the mean over a fiftieth of the steps.",
    ),
    (
        "Validation loss",
        "The mean cross-entropy (natural logarithm) of the pixels of the held-out slices, "
        "unweighted; it need not be comparable with the training loss.",
    ),
    (
        "Waiting for data",
        "The share of a step's time in which the network waited for its sample. Near 0: "
        "augmentation keeps up; otherwise it is the bottleneck.",
    ),
    (
        "Weight map",
        "What each pixel counts in the loss, by the setting weight_map. Here class frequencies "
        "are those of the slices shown; in training, those of all training slices.",
    ),
]


def section(found: Found | None) -> str:
    """The terms that the page of such a run uses."""
    scores = []
    if found and found.scores:
        scores = isbi.DEFINITIONS
    elif found and found.numbered:
        scores = cells.DEFINITIONS + cells.BOWL_DEFINITIONS * found.bowl
    elif found and found.several:
        scores = classes.DEFINITIONS
    terms = [
        f"<div><dt>{escape(term)}</dt>\n<dd>{escape(meaning)}</dd></div>"
        for term, meaning in PIXELS + scores + RUN
    ]
    return '<dl class="terms">\n' + "\n".join(terms) + "\n</dl>"
