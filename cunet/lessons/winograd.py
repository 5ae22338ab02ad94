"""Lesson: Winograd's convolution, which needs a quarter of the multiplications."""

import numpy as np

from cunet.engines.cpu import winograd
from cunet.engines.cpu.winograd_tiles import AT, BT, POINTS, G
from cunet.lessons.conv import BIAS, DY, W, X, backward, forward
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
    measured,
)
from cunet.lessons.schemes import AT2, BT2, G2, LARGER, USUAL, counts, error, scheme

READ = ("cunet/engines/cpu/winograd.py", "cunet/engines/cpu/winograd_tiles.py")

D, TAPS = np.array([1.0, 2, 0, 1]), np.array([1.0, 4, 1])


def lesson() -> Parts:
    """One dimension, two, larger tiles, channels, rounding, backward."""
    yield Heading("Four multiplications instead of six")
    yield Text(
        "Nearly all the time of a U-Net goes into multiplications of 3x3 convolutions. In one "
        "dimension, two neighbouring outputs of a filter with three taps take six of them:"
    )
    yield Formula(
        "y0 = d0 g0 + d1 g1 + d2 g2\ny1 = d1 g0 + d2 g1 + d3 g2",
        r"y_0 = d_0 g_0 + d_1 g_1 + d_2 g_2, \qquad y_1 = d_1 g_0 + d_2 g_1 + d_3 g_2",
    )
    yield Text("They share inputs, and with four products they can share work (Winograd, 1980):")
    yield Formula(
        "m1 = (d0 - d2) g0                    m2 = (d1 + d2) (g0 + g1 + g2) / 2\n"
        "m4 = (d1 - d3) g2                    m3 = (d2 - d1) (g0 - g1 + g2) / 2\n"
        "y0 = m1 + m2 + m3                    y1 = m2 - m3 - m4",
        r"""
        \begin{aligned}
        m_1 &= (d_0 - d_2)\,g_0 & m_2 &= (d_1 + d_2)\,\tfrac{1}{2}(g_0 + g_1 + g_2) \\
        m_4 &= (d_1 - d_3)\,g_2 & m_3 &= (d_2 - d_1)\,\tfrac{1}{2}(g_0 - g_1 + g_2) \\
        y_0 &= m_1 + m_2 + m_3 & y_1 &= m_2 - m_3 - m_4
        \end{aligned}
        """,
    )
    yield Text(
        "Multiply it out: m2 + m3 = d1 g1 + d2 (g0 + g2), and m1 takes the d2 g0 away again and "
        "brings d0 g0: that is y0. m2 - m3 = d1 (g0 + g2) + d2 g1, and m4 takes d1 g2 away and "
        "brings d3 g2: y1. As three small matrices, * element by element:"
    )
    yield Formula("y = AT [(G g) * (BT d)]", r"y = A^T\,[(G\,g) \odot (B^T d)]")
    yield Arrays({"AT": AT2, "G": G2, "BT": BT2})
    u, v = G2 @ TAPS, BT2 @ D
    y = AT2 @ (u * v)
    yield Arrays({"d": D, "g": TAPS, "BT_d": v, "G_g": u})
    products = " ".join(f"{a:g}*{b:g} = {a * b:g}," for a, b in zip(v, u, strict=True))
    m = u * v
    yield Text(
        f"By hand: the products are {products} so y0 = {m[0]:g} + {m[1]:g} + {m[2]:g} = {y[0]:g} "
        f"and y1 = {m[1]:g} - {m[2]:g} - {m[3]:g} = {y[1]:g}. Directly: 1*1 + 2*4 + 0*1 = 9 and "
        "2*1 + 0*4 + 1*1 = 3. BT d takes additions alone, and G g is computed once for a filter "
        "that is used all over the image."
    )
    yield Check("F(2, 3) and the six products", apart(y, np.correlate(D, TAPS, "valid")), 0)
    yield Text(
        "Where does it come from? Multiplying two polynomials convolves their coefficients. A "
        "polynomial can also be known by its values at some points, and values are multiplied one "
        "by one: evaluate both, multiply, interpolate. The rows of G are g0 + g1 z + g2 z^2 at "
        "z = 0, 1, -1 and infinity (the two in the middle halved). A correlation is the same "
        "scheme read backwards, transposed."
    )

    yield Heading("Two dimensions")
    yield Text(
        "Rows and columns are two such sums, one inside the other, so the scheme is applied to "
        "both: F(2x2, 3x3) makes 2x2 outputs of 4x4 inputs with 4*4 = 16 multiplications instead "
        "of 4*9 = 36. With the image and the filter of lesson conv (A and B are AT and BT, "
        "transposed):"
    )
    yield Formula("y = AT [(G g G^T) * (BT d B)] A", r"y = A^T\,[(G\,g\,G^T) \odot (B^T d\,B)]\,A")
    u, v = G2 @ W @ G2.T, BT2 @ X @ BT2.T
    y = AT2 @ (u * v) @ AT2.T
    yield Arrays({"V_=_BT_d_B": v, "U_=_G_g_G^T": u})
    yield Arrays({"M_=_U_*_V": u * v, "y": y})
    nine = " + ".join(f"{value + 0.0:g}" for value in (u * v)[:3, :3].ravel())
    yield Text(
        f"By hand: V[0, 0] = 1 - 0 - 2 + 0 = {v[0, 0]:g}, the first row of BT applied to rows and "
        f"columns of x, and y[0, 0] is the sum of the upper left 3x3 of M, {nine} = {y[0, 0]:g}: "
        "what lesson conv found, less the bias of 0.5."
    )
    yield Check("F(2x2, 3x3) and the definition", apart(y + BIAS, forward(X, W)), 1e-12)

    yield Heading("Larger tiles: a quarter")
    yield Text("More points, larger tiles, fewer multiplications for each output:")
    head = ("", "outputs", "by definition", "Winograd", "share")
    yield Table(head, [counts("F(2, 3)", 2, 1), counts("F(2x2, 3x3)", 2), counts("F(4x4, 3x3)", 4)])
    yield Text(
        "F(4x4, 3x3) is what this package does on a CPU. Its points are "
        f"{', '.join(f'{point:g}' for point in POINTS)} and infinity:"
    )
    yield Arrays({"AT": AT, "G": G})
    yield Arrays({"BT": BT})
    pairs = zip(scheme(POINTS), (AT, G, BT), strict=True)
    yield Check("AT, G, BT by this lesson and the package", max(apart(*p) for p in pairs), 1e-12)
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    y = AT @ ((G @ g @ G.T) * (BT @ d @ BT.T)) @ AT.T
    error_of_patch = apart(y + BIAS, forward(d, g))
    yield Check("F(4x4, 3x3) of a random patch and the definition", error_of_patch, 1e-12)

    yield Heading("Channels: a matrix product for each point")
    yield Text(
        "A pixel has C channels, a filter C times K taps. The sum over channels can be formed "
        "before AT is applied, so at each of the 36 points it is a sum of products over c, for all "
        "tiles and all k: a matrix product, at which computers are at their best. The transforms "
        "have no product of C and K in them; with many channels they are a small part."
    )
    yield Formula(
        "M[i, j] = V[i, j] U[i, j]     for 36 (i, j);  (tiles, C) (C, K) = (tiles, K)",
        r"M_{ij} = V_{ij}\,U_{ij}, \qquad V_{ij}: (\text{tiles}, C),\ U_{ij}: (C, K)",
    )
    yield Lines(
        "cunet.engines.cpu.winograd:conv_forward",
        [
            ("u = all_filters_to_u(TO_U, w)", "G g G^T of every filter, once"),
            (
                "to_tiles(bt, image[i, ..., here], TILE * first - before, -before, v[..., there])",
                "BT d B of some rows of tiles; patches of 6x6 pixels, 4 apart, overlap by two",
            ),
            ("products(v, u, m)", "the 36 matrix products"),
            (
                "m[1, 1] += b[channels]",
                "the bias: column 1 of AT is all ones, so this reaches all sixteen outputs",
            ),
            ("from_tiles(at, m, first, y[i, ..., channels], relu)", "AT M A, and the ReLU"),
        ],
    )

    yield Heading("What it costs: rounding")
    yield Text(
        "With exact numbers nothing changes. But sums of large numbers that cancel are rounded, "
        "and the larger the matrices' entries, the more. A convolution of 64 channels against the "
        "definition in float64, relative to the largest output:"
    )
    schemes = {
        "the definition": None,
        "F(2x2, 3x3)": (AT2, G2, BT2),
        "F(4x4, 3x3), points 0, 1, -1, 2, -2": scheme(USUAL),
        "F(4x4, 3x3), this package's points": (AT, G, BT),
    }
    rows = [
        (name, *(f"{error(dtype, of, 18):.1e}" for dtype in ("float32", "float64")))
        for name, of in schemes.items()
    ]
    yield Table(("", "float32", "float64"), rows)
    yield Text(
        "In float32 about a digit is lost; what noise does to an image is a thousand times larger. "
        "The points were chosen for it: small numbers keep the matrices small. Float64 loses a "
        "digit too, and has plenty."
    )
    yield from backward_part()


