"""Activations and their derivatives, elementwise; NaN stays NaN.

Every function takes float32 or float64 arrays of any shape and strides and returns a new one in the same memory
order. `<name>_backward(dy, x)` is dy times the derivative at x. Other dtypes raise TypeError, a `dy` of another
shape ValueError.
"""

import math

import numpy as np

from cconv import _eltwise
from cconv.functional import _arguments

__all__ = [
    "relu", "relu_backward", "leaky_relu", "leaky_relu_backward", "sigmoid", "sigmoid_backward", "tanh",
    "tanh_backward", "scaled_tanh", "scaled_tanh_backward", "elu", "elu_backward", "gelu", "gelu_backward", "silu",
    "silu_backward", "softplus", "softplus_backward",
]  # fmt: skip


def _order(x):
    """Axes from the slowest to the fastest in memory, or None if `x` is in an order the bindings take."""
    if x.flags.c_contiguous or _arguments.is_channels_last(x):
        return None
    return sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))


def _map(x, kind, alpha=0.0, beta=0.0):
    x = _arguments.floats(x, "x")
    order = _order(x)
    if order is None:
        return _eltwise.activation(x, kind, alpha, beta)
    y = _eltwise.activation(np.ascontiguousarray(x.transpose(order)), kind, alpha, beta)
    return y.transpose(np.argsort(order))


def _map_backward(dy, x, kind, alpha=0.0, beta=0.0):
    x = _arguments.floats(x, "x")
    dy = _arguments.floats(dy, "dy", dtype=x.dtype)
    if dy.shape != x.shape:
        raise ValueError(f"dy must have shape {x.shape}, got {dy.shape}")
    order = _order(x)
    if order is None:
        dy = _arguments.like(dy, "dy", x.shape, not x.flags.c_contiguous, x.dtype)
        return _eltwise.activation_backward(dy, x, kind, alpha, beta)
    there = [np.ascontiguousarray(a.transpose(order)) for a in (dy, x)]
    return _eltwise.activation_backward(*there, kind, alpha, beta).transpose(np.argsort(order))


def added(a, b):
    """a + b of one shape, dtype and (where a kernel's order) memory order; numpy's sum otherwise."""
    same = a.dtype == b.dtype and a.strides == b.strides and a.flags.aligned and b.flags.aligned
    if same and a.dtype in _arguments.FLOATS and _order(a) is None:
        return _eltwise.add(a, b)
    return a + b


def _real(value, name):
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def relu(x):
    """max(x, 0)."""
    return _map(x, _eltwise.RELU)


def relu_backward(dy, x):
    """dy where x > 0, else 0; `x` may be the input or the output of `relu`."""
    return _map_backward(dy, x, _eltwise.RELU)


def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x (Maas et al. 2013)."""
    return _map(x, _eltwise.LEAKY_RELU, _real(negative_slope, "negative_slope"))


def leaky_relu_backward(dy, x, negative_slope=0.01):
    """Gradient of `leaky_relu`."""
    return _map_backward(dy, x, _eltwise.LEAKY_RELU, _real(negative_slope, "negative_slope"))


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return _map(x, _eltwise.SIGMOID)


def sigmoid_backward(dy, x):
    """Gradient of `sigmoid`."""
    return _map_backward(dy, x, _eltwise.SIGMOID)


def tanh(x):
    """Hyperbolic tangent."""
    return _map(x, _eltwise.TANH)


def tanh_backward(dy, x):
    """Gradient of `tanh`."""
    return _map_backward(dy, x, _eltwise.TANH)


def scaled_tanh(x):
    """1.7159 tanh(2x/3), the squashing function of LeNet-5 (LeCun et al. 1998, appendix A)."""
    return _map(x, _eltwise.SCALED_TANH)


def scaled_tanh_backward(dy, x):
    """Gradient of `scaled_tanh`."""
    return _map_backward(dy, x, _eltwise.SCALED_TANH)


def elu(x, alpha=1.0):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2015)."""
    return _map(x, _eltwise.ELU, _real(alpha, "alpha"))


def elu_backward(dy, x, alpha=1.0):
    """Gradient of `elu`."""
    return _map_backward(dy, x, _eltwise.ELU, _real(alpha, "alpha"))


def _gelu_kind(approximate):
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return _eltwise.GELU if approximate == "none" else _eltwise.GELU_TANH


def gelu(x, approximate="none"):
    """x Phi(x), Phi the normal distribution function, or its tanh form (Hendrycks and Gimpel 2016)."""
    return _map(x, _gelu_kind(approximate))


def gelu_backward(dy, x, approximate="none"):
    """Gradient of `gelu`."""
    return _map_backward(dy, x, _gelu_kind(approximate))


def silu(x):
    """x * sigmoid(x)."""
    return _map(x, _eltwise.SILU)


def silu_backward(dy, x):
    """Gradient of `silu`."""
    return _map_backward(dy, x, _eltwise.SILU)


def _softplus_arguments(beta, threshold):
    beta = _real(beta, "beta")
    if beta == 0:
        raise ValueError("beta must not be 0")
    return beta, _real(threshold, "threshold")


def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    return _map(x, _eltwise.SOFTPLUS, *_softplus_arguments(beta, threshold))


def softplus_backward(dy, x, beta=1.0, threshold=20.0):
    """Gradient of `softplus`."""
    return _map_backward(dy, x, _eltwise.SOFTPLUS, *_softplus_arguments(beta, threshold))
