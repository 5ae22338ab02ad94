"""The errors a user can cause or meet, each with the exit code the command line answers.

Every message names the object, what was expected, what was found and what to do.
"""


class CunetError(ValueError):
    """Wrong usage: a missing file, an unknown setting, a tile that does not fit."""

    exit_code = 2


class DataError(CunetError):
    """What an image, a label file or a model file holds is not valid."""

    exit_code = 3


class DeviceError(CunetError):
    """The device, its memory or the disk cannot do what was asked."""

    exit_code = 4


class NumericError(CunetError):
    """The numbers went wrong: not a number, infinity, divergence."""

    exit_code = 5


class CheckError(CunetError):
    """A check that was asked for failed."""

    exit_code = 6