def backward_part() -> Parts:
    """The same scheme for dx, and transposed for dw."""
    yield Heading("Backward")
    yield Text(
        "dx is a convolution too: of dy, with two zeros around it, and the filter turned by 180 "
        "degrees (each x gets dy times w from every place where it was used, lesson conv). So it "
        "takes the same scheme, with V' = BT dy B and U' of the turned filters."
    )
    yield Text(
        "dw: y is linear in U, and the backward of a linear step is its transposed matrix. Read "
        "y = AT [U * V] A from left to right: dM = A dy AT, and U got V as its factor, so dU = V * "
        "dM, summed over tiles; then dg = G^T dU G. On the 4x4 image of lesson conv, one tile:"
    )
    v, dm = BT2 @ X @ BT2.T, AT2.T @ DY @ AT2
    dw = G2.T @ (v * dm) @ G2
    yield Arrays({"dy": DY, "dM_=_A_dy_AT": dm, "dw": dw})
    yield Text(
        "That is the dw of lesson conv. The package exchanges the roles once more. As a function "
        "of w, L = sum of dy * y is also the sum of x * dx, since each product x w dy is in both. "
        "So dw is the gradient of that sum, in which dx = AT [U' * V'] A: with X = A x AT of the "
        "tiles of x, dU' = X V'. V' was computed for dx, and serves both:"
    )
    yield Lines(
        "cunet.engines.cpu.winograd:conv_backward",
        [
            ("to_tiles(bt, dz, top - low, -before, v)", "V' of dy, taken back through the ReLU"),
            ("products(v, u, m)", "for dx: V' times U' at 36 points; then AT M A, as in forward"),
            (
                "to_tiles(a, image[i, ..., here], TILE * first, 0, m[..., channels])",
                "X = A x AT of the same tiles; M has done its work, and its memory is used again",
            ),
            ("products_of_tiles(m, v, du)", "dU' = X^T V', a sum over all tiles"),
        ],
    )
    yield Check("dw of F(2x2, 3x3) and the definition", apart(dw, backward(DY, X, W)[1]), 1e-12)
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((1, 7, 9, 2)), rng.standard_normal((3, 3, 2, 3))
    dy, b = rng.standard_normal((1, 5, 7, 3)), np.zeros(3)
    dx, dw, _ = winograd.conv_backward(dy, x, w)

    def loss() -> float:
        return float((dy * winograd.conv_forward(x, w, b)).sum())

    yield Text("And the package's, on an image of 7x9 pixels with two channels and three filters:")
    yield Check("dx of backward and measured", apart(dx, measured(loss, x)), 1e-7)
    yield Check("dw of backward and measured", apart(dw, measured(loss, w)), 1e-7)


