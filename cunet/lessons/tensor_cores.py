"""Lesson: a convolution as tensor cores compute it, in tiles of a matrix that is never built."""

import numpy as np

from cunet.lessons.conv import W, X
from cunet.lessons.parts import (
    Arrays,
    Check,
    Formula,
    Heading,
    Lines,
    Parts,
    Table,
    Text,
    apart,
)
from cunet.ops import conv

READ = ("cunet/engines/gpu/convolution.cu", "cunet/engines/__init__.py")

BITS = {"tf32": 11, "float16": 11, "bfloat16": 8}  # of the mantissa, the first one included
PIXELS, COLUMNS, STEP = 128, 16, 32  # of a block, and channels of a tap at a time
SCALE = 65536
SMALL = 1e-5, 1e-3  # two numbers whose product float16 cannot hold


def rounded(a: np.ndarray, precision: str) -> np.ndarray:
    """a rounded to the bits of a precision (except for the small range of float16)."""
    mantissa, exponent = np.frexp(a)
    scale = 2.0 ** BITS[precision]
    return np.ldexp(np.rint(mantissa * scale) / scale, exponent)


def matrix(x: np.ndarray) -> np.ndarray:
    """A, a row for every pixel of y with the nine pixels of x (H, W) under the filter."""
    rows, columns = (side - 2 for side in x.shape)
    taps = [x[r : r + rows, s : s + columns].ravel() for r in range(3) for s in range(3)]
    return np.stack(taps, axis=1)


