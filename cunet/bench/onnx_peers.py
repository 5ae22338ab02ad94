"""The same network as ONNX in ONNX Runtime and OpenVINO: the other side of `cunet bench`.

Imported in a process of its own. The file has one fixed size, which lets these programs plan their
memory; it holds the network as `cunet export` writes it, from raw pixels to probabilities.
"""

from typing import Any

import numpy as np

from cunet.bench.cpu_side import inputs, peak_of_process
from cunet.exchange.onnx_file import to_bytes
from cunet.net.unet import UNet


class OnnxPeer:
    """x (1, C, H, W) in, probabilities (1, K, P, Q) out."""

    def __init__(self, job: dict):
        self.x = np.ascontiguousarray(inputs(job["tile"])[0].transpose(0, 3, 1, 2))
        network = to_bytes(UNet(width=job["width"], seed=0), size=job["tile"])
        self.run = self.prepared(network, job["threads"])

    def prepared(self, network: bytes, threads: int) -> Any:
        """A function of x that returns the probabilities."""
        raise NotImplementedError

    def predict(self) -> None:
        self.run(self.x)

    def check_predict(self) -> dict[str, np.ndarray]:
        return {"probabilities": self.run(self.x).transpose(0, 2, 3, 1)}

    def peak_bytes(self) -> int | None:
        return peak_of_process()


class Onnxruntime(OnnxPeer):
    """ONNX Runtime's own CPU engine."""

    def prepared(self, network: bytes, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"image": x})[0]


class OpenVino(OnnxPeer):
    """OpenVINO, held to float32: where the processor has bfloat16 it would take that unasked."""

    def prepared(self, network: bytes, threads: int) -> Any:
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        request = core.compile_model(
            core.read_model(network), "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"}
        ).create_infer_request()
        return lambda x: np.array(request.infer({"image": x}, share_inputs=True)[0])