def exercise() -> Parts:
    """A larger tile still."""
    yield Text(
        "Why stop at 4x4? F(6x6, 3x3) needs eight points. Which share of the multiplications is "
        "left, and what do you expect of its rounding error? And how many multiplications does a "
        "1x1 filter save?"
    )


def answer() -> Parts:
    """A fifth, and another digit."""
    yield Table(
        ("", "outputs", "by definition", "Winograd", "share"),
        [counts("F(4x4, 3x3)", 4), counts("F(6x6, 3x3)", 6)],
    )
    larger = scheme(LARGER)
    yield Text(
        "A fifth instead of a quarter. But the points become larger or closer, and so do the "
        f"matrices: BT's largest entry is {np.abs(larger[2]).max():g}, where this package's is "
        f"{np.abs(BT).max():g}. The error in float32, with the points "
        f"{', '.join(f'{point:g}' for point in LARGER)} and infinity:"
    )
    rows = [
        (name, f"{error('float32', of, 26):.1e}")
        for name, of in (("F(4x4, 3x3)", (AT, G, BT)), ("F(6x6, 3x3)", larger))
    ]
    yield Table(("", "float32"), rows)
    yield Check("F(6x6, 3x3) and the definition, float64", error("float64", larger, 26), 1e-12)
    yield Text(
        "Little is gained and much is lost. A 1x1 filter saves nothing: outputs share no inputs, "
        "and F(m, 1) takes m multiplications either way."
    )
