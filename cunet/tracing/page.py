"""The page of a trace: one HTML file without a script or anything to load."""

from typing import TYPE_CHECKING, Any

from cunet.reporting.page import PAGE, cards, contents, escape, in_sections, table
from cunet.terminal import plural
from cunet.tracing import page_layers, page_passed
from cunet.tracing.page_style import STYLE

if TYPE_CHECKING:
    from cunet.tracing.trace import Trace


def page(trace: "Trace") -> str:
    """The whole page."""
    document = trace.document()
    sections = {
        "passed": ("What went in, and what came out", page_passed.passed(trace)),
        "field": ("What one output pixel sees", page_passed.field(trace)),
        "skips": ("What each skip contributes", page_passed.skips(trace)),
        "numbers": ("All layers in numbers", _numbers(document)),
        "layers": ("Layer by layer", page_layers.layers(trace)),
    }
    along_the_u = f"\n{_layers_along_the_u(trace)}"
    parts = [_head(trace), contents(sections, along_the_u), _alerts(trace), _cards(trace)]
    parts += in_sections(sections)
    title = escape(f"One pass through {trace.model.name} - cunet trace")
    whole = PAGE.substitute(title=title, body="\n".join(filter(None, parts)))
    return whole.replace("</head>", f"<style>{STYLE}</style>\n</head>", 1)


def _head(trace: "Trace") -> str:
    """What was passed, in a sentence or two."""
    picture, down, across = trace.picture, trace.down, trace.across
    of_page = f", page {picture.page} of {picture.pages}" if picture.pages > 1 else ""
    height, width = picture.size
    parts = [f"image {picture.name}{of_page}, {height} x {width} pixels"]
    if picture.scaled is not None:
        parts.append(f"scaled to {picture.scaled} x {picture.scaled}, whose rows and columns count")
    parts.append(f"a tile of {down.tile} x {across.tile} from row {down.first}, column "
                 f"{across.first} on")  # fmt: skip
    parts.append(f"output pixel: row {trace.pixel[0]}, column {trace.pixel[1]}")
    parts.append(f"loss: {_loss(trace)}")
    return (
        f"<h1>One pass through {escape(trace.model.name)}</h1>\n"
        f'<p class="soft">{escape("; ".join(parts))}.</p>\n'
        "<p>The tile went through the network once, forward, and the gradient of the loss came "
        "back, from the head to the tile. Nothing was learned, and dropout was off.</p>"
    )


def _loss(trace: "Trace") -> str:
    name = "binary cross-entropy" if trace.model.net.shape.sigmoid else "cross-entropy"
    if trace.picture.labels is None:
        return (
            f"{name} against the network's own most probable classes, as there is no truth: it is "
            "small by nature, and its gradients push the network to be surer of what it finds"
        )
    return f"{name}, each pixel of weight 1, against the truth {trace.picture.truth}"


def _layers_along_the_u(trace: "Trace") -> str:
    """Links to the layers, a line a resolution: going down on the left, up on the right."""
    shape = trace.model.net.shape
    names = [layer.name for layer in trace.layers]

    def along(starts: tuple[str, ...]) -> str:
        found = [name for name in names if name.startswith(starts)]
        return "".join(
            f'<a href="#{name}">{name.partition(".")[2].replace(".", " ") or name}</a>'
            for name in found
        )

    rows = []
    for i in range(shape.depth + 1):
        down = (f"contract{i}.", "input") if i == 0 else (f"contract{i}.",)
        up = (f"expand{i}.", "head") if i == 0 else (f"expand{i}.",)
        side = "" if i == shape.depth else f"<div>{along(up)}</div>"
        said = f"<b>{plural(shape.width << i, 'channel')}</b>"
        kind = ' class="bottom"' if i == shape.depth else ""
        rows.append(f'<li{kind} style="--i:{i}"><div>{along(down)}</div>{said}{side}</li>')
    return '<ol class="u">' + "\n".join(rows) + "</ol>"


def _alerts(trace: "Trace") -> str:
    warned = [note.removeprefix("warning: ") for note in trace.notes if note.startswith("warning:")]
    return "\n".join(f'<p class="alert">{escape(one)}</p>' for one in warned)


def _cards(trace: "Trace") -> str:
    document = trace.document()
    found, net = document["receptive_field"], trace.model.net
    seen = found["measured"]
    size = " x ".join(str(b - a + 1) for a, b in seen.values()) if seen else "nothing"
    dead = sum(layer["output"]["dead_channels"] or 0 for layer in document["layers"])
    channels = sum(layer.output.shape[2] for layer in trace.layers if layer.relu)
    parameters = sum(p.value.size for p in net.parameters())
    return cards([
        ("Loss", f"{trace.loss:.4g}", "mean over the pixels that count"),
        ("Parameters", f"{parameters:,}", f"width {net.shape.width}, depth {net.shape.depth}"),
        ("The pixel sees", size, "input pixels, measured"),
        ("Half of its gradient", _side(found["half_within"]), "around the pixel holds it"),
        ("Dead channels", f"{dead} of {channels}", "0 on all of this tile, behind a ReLU"),
        ("Learning rate", f"{trace.model.lr:g}", f"{trace.model.lr_from}, for the updates below"),
    ])  # fmt: skip


def _side(side: int | None) -> str:
    return "-" if side is None else f"{side} x {side}"


HEAD = ("Layer", "Output", "Mean", "Deviation", "At 0", "Dead channels", "|dy|", "|W|", "|dW|",
        "Relative update")  # fmt: skip


def _numbers(document: dict[str, Any]) -> str:
    rows = []
    for layer in document["layers"]:
        out, weights = layer["output"], layer["weights"]
        zeros = "" if out["zeros"] is None else f"{100 * out['zeros']:.1f} %"
        dead = "" if out["dead_channels"] is None else str(out["dead_channels"])
        row = [layer["name"], " x ".join(map(str, layer["shape"]))]
        row += [f"{out['mean']:.3g}", f"{out['deviation']:.3g}", zeros, dead]
        row.append(f"{layer['gradient']['norm']:.3g}")
        names = ("norm", "gradient_norm", "relative_update")
        rows.append(row + [f"{weights[n]:.3g}" if weights else "" for n in names])
    text = (
        "<p>Mean and deviation are those of the output. <b>At 0</b> is the share of its units "
        "that a ReLU holds at 0, where no gradient passes; a <b>dead channel</b> is 0 on the whole "
        "tile. <b>|dy|</b> is the norm (the root of the sum of squares) of the gradient of the "
        "loss with respect to the output, <b>|W|</b> that of the filters, <b>|dW|</b> that of "
        "their gradient. The <b>relative update</b> is lr |dW| / |W|: how far one step of plain "
        f"gradient descent with lr {document['lr']:g} would move the filters, as a share of their "
        "size; about 0.001 is a rule of thumb for a network that learns.</p>"
    )
    charts = page_layers.charts(document)
    shown = table(rows, HEAD, title="All layers in numbers")
    return f'{text}\n{charts}\n<div class="plain">{shown}</div>'
