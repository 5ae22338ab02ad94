"""A measurement on a GPU as tables: the goals, then what failed, then all figures."""

from typing import Any

Table = tuple[str, list[str], list[list[str]]]  # title, names of columns, rows
Goal = tuple[str, float | None, float, str]  # name, what was measured, at most what, the unit
PEERS = (("tf32", "TF32"), ("float16", "bf16"), ("bfloat16", "bf16"))  # ours, PyTorch's closest
KINDS = ("eager", "compiled")  # of PyTorch's network
TRAINING_STEPS = {64: 165, 32: 350}  # a second, in float16, by width
LOGITS_ERROR_RATIO = 1.25  # of our logits' error to that of PyTorch's, both against the CPU's
LOGITS_ERRORS = {"float32": 1e-5, "tf32": 3e-3}  # of the largest, where PyTorch's were not measured


def heading(document: dict) -> str:
    """The card and the problem."""
    card = document["card"]
    return (
        f"{card['name']}, {card['multiprocessors']} multiprocessors, CuPy {card['cupy']}; "
        f"width {document['width']}, tile {document['tile']}"
    )


def aligned(title: str, head: list[str], rows: list[list[str]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([title, *lines])


def number(value: float | None) -> str:
    """Three digits, or - for nothing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def goals(document: dict) -> list[Goal]:
    """The goals, measured or not."""
    results: dict[str, Any] = document["results"]
    found: list[Goal] = []
    for precision, theirs in PEERS:
        pair = results.get(f"beside eager {precision}")
        step = pair["jobs"]["step"]["ratio"]["median"] if pair else None
        found.append((f"step {precision} / PyTorch eager {theirs}", step, 0.6, "x"))
        compiled = results.get(f"beside compiled {precision}")
        step = compiled["jobs"]["step"]["ratio"]["median"] if compiled else None
        found.append((f"step {precision} / torch.compile {theirs}", step, 1.0, "x"))
        if pair and pair["bytes"]["torch"]:
            ours, peer = (pair["bytes"][side]["allocated"] / 1e9 for side in ("cunet", "torch"))
            found.append((f"memory of a step {precision}", ours, peer, "GB"))
    job = f"forward {document['forward_tile']}"
    times = results.get("alone tf32", {}).get("milliseconds", {})
    for name in (job, f"{job} with transfers"):
        found.append((f"{name}, tf32", times.get(name, {}).get("median"), 2.5, "ms"))
    for width, wanted in TRAINING_STEPS.items():
        training = results.get(f"train {width} float16")
        took = 1e3 / training["steps_per_second"] if training else None
        found.append(
            (f"a step of a training in float16 at width {width}", took, 1e3 / wanted, "ms")
        )
    for precision, limit in LOGITS_ERRORS.items():
        error = results.get(f"agreement {precision}", {}).get("logits")
        theirs = results.get(f"beside eager {precision}", {}).get("logits")
        limit = (
            limit if theirs is None else LOGITS_ERROR_RATIO * theirs
        )  # of the same network, in the same run
        found.append((f"logits {precision} from the CPU's", error, limit, "of the largest"))
    return found


def tables(document: dict) -> list[Table]:
    """Every table of a document of bench/gpu.py that has rows."""
    made = [goal_rows(document), failures(document), agreements(document), times(document)]
    made += [memory(document), trainings(document)]
    for precision in ("tf32", "bfloat16", "float16"):
        made += [layers(document, precision), small_kernels(document, precision)]
    made.append(products(document))
    return [table for table in made if table[2]]


def goal_rows(document: dict) -> Table:
    rows = []
    for name, measured, limit, unit in goals(document):
        met = "-" if measured is None else "yes" if measured <= limit else "no"
        rows.append([name, number(measured), f"<= {number(limit)} {unit}", met])
    return "Goals", ["goal", "measured", "aim", "met"], rows


def failures(document: dict) -> Table:
    rows = [[stage, "failed", text[:200]] for stage, text in document["failed"].items()]
    rows += [[stage, "skipped", text] for stage, text in document["skipped"].items()]
    rows += [[stage, "cut short", ""] for stage in filter(None, [document.get("running")])]
    return "Failed or skipped", ["stage", "", ""], rows


def agreements(document: dict) -> Table:
    rows = [
        [name, number(r["logits"]), number(r["gradients"]), r["worst"]["parameter"]]
        for name, r in of_kind(document, "agreement")
    ]
    head = ["precision", "logits", "gradients", "worst gradient"]
    return "Differences from the CPU's float32, relative", head, rows


def times(document: dict) -> Table:
    rows = []
    for precision, r in of_kind(document, "alone"):
        for job, one in r["milliseconds"].items():
            rows.append([f"{precision}: {job}", number(one["median"]), "", "", ""])
    for kind in KINDS:
        for precision, r in of_kind(document, f"beside {kind}"):
            for job, one in r["jobs"].items():
                ratio, both = one["ratio"], [number(one[s]["median"]) for s in ("cunet", "torch")]
                span = f"{ratio['lowest']:.2f}-{ratio['highest']:.2f}"
                name = f"{precision}: {job} / {r['theirs']}"
                rows.append([name, *both, f"{ratio['median']:.2f}", span])
    return "Times, ms", ["job", "cunet", "PyTorch", "ratio", "range"], rows


def memory(document: dict) -> Table:
    """Allocated: the most that arrays took; reserved: what the pools had taken for them."""
    rows = []
    for precision, r in of_kind(document, "alone"):
        rows.append([f"cunet {precision}", *sizes(r["bytes"])])
    for kind in KINDS:
        for _, r in of_kind(document, f"beside {kind}"):
            if r["bytes"]["torch"]:
                rows.append([f"PyTorch {r['theirs']}", *sizes(r["bytes"]["torch"])])
    return "Memory of a step, GB", ["side", "allocated", "reserved"], rows


def sizes(held: dict[str, int]) -> list[str]:
    return [number(held[what] / 1e9) for what in ("allocated", "reserved")]


def trainings(document: dict) -> Table:
    head = ["network", "steps", "steps/s", "ms", "waiting", "step alone ms", "loss"]
    rows = [
        [
            name, str(r["steps"]), number(r["steps_per_second"]),
            number(1e3 / r["steps_per_second"]), f"{100 * r['wait']:.0f} %",
            number(r["step_ms"]), number(r["loss"]),
        ]
        for name, r in of_kind(document, "train")
    ]  # fmt: skip
    return "Training with the preset paper", head, rows


def layers(document: dict, precision: str) -> Table:
    head = ["layer", "ms", "TFLOP/s", "error", "kernel", "best", "best ms", "PyTorch ms", "wrong"]
    rows = [
        [
            f"{layer['name']} {what}", number(r["ms"]), number(r["tflops"]),
            number(r["error"]), r["chosen"], r["best"], number(r["best_ms"]),
            number(layer.get("torch", {}).get(what)), " ".join(r["wrong"]),
        ]
        for _, layer in of_kind(document, f"layer {precision}")
        for what, r in layer["ours"].items()
    ]  # fmt: skip
    return f"Layers {precision}", head, rows


def small_kernels(document: dict, precision: str) -> Table:
    kernels = document["results"].get(f"small kernels {precision}", [])
    rows = [[r["name"], number(r["ms"]), number(r["bytes_per_s"] / 1e9)] for r in kernels]
    return f"Small kernels {precision}", ["kernel", "ms", "GB/s"], rows


def products(document: dict) -> Table:
    speeds = document["results"].get("products of torch", {}).items()
    rows = [[name, number(value / 1e12)] for name, value in speeds]
    return "Large matrix products of PyTorch", ["precision", "TFLOP/s"], rows


def of_kind(document: dict, kind: str) -> list[tuple[str, Any]]:
    """The last word, and the result, of the stages whose names begin with `kind`."""
    results = document["results"].items()
    return [(name.split()[-1], r) for name, r in results if name.startswith(f"{kind} ")]
