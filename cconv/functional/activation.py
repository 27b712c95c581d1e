"""Activations and their derivatives, elementwise; NaN stays NaN.

Every function takes float32 or float64 arrays of any shape and strides and returns a new one in the same memory
order. `<name>_backward(dy, x)` is dy times the derivative at x. Other dtypes raise TypeError, a `dy` of another
shape ValueError.
"""

import numpy as np

from cconv import _eltwise
from cconv.functional import _arguments
from cconv.functional._arguments import real
from cconv.functional._out import with_out

_NAMES = (
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "logsigmoid",
    "hardsigmoid", "hardswish", "tanh", "scaled_tanh", "hardtanh", "softplus", "softsign", "threshold",
)  # fmt: skip
__all__ = [name + suffix for name in _NAMES for suffix in ("", "_backward")]


def _order(x):
    """Axes from the slowest to the fastest in memory, or None if `x` is in an order the bindings take."""
    if x.flags.c_contiguous or _arguments.is_channels_last(x):
        return None
    return sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))


def _map(x, kind, alpha=0.0, beta=0.0, out=None):
    x = _arguments.floats(x, "x")
    order = _order(x)
    if order is None:
        return _eltwise.activation(x, kind, alpha, beta, out)
    y = _eltwise.activation(np.ascontiguousarray(x.transpose(order)), kind, alpha, beta)
    return y.transpose(np.argsort(order))


def _map_backward(dy, x, kind, alpha=0.0, beta=0.0, out=None):
    x = _arguments.floats(x, "x")
    dy = _arguments.floats(dy, "dy", dtype=x.dtype)
    if dy.shape != x.shape:
        raise ValueError(f"dy must have shape {x.shape}, got {dy.shape}")
    order = _order(x)
    if order is None:
        dy = _arguments.like(dy, "dy", x.shape, not x.flags.c_contiguous, x.dtype)
        return _eltwise.activation_backward(dy, x, kind, alpha, beta, out)
    there = [np.ascontiguousarray(a.transpose(order)) for a in (dy, x)]
    return _eltwise.activation_backward(*there, kind, alpha, beta).transpose(np.argsort(order))


def added(a, b):
    """a + b of one shape, dtype and (where a kernel's order) memory order; numpy's sum otherwise."""
    same = a.dtype == b.dtype and a.strides == b.strides and a.flags.aligned and b.flags.aligned
    if same and a.dtype in _arguments.FLOATS and _order(a) is None:
        return _eltwise.add(a, b)
    return a + b


def _without_arguments(name, kind, formula, alpha=0.0, beta=0.0, backward_formula=None):
    """The function called `name` and its gradient, for an activation that takes x alone."""

    def function(x, *, out=None):
        return _map(x, kind, alpha, beta, out)

    def backward(dy, x, *, out=None):
        return _map_backward(dy, x, kind, alpha, beta, out)

    function.__name__ = function.__qualname__ = name
    backward.__name__ = backward.__qualname__ = f"{name}_backward"
    function.__doc__ = formula
    backward.__doc__ = backward_formula or f"Gradient of `{name}`: dy times its derivative at x."
    return with_out(function), with_out(backward)


relu, relu_backward = _without_arguments(
    "relu", _eltwise.RELU, "max(x, 0).",
    backward_formula="dy where x > 0, else 0; `x` may be the input or the output of `relu`.",
)  # fmt: skip
relu6, relu6_backward = _without_arguments("relu6", _eltwise.HARDTANH, "min(max(x, 0), 6).", 0.0, 6.0)
sigmoid, sigmoid_backward = _without_arguments("sigmoid", _eltwise.SIGMOID, "1 / (1 + exp(-x)).")
logsigmoid, logsigmoid_backward = _without_arguments("logsigmoid", _eltwise.LOG_SIGMOID, "log(1 / (1 + exp(-x))).")
tanh, tanh_backward = _without_arguments("tanh", _eltwise.TANH, "Hyperbolic tangent.")
scaled_tanh, scaled_tanh_backward = _without_arguments(
    "scaled_tanh", _eltwise.SCALED_TANH,
    "1.7159 tanh(2x/3), the squashing function of LeNet-5 (LeCun et al. 1998, appendix A).",
)  # fmt: skip
selu, selu_backward = _without_arguments(
    "selu", _eltwise.SELU, "1.0507 times `elu` with alpha 1.67326, the fixed point of Klambauer et al. 2017."
)
silu, silu_backward = _without_arguments("silu", _eltwise.SILU, "x * sigmoid(x).")
mish, mish_backward = _without_arguments("mish", _eltwise.MISH, "x * tanh(log(1 + exp(x))) (Misra 2019).")
softsign, softsign_backward = _without_arguments("softsign", _eltwise.SOFTSIGN, "x / (1 + |x|).")
hardswish, hardswish_backward = _without_arguments(
    "hardswish", _eltwise.HARDSWISH, "x * min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)."
)


@with_out
def leaky_relu(x, negative_slope=0.01, *, out=None):
    """x where x > 0, else negative_slope * x (Maas et al. 2013)."""
    return _map(x, _eltwise.LEAKY_RELU, real(negative_slope, "negative_slope"), out=out)


@with_out
def leaky_relu_backward(dy, x, negative_slope=0.01, *, out=None):
    """Gradient of `leaky_relu`."""
    return _map_backward(dy, x, _eltwise.LEAKY_RELU, real(negative_slope, "negative_slope"), out=out)


