"""The result of `seams` as a table of text."""

from cunet.segmentation.seams import Seams

MAX_EDGES = 12  # of a way to tile that are listed; the document has all


def lines(found: Seams) -> list[str]:
    """The lines of the table: the differences, then the jumps across the edges between tiles."""
    ways = {"exact": found.exact} | ({"the paper's": found.paper} if found.paper else {})
    text = [f"{'difference from whole':26}{'largest':>10}{'row, column':>14}{'mean':>10}"]
    for name, way in ways.items():
        text.append(
            f"{f'{name}, stride {way.stride}':26}{way.largest:>10.1e}"
            f"{f'{way.row}, {way.column}':>14}{way.mean:>10.1e}"
        )
    text += [found.no_paper] * bool(found.no_paper)
    text += ["", f"{'jump across':26}{'tiled':>10}{'in the whole':>14}{'usual':>10}"]
    for name, way in ways.items():
        text += [
            f"{f'{name}, {edge.axis} {edge.at}':26}{edge.jump:>10.5f}{edge.whole:>14.5f}"
            f"{edge.usual:>10.5f}"
            for edge in way.edges[:MAX_EDGES]
        ]
        if (more := len(way.edges) - MAX_EDGES) > 0:
            text.append(f"{name}: {more} more edges, all in --json")
    return text
