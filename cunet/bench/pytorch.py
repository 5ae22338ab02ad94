"""The same network in PyTorch, as its users write it: the other side of `cunet bench`.

Imported in a process of its own and only where PyTorch is installed; cunet itself never needs it.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cunet.bench.cpu_side import LEARNING_RATE, inputs, peak_of_process
from cunet.net.unet import UNet


class TorchUNet(nn.Module):
    """Fig. 1 of the paper, images (N, C, H, W), with the weights of one of ours."""

    def __init__(self, ours: UNet):
        super().__init__()
        self.ours = [layer.name for layer in ours.layers()]
        self.depth, self.dropout = ours.shape.depth, nn.Dropout(ours.shape.dropout)
        for layer in ours.layers():
            size, _, channels, outputs = layer.w.value.shape
            up = layer.name.endswith(".up")
            make = nn.ConvTranspose2d if up else nn.Conv2d
            module = make(channels, outputs, size, stride=2 if up else 1)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(to_torch(layer.w.value, up)))
                module.bias.copy_(torch.from_numpy(layer.b.value))
            self.add_module(layer.name.replace(".", "_"), module)

    def pair(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Two convolutions, each with its ReLU."""
        for number in ("conv1", "conv2"):
            x = functional.relu(self.get_submodule(f"{name}_{number}")(x), inplace=True)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for i in range(self.depth + 1):
            x = self.pair(f"contract{i}", x)
            if i >= self.depth - 1:
                x = self.dropout(x)
            if i < self.depth:
                skips.append(x)
                x = functional.max_pool2d(x, 2)
        for i in reversed(range(self.depth)):
            x, skip = self.get_submodule(f"expand{i}_up")(x), skips.pop()
            crop = (skip.shape[2] - x.shape[2]) // 2
            skip = skip[:, :, crop : crop + x.shape[2], crop : crop + x.shape[3]]
            x = self.pair(f"expand{i}", torch.cat([x, skip], 1))
        return self.head(x)


def to_torch(filters: np.ndarray, up: bool) -> np.ndarray:
    """Filters (R, S, C, K) as PyTorch has them: (K, C, R, S), or (C, K, R, S) for the way up."""
    return np.ascontiguousarray(filters.transpose((2, 3, 0, 1) if up else (3, 2, 0, 1)))


class Peer:
    """PyTorch's counterpart of cpu_side.Ours."""

    def __init__(self, job: dict):
        torch.set_num_threads(job["threads"])
        last = job["side"] == "torch channels last"
        layout = torch.channels_last if last else torch.contiguous_format
        self.net = TorchUNet(UNet(width=job["width"], seed=0)).to(memory_format=layout)
        x, labels, weights = inputs(job["tile"])
        self.x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
        self.labels, self.weights = torch.from_numpy(labels), torch.from_numpy(weights)
        self.solver = torch.optim.SGD(self.net.parameters(), lr=LEARNING_RATE, momentum=0.99)

    def forward(self) -> None:
        self.net.eval()
        with torch.no_grad():
            self.net(self.x)

    def step(self) -> None:
        self.net.train()
        self.gradients()
        self.solver.step()

    def gradients(self) -> torch.Tensor:
        self.solver.zero_grad()
        logits = self.net(self.x)
        losses = functional.cross_entropy(logits, self.labels, reduction="none")
        ((losses * self.weights).sum() / self.weights.sum()).backward()
        return logits

    def check(self) -> dict[str, np.ndarray]:
        self.net.eval()
        found = {"logits": self.gradients().detach().permute(0, 2, 3, 1).numpy()}
        for name in self.net.ours:
            module = self.net.get_submodule(name.replace(".", "_"))
            grad, up = module.weight.grad.numpy(), name.endswith(".up")
            found[f"{name}.filters"] = grad.transpose((2, 3, 0, 1) if up else (2, 3, 1, 0))
            found[f"{name}.biases"] = module.bias.grad.numpy()
        return found

    def peak_bytes(self) -> int | None:
        return peak_of_process()
