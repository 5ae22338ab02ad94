"""The programs that `cunet bench` compares with on a CPU, and what each of them can do."""

from dataclasses import dataclass
from importlib.util import find_spec

from cunet.errors import CunetError


@dataclass(frozen=True)
class Peer:
    """A program.

    name     as it is written in a sentence
    package  to be installed
    sides    the ways in which it is run, one process each
    jobs     what is timed: see worker.py
    check    what is compared before anything is timed
    """

    name: str
    package: str
    sides: tuple[str, ...]
    jobs: tuple[str, ...]
    check: str

    def require(self, option: str) -> None:
        """CunetError where it is not installed."""
        if find_spec(self.package) is None:
            raise CunetError(
                f"bench --against {option}: {self.name} is not installed here; "
                f"run  pip install {self.package}"
            )


TORCH = ("torch NCHW", "torch channels last")
PEERS = {
    "torch": Peer("PyTorch", "torch", TORCH, ("forward", "step"), "check"),
    "onnxruntime": Peer(
        "ONNX Runtime", "onnxruntime", ("onnxruntime",), ("predict",), "check_predict"
    ),
    "openvino": Peer(
        "OpenVINO", "openvino", ("OpenVINO in float32",), ("predict",), "check_predict"
    ),
}
ALONE = ("forward", "step")  # the jobs where there is no peer
SIDES = {  # the class of each side, which its process imports
    "cunet": "cunet.bench.cpu_side:Ours",
    **dict.fromkeys(TORCH, "cunet.bench.pytorch:Peer"),
    "onnxruntime": "cunet.bench.onnx_peers:Onnxruntime",
    "OpenVINO in float32": "cunet.bench.onnx_peers:OpenVino",
}
