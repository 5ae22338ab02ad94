"""The numbers of a trace as one document, for --json and for the page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cunet.tracing.trace import Trace

HALF, MOST = 0.5, 0.95  # of |da/dx|


def document(trace: "Trace") -> dict[str, Any]:
    """All numbers of a trace. Rows and columns are those of the image that the network is shown;
    they may lie beyond its border, where it is mirrored. A span is its first and last pixel."""
    picture, down, across = trace.picture, trace.down, trace.across
    net = trace.model.net
    return {
        "model": trace.model.name,
        "net": vars(net.shape) | {"resize": net.resize},
        "image": picture.name,
        "page": picture.page,
        "size": list(picture.size),
        "scaled_to": picture.scaled,
        "truth": picture.truth or None,
        "pixel": list(trace.pixel),
        "tile": {
            "rows": [down.first, down.first + down.tile - 1],
            "columns": [across.first, across.first + across.tile - 1],
        },
        "output": {
            "rows": [down.output, down.output + trace.labels.shape[0] - 1],
            "columns": [across.output, across.output + trace.labels.shape[1] - 1],
        },
        "loss": trace.loss,
        "loss_against": "truth" if picture.labels is not None else "its own most probable classes",
        "lr": trace.model.lr,
        "lr_from": trace.model.lr_from,
        "layers": [layer.numbers(trace.model.lr) for layer in trace.layers],
        "receptive_field": _field(trace),
        "skips": [
            {
                "name": f"contract{skip.level} to expand{skip.level}",
                "level": skip.level,
                "pixels": skip.pixels,
                "changed": skip.changed,
                "mean_change": skip.change,
            }
            for skip in trace.skips
        ],
        "notes": list(trace.notes),
    }


def _field(trace: "Trace") -> dict[str, Any]:
    """The receptive field, in coordinates of the image."""
    field, first = trace.field, (trace.down.first, trace.across.first)

    def spans(box: Any) -> dict[str, list[int]]:
        names = ("rows", "columns")
        return {n: [f + low, f + high] for n, f, (low, high) in zip(names, first, box, strict=True)}

    return {
        "logit": field.logit,
        "formula": spans(field.formula),
        "measured": field.measured and spans(field.measured),
        "equal": field.measured == field.formula,
        "cut_by_the_tile": field.cut,
        "pixels_without_gradient": field.zeros,
        "half_within": field.within(HALF),
        "most_within": field.within(MOST),
    }
