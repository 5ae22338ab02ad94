"""The errors a user can cause or meet, each with the exit code that the command line returns.

Every message names the object, what was expected, what was found and what to do.
"""


class CunetError(ValueError):
    """Wrong usage: a missing file, an unknown setting, a tile that does not fit.

    All errors of this package are of this class or one of those below.

        try:
            net = cunet.load(path)
        except cunet.CunetError as error:
            print(error)  # names the file, what was expected, what was found and what to do
    """

    exit_code = 2


class DataError(CunetError):
    """The content of an image, a label file or a model file is not valid."""

    exit_code = 3


class DeviceError(CunetError):
    """The device, its memory or the disk cannot do what was asked."""

    exit_code = 4


class NumericError(CunetError):
    """The numbers went wrong: NaN, infinity, divergence."""

    exit_code = 5


class CheckError(CunetError):
    """A check that was asked for failed."""

    exit_code = 6
