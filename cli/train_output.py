"""What `cunet train` prints: the plan and the records. `cunet crossval` prints the same."""

from typing import TYPE_CHECKING

from cunet.cli import common
from cunet.cli.words import duration, size
from cunet.terminal import plural

if TYPE_CHECKING:
    from cunet.training.plan import Plan


def announce(plan: "Plan", quiet: bool) -> None:
    """Print what will happen, where, and how long it takes."""
    from cunet.engines import describe

    config, prepared, dataset = plan.config, plan.prepared, plan.prepared.dataset
    on_cpu = config.device == "cpu"
    device = plural(plan.threads, "CPU thread")
    if not on_cpu:
        device = describe(config.device, str(config.precision))
    several = config.devices > 1
    device = f"{config.devices} devices, each {device}" if several else device
    common.say(
        f"{plan.source}: {plural(plan.left, 'step')} at {plan.seconds:.2f} s on {device}, about "
        f"{duration(plan.expected_seconds)}",
        quiet,
    )
    if plan.lost:
        common.say(
            f"warning: the log of '{config.out}' lacks steps {plan.lost}; of these the numbers "
            "alone are kept. Was the machine switched off?"
        )
    if not on_cpu and plan.why_no_tensor_cores:
        common.say(f"  without tensor cores: {plan.why_no_tensor_cores}", quiet)
    for note in (*plan.notes, *dataset.notes):
        common.say(f"  {note}", quiet and not note.startswith("warning: "))
    if dataset.instances is not None and config.weight_map in ("balance", "none"):
        common.say("  to learn the gaps between touching cells give --weight-map paper", quiet)
    if not prepared.held_out:
        common.say(f"  nothing is held out, so that nothing is scored: {plan.to_hold_out}", quiet)
    common.say(
        f"  {plural(len(prepared.training), 'slice')} to train on, "
        f"{len(prepared.held_out)} held out; width {config.width}, tile {config.tile}, "
        f"{config.solver}, weight map {config.weight_map}; memory about {size(plan.memory)}"
        f"{' a device' * several}  ->  {config.out}",
        quiet,
    )


def validation_line(record: dict) -> str:
    """The scores of a validation in one line."""
    return (
        f"step {record['step']:>6}  held-out slices: loss {record['val_loss']:.4f}  "
        f"Dice {record['val_dice']:.4f}  pixel error {record['val_pixel_error']:.4f}"
    )


def one_class_warning(record: dict, names: tuple[str, ...]) -> list[str]:
    """A warning where the net predicts nearly everywhere the same; names: of the classes."""
    lone = record.get("val_one_class")
    if lone is None:
        return []
    found = f"'{names[0]}' nowhere" if lone and len(names) > 2 else f"'{names[lone]}' everywhere"
    return [
        f"warning: the net predicts {found} on the held-out slices; that is usual "
        "early in a training, later try --weight-map balance or a smaller --lr"
    ]
