"""How networks and what belongs to them are shown in Python and in a notebook."""

from html import escape
from typing import Any

from cunet.net.figure1 import explain
from cunet.net.tiles import usual_tile
from cunet.net.trained_on import UNKNOWN, TrainedOn

USUAL = {"variant": "paper", "padding": "valid", "batch_norm": False, "sigmoid": False}
STYLE = "text-align:left"  # colours, lines and fonts are the notebook's own, light or dark


class ShownNet:
    """A network in a line, and as the paper's Fig. 1 in a notebook; what it was trained on."""

    shape: Any
    trained_on: TrainedOn = UNKNOWN

    def parameters(self) -> list[Any]:
        """Those of the network."""
        raise NotImplementedError

    def __repr__(self) -> str:
        net: Any = self
        made = {name: v for name, v in vars(self.shape).items() if v != USUAL.get(name)}
        if net.resize is not None:
            made["resize"] = net.resize
        count = sum(p.value.size for p in self.parameters())
        settings = ", ".join(f"{name}={value!r}" for name, value in made.items())
        return f"UNet({settings}: {count:,} parameters, {net.precision} on {net.device})"

    def _repr_html_(self) -> str:
        """The table of `cunet explain`, of this network."""
        document = explain(self.shape, usual_tile(self.shape.depth, self.shape.padding))
        names = ("layer", "kind", "output", "parameters", "GFLOP", "MB")
        rows = [
            (
                one["name"],
                one["kind"],
                " x ".join(map(str, one["shape"])),
                f"{one['parameters']:,}" if one["parameters"] else "",
                f"{one['flops'] / 1e9:.2f}" if one["flops"] else "",
                f"{one['bytes'] / 1e6:.1f}",
            )
            for one in document["layers"]
        ]
        head = "".join(f'<th style="{STYLE}">{name}</th>' for name in names)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{_side(i)}">{escape(c)}</td>' for i, c in enumerate(row))
            + "</tr>"
            for row in rows
        )
        size_in, size_out = document["input"][0], document["output"][0]
        said = (
            f"{document['conv_layers']} convolutional layers, {document['flops'] / 1e9:.1f} GFLOP "
            f"forward, for a tile of {size_in} x {size_in} pixels: {size_out} x {size_out} out"
        )
        return (
            f"<p><code>{escape(repr(self))}</code><br>{escape(said)}</p>"
            f"<details open><summary>its layers</summary><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></details>"
        )


def _side(column: int) -> str:
    return STYLE if column < 2 else "text-align:right"


class ShownParameter:
    """Name, shape and multipliers."""

    def __repr__(self) -> str:
        p: Any = self
        shape = " x ".join(map(str, p.value.shape))
        return (
            f"Parameter({p.name}: {shape} {p.value.dtype}, lr_mult {p.lr_mult:g}, "
            f"decay_mult {p.decay_mult:g})"
        )


class ShownSolver:
    """The settings of a solver, and how far it is."""

    def __repr__(self) -> str:
        left_out = ("parameters", "done", "rate", "scaling")
        given = {k: v for k, v in vars(self).items() if k not in left_out}
        settings = [f"{k}={v:g}" for k, v in given.items() if isinstance(v, int | float)]
        solver: Any = self
        rate = solver.rate
        lr = f"{rate.base:g}" + ("" if rate.policy == "fixed" else f" ({rate.policy})")
        return (
            f"{type(self).__name__}(lr={lr}, {', '.join(settings)}: "
            f"{len(solver.parameters)} arrays, {solver.done} updates done)"
        )
