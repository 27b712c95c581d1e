"""The classic networks, one family a file."""

# ruff: noqa: F401
from cconv.models.alexnet import alexnet
from cconv.models.googlenet import googlenet
from cconv.models.lenet import lenet5
from cconv.models.nin import nin
from cconv.models.registry import create, input_shape, names
from cconv.models.resnet import (
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
)
from cconv.models.vgg import vgg11, vgg13, vgg16, vgg19
