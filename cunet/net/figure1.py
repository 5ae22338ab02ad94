"""The paper's Fig. 1 as numbers: every layer's size, parameters, operations and memory.

The rows follow from the settings alone, without making the network, in the order in which data
meets the layers; a test compares them with the network itself. H W C are a layer's output.
"""

from dataclasses import dataclass

from cunet.net.receptive_field import receptive_field
from cunet.net.shape import Shape
from cunet.net.sizes import margin
from cunet.net.tiles import check_tile, valid_tiles

FLOAT = 4  # bytes of a float32
SIZES = {"float64": 2, "float16": 0.5, "bfloat16": 0.5}  # of an activation, in units of a float32
BASE_BYTES = 100e6  # Python, NumPy and SciPy themselves
COMPILER_BYTES = 90e6  # Numba and LLVM, by which the CPU computes layers of 16, 32, ... channels


@dataclass(frozen=True)
class Row:
    """One layer: its name, kind, output shape, parameters, forward operations, output bytes."""

    name: str
    kind: str
    shape: tuple[int, int, int]
    parameters: int = 0
    flops: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of the float32 output."""
        height, width, channels = self.shape
        return FLOAT * height * width * channels


def rows(shape: Shape, tile: int = 572) -> list[Row]:
    """All layers of the network for a square tile, from the input to the head."""
    check_tile(tile, shape.depth, shape.padding)
    width, depth, batch_norm = shape.width, shape.depth, shape.batch_norm
    lost = 0 if shape.padding == "same" else 2
    conv = f"conv 3x3, {'norm, ' if batch_norm else ''}ReLU"
    table = [Row("input", "image", (tile, tile, shape.in_channels))]

    def add(name: str, kind: str, side: int, channels: int, taps: int = 0, incoming: int = 0):
        # an up-convolution has four taps, but each of its outputs uses only one
        used = 1 if kind == "up-conv 2x2" else taps
        biases = 2 * channels if kind == conv and batch_norm else channels
        parameters = taps * incoming * channels + biases if taps else 0
        flops = 2 * used * incoming * channels * side * side
        table.append(Row(name, kind, (side, side, channels), parameters, flops))
        return side

    side, channels, skips = tile, shape.in_channels, []
    for i in range(depth + 1):
        here = width << i
        side = add(f"contract{i}.conv1", conv, side - lost, here, 9, channels)
        side = add(f"contract{i}.conv2", conv, side - lost, here, 9, here)
        channels = here
        if i < depth:
            skips.append(side)
            side = add(f"contract{i}.pool", "max-pool 2x2", side // 2, here)
    for i in reversed(range(depth)):
        here = width << i
        up = channels if shape.release and i == 0 else here
        side = add(f"expand{i}.up", "up-conv 2x2", 2 * side, up, 4, channels)
        crop = (skips[i] - side) // 2
        add(f"expand{i}.concat", f"crop {crop}, concatenate", side, up + here)
        side = add(f"expand{i}.conv1", conv, side - lost, here, 9, up + here)
        side = add(f"expand{i}.conv2", conv, side - lost, here, 9, here)
        channels = here
    add("head", "conv 1x1", side, shape.outputs, 1, channels)
    return table


def memory_bytes(
    shape: Shape, tile: int, batch: int = 1, solver: str = "sgd", precision: str = "float32"
) -> dict[str, int]:
    """About how many bytes a process needs for training and for inference, not counting
    images.

    Training holds every layer's output (the concatenation is a view) and three arrays of each
    parameter's size, four with Adam; inference the parameters and the skips. What the largest
    layers need for a moment is counted as three outputs of the largest one, which meets measured
    peaks within 20 %. Batch normalization keeps what it normalises as well.
    """
    table = rows(shape, tile)
    number = SIZES.get(precision, 1)  # of an activation, in units of a float32
    parameters = max(1, number) * FLOAT * sum(row.parameters for row in table)
    kept = [number * batch * row.bytes for row in table if "concatenate" not in row.kind]
    skips = [r for r in table if r.name.startswith("contract") and r.name.endswith("conv2")]
    held = number * batch * sum(r.bytes for r in skips)
    normed = number * batch * sum(row.bytes for row in table if "norm" in row.kind)
    copies = 4 if solver == "adam" else 3
    base = BASE_BYTES
    if precision == "float32" and (shape.width << shape.depth) % 16 == 0:
        base += COMPILER_BYTES
    training = base + copies * parameters + sum(kept) + normed + 3 * max(kept)
    inference = base + parameters + held + 3 * max(kept)
    return {"training": int(training), "inference": int(inference)}


def explain(shape: Shape, tile: int = 572) -> dict:
    """Everything `cunet explain` reports, ready for JSON."""
    table, depth, padding = rows(shape, tile), shape.depth, shape.padding
    return {
        "width": shape.width,
        "depth": depth,
        "variant": shape.variant,
        "padding": padding,
        "batch_norm": shape.batch_norm,
        "sigmoid": shape.sigmoid,
        "parameters": sum(row.parameters for row in table),
        "conv_layers": sum("conv " in row.kind for row in table),
        "input": list(table[0].shape),
        "output": list(table[-1].shape),
        "border": margin(depth, padding),
        "flops": sum(row.flops for row in table),
        "memory_bytes": memory_bytes(shape, tile),
        "valid_tiles": valid_tiles(depth, min(tile, 188), max(tile + 64, 764), padding),
        "receptive_field": receptive_field(depth),
        "layers": [
            {
                "name": row.name,
                "kind": row.kind,
                "shape": list(row.shape),
                "parameters": row.parameters,
                "flops": row.flops,
                "bytes": row.bytes,
            }
            for row in table
        ],
    }
