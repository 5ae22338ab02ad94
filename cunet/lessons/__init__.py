"""The lessons of `cunet lesson`, in reading order: each by its name, with what it shows.

Every lesson is a module of this package with the name's dashes as underscores; lesson.py finds it,
parts.py says what it is made of, text.py and markdown.py show it.
"""

LESSONS = {
    "conv": "a convolution on a 4x4 image, and its gradients by hand",
    "relu-and-max-pool": "which gradients pass, and which of equal maxima gets them",
    "up-conv": "the up-convolution as the adjoint of a convolution with stride 2",
    "skip": "crop and concatenate without a copy, and its gradient as a sum",
    "softmax-loss": "the weighted cross-entropy (eq. 1), and why log-sum-exp",
    "closures": "what backward remembers, and when that memory is freed",
    "unet": "Fig. 1 as a recursion: 572 -> 388, 31,030,658 parameters",
    "momentum": "Caffe's momentum 0.99: the learning rate inside the velocity",
    "dropout": "a random mask from a counter: a key alone decides it",
    "gradcheck": "every backward of a net against finite differences; how a mistake is found",
    "weight-map": "eq. 2 on two touching disks",
    "elastic": "random vectors on a 3x3 grid bend a tile",
    "tiling": "tiles without a seam: stride 384, not 388, and the lattice behind it",
    "learning": "a small net learns one image by heart",
    "batch-norm": "what later reproductions added: normalised batches and their gradient",
    "winograd": "a convolution with a quarter of the multiplications",
    "tensor-cores": "a convolution in tiles, as a GPU computes it; what its precisions keep",
}