def _slopes(x, weight):
    """PReLU's weight, shaped to combine with x."""
    channels = x.shape[1] if x.ndim > 1 else 1
    weight = _arguments.floats(weight, "weight", dtype=x.dtype)
    if weight.shape not in ((), (1,), (channels,)):
        raise ValueError(f"weight must have shape (1,) or {(channels,)} for x of shape {x.shape}, got {weight.shape}")
    return weight.reshape(() if weight.size == 1 else (-1, *(1,) * (x.ndim - 2)))


@with_out
def prelu(x, weight):
    """x where x > 0, else weight * x (He et al. 2015, "Delving deep into rectifiers").

    Parameters
    ----------
    x : ndarray (N, C, ...) or of one axis or none, float32 or float64
    weight : ndarray (1,) or (C,), dtype of `x`
    """
    x = _arguments.floats(x, "x")
    return np.where(x > 0, x, _slopes(x, weight) * x)


def prelu_backward(dy, x, weight):
    """Gradients of `prelu`: (dx, dweight), dweight summed in double."""
    x = _arguments.floats(x, "x")
    dy = _arguments.floats(dy, "dy", dtype=x.dtype)
    if dy.shape != x.shape:
        raise ValueError(f"dy must have shape {x.shape}, got {dy.shape}")
    slopes = _slopes(x, weight)
    positive = x > 0
    below = np.where(positive, 0, dy * x)
    over = None if slopes.size == 1 else tuple(axis for axis in range(x.ndim) if axis != 1)
    dweight = below.sum(over, dtype=np.float64).reshape(np.shape(weight)).astype(x.dtype)
    return np.where(positive, dy, slopes * dy), dweight


@with_out
def elu(x, alpha=1.0, *, out=None):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2015)."""
    return _map(x, _eltwise.ELU, real(alpha, "alpha"), out=out)


@with_out
def elu_backward(dy, x, alpha=1.0, *, out=None):
    """Gradient of `elu`."""
    return _map_backward(dy, x, _eltwise.ELU, real(alpha, "alpha"), out=out)


def _not_zero(value, name):
    number = real(value, name)
    if number == 0:
        raise ValueError(f"{name} must not be 0")
    return number


@with_out
def celu(x, alpha=1.0, *, out=None):
    """x where x > 0, else alpha (exp(x / alpha) - 1) (Barron 2017)."""
    return _map(x, _eltwise.CELU, _not_zero(alpha, "alpha"), out=out)


@with_out
def celu_backward(dy, x, alpha=1.0, *, out=None):
    """Gradient of `celu`."""
    return _map_backward(dy, x, _eltwise.CELU, _not_zero(alpha, "alpha"), out=out)


def _gelu_kind(approximate):
    exact = _arguments.one_of(approximate, ("none", "tanh"), "approximate") == "none"
    return _eltwise.GELU if exact else _eltwise.GELU_TANH


@with_out
def gelu(x, approximate="none", *, out=None):
    """x Phi(x), Phi the normal distribution function, or its tanh form (Hendrycks and Gimpel 2016)."""
    return _map(x, _gelu_kind(approximate), out=out)


@with_out
def gelu_backward(dy, x, approximate="none", *, out=None):
    """Gradient of `gelu`."""
    return _map_backward(dy, x, _gelu_kind(approximate), out=out)


def _softplus_arguments(beta, threshold):
    return _not_zero(beta, "beta"), real(threshold, "threshold")


@with_out
def softplus(x, beta=1.0, threshold=20.0, *, out=None):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    return _map(x, _eltwise.SOFTPLUS, *_softplus_arguments(beta, threshold), out=out)


@with_out
def softplus_backward(dy, x, beta=1.0, threshold=20.0, *, out=None):
    """Gradient of `softplus`."""
    return _map_backward(dy, x, _eltwise.SOFTPLUS, *_softplus_arguments(beta, threshold), out=out)


def _range(min_val, max_val):
    low, high = real(min_val, "min_val"), real(max_val, "max_val")
    if low > high:
        raise ValueError(f"min_val must not be above max_val, got {min_val} and {max_val}")
    return low, high


@with_out
def hardtanh(x, min_val=-1.0, max_val=1.0, *, out=None):
    """min(max(x, min_val), max_val)."""
    return _map(x, _eltwise.HARDTANH, *_range(min_val, max_val), out=out)


@with_out
def hardtanh_backward(dy, x, min_val=-1.0, max_val=1.0, *, out=None):
    """Gradient of `hardtanh`: dy where min_val < x < max_val, else 0."""
    return _map_backward(dy, x, _eltwise.HARDTANH, *_range(min_val, max_val), out=out)


@with_out
def hardsigmoid(x, alpha=1 / 6, beta=0.5, *, out=None):
    """min(max(alpha x + beta, 0), 1); torch has these defaults, ONNX 0.2 and 0.5."""
    return _map(x, _eltwise.HARDSIGMOID, real(alpha, "alpha"), real(beta, "beta"), out=out)


@with_out
def hardsigmoid_backward(dy, x, alpha=1 / 6, beta=0.5, *, out=None):
    """Gradient of `hardsigmoid`."""
    return _map_backward(dy, x, _eltwise.HARDSIGMOID, real(alpha, "alpha"), real(beta, "beta"), out=out)


@with_out
def threshold(x, threshold, value, *, out=None):
    """x where x > threshold, else value."""
    return _map(x, _eltwise.THRESHOLD, real(threshold, "threshold"), real(value, "value"), out=out)


@with_out
def threshold_backward(dy, x, threshold, *, out=None):
    """Gradient of `threshold`: dy where x > threshold, else 0."""
    return _map_backward(dy, x, _eltwise.THRESHOLD, real(threshold, "threshold"), out=out)
