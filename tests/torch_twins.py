"""Networks in plain torch.nn under torchvision's names, where the benchmarks have no twin."""

import torch
from torch import nn

BOTTLENECKS = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        channels = 64
        for stage, blocks in enumerate(BOTTLENECKS):
            width, layers = 64 << stage, []
            for block in range(blocks):
                layers.append(Bottleneck(channels, width, 2 if stage and not block else 1))
                channels = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class Auxiliary(nn.Module):
    """A head of GoogLeNet, which inference passes by."""

    def __init__(self, conv, num_classes):
        super().__init__()
        self.conv, self.fc1, self.fc2 = conv, nn.Linear(2048, 1024), nn.Linear(1024, num_classes)

    def forward(self, x):
        return x


def with_auxiliaries(googlenet, conv_bn, num_classes):
    """torchvision's GoogLeNet with its two heads, from the benchmarks' one without."""
    googlenet.add_module("aux1", Auxiliary(conv_bn(512, 128, 1), num_classes))
    googlenet.add_module("aux2", Auxiliary(conv_bn(528, 128, 1), num_classes))
    forward = list(googlenet.children())[:-2]
    googlenet.forward = lambda x: nn.Sequential(*forward)(x)
    return googlenet


def vgg(widths, in_channels, num_classes, batch_norm):
    """VGG of the paper's table 1; `widths` has "M" for a pool."""
    layers, channels = [], in_channels
    for width in widths:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), *[nn.BatchNorm2d(width)] * batch_norm, nn.ReLU()]
        channels = width
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(*layers))
    net.add_module("avgpool", nn.AdaptiveAvgPool2d(7))
    net.add_module("flatten", nn.Flatten())
    head = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    net.add_module("classifier", nn.Sequential(*head, nn.Linear(4096, num_classes)))
    return net
