"""VGG (Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition")."""

import numpy as np

from cconv import nn
from cconv.models.registry import defaults, network
from cconv.nn import init

# Table 1 of the paper: convolutions in each of the five blocks, and the blocks' channels.
_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
_CHANNELS = (64, 128, 256, 512, 512)
# Variant -> classes, channels and side of the images it was published for.
_VARIANTS = {"torchvision": (1000, 3, 224), "d2l": (10, 1, 224), "cifar10": (10, 3, 32)}
_VARIANTS_16 = {**_VARIANTS, "c": (1000, 3, 224)}


@network(_VARIANTS)
def vgg11(num_classes=None, in_channels=None, variant="torchvision", batch_norm=False, width=1, rng=None):
    """VGG with 8 convolutions (configuration A), 132,863,336 parameters; arguments as in `vgg16`."""
    return _vgg("vgg11", num_classes, in_channels, variant, batch_norm, width, rng)


@network(_VARIANTS)
def vgg13(num_classes=None, in_channels=None, variant="torchvision", batch_norm=False, width=1, rng=None):
    """VGG with 10 convolutions (configuration B), 133,047,848 parameters; arguments as in `vgg16`."""
    return _vgg("vgg13", num_classes, in_channels, variant, batch_norm, width, rng)


@network(_VARIANTS_16)
def vgg16(num_classes=None, in_channels=None, variant="torchvision", batch_norm=False, width=1, rng=None):
    """VGG with 13 convolutions (configuration D), 138,357,544 parameters.

    Parameters
    ----------
    num_classes, in_channels : int, 1000 and 3 unless given (d2l: 10 and 1; cifar10: 10 and 3)
    variant : "torchvision", "d2l", "cifar10" or, of vgg16 alone, "c"
        torchvision: any image of 32x32 or more, made for 224x224.
        d2l: 224x224 images, Xavier-uniform weights.
        cifar10: 32x32 images, fully connected layers of 512.
        c: configuration C, whose third convolution in blocks 3 to 5 is 1x1; 133,638,952 parameters.
    batch_norm : bool, batch normalisation before each ReLU of the convolutions
    width : float, factor on the channels of the convolutions, such as 0.25
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with torchvision's keys: features.0.weight, ..., classifier.6.bias

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    return _vgg("vgg16", num_classes, in_channels, variant, batch_norm, width, rng)


@network(_VARIANTS)
def vgg19(num_classes=None, in_channels=None, variant="torchvision", batch_norm=False, width=1, rng=None):
    """VGG with 16 convolutions (configuration E), 143,667,240 parameters; arguments as in `vgg16`."""
    return _vgg("vgg19", num_classes, in_channels, variant, batch_norm, width, rng)


def _vgg(name, num_classes, in_channels, variant, batch_norm, width, rng):
    num_classes, in_channels = defaults(
        variant, _VARIANTS_16 if name == "vgg16" else _VARIANTS, num_classes, in_channels
    )
    if not 0 < width <= 64:
        raise ValueError(f"width must be above 0 and at most 64, got {width!r}")
    rng = np.random.default_rng(rng)
    channels = [max(1, round(count * width)) for count in _CHANNELS]
    layers = {"features": _features(_CONVOLUTIONS[name], channels, in_channels, variant == "c", batch_norm)}
    if variant == "cifar10":
        side, hidden = 1, 512
    else:
        side, hidden = 7, 4096
        if variant != "d2l":
            layers["avgpool"] = nn.AdaptiveAvgPool2d(7)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Sequential(
        nn.Linear(channels[-1] * side * side, hidden), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.Linear(hidden, num_classes),
    )  # fmt: skip
    net = nn.Sequential(layers)
    for _, layer in net.named_layers():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            _initialise(layer, variant, rng)
    return net


def _features(convolutions, channels, in_channels, pointwise_third, batch_norm):
    layers = []
    for block, (count, width) in enumerate(zip(convolutions, channels, strict=True), 1):
        for place in range(1, count + 1):
            kernel = 1 if pointwise_third and block >= 3 and place == 3 else 3
            layers.append(nn.Conv2d(in_channels, width, kernel, padding=kernel // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            in_channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _initialise(layer, variant, rng):
    if variant == "d2l":
        init.xavier_uniform(layer.weight, rng=rng)
    elif isinstance(layer, nn.Conv2d):
        init.kaiming_normal(layer.weight, mode="fan_out", nonlinearity="relu", rng=rng)
    elif variant == "cifar10":
        init.kaiming_normal(layer.weight, nonlinearity="relu", rng=rng)
    else:
        init.normal(layer.weight, 0, 0.01, rng)
    init.zeros(layer.bias)
