"""Residual networks (He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition")."""

import numpy as np

from cconv import nn
from cconv.functional._arguments import whole
from cconv.models.registry import defaults, network
from cconv.nn import init

# Table 1 of the paper: blocks in each of the four stages.
_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
_CHANNELS = (64, 128, 256, 512)
# Variant -> classes, channels and side of the images it was published for.
_VARIANTS = {"torchvision": (1000, 3, 224), "d2l": (10, 1, 96)}
_VARIANTS_18 = {**_VARIANTS, "cifar10": (10, 3, 32)}


@network(_VARIANTS_18)
def resnet18(num_classes=None, in_channels=None, variant="torchvision", zero_init_residual=False, rng=None):
    """ResNet with 18 layers: eight blocks of two 3x3 convolutions, 11,689,512 parameters.

    Parameters
    ----------
    num_classes, in_channels : int, 1000 and 3 unless given (d2l: 10 and 1; cifar10: 10 and 3)
    variant : "torchvision", "d2l" or, of resnet18 alone, "cifar10"
        torchvision: 1x1 convolution and batch normalisation on the shortcuts that change shape (option B); the
        bottlenecks of the deeper networks stride in their 3x3 convolution.
        d2l: convolutions with bias, shortcuts without batch normalisation; made for 96x96 images.
        cifar10: 3x3 stem of stride 1 and no first pool; 32x32 images.
    zero_init_residual : bool
        Start the last batch normalisation of each block with weights 0, so that the block begins as its shortcut
        (zero gamma; Goyal et al. 2017, section 5.1).
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with torchvision's keys: conv1.weight, layer2.0.downsample.0.weight, fc.bias, ...

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    return _resnet("resnet18", _basic, 1, num_classes, in_channels, variant, zero_init_residual, rng)


@network(_VARIANTS)
def resnet34(num_classes=None, in_channels=None, variant="torchvision", zero_init_residual=False, rng=None):
    """ResNet with 34 layers, 21,797,672 parameters; arguments as in `resnet18`."""
    return _resnet("resnet34", _basic, 1, num_classes, in_channels, variant, zero_init_residual, rng)


@network(_VARIANTS)
def resnet50(num_classes=None, in_channels=None, variant="torchvision", zero_init_residual=False, rng=None):
    """ResNet with 50 layers, in bottleneck blocks, 25,557,032 parameters; arguments as in `resnet18`."""
    return _resnet("resnet50", _bottleneck, 4, num_classes, in_channels, variant, zero_init_residual, rng)


@network(_VARIANTS)
def resnet101(num_classes=None, in_channels=None, variant="torchvision", zero_init_residual=False, rng=None):
    """ResNet with 101 layers, in bottleneck blocks, 44,549,160 parameters; arguments as in `resnet18`."""
    return _resnet("resnet101", _bottleneck, 4, num_classes, in_channels, variant, zero_init_residual, rng)


@network(_VARIANTS)
def resnet152(num_classes=None, in_channels=None, variant="torchvision", zero_init_residual=False, rng=None):
    """ResNet with 152 layers, in bottleneck blocks, 60,192,808 parameters; arguments as in `resnet18`."""
    return _resnet("resnet152", _bottleneck, 4, num_classes, in_channels, variant, zero_init_residual, rng)


@network(32)
def resnet20(num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False, rng=None):
    """ResNet for 32x32 images with 20 layers (section 4.2): three stages of 16, 32 and 64 channels; 269,722
    parameters.

    Parameters
    ----------
    num_classes, in_channels : int
    shortcut : "A", "B" or "plain"
        Where the shape changes, A subsamples and pads with channels of zeros and B has a 1x1 convolution with batch
        normalisation; plain is the network without shortcuts.
    zero_init_residual : bool
        Start the last batch normalisation of each block with weights 0, so that the block begins as its shortcut
        (zero gamma; Goyal et al. 2017, section 5.1). Plain networks have no such blocks.
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential with the keys conv1.weight, layer1.0.conv1.weight, ..., fc.bias

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    return _cifar(3, num_classes, in_channels, shortcut, zero_init_residual, rng)


@network(32)
def resnet32(num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False, rng=None):
    """ResNet for 32x32 images with 32 layers, 464,154 parameters; arguments as in `resnet20`."""
    return _cifar(5, num_classes, in_channels, shortcut, zero_init_residual, rng)


@network(32)
def resnet44(num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False, rng=None):
    """ResNet for 32x32 images with 44 layers, 658,586 parameters; arguments as in `resnet20`."""
    return _cifar(7, num_classes, in_channels, shortcut, zero_init_residual, rng)


@network(32)
def resnet56(num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False, rng=None):
    """ResNet for 32x32 images with 56 layers, 853,018 parameters; arguments as in `resnet20`."""
    return _cifar(9, num_classes, in_channels, shortcut, zero_init_residual, rng)


@network(32)
def resnet110(num_classes=10, in_channels=3, shortcut="A", zero_init_residual=False, rng=None):
    """ResNet for 32x32 images with 110 layers, 1,727,962 parameters; arguments as in `resnet20`."""
    return _cifar(18, num_classes, in_channels, shortcut, zero_init_residual, rng)


