"""How the lessons print: small images side by side, and images as characters."""

import numpy as np

INK = " .:-=+*#%@"


def beside(**images: np.ndarray) -> str:
    """Images (H, W) next to each other under their names, to three digits."""
    columns = []
    for name, image in images.items():
        rows = [" ".join(f"{value:5.3g}" for value in row) for row in np.atleast_2d(image)]
        width = max(len(line) for line in [name, *rows])
        columns.append([line.center(width) for line in [name.replace("_", " "), *rows]])
    height = max(len(column) for column in columns)
    for column in columns:
        column += [" " * len(column[0])] * (height - len(column))
    return "\n".join("   ".join(line).rstrip() for line in zip(*columns, strict=True))


def picture(image: np.ndarray, low: float, high: float) -> list[str]:
    """An image (H, W) as lines of characters, from blank at `low` to @ at `high`."""
    scaled = np.clip((image - low) / (high - low), 0, 1) * (len(INK) - 1)
    return ["".join(INK[int(round(value))] for value in row) for row in scaled]
