"""The commands, each with what it does in a few words, in the order of `cunet --help`."""

from keyword import iskeyword

COMMANDS = {
    "train": "train a network on a folder of images and labels",
    "crossval": "train and score every fold of a data set",
    "segment": "segment images of any size with a trained network",
    "plan": "what segmenting a volume will take: tiles, hours, bytes",
    "models": "networks by name: list, add your own, get, verify",
    "objects": "numbers and outlines of objects from probability files",
    "export": "a network for ONNX, bioimage.io, Caffe or PyTorch",
    "verify-export": "compare an exported file with its model",
    "import": "a network of Caffe or PyTorch as a model of cunet",
    "evaluate": "score a segmentation against the truth",
    "lesson": "backpropagation and the U-Net in seventeen lessons",
    "explain": "the network as a table or a figure: sizes, parameters, memory",
    "trace": "one forward and backward pass through a network, as a page",
    "gradcheck": "check every hand-written gradient by finite differences",
    "seams": "tiled against whole: whether an image shows its tiles",
    "weights": "write the weight map of a label image",
    "augment": "show sixteen augmented training samples",
    "report": "the HTML page of a run, or of several beside each other",
    "paper": "the paper's claims against a cross-validation, as a page",
    "bench": "measure the speed of this machine, alone or beside others",
    "demo": "try everything on synthetic data: a small net and a report",
    "doctor": "check this installation and the GPU",
}


def file_of(command: str) -> str:
    """The name of the module that holds a command."""
    return command.replace("-", "_") + "_" * iskeyword(command)
