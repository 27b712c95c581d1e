"""Dropout (Srivastava et al. 2014), with a mask that is a function of a seed and a call number."""

import numpy as np

from cconv import _eltwise
from cconv.functional import _arguments
from cconv.functional._out import with_out

__all__ = ["dropout", "alpha_dropout", "alpha_dropout_backward"]

_WORD = 2**64


@with_out
def dropout(x, p=0.5, seed=0, call=0, per_channel=False, *, out=None):
    """Zero each element with probability `p` and scale the others by 1 / (1 - p).

    The mask depends on `seed`, `call`, the sample (index of axis 0, where there are more axes) and the element's
    index within the sample in C order alone, not on memory order, threads or processor: a 32-bit hash of them is
    below p * 2**32 where the element is dropped. The gradient of the result is the same function of dy.

    Parameters
    ----------
    x : ndarray of at most 5 axes, float32 or float64
    p : float in 0 .. 1
    seed, call : int; another pair gives another mask
    per_channel : bool, whether whole (sample, channel) planes are dropped

    Returns
    -------
    y : ndarray like `x`

    Raises
    ------
    ValueError
        For `p` outside 0 .. 1.
    TypeError
        For other dtypes.
    """
    x = _arguments.floats(x, "x")
    if not _arguments.is_channels_last(x):
        x = np.ascontiguousarray(x).reshape(x.shape)
    seed, call = (_arguments.whole(value, name, most=_WORD) % _WORD for name, value in (("seed", seed), ("call", call)))
    return _eltwise.dropout(x, probability(p), seed, call, _arguments.flag(per_channel, "per_channel"), out)


def probability(p):
    """`p` as a float in 0 .. 1."""
    number = _arguments.real(p, "p")
    if not 0 <= number <= 1:
        raise ValueError(f"p must be in 0 .. 1, got {p}")
    return number


# What SELU makes of very small numbers.
_LOWEST = -1.0507009873554805 * 1.6732632423543772


def _alpha(x, p, seed, call, per_channel):
    """(1 where kept and 0 where dropped, the slope that keeps the variance)."""
    p = probability(p)
    kept = (dropout(np.ones_like(x), p, seed, call, per_channel) != 0).astype(x.dtype)
    return kept, 0.0 if p == 1 else ((1 - p) * (1 + p * _LOWEST**2)) ** -0.5


@with_out
def alpha_dropout(x, p=0.5, seed=0, call=0, per_channel=False):
    """Dropout that keeps the mean 0 and variance 1 of what SELU gives (Klambauer et al. 2017).

    Dropped elements become SELU's lowest value, then all are scaled and shifted; which ones, and the arguments, are as
    in `dropout`. With `p` 1 everything is 0.
    """
    x = _arguments.floats(x, "x")
    kept, slope = _alpha(x, p, seed, call, per_channel)
    return (np.where(kept, x, _LOWEST) - x.dtype.type(_LOWEST * p)) * x.dtype.type(slope)


@with_out
def alpha_dropout_backward(dy, p=0.5, seed=0, call=0, per_channel=False):
    """Gradient of `alpha_dropout`."""
    dy = _arguments.floats(dy, "dy")
    kept, slope = _alpha(dy, p, seed, call, per_channel)
    return dy * kept * dy.dtype.type(slope)
