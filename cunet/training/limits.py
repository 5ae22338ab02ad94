"""The numbers that settings may be: what is larger is a slip, and would hang or fill the memory."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from cunet.errors import CunetError
from cunet.files.pixel_size import PixelSize
from cunet.net.model_input import MAX_RESIZE
from cunet.net.tiles import LARGEST
from cunet.training.warmup import LinearWarmup

COUNTS = ("batch", "steps", "step_size", "iter_size", "validate_every", "threads")
WHOLE_NUMBERS = (*COUNTS, "devices", "tile", "seed", "resize", "warmup")
KINDS: tuple[Any, Any] = (Real, Integral)
MAX_STEP_VALUES = 1000
MAX_SAMPLES = 4096  # of an update
LIMITS = {  # the smallest value, and the first that is too large
    **dict.fromkeys(COUNTS, (1, 10**9)),
    "batch": (1, 1025),
    "tile": (1, LARGEST + 1),
    "iter_size": (1, 1001),
    "threads": (1, 1025),
    "devices": (1, 65),
    "seed": (0, 2**63),
    "warmup": (0, 10**9),
    "resize": (0, MAX_RESIZE + 1),
    "minutes": (0, 10**7),
    **dict.fromkeys(("weight_decay", "clip", "w0"), (0, 1e6)),
    **dict.fromkeys(("brightness", "noise"), (0, 1000)),
    "elastic_sigma": (0, 100),  # pixels; with zoom it says how far from its tile a sample reaches
    "zoom": (0, 4),
    "blur": (0, 100),
    **dict.fromkeys(("momentum", "contrast", "curve", "shear"), (0, 1)),
    **dict.fromkeys(("gamma", "power"), (-1000, 1000)),
    "border_sigma": (1e-6, 1e6),
}


def check_numbers(settings: Mapping[str, Any]) -> None:
    """CunetError for a setting, by its name, that is no number within LIMITS, and for text that no
    file name can be."""
    for name, (smallest, below) in LIMITS.items():
        value, kind = settings[name], KINDS[name in WHOLE_NUMBERS]
        if value is None:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            what = "whole number" if name in WHOLE_NUMBERS else "number"
            raise CunetError(f"{name}: expected a {what}, found {value!r:.40}")
        if not smallest <= value < below:  # NaN is not
            raise CunetError(
                f"{name}: expected {smallest:,} or more and below {below:,}, found {value!r:.40}"
            )
    if settings["train_share"] is not None and not 0 < settings["train_share"] < 1:
        raise CunetError(
            f"train_share: expected a share from 0 to 1, found {settings['train_share']}"
        )
    for name in ("lr", "minutes"):
        value = settings[name]
        if value is not None and not 0 < value < math.inf:
            raise CunetError(f"{name}: expected a positive number, found {value}")
    if len(settings["step_values"]) > MAX_STEP_VALUES:
        raise CunetError(f"step_values: expected at most {MAX_STEP_VALUES:,} steps")
    for name, value in settings.items():
        if isinstance(value, str) and "\0" in value:
            raise CunetError(f"{name}: expected text without a NUL character, found {value!r:.40}")


def check_sizes(resize: int | None, pixel_size: str | None) -> None:
    """CunetError for a square too small to scale images to, for a text that is no pixel size, and
    for both together."""
    if resize and resize < 16:
        raise CunetError(f"resize: expected 0 (off) or 16 or more, found {resize}")
    if pixel_size is None:
        return
    PixelSize.parse(pixel_size)
    if resize:
        raise CunetError(
            f"pixel_size: with resize {resize} the network sees images of any pixel size scaled to "
            "one square; leave one of the two out"
        )


def batches_of_update(settings: Mapping[str, Any]) -> int:
    """iter_size, for settings that check_numbers has passed: where it is not given, one batch for
    each device. CunetError where the devices cannot share it equally, or there are too many."""
    count, devices, device = settings["iter_size"], settings["devices"], settings["device"]
    if "iter_size" not in settings["_given"]:
        count = max(count, devices)
    if count % devices:
        raise CunetError(
            f"iter_size: expected a multiple of devices ({devices}), which share the batches of an "
            f"update equally, found {count}; iter_size {devices * -(-count // devices)} fits, and "
            "is another training"
        )
    samples = settings["batch"] * count
    if samples > MAX_SAMPLES:
        raise CunetError(
            f"batch x iter_size: expected at most {MAX_SAMPLES:,} samples an update, "
            f"found {samples:,}"
        )
    if devices > 1 and device not in ("auto", "cpu", "cuda", "cuda:0"):
        raise CunetError(
            f"device '{device}' is one GPU: with devices {devices} give cuda, which takes GPUs 0 "
            f"to {devices - 1} (CUDA_VISIBLE_DEVICES chooses which these are), or cpu"
        )
    return count


def check_rate(rate: LinearWarmup, steps: int) -> None:
    """CunetError where the learning rate becomes negative, infinite or no number in these steps, or
    would not have risen to its value when they end."""
    if rate.warmup >= steps:
        raise CunetError(
            f"warmup: expected fewer updates than the {steps:,} of the training, found "
            f"{rate.warmup:,}; the rate would never reach its value"
        )
    if rate.gamma < 0 and rate.policy in ("step", "multistep", "exp", "inv"):
        raise CunetError(f"gamma: expected 0 or more for {rate.policy}, found {rate.gamma}")
    for step in (0, steps - 1):  # in between it only rises or only falls
        try:
            fits = 0 <= rate(step) < math.inf
        except (OverflowError, ZeroDivisionError):
            fits = False
        if not fits:
            raise CunetError(
                f"lr_policy {rate.policy}: no learning rate at step {step + 1} with gamma "
                f"{rate.gamma} and power {rate.power}; expected values that let it fall"
            )


def parse_fold(fold: str | None) -> tuple[int, int] | None:
    """From "k/n" -> (k, n) with 0 <= k < n and n >= 2; None stays None."""
    if fold is None:
        return None
    try:
        k, n = map(int, fold.split("/"))
    except ValueError:
        k, n = -1, 0
    if not (n >= 2 and 0 <= k < n):
        raise CunetError(
            f"fold: expected k/n with n >= 2 and k from 0 to n - 1, such as 0/5, found '{fold}'"
        )
    return k, n
