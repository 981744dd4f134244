"""OSNet, the omni-scale network, in its four widths.

Zhou, Yang, Cavallaro, Xiang: Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019. Written from the
paper (Fig. 3 and 4, Table 1). Parameters carry the names of the public `torchreid` checkpoints, so that these load
strictly; the classifier is not part of the network, and whoever loads drops it.

Feature: the 512 numbers behind the last fully connected layer, its BN and ReLU, which is what public OSNet features
are. They are therefore never negative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = {
    "osnet_x0_25": (16, 64, 96, 128),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x1_0": (64, 256, 384, 512),
}
DIM = 512


class ConvBN(nn.Module):
    """Convolution, BN and, unless ``linear``, ReLU."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 1, stride: int = 1, *, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else torch.relu_(x)


class Lite3x3(nn.Module):
    """The paper's Lite 3×3 (Fig. 3b): 1×1 across channels, then 3×3 inside each channel, BN, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv2(self.conv1(x))))


class AggregationGate(nn.Module):
    """G of Eq. 2: one weight per channel and image from the globally pooled stream; shared by all streams of a block."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(pooled))))


class OmniScaleBlock(nn.Module):
    """Fig. 4: a bottleneck with four streams of one to four Lite 3×3 (Eq. 1), gated and added (Eq. 2), and a shortcut."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        middle = outside // 4
        self.conv1 = ConvBN(inside, middle)
        self.conv2a = Lite3x3(middle)
        self.conv2b = nn.Sequential(*(Lite3x3(middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(Lite3x3(middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(Lite3x3(middle) for _ in range(4)))
        self.gate = AggregationGate(middle)
        self.conv3 = ConvBN(middle, outside, linear=True)
        self.downsample = ConvBN(inside, outside, linear=True) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.conv1(x)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        gated = [self.gate(stream(squeezed)) for stream in streams]
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu_(self.conv3(gated[0] + gated[1] + gated[2] + gated[3]) + shortcut)


class OSNet(nn.Module):
    """(B, 3, H, W) normalised images to (B, 512) features. ``widths``: channels of the stem and the three stages."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, two, three, four = widths
        self.conv1 = ConvBN(3, stem, kernel=7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(OmniScaleBlock(stem, two), OmniScaleBlock(two, two), _transition(two))
        self.conv3 = nn.Sequential(
            OmniScaleBlock(two, three), OmniScaleBlock(three, three), _transition(three)
        )
        self.conv4 = nn.Sequential(OmniScaleBlock(three, four), OmniScaleBlock(four, four))
        self.conv5 = ConvBN(four, four)
        self.fc = nn.Sequential(nn.Linear(four, DIM), nn.BatchNorm1d(DIM), nn.ReLU())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv2(self.maxpool(self.conv1(images)))
        x = self.conv5(self.conv4(self.conv3(x)))
        return self.fc(x.mean((2, 3)))


def _transition(channels: int) -> nn.Sequential:
    """Between stages: 1×1 convolution, then half the resolution."""
    return nn.Sequential(ConvBN(channels, channels), nn.AvgPool2d(2))
