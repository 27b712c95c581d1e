"""PyTorch's own module inputs (ModuleInfo) and the layers of cconv.nn that stand for the modules."""

import warnings

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

from cconv import nn

INFOS = {info.module_cls.__name__: info for info in module_db if hasattr(nn, info.module_cls.__name__)}

# Cases of each module, in training and in inference.
COUNTS = {
    "AdaptiveAvgPool1d": 3, "AdaptiveAvgPool2d": 5, "AdaptiveAvgPool3d": 5, "AdaptiveMaxPool1d": 2,
    "AdaptiveMaxPool2d": 4, "AdaptiveMaxPool3d": 6, "AvgPool1d": 4, "AvgPool2d": 7, "AvgPool3d": 15,
    "BatchNorm1d": 8, "BatchNorm2d": 7, "BatchNorm3d": 7, "CELU": 3, "Conv1d": 4, "Conv2d": 4, "Conv3d": 4,
    "ConvTranspose1d": 2, "ConvTranspose2d": 2, "ConvTranspose3d": 2, "ELU": 4, "L1Loss": 5, "SmoothL1Loss": 8,
    "Linear": 3, "LPPool1d": 3, "LPPool2d": 3, "LPPool3d": 3, "MaxPool1d": 3, "MaxPool2d": 3, "MaxPool3d": 4,
    "KLDivLoss": 10, "MSELoss": 8, "MultiMarginLoss": 7, "NLLLoss": 28, "HingeEmbeddingLoss": 10, "HuberLoss": 4,
    "BCELoss": 6, "BCEWithLogitsLoss": 6, "CrossEntropyLoss": 105, "GELU": 3, "GroupNorm": 10, "Hardswish": 2,
    "Hardtanh": 3, "InstanceNorm1d": 6, "InstanceNorm2d": 6, "InstanceNorm3d": 6, "LocalResponseNorm": 3,
    "LayerNorm": 7, "ReLU": 4, "LeakyReLU": 5, "ReLU6": 4, "PReLU": 8, "Sigmoid": 4, "LogSigmoid": 3, "SiLU": 3,
    "Softmax": 3, "LogSoftmax": 4, "Softplus": 5, "Softsign": 3, "Tanh": 3, "Threshold": 4, "Mish": 3,
    "ReflectionPad1d": 2, "ReflectionPad2d": 2, "ReflectionPad3d": 2, "ReplicationPad1d": 2, "ReplicationPad2d": 2,
    "ReplicationPad3d": 2, "SELU": 3, "ZeroPad1d": 2, "ZeroPad2d": 2, "ZeroPad3d": 2, "CircularPad1d": 4,
    "CircularPad2d": 4, "CircularPad3d": 4, "ConstantPad1d": 2, "ConstantPad2d": 2, "ConstantPad3d": 2,
}  # fmt: skip

# Sizes of the images of these layers; others take any axes.
RANKED = ("Conv", "Pool", "Pad", "InstanceNorm", "Unpool")


def rank_of(name):
    return int(name[-2]) if name[-1] == "d" and any(part in name for part in RANKED) else None


def inputs(name, dtype, train):
    """Constructor and forward arguments of every case; deterministic."""
    torch.manual_seed(0)
    info = INFOS[name]
    return info.module_inputs_func(info, device="cpu", dtype=getattr(torch, dtype), requires_grad=True, training=train)


def error_inputs(name):
    torch.manual_seed(0)
    info = INFOS[name]
    if info.module_error_inputs_func is None:
        return []
    return info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True)
