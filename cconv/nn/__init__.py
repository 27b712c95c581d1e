"""Layers, with torch's names and constructor arguments; networks are expressions of them."""

# ruff: noqa: F401
from cconv.nn import init
from cconv.nn.base import Buffer, Layer, Parameter, gather
from cconv.nn.combine import Concat, Sequential, Sum
from cconv.nn.conv_table import ConvTable2d
from cconv.nn.describe import build, describe
from cconv.nn.rbf import RBF
from cconv.nn.scaled_tanh import ScaledTanh
from cconv.nn.shape import Flatten, Reshape
from cconv.nn.subsampling import Subsampling
