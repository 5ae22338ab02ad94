"""The settings of a training resolved: preset, configuration file, options, then the data.

`cunet train`, `crossval`, `augment` and `weights` all begin here: what is shown is what is trained.
"""

import os
import sys
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from cunet.backend import cuda_problem, resolve_device
from cunet.data.dataset import Dataset
from cunet.data.load import load
from cunet.data.on_disk import OnDisk
from cunet.data.weight_map import FORMS
from cunet.errors import CunetError
from cunet.training import config as configs
from cunet.training.config import Config
from cunet.training.presets import chosen


def settings_of(
    data: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> tuple[str, Config, frozenset[str]]:
    """Where the settings come from in words, the settings, and the names of those that are given.

    Defaults < preset < config file < options; arguments as those of plan.start."""
    options = {name: value for name, value in options.items() if value is not None}
    if {"steps", "minutes"} <= options.keys():
        raise CunetError("--steps and --minutes: give one of them")
    if data is not None:
        options["data"] = os.path.realpath(data)  # so that resume works from anywhere
    asked = options.get("device", "auto")
    on_cpu = resolve_device(asked) == "cpu"
    given = (configs.read_toml(Path(config)) if config is not None else {}) | options
    preset, source = chosen(preset, on_cpu, given.get("from_model"))
    if config is not None:
        source += f", {config}"
    if asked == "auto" and on_cpu and "cupy" in sys.modules:
        source += f", {cuda_problem()}: running on the CPU"
    return source, configs.make(preset, config, options), frozenset(given)


def with_data(config: Config, given: Container[str]) -> tuple[Config, Dataset]:
    """The settings for the data set in config.data, which is loaded and checked; see suited."""
    if not config.data:
        raise CunetError("Missing option '--data': the folder with the data set.")
    dataset = load(config.data, config.dataset, config.labels)
    return suited(config, given, dataset), dataset


def suited(config: Config, given: Container[str], dataset: Dataset) -> Config:
    """The settings that suit a data set. given: names of those that are not a preset's.

    Where the data number objects and a preset has class balance alone, the weight map is the
    paper's, whose border term tells touching objects apart. Where slices on disk number none, it is
    class balance: a border term needs the cells of whole slices.
    """
    if isinstance(dataset.images[0], OnDisk) and dataset.instances is None:
        border = config.weight_map in FORMS and "weight_map" not in given
        return replace(config, weight_map="balance") if border else config
    if dataset.instances is None or "weight_map" in given or config.weight_map != "balance":
        return config
    return replace(config, weight_map="paper")
