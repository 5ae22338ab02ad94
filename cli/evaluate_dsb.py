"""`cunet evaluate dsb`: objects by their IoU, as in the Data Science Bowl 2018."""

from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.evaluate_options import check_plot, labels_option, plot_option
from cunet.cli.words import number
from cunet.terminal import shell_line


@click.command(short_help="the Data Science Bowl 2018: objects over thresholds of their IoU")
@click.argument("pred", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@labels_option
@plot_option
@common.threads_option
@common.overwrite_option
@common.json_option
@common.quiet_option
def dsb(pred, truth, labels, plot, overwrite, as_json, quiet):
    """Count the objects found, missed and invented: two are the same if their IoU is high enough.

    PRED and TRUTH are label images (TIFF or PNG, also stacks), or folders of them with matching
    names; the endings _labels and _mask make no difference. TRUTH may have the layout of the Data
    Science Bowl: stage1_train with <id>/masks/*.png. Images of 0 and 255, or 0 and 1, are masks,
    whose 4-connected components are the objects. With --labels instances each patch of one colour
    is an object, on black. Images that are not in PRED are not scored.

    Kaggle's score is the mean of TP / (TP + FP + FN) over the images and the IoU thresholds 0.50,
    0.55 ... 0.95. The report's mAP is the mean of TP / (TP + FP) up to 1.00: plain precision, which
    ignores missed objects.

    \b
    Examples:
      cunet evaluate dsb nuclei_labels.tif truth.png
      cunet evaluate dsb found/ stage1_train/ --json --plot f1.png
    """
    from cunet.evaluation.label_files import find_pairs
    from cunet.evaluation.objects import scores

    check_plot(plot, overwrite, pred, truth)
    pairs, left_out, notes = find_pairs(pred, truth)
    common.notes(notes, quiet)
    with common.Progress(len(pairs), quiet=quiet, text="images") as progress:
        document, notes = scores(
            pairs, left_out, lambda done, _: progress.update(done, "images"), labels == "instances"
        )
    common.notes(notes, quiet)
    if left_out:
        common.say(f"{left_out} images of '{truth}' have no prediction and are not scored", quiet)
    if plot is not None:
        from cunet.pictures.plots import iou_curves

        iou_curves(document["thresholds"], plot)
        common.say(f"{plot}: F1, precision and recall over the IoU", quiet)
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    again = ["cunet", "evaluate", "dsb", str(pred), str(truth)]
    more = ["--plot", "f1.png"] if plot is None else ["--json"]
    common.next_command(shell_line(again + more), quiet)


def show(document: dict) -> None:
    """Print the scores as a table on stdout."""
    common.show(
        f"{document['images']} image(s), {document['objects']:,} objects, "
        f"{document['found']:,} found\n"
    )
    common.show(
        f"{'IoU >=':<8}{'TP':>7}{'FP':>7}{'FN':>7}{'precision':>12}{'recall':>11}{'F1':>11}"
    )
    for one in document["thresholds"]:
        counts = "".join(f"{one[key]:>7}" for key in ("tp", "fp", "fn"))
        common.show(
            f"{one['threshold']:<8.2f}{counts}{number(one['precision']):>12}"
            f"{number(one['recall']):>11}{number(one['f1']):>11}"
        )
    kaggle, report = document["kaggle_dsb2018_score"], document["report_mean_average_precision"]
    common.show(
        f"\n{'Kaggle score':<15}{kaggle:.4f}   mean over images and IoU 0.50 ... 0.95 of "
        "TP / (TP + FP + FN)\n"
        f"{'report mAP':<15}{report:.4f}   the same up to 1.00 of TP / (TP + FP): missed objects "
        "are not counted"
    )
    ratios = ", ".join(
        f"{name} {number(document[f'pixel_{key}'])}"
        for key, name in (("f1", "F1"), ("iou", "IoU"), ("precision", "precision"),
                          ("recall", "recall"))
    )  # fmt: skip
    common.show(f"{'pixels':<15}{ratios}")
