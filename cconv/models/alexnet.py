"""AlexNet (Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural
networks")."""

import numpy as np

from cconv import nn
from cconv.models.registry import defaults, network
from cconv.nn import init

# Variant -> classes, channels and side of the images it was published for.
_VARIANTS = {"torchvision": (1000, 3, 224), "paper": (1000, 3, 227), "caffe": (1000, 3, 227), "d2l": (10, 1, 224)}


@network(_VARIANTS)
def alexnet(num_classes=None, in_channels=None, variant="torchvision", rng=None):
    """AlexNet in one of four forms: five convolutions, three fully connected layers.

    Parameters
    ----------
    num_classes, in_channels : int, 1000 and 3 unless given (d2l: 10 and 1)
    variant : "torchvision", "paper", "caffe" or "d2l"
        torchvision: 64-192-384-256-256 channels (Krizhevsky 2014), images of 63x63 or more, made for 224x224;
        61,100,840 parameters.
        paper: 96-256-384-384-256 channels, convolutions 2, 4 and 5 in two groups, local response normalisation,
        227x227 images; 60,965,224 parameters.
        caffe: without groups, normalisation after pooling, 227x227 images; 62,378,344 parameters.
        d2l: without groups or normalisation, 224x224 images; 46,764,746 parameters.
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with torchvision's keys: features.0.weight, ..., classifier.6.bias in its own variant

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    num_classes, in_channels = defaults(variant, _VARIANTS, num_classes, in_channels)
    rng = np.random.default_rng(rng)
    if variant == "torchvision":
        return _torchvision(num_classes, in_channels, rng)
    features, side = {"paper": (_paper, 6), "caffe": (_caffe, 6), "d2l": (_d2l, 5)}[variant]
    net = nn.Sequential(
        {
            "features": nn.Sequential(*features(in_channels, rng)),
            "flatten": nn.Flatten(),
            "classifier": nn.Sequential(
                nn.Linear(256 * side * side, 4096, rng=rng), nn.ReLU(), nn.Dropout(0.5, rng=rng),
                nn.Linear(4096, 4096, rng=rng), nn.ReLU(), nn.Dropout(0.5, rng=rng),
                nn.Linear(4096, num_classes, rng=rng),
            ),
        }
    )  # fmt: skip
    weighted = [layer for _, layer in net.named_layers() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    if variant == "d2l":
        for layer in weighted:
            init.xavier_uniform(layer.weight, rng=rng)
        return net
    # Section 5 of the paper: ones keep the first ReLUs alive; layers 1, 3 and 8 begin with zeros.
    for layer, bias in zip(weighted, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
        init.normal(layer.weight, 0, 0.01, rng)
        init.constant(layer.bias, bias)
    return net


def _torchvision(num_classes, in_channels, rng):
    conv = _conv(rng)
    return nn.Sequential(
        {
            "features": nn.Sequential(
                *conv(in_channels, 64, 11, stride=4, padding=2), nn.MaxPool2d(3, 2),
                *conv(64, 192, 5, padding=2), nn.MaxPool2d(3, 2),
                *conv(192, 384, 3, padding=1),
                *conv(384, 256, 3, padding=1),
                *conv(256, 256, 3, padding=1), nn.MaxPool2d(3, 2),
            ),
            "avgpool": nn.AdaptiveAvgPool2d(6),
            "flatten": nn.Flatten(),
            "classifier": nn.Sequential(
                nn.Dropout(0.5, rng=rng), nn.Linear(256 * 6 * 6, 4096, rng=rng), nn.ReLU(),
                nn.Dropout(0.5, rng=rng), nn.Linear(4096, 4096, rng=rng), nn.ReLU(),
                nn.Linear(4096, num_classes, rng=rng),
            ),
        }
    )  # fmt: skip


def _paper(in_channels, rng):
    conv = _conv(rng)
    # The paper's alpha of 1e-4 is not divided by the 5 channels of the sum.
    return (
        *conv(in_channels, 96, 11, stride=4), nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.MaxPool2d(3, 2),
        *conv(96, 256, 5, padding=2, groups=2), nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.MaxPool2d(3, 2),
        *conv(256, 384, 3, padding=1),
        *conv(384, 384, 3, padding=1, groups=2),
        *conv(384, 256, 3, padding=1, groups=2), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def _caffe(in_channels, rng):
    conv = _conv(rng)
    return (
        *conv(in_channels, 96, 11, stride=4), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        *conv(96, 256, 5, padding=2), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0),
        *conv(256, 384, 3, padding=1),
        *conv(384, 384, 3, padding=1),
        *conv(384, 256, 3, padding=1), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def _d2l(in_channels, rng):
    conv = _conv(rng)
    return (
        *conv(in_channels, 96, 11, stride=4, padding=1), nn.MaxPool2d(3, 2),
        *conv(96, 256, 5, padding=2), nn.MaxPool2d(3, 2),
        *conv(256, 384, 3, padding=1),
        *conv(384, 384, 3, padding=1),
        *conv(384, 256, 3, padding=1), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def _conv(rng):
    def conv(*args, **kwargs):
        return nn.Conv2d(*args, **kwargs, rng=rng), nn.ReLU()

    return conv
