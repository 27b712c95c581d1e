"""Batch norm (Ioffe and Szegedy 2015) on (N, C) or (N, C, spatial...) arrays."""

import math

import numpy as np

from cconv import _norm
from cconv.functional import _arguments
from cconv.functional._out import with_out

__all__ = ["batch_norm_forward", "batch_norm_backward", "batch_norm_inference", "batch_norm_running"]


def _batch(x, name="x"):
    x = _arguments.floats(x, name)
    if not 2 <= x.ndim <= 5:
        raise ValueError(
            f"{name} must have shape (N, C) or (N, C, spatial...) with up to 3 spatial axes, got {x.shape}"
        )
    return _arguments.activation(x, name, x.ndim)


def eps_of(eps):
    """`eps` as a float that is not negative."""
    number = _arguments.real(eps, "eps")
    if number < 0:
        raise ValueError(f"eps must be at least 0, got {eps}")
    return number


def _statistic(value, name, channels):
    value = _arguments.numbers_of(value, name, "fiu")
    if value.shape != (channels,):
        raise ValueError(f"{name} must have shape {(channels,)}, got {value.shape}")
    return np.ascontiguousarray(value, dtype=np.float64)


def batch_norm_forward(x, weight=None, bias=None, eps=1e-5):
    """Normalise every channel by the batch's own mean and variance.

    y = (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(var + eps) and the biased variance.

    Parameters
    ----------
    x : ndarray (N, C) or (N, C, spatial...), float32 or float64
    weight, bias : ndarray (C,) or None (ones, zeros)
    eps : float

    Returns
    -------
    y : ndarray like `x`, in the memory order of `x`
    mean, rstd : ndarray (C,), in the dtype of `x`; computed in double

    Raises
    ------
    ValueError
        For other shapes, or if a channel has a single value. An empty batch gives an empty y.
    TypeError
        For other dtypes.

    Notes
    -----
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1. A constant channel gives exactly `bias`.
    """
    x, channels_last = _batch(x)
    channels = x.shape[1]
    weight = _arguments.parameter(weight, "weight", (channels,), x.dtype)
    bias = _arguments.parameter(bias, "bias", (channels,), x.dtype)
    check_count(x.shape, "batch_norm_forward")
    y, mean, _, rstd = _forward(x, channels_last, weight, bias, eps_of(eps))
    return y, mean.astype(x.dtype), rstd.astype(x.dtype)


def _forward(x, channels_last, weight, bias, eps, relu=False, residual=None, out=None):
    """(y, mean, var, rstd); the statistics of no values are NaN."""
    if x.size:
        apart = 0
        if out is not None:
            apart = _arguments.spacing(out) if channels_last and out.shape == x.shape and out.dtype == x.dtype else None
            out = None if apart is None else out
        return _norm.forward(x, channels_last, weight, bias, eps, relu, residual, out, apart or 0)
    nothing = np.full(x.shape[1], np.nan)
    return np.empty_like(x), nothing, nothing, nothing


def check_count(shape, what):
    """ValueError if a channel of an array of `shape` has a single value: that says nothing about a variance."""
    if shape[0] * math.prod(shape[2:]) == 1:
        raise ValueError(f"{what}: expected more than one value per channel, got input shape {tuple(shape)}")


def batch_norm_backward(dy, x, mean, rstd, weight=None):
    """Gradients of `batch_norm_forward`.

    With M values a channel, xh = (x - mean) * rstd:
    dx = weight * rstd / M * (M dy - sum(dy) - xh * sum(dy * xh)), dweight = sum(dy * xh), dbias = sum(dy).

    Parameters
    ----------
    dy, x : ndarray (N, C) or (N, C, spatial...)
    mean, rstd : ndarray (C,), as returned by `batch_norm_forward`, in any float dtype; a mean that was rounded to
        float32 is refined on the way
    weight : ndarray (C,) or None

    Returns
    -------
    dx : ndarray like `x`, in the memory order of `x`
    dweight, dbias : ndarray (C,)

    Raises
    ------
    ValueError, TypeError
        As `batch_norm_forward`; nothing is written before everything is checked.
    """
    x, channels_last = _batch(x)
    channels = x.shape[1]
    dy = _arguments.like(dy, "dy", x.shape, channels_last, x.dtype)
    weight = _arguments.parameter(weight, "weight", (channels,), x.dtype)
    mean, rstd = _statistic(mean, "mean", channels), _statistic(rstd, "rstd", channels)
    check_count(x.shape, "batch_norm_backward")
    dweight, dbias = np.zeros(channels, x.dtype), np.zeros(channels, x.dtype)
    dx = np.empty_like(x)
    if x.size:
        dx, _ = _norm.backward(dy, x, channels_last, mean, rstd, weight, None, dweight, dbias)
    return dx, dweight, dbias


@with_out
def batch_norm_inference(x, running_mean, running_var, weight=None, bias=None, eps=1e-5, *, out=None):
    """Normalise every channel by given statistics.

    y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    Parameters
    ----------
    x : ndarray (N, C) or (N, C, spatial...), float32 or float64
    running_mean, running_var : ndarray (C,)
    weight, bias : ndarray (C,) or None (ones, zeros)
    eps : float

    Returns
    -------
    y : ndarray like `x`, in the memory order of `x`

    Raises
    ------
    ValueError, TypeError
        For other shapes or dtypes.
    """
    x, channels_last = _batch(x)
    channels = x.shape[1]
    weight = _arguments.parameter(weight, "weight", (channels,), x.dtype)
    bias = _arguments.parameter(bias, "bias", (channels,), x.dtype)
    mean = _statistic(running_mean, "running_mean", channels)
    var = _statistic(running_var, "running_var", channels)
    return _norm.inference(x, channels_last, mean, var, weight, bias, eps_of(eps), out=out)


