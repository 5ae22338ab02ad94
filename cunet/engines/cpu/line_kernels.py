"""The loop of lines.py, compiled by Numba; this loads it."""

from cunet.compiled import compiled
from cunet.engines.cpu.vectors import BLOCK, LANES, product

ROWS = 12 if LANES == BLOCK else 6  # pixels in a block of a product
products = product(ROWS, start=True, least=True)  # a row is a pixel, a step a number of it

# The places in a plan
(LINES, PIXELS, K, OUTER, INNER, X, X_LINE, X_PIXEL, Y, Y_LINE, Y_PIXEL, U, BIAS, LEAST) = range(14)


@compiled
def multiply(plan):  # type: ignore[no-untyped-def]
    """All pixels of some lines; the last block of a line may overlap the one before."""
    for line in range(plan[LINES]):
        for pixel in range(0, plan[PIXELS], ROWS):
            first = min(pixel, plan[PIXELS] - ROWS)
            x = plan[X] + line * plan[X_LINE] + first * plan[X_PIXEL]
            y = plan[Y] + line * plan[Y_LINE] + first * plan[Y_PIXEL]
            for k in range(0, plan[K], BLOCK):
                u = plan[U] + k * plan[OUTER] * plan[INNER] * 4
                products(
                    (plan[OUTER], plan[INNER], x, plan[X_PIXEL], 4, plan[X_LINE], u,
                     y + 4 * k, plan[Y_PIXEL], plan[BIAS] + 4 * k, 0, plan[LEAST])
                )  # fmt: skip