def _resnet(name, block, expansion, num_classes, in_channels, variant, zero_init_residual, rng):
    variants = _VARIANTS_18 if name == "resnet18" else _VARIANTS
    num_classes, in_channels = defaults(variant, variants, num_classes, in_channels)
    rng = np.random.default_rng(rng)
    bias = variant == "d2l"
    project = _convolution_alone if bias else _projection
    layers = _stem(in_channels, 64, 3 if variant == "cifar10" else 7, bias, rng)
    if variant != "cifar10":
        layers["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
    channels = 64
    for stage, (blocks, width) in enumerate(zip(_BLOCKS[name], _CHANNELS, strict=True), 1):
        out = width * expansion
        stride = 1 if stage == 1 else 2
        layers[f"layer{stage}"] = _stage(block, blocks, channels, width, out, stride, project, bias, rng)
        channels = out
    return _initialised(layers, channels, num_classes, variant, zero_init_residual, rng)


def _cifar(blocks, num_classes, in_channels, shortcut, zero_init_residual, rng):
    options = {"A": _padding, "B": _projection, "plain": None}
    if shortcut not in options:
        raise ValueError(f"shortcut must be one of {', '.join(options)}, got {shortcut!r}")
    whole(num_classes, "num_classes", 1)
    whole(in_channels, "in_channels", 1)
    rng = np.random.default_rng(rng)
    layers = _stem(in_channels, 16, 3, False, rng)
    channels = 16
    for stage, width in enumerate((16, 32, 64), 1):
        stride = 1 if stage == 1 else 2
        layers[f"layer{stage}"] = _stage(_basic, blocks, channels, width, width, stride, options[shortcut], False, rng)
        channels = width
    return _initialised(layers, channels, num_classes, "cifar10", zero_init_residual, rng)


def _stem(in_channels, channels, kernel_size, bias, rng):
    stride = 2 if kernel_size == 7 else 1
    return {
        "conv1": nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, bias=bias, rng=rng),
        "bn1": nn.BatchNorm2d(channels),
        "relu": nn.ReLU(),
    }


def _stage(block, blocks, in_channels, width, out_channels, stride, project, bias, rng):
    """The first block changes the shape, the others keep it."""
    first = block(in_channels, width, out_channels, stride, project, bias, rng)
    others = [block(out_channels, width, out_channels, 1, project, bias, rng) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


def _basic(in_channels, width, out_channels, stride, project, bias, rng):
    """Figure 5, left: two 3x3 convolutions."""
    body = {
        "conv1": nn.Conv2d(in_channels, width, 3, stride, 1, bias=bias, rng=rng),
        "bn1": nn.BatchNorm2d(width),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(width, out_channels, 3, 1, 1, bias=bias, rng=rng),
        "bn2": nn.BatchNorm2d(out_channels),
    }
    return _residual(body, in_channels, out_channels, stride, project, rng)


def _bottleneck(in_channels, width, out_channels, stride, project, bias, rng):
    """Figure 5, right: 1x1, 3x3, 1x1; the 3x3 strides, as in torchvision and d2l."""
    body = {
        "conv1": nn.Conv2d(in_channels, width, 1, bias=bias, rng=rng),
        "bn1": nn.BatchNorm2d(width),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(width, width, 3, stride, 1, bias=bias, rng=rng),
        "bn2": nn.BatchNorm2d(width),
        "relu2": nn.ReLU(),
        "conv3": nn.Conv2d(width, out_channels, 1, bias=bias, rng=rng),
        "bn3": nn.BatchNorm2d(out_channels),
    }
    return _residual(body, in_channels, out_channels, stride, project, rng)


def _residual(body, in_channels, out_channels, stride, project, rng):
    """relu(body(x) + shortcut(x)). Underscores keep what torch does not name out of the keys."""
    if project is None:
        return nn.Sequential({**body, "relu": nn.ReLU()})
    same = stride == 1 and in_channels == out_channels
    shortcut = nn.Sequential() if same else project(in_channels, out_channels, stride, rng)
    total = nn.Sum({"_body": nn.Sequential(body), "downsample": shortcut})
    return nn.Sequential({"_sum": total, "relu": nn.ReLU()})


def _projection(in_channels, out_channels, stride, rng):
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False, rng=rng)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _convolution_alone(in_channels, out_channels, stride, rng):
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, rng=rng))


def _padding(in_channels, out_channels, stride, rng):
    return nn.PadShortcut(in_channels, out_channels, stride)


def _initialised(layers, channels, num_classes, variant, zero_init_residual, rng):
    head = {
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(channels, num_classes, rng=rng),
    }
    net = nn.Sequential({**layers, **head})
    for _, layer in net.named_layers():
        if variant == "d2l" and isinstance(layer, (nn.Conv2d, nn.Linear)):
            init.xavier_uniform(layer.weight, rng=rng)
        elif isinstance(layer, nn.Conv2d):
            init.kaiming_normal(layer.weight, mode="fan_out", nonlinearity="relu", rng=rng)
        elif zero_init_residual and isinstance(layer, nn.Sum):
            init.zeros(layer[0][-1].weight)
    return net