def tiled(x: np.ndarray, w: np.ndarray, pixels: int, columns: int, step: int) -> np.ndarray:
    """A valid convolution, `pixels` x `columns` numbers of y at a time, `step` channels of a tap
    at a time. These are the kernel's loops; a block does one turn of the two outer ones."""
    (_, height, width, c), (r, s, _, k) = x.shape, w.shape
    rows, across = height - r + 1, width - s + 1
    y = np.empty((rows * across, k))
    for m0 in range(0, rows * across, pixels):
        m = np.arange(m0, min(m0 + pixels, rows * across))
        p, q = m // across, m % across
        for k0 in range(0, k, columns):
            total = np.zeros((len(m), min(columns, k - k0)))
            for tap in range(r * s):
                for c0 in range(0, c, step):
                    channels = slice(c0, c0 + step)
                    a = x[0, p + tap // s, q + tap % s, channels]
                    b = w[tap // s, tap % s, channels, k0 : k0 + columns]
                    total += a @ b
            y[m, k0 : k0 + columns] = total
    return y.reshape(1, rows, across, k)


def random_layer() -> tuple[np.ndarray, np.ndarray]:
    """An image and filters: 40 channels to 24."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, 20, 23, 40)), rng.standard_normal((3, 3, 40, 24))


def errors(precision: str) -> float:
    """Of the sums whose factors are rounded, relative to the largest."""
    x, w = random_layer()
    exact = conv.forward(x, w, np.zeros(w.shape[3]))
    y = tiled(rounded(x, precision), rounded(w, precision), PIXELS, COLUMNS, STEP)
    return float(np.abs(y - exact).max() / np.abs(exact).max())


def lesson() -> Parts:
    """The matrix, its tiles, precisions, backward."""
    yield Heading("The formula")
    yield Text(
        "A GPU's tensor cores do one thing: they multiply small matrices of numbers with few bits "
        "and add the products in float32, about ten times as fast as a GPU's other arithmetic. A "
        "convolution must be made of that. Written as one matrix product, it has a row of A for "
        "every pixel of y, with all that lies under the filter there, and a row of B for every tap "
        "and channel:"
    )
    yield Formula(
        "y[m, k] = sum over t, c of  A[m, (t, c)] * B[(t, c), k]\n"
        "A[m, (t, c)] = x[p + r, q + s, c]     m = (p, q), t = (r, s)",
        r"""
        \begin{aligned}
        y_{m,k} &= \sum_{t,c} A_{m,(t,c)}\; B_{(t,c),k} \\
        A_{(p,q),\,(r,s,c)} &= x_{p+r,\,q+s,\,c}
        \end{aligned}
        """,
    )
    yield Text("With the image and the filter of lesson conv, one channel in and one out:")
    a, b = matrix(X), W.reshape(9, 1)
    yield Arrays({"A": a})
    yield Arrays({"B_(as_a_row)": b.ravel(), "A_B_(as_an_image)": (a @ b).reshape(2, 2)})
    terms = " + ".join(f"{u:g}*{v:g}" for u, v in zip(a[0], b[:, 0], strict=True) if v)
    yield Text(
        f"By hand, the first row: {terms} = {(a @ b)[0, 0]:g}, lesson conv's y[0, 0] without the "
        "bias. But A has 36 numbers where x has 16; of a large image it repeats nearly every pixel "
        "nine times."
    )
    x, w = random_layer()
    (_, height, width, c), k = x.shape, w.shape[3]
    pixels, taps = (height - 2) * (width - 2), 9 * c
    yield Text(
        f"So it is never built. An image of {height}x{width} pixels with {c} channels has "
        f"{x.size:,} numbers, its A {pixels} x {taps} = {pixels * taps:,}; for the second layer of "
        f"the paper's net A would have {568**2 * 9 * 64 * 4 / 1e6:.0f} MB in float32, where its "
        f"image has {570**2 * 64 * 4 / 1e6:.0f}. Instead, a block of threads makes a part of y, "
        "some pixels times some channels, and fetches what it needs of A straight from x, step by "
        "step:"
    )

    yield Heading("The kernel's loops")
    yield Lines(
        "cunet.lessons.tensor_cores:tiled",
        [
            (
                "for m0 in range(0, rows * across, pixels):",
                "a block's pixels: rows of A. On a GPU all turns of this loop and the next run at "
                "once, each as a block of threads",
            ),
            ("for k0 in range(0, k, columns):", "and its output channels: columns of B"),
            ("total = np.zeros((len(m), min(columns, k - k0)))", "its sums, kept in registers"),
            (
                "for tap in range(r * s):",
                "along a row of A, one tap after the other",
            ),
            ("for c0 in range(0, c, step):", "and of it some channels: 128 bytes in the kernel"),
            (
                "a = x[0, p + tap // s, q + tap % s, channels]",
                "copy: the pixels moved by the tap, to the block's fast memory. The kernel starts "
                "copies several steps ahead, so that it need not wait for them",
            ),
            ("total += a @ b", "multiply: the tensor cores' part"),
            ("y[m, k0 : k0 + columns] = total", "finish: bias, ReLU, and the result is written"),
        ],
    )
    exact = conv.forward(x, w, np.zeros(k))
    found = tiled(x, w, PIXELS, COLUMNS, STEP)
    yield Text(
        f"In blocks of {PIXELS} pixels x {COLUMNS} channels and steps of {STEP} channels (neither "
        f"{pixels} pixels nor {c} nor {k} channels are a multiple, so some are cut):"
    )
    yield Check("the tiles and the definition", apart(found, exact), 1e-11)

    yield Heading("Backward is the same loop")
    yield Text(
        "dx is a convolution of dy with two zeros around it, with the taps in reverse and the "
        "channels of the filters exchanged (lesson conv: each x gets dy times w from every place "
        "where it was used). So the kernel that computes y computes dx, with other arguments:"
    )
    dy = np.random.default_rng(1).standard_normal(exact.shape)
    dx, _, _ = conv.backward(dy, x, w)
    around = np.pad(dy, ((0, 0), (2, 2), (2, 2), (0, 0)))
    turned = w[::-1, ::-1].swapaxes(2, 3)
    yield Check(
        "dx by tiles and by the definition",
        apart(tiled(around, turned, PIXELS, COLUMNS, STEP), dx),
        1e-11,
    )

    yield Heading("What the precisions keep")
    yield Text(
        "The factors are rounded before they are multiplied: tf32 and float16 keep 11 bits of the "
        "mantissa, bfloat16 8; float32 has 24. What remains of 1/3, and how far a convolution of "
        f"{taps} products for each sum is off, relative to the largest:"
    )
    rows = [
        (name, str(bits), f"{rounded(np.array(1 / 3), name):.7f}", f"{errors(name):.0e}")
        for name, bits in BITS.items()
    ]
    yield Table(("precision", "bits", "1/3", "error of the sums"), rows)
    eleven = np.float64(np.float16(1 / 3))
    yield Text(
        "Errors of products have either sign and mostly cancel; training does not mind them. Sums "
        "stay in float32, and so do the weights: a step of the solver is often smaller than the "
        "last bit of a weight in 8 bits, and would be lost."
    )
    yield Check(
        "11 bits of 1/3 and NumPy's float16", apart(rounded(np.array(1 / 3), "float16"), eleven), 0
    )
    (one, other), scaled = SMALL, scaled_product()
    yield Text(
        f"float16 has another limit, its range: {one:g} * {other:g} = "
        f"{np.float16(one) * np.float16(other):g} in it, since nothing below 6e-8 is there. "
        "Gradients are often that small. So the loss is multiplied by a large number, and with it, "
        f"by the chain rule, every gradient; {SCALE:,} times as large, and divided again in "
        f"float32, the product is {scaled:.1e}. That is loss scaling."
    )


def scaled_product() -> float:
    """The product of two small numbers in float16 with one of them scaled up meanwhile."""
    one, other = SMALL
    return float(np.float16(one * SCALE) * np.float16(other)) / SCALE


def exercise() -> Parts:
    """How often a number is read."""
    yield Text(
        "A block makes BM pixels times BN channels of y. For each step of 32 numbers along a row "
        "of A it copies BM rows of A and BN rows of B, and multiplies each pair. How many "
        "multiplications are there for each number that is copied? Compute it for 16 x 16 and for "
        "128 x 128. And why is a block not made larger still?"
    )


def answer() -> Parts:
    """The harmonic mean of the two sides, halved."""
    yield Text(
        "BM * BN * 32 multiplications for (BM + BN) * 32 numbers: BM BN / (BM + BN), whatever the "
        "length of a step."
    )
    rows = []
    for rows_of_a, rows_of_b in ((16, 16), (128, 16), (128, 128)):
        copied = (rows_of_a + rows_of_b) * STEP
        products = rows_of_a * rows_of_b * STEP
        rows.append((f"{rows_of_a} x {rows_of_b}", f"{products:,}", f"{copied:,}",
                     f"{products / copied:.1f}"))  # fmt: skip
    yield Table(("block", "multiplications", "numbers copied", "for each"), rows)
    yield Text(
        "Large blocks wait less for memory. But their sums, BM * BN numbers, must fit into the "
        "registers of one processor of the GPU, 65,536 of them, beside all else; and where an "
        "image has few pixels, large blocks are too few to keep all processors busy."
    )
