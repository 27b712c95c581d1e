"""GoogLeNet (Szegedy et al. 2014, "Going deeper with convolutions")."""

import numpy as np

from cconv import nn
from cconv.models.registry import defaults, network
from cconv.nn import init

# Table 1 of the paper: input channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
# Variant -> classes, channels and side of the images it was published for.
_VARIANTS = {"torchvision": (1000, 3, 224), "paper": (1000, 3, 224), "d2l": (10, 1, 96)}


@network(_VARIANTS)
def googlenet(num_classes=None, in_channels=None, variant="torchvision", aux_logits=False, rng=None):
    """GoogLeNet in one of three forms: nine Inception blocks.

    Parameters
    ----------
    num_classes, in_channels : int, 1000 and 3 unless given (d2l: 10 and 1)
    variant : "torchvision", "paper" or "d2l"
        torchvision: batch normalisation (eps 1e-3), convolutions without bias, and 3x3 where the paper has 5x5
        (pytorch/vision issue 906); 6,624,904 parameters.
        paper: 5x5, biases, no normalisation (the local response norms of the stem are left out); 6,998,552
        parameters.
        d2l: as paper, pools padded instead of in ceil mode, made for 96x96 images; 5,977,530 parameters.
    aux_logits : bool
        Whether the two auxiliary classifiers exist (not in d2l): with them 13,004,888 and 13,378,280 parameters.
        They are `nn.Auxiliary`: each adds 0.3 times its loss while a Model trains; outputs do not depend on them.
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with torchvision's keys: conv1.conv.weight, inception3a.branch2.0.conv.weight, aux1.fc1.weight, ...

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    num_classes, in_channels = defaults(variant, _VARIANTS, num_classes, in_channels)
    if aux_logits and variant == "d2l":
        raise ValueError("aux_logits: the d2l variant has no auxiliary classifiers")
    rng = np.random.default_rng(rng)
    batch_norm = variant == "torchvision"
    large = 3 if batch_norm else 5

    def inception(name):
        return _inception(*_INCEPTION[name], large, batch_norm)

    def auxiliary(name, channels):
        return {name: _auxiliary(channels, num_classes, batch_norm, rng)} if aux_logits else {}

    pool = {"padding": 1} if variant == "d2l" else {"ceil_mode": True}
    dropout = {"torchvision": 0.2, "paper": 0.4, "d2l": 0}[variant]
    net = nn.Sequential(
        {
            "conv1": _conv(in_channels, 64, 7, batch_norm, stride=2),
            "maxpool1": nn.MaxPool2d(3, 2, **pool),
            "conv2": _conv(64, 64, 1, batch_norm),
            "conv3": _conv(64, 192, 3, batch_norm),
            "maxpool2": nn.MaxPool2d(3, 2, **pool),
            "inception3a": inception("3a"),
            "inception3b": inception("3b"),
            "maxpool3": nn.MaxPool2d(3, 2, **pool),
            "inception4a": inception("4a"),
            **auxiliary("aux1", 512),
            "inception4b": inception("4b"),
            "inception4c": inception("4c"),
            "inception4d": inception("4d"),
            **auxiliary("aux2", 528),
            "inception4e": inception("4e"),
            "maxpool4": nn.MaxPool2d(2, 2, ceil_mode=True) if batch_norm else nn.MaxPool2d(3, 2, **pool),
            "inception5a": inception("5a"),
            "inception5b": inception("5b"),
            "avgpool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            **({"dropout": nn.Dropout(dropout, rng=rng)} if dropout else {}),
            "fc": nn.Linear(1024, num_classes),
        }
    )
    for _, layer in net.named_layers():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            _initialise(layer, batch_norm, rng)
    return net


def _inception(in_channels, one, reduce3, three, reduce5, five, projection, large, batch_norm):
    """The block of figure 2b; `large` is the kernel size of its third branch."""
    return nn.Concat(
        {
            "branch1": _conv(in_channels, one, 1, batch_norm),
            "branch2": nn.Sequential(
                _conv(in_channels, reduce3, 1, batch_norm),
                _conv(reduce3, three, 3, batch_norm),
            ),
            "branch3": nn.Sequential(
                _conv(in_channels, reduce5, 1, batch_norm),
                _conv(reduce5, five, large, batch_norm),
            ),
            "branch4": nn.Sequential(
                nn.MaxPool2d(3, 1, padding=1),
                _conv(in_channels, projection, 1, batch_norm),
            ),
        }
    )


def _auxiliary(in_channels, num_classes, batch_norm, rng):
    return nn.Auxiliary(
        {
            "avgpool": nn.AdaptiveAvgPool2d(4),
            "conv": _conv(in_channels, 128, 1, batch_norm),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(2048, 1024),
            "relu": nn.ReLU(),
            "dropout": nn.Dropout(0.7, rng=rng),
            "fc2": nn.Linear(1024, num_classes),
        }
    )


def _conv(in_channels, out_channels, kernel_size, batch_norm, stride=1):
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=not batch_norm)
    norm = {"bn": nn.BatchNorm2d(out_channels, eps=1e-3)} if batch_norm else {}
    return nn.Sequential({"conv": conv, **norm, "relu": nn.ReLU()})


def _initialise(layer, batch_norm, rng):
    """torchvision's normal of deviation 0.01 where batch normalisation follows, else Xavier-uniform."""
    if batch_norm:
        # torchvision truncates at 200 deviations, which no draw reaches; its biases keep the layers' default.
        init.normal(layer.weight, 0, 0.01, rng)
    else:
        init.xavier_uniform(layer.weight, rng=rng)
    if layer.bias is not None:
        bound = 1 / np.sqrt(init.fans(layer.weight.shape)[0])
        init.uniform(layer.bias, -bound, bound, rng)
