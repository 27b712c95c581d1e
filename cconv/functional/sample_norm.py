"""Normalisation within a sample: over all features, over groups of channels, or over the positions of a channel.

y = (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(var + eps) and the biased variance; mean and variance are
computed in double. A constant gives exactly `bias`.
"""

import math

import numpy as np

from cconv import _norm, _runtime
from cconv.functional import _arguments
from cconv.functional._out import with_out
from cconv.functional.norm import eps_of

__all__ = [
    "layer_norm", "layer_norm_backward", "group_norm", "group_norm_backward", "instance_norm",
    "instance_norm_backward",
]  # fmt: skip


class _Rows:
    """The rows of x, each normalised by itself. The kernels are batch norm's: a row is a channel of one sample."""

    def __init__(self, x, rows, eps):
        self.x = x.reshape(1, rows, x.size // max(rows, 1))
        self.short = self.x.shape[2] < 2 or rows == 0
        if self.short:  # a row of one value is its own mean
            self.mean = self.x[0, :, 0].astype(np.float64) if self.x.size else np.zeros(rows)
            self.rstd = np.full(self.mean.shape, 1 / math.sqrt(eps) if eps > 0 else math.inf)
            self.y = self.x - self.x
        else:
            self.y, self.mean, _, self.rstd = _norm.forward(self.x, False, None, None, eps)

    def backward(self, dy):
        dy = dy.reshape(self.x.shape)
        if self.short:
            return dy - dy
        return _norm.backward(dy, self.x, False, self.mean, self.rstd, None, None, None, None)[0]


def _ordered(y, channels_last):
    return _arguments.to_channels_last(y) if channels_last and y.ndim > 2 else y


def layer_norm_forward(x, normalized_shape, weight, bias, eps):
    """(y, backward) with backward(dy) -> (dx, dweight, dbias), for layers."""
    x = _arguments.floats(x, "x")
    channels_last = _arguments.is_channels_last(x)
    if not isinstance(normalized_shape, (tuple, list)):
        normalized_shape = (normalized_shape,)
    shape = tuple(_arguments.whole(n, "normalized_shape", 0) for n in normalized_shape)
    if not shape or x.shape[x.ndim - min(len(shape), x.ndim) :] != shape:
        raise ValueError(f"normalized_shape {shape} must be the end of the shape of x, {x.shape}")
    weight = _arguments.parameter(weight, "weight", shape, x.dtype)
    bias = _arguments.parameter(bias, "bias", shape, x.dtype)
    leading = x.shape[: x.ndim - len(shape)]
    rows = _Rows(np.ascontiguousarray(x), math.prod(leading), eps_of(eps))
    y = rows.y.reshape(x.shape)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias

    def backward(dy):
        dy = _arguments.like(dy, "dy", x.shape, False, x.dtype)
        over = tuple(range(len(leading)))
        normal = ((rows.x[0] - rows.mean[:, None]) * rows.rstd[:, None]).reshape(x.shape)
        dweight = (dy * normal).sum(over).astype(x.dtype)
        dbias = dy.sum(over, dtype=np.float64).astype(x.dtype)
        dx = rows.backward(dy if weight is None else dy * weight).reshape(x.shape)
        return _ordered(dx, channels_last), dweight, dbias

    return _ordered(y, channels_last), backward


@with_out
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalise over the last axes, whose sizes are `normalized_shape` (Ba, Kiros and Hinton 2016).

    Parameters
    ----------
    x : ndarray (..., *normalized_shape), float32 or float64
    normalized_shape : int or ints
    weight, bias : ndarray of `normalized_shape`, or None (ones, zeros)
    eps : float

    Returns
    -------
    y : ndarray like `x`

    Raises
    ------
    ValueError, TypeError
        For shapes, dtypes or numbers that do not fit, naming the argument.
    """
    return layer_norm_forward(x, normalized_shape, weight, bias, eps)[0]


def layer_norm_backward(dy, x, normalized_shape, weight=None, eps=1e-5):
    """Gradients of `layer_norm`: (dx, dweight, dbias), the last two of `normalized_shape` even without a weight."""
    return layer_norm_forward(x, normalized_shape, weight, None, eps)[1](dy)


def _channels(x, weight, bias):
    """x in a memory order of the kernels, and its parameters."""
    x = _arguments.floats(x, "x")
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C, spatial...), got {x.shape}")
    x, channels_last = _arguments.activation(x, "x", x.ndim)
    weight = _arguments.parameter(weight, "weight", x.shape[1:2], x.dtype)
    return x, channels_last, weight, _arguments.parameter(bias, "bias", x.shape[1:2], x.dtype)


def _scaled(x, weight, bias):
    """x * weight + bias of (N, C, positions) planes: what batch norm does with a mean of 0 and a variance of 1."""
    if x.size == 0 or (weight is None and bias is None):
        return x
    n, channels, positions = x.shape
    each = [None if value is None else np.tile(value, n) for value in (weight, bias)]
    planes = x.reshape(1, n * channels, positions)
    return _norm.inference(planes, False, np.zeros(n * channels), np.ones(n * channels), *each, 0.0).reshape(x.shape)


def _plane_gradients(dy, x, mean, rstd):
    """dweight, dbias of (N, C, positions) planes that were normalised by mean and rstd (N, C)."""
    channels = x.shape[1]
    dweight, dbias = np.zeros((2, mean.size), x.dtype)
    planes = (1, mean.size, x.shape[2])
    _norm.backward(
        dy.reshape(planes), x.reshape(planes), False, np.ascontiguousarray(mean.reshape(-1)),
        np.ascontiguousarray(rstd.reshape(-1)), None, None, dweight, dbias, False, True,
    )  # fmt: skip
    return [each.reshape(len(x), channels).sum(0, np.float64).astype(x.dtype) for each in (dweight, dbias)]


def group_norm_forward(x, num_groups, weight, bias, eps, what="group_norm"):
    """(y, backward) with backward(dy) -> (dx, dweight, dbias), for layers."""
    x, channels_last, weight, bias = _channels(x, weight, bias)
    groups, (n, channels) = _arguments.whole(num_groups, "num_groups", 1), x.shape[:2]
    if channels % groups != 0:
        raise ValueError(f"num_groups={groups} does not divide the {channels} channels of x, of shape {x.shape}")
    if x.size == n * groups == 1:
        raise ValueError(f"{what}: expected more than one value per group, got input shape {x.shape}")
    flat = np.ascontiguousarray(x).reshape(n, channels, math.prod(x.shape[2:]))
    rows = _Rows(flat, n * groups, eps_of(eps))
    y = _scaled(rows.y.reshape(flat.shape), weight, bias)

    def backward(dy):
        dy = _arguments.like(dy, "dy", x.shape, False, x.dtype).reshape(flat.shape)
        each = [np.repeat(value.reshape(n, groups), channels // groups, 1) for value in (rows.mean, rows.rstd)]
        dweight, dbias = _plane_gradients(dy, flat, *each)
        dx = rows.backward(_scaled(dy, weight, None)).reshape(x.shape)
        return _ordered(dx, channels_last), dweight, dbias

    return _ordered(y.reshape(x.shape), channels_last), backward


@with_out
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalise over the positions of `num_groups` groups of neighbouring channels (Wu and He 2018).

    Parameters
    ----------
    x : ndarray (N, C, spatial...), float32 or float64
    num_groups : int, divides C
    weight, bias : ndarray (C,) or None (ones, zeros)
    eps : float

    Returns
    -------
    y : ndarray like `x`, in the memory order of `x`

    Raises
    ------
    ValueError, TypeError
        For shapes, dtypes or numbers that do not fit, naming the argument; for an `x` of one value.
    """
    return group_norm_forward(x, num_groups, weight, bias, eps)[0]


def group_norm_backward(dy, x, num_groups, weight=None, eps=1e-5):
    """Gradients of `group_norm`: (dx, dweight, dbias), the last two (C,) even without a weight."""
    return group_norm_forward(x, num_groups, weight, None, eps)[1](dy)


def instance_norm_forward(x, weight, bias, eps, what="instance_norm"):
    """(y, mean, var, backward): statistics (N, C) in double, backward(dy) -> (dx, dweight, dbias), for layers."""
    x, channels_last, weight, bias = _channels(x, weight, bias)
    n, channels = x.shape[:2]
    positions, eps = math.prod(x.shape[2:]), eps_of(eps)
    if positions < 2:
        raise ValueError(f"{what}: expected more than one value per channel of a sample, got input shape {x.shape}")
    # Channels-last each sample is a batch of its own; channels-first all planes are channels of one sample.
    batches = n if channels_last else min(n, 1)
    shape = (1, x.size // max(batches, 1) // positions, positions)
    flat = x.reshape(n, channels, positions) if channels_last else x.reshape(shape)
    if weight is not None:
        weight = np.tile(weight, shape[1] // channels)
    if bias is not None:
        bias = np.tile(bias, shape[1] // channels)
    y = _runtime.empty(flat.shape, x.dtype, channels_last)
    mean, var, rstd = np.empty((3, batches, shape[1]))
    for i in range(batches):
        y[i : i + 1], mean[i], var[i], rstd[i] = _norm.forward(flat[i : i + 1], channels_last, weight, bias, eps)

    def backward(dy):
        dy = _arguments.like(dy, "dy", x.shape, channels_last, x.dtype).reshape(flat.shape)
        dx = _runtime.empty(flat.shape, x.dtype, channels_last)
        sums = np.zeros((2, batches, shape[1]), x.dtype)
        for i in range(batches):
            one = slice(i, i + 1)
            dx[one], _ = _norm.backward(
                dy[one], flat[one], channels_last, mean[i], rstd[i], weight, None, sums[0, i], sums[1, i]
            )
        dweight, dbias = sums.reshape(2, n, channels).sum(1, np.float64).astype(x.dtype)
        return dx.reshape(x.shape), dweight, dbias

    return y.reshape(x.shape), mean.reshape(n, channels), var.reshape(n, channels), backward


@with_out
def instance_norm(x, weight=None, bias=None, eps=1e-5):
    """Normalise each channel of each sample over its positions (Ulyanov, Vedaldi and Lempitsky 2016).

    Parameters
    ----------
    x : ndarray (N, C, spatial...), float32 or float64
    weight, bias : ndarray (C,) or None (ones, zeros)
    eps : float

    Returns
    -------
    y : ndarray like `x`, in the memory order of `x`

    Raises
    ------
    ValueError, TypeError
        For shapes, dtypes or numbers that do not fit, naming the argument; where a channel has one position.
    """
    return instance_norm_forward(x, weight, bias, eps)[0]


def instance_norm_backward(dy, x, weight=None, eps=1e-5):
    """Gradients of `instance_norm`: (dx, dweight, dbias), the last two (C,) even without a weight."""
    return instance_norm_forward(x, weight, None, eps)[3](dy)
