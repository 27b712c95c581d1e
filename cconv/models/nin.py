"""Network in network (Lin, Chen and Yan 2013)."""

import numpy as np

from cconv import nn
from cconv.models.registry import defaults, network
from cconv.nn import init

# Variant -> classes, channels and side of the images it was published for.
_VARIANTS = {"d2l": (10, 1, 224), "caffe": (1000, 3, 224), "cifar10": (10, 3, 32)}


@network(_VARIANTS)
def nin(num_classes=None, in_channels=None, variant="d2l", rng=None):
    """NiN in one of three forms: blocks of a convolution and two 1x1 convolutions, no fully connected layer.

    Parameters
    ----------
    num_classes, in_channels : int, 10 and 1 unless given (caffe: 1000 and 3; cifar10: 10 and 3)
    variant : "d2l", "caffe" or "cifar10"
        d2l: four blocks, 224x224 images; 1,992,166 parameters, 7,439,608 with 1000 classes and 3 channels.
        caffe: the ImageNet network of the Caffe model zoo, last block 1024-1024-classes; 7,595,176 parameters.
        cifar10: three blocks, 32x32 images; 966,986 parameters.
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with the keys block1.0.weight (the convolution), block1.2.weight, block1.4.weight (1x1), ...

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    num_classes, in_channels = defaults(variant, _VARIANTS, num_classes, in_channels)
    rng = np.random.default_rng(rng)
    blocks = {"d2l": _d2l, "caffe": _caffe, "cifar10": _cifar10}[variant](num_classes, in_channels, rng)
    net = nn.Sequential({**blocks, "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()})
    for _, layer in net.named_layers():
        if isinstance(layer, nn.Conv2d):
            if variant == "d2l":
                init.xavier_uniform(layer.weight, rng=rng)
            else:
                init.kaiming_normal(layer.weight, nonlinearity="relu", rng=rng)
                init.zeros(layer.bias)
    return net


def _d2l(num_classes, in_channels, rng):
    return {
        "block1": _block(in_channels, (96, 96, 96), 11, stride=4, rng=rng),
        "pool1": nn.MaxPool2d(3, 2),
        "block2": _block(96, (256, 256, 256), 5, padding=2, rng=rng),
        "pool2": nn.MaxPool2d(3, 2),
        "block3": _block(256, (384, 384, 384), 3, padding=1, rng=rng),
        "pool3": nn.MaxPool2d(3, 2),
        "dropout": nn.Dropout(0.5, rng=rng),
        "block4": _block(384, (num_classes,) * 3, 3, padding=1, rng=rng),
    }


def _caffe(num_classes, in_channels, rng):
    return {
        "block1": _block(in_channels, (96, 96, 96), 11, stride=4, rng=rng),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "block2": _block(96, (256, 256, 256), 5, padding=2, rng=rng),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        "block3": _block(256, (384, 384, 384), 3, padding=1, rng=rng),
        "pool3": nn.MaxPool2d(3, 2, ceil_mode=True),
        "dropout": nn.Dropout(0.5, rng=rng),
        "block4": _block(384, (1024, 1024, num_classes), 3, padding=1, rng=rng),
    }


def _cifar10(num_classes, in_channels, rng):
    return {
        "block1": _block(in_channels, (192, 160, 96), 5, padding=2, rng=rng),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "dropout1": nn.Dropout(0.5, rng=rng),
        "block2": _block(96, (192, 192, 192), 5, padding=2, rng=rng),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        "dropout2": nn.Dropout(0.5, rng=rng),
        "block3": _block(192, (192, 192, num_classes), 3, padding=1, rng=rng),
    }


def _block(in_channels, channels, kernel_size, stride=1, padding=0, rng=None):
    first, second, third = channels
    return nn.Sequential(
        nn.Conv2d(in_channels, first, kernel_size, stride, padding, rng=rng), nn.ReLU(),
        nn.Conv2d(first, second, 1, rng=rng), nn.ReLU(),
        nn.Conv2d(second, third, 1, rng=rng), nn.ReLU(),
    )  # fmt: skip
