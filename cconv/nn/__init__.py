"""Layers, with torch's names and constructor arguments; networks are expressions of them."""

# ruff: noqa: F401
from cconv.nn import init
from cconv.nn.activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Threshold,
)
from cconv.nn.auxiliary import Auxiliary
from cconv.nn.base import Buffer, Layer, Parameter, gather
from cconv.nn.combine import Concat, Sequential, Sum
from cconv.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from cconv.nn.conv_table import ConvTable2d
from cconv.nn.describe import build, describe
from cconv.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d
from cconv.nn.linear import Linear
from cconv.nn.local_norm import LocalResponseNorm
from cconv.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    SigmoidFocalLoss,
    SmoothL1Loss,
)
from cconv.nn.lp_pool import LPPool1d, LPPool2d, LPPool3d
from cconv.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from cconv.nn.normalize import Normalize
from cconv.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from cconv.nn.pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from cconv.nn.rbf import RBF
from cconv.nn.recompute import Recompute
from cconv.nn.sample_norm import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm
from cconv.nn.shape import Flatten, Reshape, Unflatten
from cconv.nn.shortcut import PadShortcut
from cconv.nn.subsampling import Subsampling
