"""The same networks in plain torch.nn: same layers, same names, so that weights copy by state_dict."""

from collections import OrderedDict

import torch
from torch import nn


def build(case):
    """The twin of a networks.Case."""
    builders = {
        "lenet5": lenet5, "alexnet": alexnet, "vgg16": vgg16, "nin": nin, "googlenet": googlenet,
        "resnet18": resnet18, "resnet20": resnet20,
    }  # fmt: skip
    return builders[case.network](case.input_shape[0], case.num_classes, **case.arguments)


def named(**layers):
    return nn.Sequential(OrderedDict(layers))


def lenet5(in_channels, num_classes):
    return named(
        conv1=nn.Conv2d(in_channels, 6, 5, padding=2), act1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5), act2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
        fc1=nn.Linear(400, 120), act3=nn.ReLU(), fc2=nn.Linear(120, 84), act4=nn.ReLU(),
        fc3=nn.Linear(84, num_classes),
    )  # fmt: skip


def alexnet(in_channels, num_classes):
    features = nn.Sequential(
        nn.Conv2d(in_channels, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(0.5), nn.Linear(9216, 4096), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, num_classes),
    )  # fmt: skip
    return named(features=features, avgpool=nn.AdaptiveAvgPool2d(6), flatten=nn.Flatten(), classifier=classifier)


def vgg16(in_channels, num_classes, variant="torchvision", batch_norm=False):
    layers, channels = [], in_channels
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1),
                *([nn.BatchNorm2d(width)] if batch_norm else []),
                nn.ReLU(),
            ]
            channels = width
        layers.append(nn.MaxPool2d(2))
    side, hidden = (1, 512) if variant == "cifar10" else (7, 4096)
    classifier = nn.Sequential(
        nn.Linear(512 * side**2, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, num_classes),
    )  # fmt: skip
    pool = {} if variant == "cifar10" else {"avgpool": nn.AdaptiveAvgPool2d(7)}
    return named(features=nn.Sequential(*layers), **pool, flatten=nn.Flatten(), classifier=classifier)


def nin(in_channels, num_classes, variant="cifar10"):
    def block(channels, widths, kernel_size, padding):
        first, second, third = widths
        return nn.Sequential(
            nn.Conv2d(channels, first, kernel_size, padding=padding), nn.ReLU(),
            nn.Conv2d(first, second, 1), nn.ReLU(), nn.Conv2d(second, third, 1), nn.ReLU(),
        )  # fmt: skip

    assert variant == "cifar10"
    return named(
        block1=block(in_channels, (192, 160, 96), 5, 2), pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        dropout1=nn.Dropout(0.5),
        block2=block(96, (192, 192, 192), 5, 2), pool2=nn.MaxPool2d(3, 2, ceil_mode=True), dropout2=nn.Dropout(0.5),
        block3=block(192, (192, 192, num_classes), 3, 1),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
    )  # fmt: skip


class Inception(nn.Module):
    def __init__(self, channels, one, reduce3, three, reduce5, five, projection):
        super().__init__()
        self.branch1 = conv_bn(channels, one, 1)
        self.branch2 = nn.Sequential(conv_bn(channels, reduce3, 1), conv_bn(reduce3, three, 3))
        self.branch3 = nn.Sequential(conv_bn(channels, reduce5, 1), conv_bn(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(channels, projection, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def conv_bn(channels, width, kernel_size, stride=1):
    return named(
        conv=nn.Conv2d(channels, width, kernel_size, stride, kernel_size // 2, bias=False),
        bn=nn.BatchNorm2d(width, eps=1e-3),
        relu=nn.ReLU(),
    )


def googlenet(in_channels, num_classes):
    return named(
        conv1=conv_bn(in_channels, 64, 7, 2), maxpool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2=conv_bn(64, 64, 1), conv3=conv_bn(64, 192, 3), maxpool2=nn.MaxPool2d(3, 2, ceil_mode=True),
        inception3a=Inception(192, 64, 96, 128, 16, 32, 32), inception3b=Inception(256, 128, 128, 192, 32, 96, 64),
        maxpool3=nn.MaxPool2d(3, 2, ceil_mode=True),
        inception4a=Inception(480, 192, 96, 208, 16, 48, 64), inception4b=Inception(512, 160, 112, 224, 24, 64, 64),
        inception4c=Inception(512, 128, 128, 256, 24, 64, 64), inception4d=Inception(512, 112, 144, 288, 32, 64, 64),
        inception4e=Inception(528, 256, 160, 320, 32, 128, 128), maxpool4=nn.MaxPool2d(2, 2, ceil_mode=True),
        inception5a=Inception(832, 256, 160, 320, 32, 128, 128),
        inception5b=Inception(832, 384, 192, 384, 48, 128, 128),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.2),
        fc=nn.Linear(1024, num_classes),
    )  # fmt: skip


class Block(nn.Module):
    """Two 3x3 convolutions; `option` says how a shortcut changes shape."""

    def __init__(self, channels, width, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.stride, self.added, self.downsample = stride, width - channels, None
        if option == "B" and (stride > 1 or self.added):
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.added:
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return self.relu(y + x)


def stages(channels, widths, blocks, option):
    layers = {}
    for stage, width in enumerate(widths, 1):
        stride = 1 if stage == 1 else 2
        first = Block(channels, width, stride, option)
        layers[f"layer{stage}"] = nn.Sequential(first, *(Block(width, width, 1, option) for _ in range(blocks - 1)))
        channels = width
    return layers


def resnet18(in_channels, num_classes, variant="torchvision"):
    if variant == "cifar10":
        stem = {"conv1": nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)}
    else:
        stem = {"conv1": nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)}
    stem |= {"bn1": nn.BatchNorm2d(64), "relu": nn.ReLU(inplace=True)}
    if variant != "cifar10":
        stem["maxpool"] = nn.MaxPool2d(3, 2, 1)
    head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(512, num_classes)}
    return named(**stem, **stages(64, (64, 128, 256, 512), 2, "B"), **head)


def resnet20(in_channels, num_classes):
    return named(
        conv1=nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False), bn1=nn.BatchNorm2d(16), relu=nn.ReLU(inplace=True),
        **stages(16, (16, 32, 64), 3, "A"),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, num_classes),
    )  # fmt: skip
