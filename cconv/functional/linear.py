"""The fully connected map y = x W^T + b."""

import numpy as np

from cconv import _linear
from cconv.functional import _arguments
from cconv.functional._out import with_out
from cconv.runtime import load_blas

__all__ = ["linear", "linear_backward"]


def _operands(x, weight):
    x = _arguments.floats(x, "x")
    weight = _arguments.floats(weight, "weight", 2, x.dtype)
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x must have shape (..., {weight.shape[1]}) for weight {weight.shape}, got {x.shape}")
    return np.ascontiguousarray(x), np.ascontiguousarray(weight)


def _need_blas(dtype):
    """float64 products are BLAS's; float32 ones are our own."""
    if dtype == np.float64:
        load_blas()


@with_out
def linear(x, weight, bias=None, *, out=None):
    """y = x @ weight.T + bias.

    Parameters
    ----------
    x : ndarray (..., in_features), float32 or float64
    weight : ndarray (out_features, in_features), dtype of `x`
    bias : ndarray (out_features,) or None

    Returns
    -------
    y : ndarray (..., out_features)

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    TypeError
        For other or mixed dtypes.
    """
    x, weight = _operands(x, weight)
    bias = _arguments.parameter(bias, "bias", weight.shape[:1], x.dtype)
    _need_blas(x.dtype)
    return _linear.forward(x, weight, bias, False, out)


def linear_backward(dy, x, weight):
    """Gradients of `linear`: dx = dy @ weight, dweight = dy.T @ x, dbias = sum of dy over all rows (in double).

    Parameters
    ----------
    dy : ndarray (..., out_features)
    x : ndarray (..., in_features)
    weight : ndarray (out_features, in_features)

    Returns
    -------
    dx : ndarray (..., in_features)
    dweight : ndarray (out_features, in_features)
    dbias : ndarray (out_features,)

    Raises
    ------
    ValueError, TypeError
        As `linear`.
    """
    x, weight = _operands(x, weight)
    dy = _arguments.like(dy, "dy", (*x.shape[:-1], weight.shape[0]), False, x.dtype)
    dweight, dbias = np.zeros_like(weight), np.zeros(weight.shape[0], weight.dtype)
    _need_blas(x.dtype)
    return _linear.backward(dy, x, weight, dweight, dbias), dweight, dbias


def linear_relu(x, weight, bias=None):
    """max(linear(x, weight, bias), 0) in one pass, for layers."""
    x, weight = _operands(x, weight)
    bias = _arguments.parameter(bias, "bias", weight.shape[:1], x.dtype)
    _need_blas(x.dtype)
    return _linear.forward(x, weight, bias, True)


def linear_backward_into(dy, x, weight, dweight, dbias, need_dx=True):
    """dx (or None) for layers; adds into `dweight`, which may also be a sink, and `dbias`."""
    dy = _arguments.like(dy, "dy", (*x.shape[:-1], weight.shape[0]), False, weight.dtype)
    _need_blas(weight.dtype)
    return _linear.backward(dy, np.ascontiguousarray(x, weight.dtype), weight, dweight, dbias, need_dx)
