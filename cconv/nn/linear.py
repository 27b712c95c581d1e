"""The fully connected layer."""

import math

import numpy as np

from cconv import functional as F
from cconv.functional._arguments import whole
from cconv.functional.linear import linear_backward_into, linear_relu
from cconv.nn import init
from cconv.nn.base import Layer, Parameter, gradients


class Linear(Layer):
    """y = x W^T + b on the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    rng : seed or Generator of the first weights: uniform on +-1/sqrt(in_features), as in torch
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None
    """

    def __init__(self, in_features, out_features, bias=True, *, rng=None, dtype=np.float32):
        self.in_features = whole(in_features, "in_features", 0)
        self.out_features = whole(out_features, "out_features", 0)
        self.weight = Parameter(np.empty((self.out_features, self.in_features), dtype))
        self.bias = Parameter(np.empty(self.out_features, dtype)) if bias else None
        init.torch_default(self.weight, self.bias, rng)

    def forward(self, x, train, relu=False):
        """As every layer's; with `relu` y is max(y, 0), and `backward` wants the gradient before that."""
        x = np.asarray(x)
        weight, bias = self.weight, self.bias
        y = (linear_relu if relu else F.linear)(x, weight.data, None if bias is None else bias.data)

        def backward(dy, need_dx=True):
            with gradients(bias) as (dbias,):
                # The weight is large: a sink takes its gradient piece by piece, when dx is done.
                dweight = weight.grad if weight.sink is None else weight.sink
                return linear_backward_into(dy, x, weight.data, dweight, dbias, need_dx)

        return y, backward

    def output_shape(self, input_shape):
        if not input_shape or input_shape[-1] != self.in_features:
            raise ValueError(f"{self!r} takes (..., {self.in_features}), got {tuple(input_shape)}")
        return (*input_shape[:-1], self.out_features)

    def macs(self, input_shape):
        return math.prod(self.output_shape(input_shape)) * self.in_features

    def extra_repr(self):
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
