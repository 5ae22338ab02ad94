"""`cunet evaluate`: score a segmentation against the truth."""

import click

from cunet.cli import common
from cunet.cli.evaluate_ctc import ctc
from cunet.cli.evaluate_dsb import dsb
from cunet.cli.evaluate_isbi import isbi
from cunet.cli.evaluate_pixels import pixels


@click.group(cls=common.Group)
def command():
    """Score a segmentation against the truth.

    \b
    Example:
      cunet segment isbi2012/train-volume.tif --model runs/isbi2012-1 --pages 0,5
      cunet evaluate pixels train-volume_prob.tif isbi2012/train-labels.tif --pages 0,5
      cunet evaluate ctc DIC-C2DH-HeLa/02_RES DIC-C2DH-HeLa/02_GT
      cunet evaluate dsb found/ stage1_train/
    """


for scores in (isbi, ctc, dsb, pixels):
    command.add_command(scores)
