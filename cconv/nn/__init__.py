"""Layers, with torch's names and constructor arguments; networks are expressions of them."""

# ruff: noqa: F401
from cconv.nn import init
from cconv.nn.base import Buffer, Layer, Parameter, gather
from cconv.nn.combine import Concat, Sequential, Sum
from cconv.nn.describe import build, describe
from cconv.nn.shape import Flatten, Reshape
