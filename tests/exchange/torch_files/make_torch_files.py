"""Makes the files beside it with PyTorch: small networks with the names and structure of milesial's
Pytorch-UNet (bilinear=False), of random weights and statistics, and what they return.

    pip install torch==2.13.0 numpy && python make_torch_files.py

new.pt  colour to three classes, convolutions without biases, "mask_values" in the dict
old.pt  grey to one output, convolutions with biases, as that repository had them until 2022
outputs.npz  their outputs (1, K, 32, 48) for image(C), which the tests make again
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

WIDTH, DEPTH, SIDES = 1, 4, (32, 48)


def image(channels: int) -> np.ndarray:
    """Grey values of 8 bits, (C, 32, 48), without random numbers."""
    c, y, x = np.ogrid[:channels, : SIDES[0], : SIDES[1]]
    return ((37 * y * y + 11 * x * (y + 3 * c) + 53 * c) % 256).astype(np.uint8)


def named(**children: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def double(inputs: int, outputs: int, bias: bool) -> nn.Module:
    parts: list[nn.Module] = []
    for channels in (inputs, outputs):
        conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=bias)
        parts += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*parts)


class Net(nn.Module):
    def __init__(self, channels: int, outputs: int, bias: bool):
        super().__init__()
        widths = [WIDTH << i for i in range(DEPTH + 1)]
        self.inc = named(double_conv=double(channels, widths[0], bias))
        for i in range(1, DEPTH + 1):
            down = named(double_conv=double(widths[i - 1], widths[i], bias))
            self.add_module(f"down{i}", named(maxpool_conv=nn.Sequential(nn.MaxPool2d(2), down)))
        for i in range(1, DEPTH + 1):
            here, below = widths[DEPTH - i], widths[DEPTH + 1 - i]
            conv = named(double_conv=double(below, here, bias))
            up = nn.ConvTranspose2d(below, here, 2, stride=2)
            self.add_module(f"up{i}", named(up=up, conv=conv))
        self.outc = named(conv=nn.Conv2d(widths[0], outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [self.inc.double_conv(x)]
        for i in range(1, DEPTH + 1):
            pool, down = self.get_submodule(f"down{i}.maxpool_conv")
            kept.append(down.double_conv(pool(kept[-1])))
        y = kept.pop()
        for i in range(1, DEPTH + 1):
            up = self.get_submodule(f"up{i}")
            y = up.conv.double_conv(torch.cat((kept.pop(), up.up(y)), dim=1))
        return self.outc.conv(y)


def main() -> None:
    here, found = Path(__file__).parent, {}
    for name, channels, outputs, bias in (("new", 3, 3, False), ("old", 1, 1, True)):
        torch.manual_seed(6)
        net = Net(channels, outputs, bias)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(0.1, 0.8)  # few ReLUs are dead
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.2, 1)
        net.eval()
        x = torch.from_numpy(image(channels).astype(np.float32) / 255)
        with torch.no_grad():
            found[name] = net(x[None]).numpy()
        state = net.state_dict()
        if name == "new":
            state["mask_values"] = [0, 1, 2]
        torch.save(state, here / f"{name}.pt")
    np.savez_compressed(here / "outputs.npz", **found)


if __name__ == "__main__":
    main()