def batch_norm_running(running_mean, running_var, mean, var, count, momentum=0.1, *, decay=None, unbiased=True):
    """Running statistics after a batch: running + share * (batch - running), computed in double.

    Parameters
    ----------
    running_mean, running_var : ndarray (C,), before the batch
    mean, var : ndarray (C,), of the batch; `var` the biased one, 1 / rstd**2 - eps
    count : int, values a channel had in the batch
    momentum : float, the share of the batch: torch's convention
    decay : float, what the running value keeps, 1 - share, instead of `momentum`: the convention of Keras, ONNX and CS231n
    unbiased : bool, whether running_var follows the unbiased variance (torch) or the biased one (the others)

    Returns
    -------
    running_mean, running_var : ndarray (C,), new, in the dtypes given
    """
    share = share_of(momentum, decay)
    if share is None:
        raise TypeError("momentum must be a real number, got None")
    channels = np.shape(running_mean)[0] if np.ndim(running_mean) == 1 else -1
    named = {"running_mean": running_mean, "running_var": running_var, "mean": mean, "var": var}
    arrays = [_statistic(value, name, channels) for name, value in named.items()]
    return tuple(
        each.astype(np.asarray(old).dtype)
        for each, old in zip(
            moved(*arrays, count, share, _arguments.flag(unbiased, "unbiased")),
            (running_mean, running_var),
            strict=True,
        )
    )


def share_of(momentum, decay=None):
    """The batch's share in the running statistics, or None for the mean of all batches."""
    share = momentum if decay is None else 1 - _arguments.real(decay, "decay")
    if share is None:
        return None
    share = _arguments.real(share, "momentum")
    if not 0 <= share <= 1:
        name, value = ("momentum", momentum) if decay is None else ("decay", decay)
        raise ValueError(f"{name} must be in 0 .. 1, got {value}")
    return share


def _correction(count, unbiased):
    return _arguments.whole(count, "count", 2) / (count - 1) if unbiased else 1.0


def track(running_mean, running_var, mean, var, count, share, unbiased):
    """`moved` in place, for layers: `mean` and `var` as `normalize` returns them."""
    if not _norm.track(running_mean, running_var, mean, var, share, _correction(count, unbiased)):
        running = running_mean.astype(np.float64), running_var.astype(np.float64)
        running_mean[...], running_var[...] = moved(*running, mean, var, count, share, unbiased)


def moved(running_mean, running_var, mean, var, count, share, unbiased):
    """Running mean and variance moved by `share` towards a batch's."""
    var = var * _correction(count, unbiased)
    return (1 - share) * running_mean + share * mean, (1 - share) * running_var + share * var


def normalize(x, weight, bias, eps, relu=False, residual=None, out=None):
    """(x as the kernels take it, y, mean, var, rstd) for layers: statistics in float64.

    `residual` is added before ReLU, both in the same pass. y is `out` where the kernels can write there: into channels
    of a channels-last array, if x lies so too.
    """
    x, channels_last = _batch(x)
    channels = (x.shape[1],)
    weight = _arguments.parameter(weight, "weight", channels, x.dtype)
    bias = _arguments.parameter(bias, "bias", channels, x.dtype)
    if residual is not None:
        residual = _arguments.like(residual, "residual", x.shape, channels_last, x.dtype)
    return x, *_forward(x, channels_last, weight, bias, eps, relu, residual, out)


def normalize_fixed(x, mean, var, weight, bias, eps, relu=False, residual=None):
    """(x as the kernels take it, y) for layers, by given statistics."""
    x, channels_last = _batch(x)
    channels = x.shape[1]
    weight = _arguments.parameter(weight, "weight", (channels,), x.dtype)
    bias = _arguments.parameter(bias, "bias", (channels,), x.dtype)
    mean, var = _statistic(mean, "running_mean", channels), _statistic(var, "running_var", channels)
    if residual is not None:
        residual = _arguments.like(residual, "residual", x.shape, channels_last, x.dtype)
    return x, _norm.inference(x, channels_last, mean, var, weight, bias, eps, relu, residual)


def normalize_backward(dy, x, mean, rstd, weight, bias, dweight, dbias, relu=False, fixed=False, y=None):
    """(dx, dresidual) for layers; adds into `dweight` and `dbias`.

    `y` is the output where a residual was added, else None, and dresidual None, too. With `fixed` the
    statistics are constants.
    """
    channels_last, apart = not x.flags.c_contiguous, 0
    if channels_last and y is None:
        dy, apart = _arguments.spaced_like(dy, "dy", x.shape, x.dtype)
    else:
        dy = _arguments.like(dy, "dy", x.shape, channels_last, x.dtype)
    if not x.size:
        return dy, None if y is None else dy
    return _norm.backward(
        dy, x, channels_last, mean, rstd, weight, bias, dweight, dbias, relu, fixed, y, y is not None, apart
    )
